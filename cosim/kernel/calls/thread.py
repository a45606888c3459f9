"""System calls on threads: clone, futex, scheduling, and the small per-thread registrations of
libc.
"""

import struct

from cosim.kernel.calls.table import Call, accept, read_time_ns, signed
from cosim.kernel.clock import ClockId
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.futex import ANY, Key
from cosim.kernel.task import TASK
from cosim.kernel.waiting import Block, Wait

CLONE_VM = 0x0000_0100
CLONE_SIGHAND = 0x0000_0800
CLONE_VFORK = 0x0000_4000
CLONE_THREAD = 0x0001_0000
CLONE_SETTLS = 0x0008_0000
CLONE_PARENT_SETTID = 0x0010_0000
CLONE_CHILD_CLEARTID = 0x0020_0000
CLONE_CHILD_SETTID = 0x0100_0000
CLONE_NAMESPACES = 0x7E02_0080

FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP = 0, 1, 3, 4, 5
FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET = 9, 10
FUTEX_PRIVATE_FLAG = 128
FUTEX_CLOCK_REALTIME = 256
CLEAR_CHILD_TID = TASK.offset("clear_child_tid")

CLONE_ARGUMENTS = struct.Struct(
    "<8Q"
)  # clone3: flags, pidfd, child_tid, parent_tid, exit_signal, stack, size, tls


def clone(kernel, thread, flags: int, stack: int, parent_tid: int, fourth: int, fifth: int) -> int:
    """clone(2); the order of the last two arguments depends on the ISA."""
    child_tid, thread_pointer = clone_last_arguments(kernel.isa, fourth, fifth)
    return _clone(kernel, thread, flags & 0xFFFF_FFFF, stack, parent_tid, child_tid, thread_pointer)


def clone_last_arguments(isa, fourth: int, fifth: int) -> tuple[int, int]:
    """(child_tid, thread pointer) of clone(2), whose order the ISA decides."""
    last = {3: fourth, 4: fifth}
    calls = isa.system_calls
    return last[calls.CLONE_CHILD_TID_ARGUMENT], last[calls.CLONE_THREAD_POINTER_ARGUMENT]


def child_registers(isa, flags: int, stack: int, pointer: int) -> dict[str, int]:
    """The registers in which what clone makes differs from its maker."""
    changes = {isa.traps.SYSTEM_CALL_RESULT: 0}
    if stack:
        changes["sp"] = stack
    if flags & CLONE_SETTLS:
        changes["thread_pointer"] = pointer
    return changes


def child_context(engine, changes: dict[str, int]) -> object:
    """A context with the registers of the thread in `engine`, but for `changes`."""
    before = {name: engine.read(name) for name in changes}
    for name, value in changes.items():
        engine.write(name, value)
    context = engine.save()
    for name, value in before.items():
        engine.write(name, value)
    return context


def clone3(kernel, thread, address: int, size: int) -> int:
    """clone3(2)."""
    if size < CLONE_ARGUMENTS.size:
        raise KernelError(Errno.EINVAL, f"clone3 arguments of {size} bytes")
    data = thread.process.space.read(address, CLONE_ARGUMENTS.size)
    flags, _, child_tid, parent_tid, exit_signal, stack, length, pointer = CLONE_ARGUMENTS.unpack(
        data
    )
    top = stack + length if stack else 0
    return _clone(kernel, thread, flags | exit_signal, top, parent_tid, child_tid, pointer)


def vfork(kernel, thread) -> int:
    """vfork(2)."""
    return _clone(kernel, thread, CLONE_VM | CLONE_VFORK | 17, 0, 0, 0, 0)


def _clone(
    kernel, thread, flags: int, stack: int, parent_tid: int, child_tid: int, pointer: int
) -> int:
    if flags & CLONE_NAMESPACES:
        raise KernelError(Errno.EPERM, "namespaces")
    if not flags & CLONE_VM:
        raise KernelError(
            Errno.ENOSYS, "fork: address spaces are not copied; use threads, vfork or posix_spawn"
        )
    threads = flags & CLONE_THREAD
    if threads and not flags & CLONE_SIGHAND:
        raise KernelError(Errno.EINVAL, "CLONE_THREAD without CLONE_SIGHAND")
    if not threads and not flags & CLONE_VFORK:
        raise KernelError(
            Errno.ENOSYS, "a process that shares its parent's memory and runs beside it"
        )
    process = thread.process if threads else kernel.processes.make_child(thread.process)
    child = kernel.processes.make_thread(process, thread, process.pid if not threads else None)
    changes = child_registers(kernel.isa, flags, stack, pointer)
    child.context = child_context(thread.lane.core.engine, changes)
    space = thread.process.space
    if flags & CLONE_PARENT_SETTID:
        space.write_word(parent_tid, child.tid, 4)
    if flags & CLONE_CHILD_SETTID:
        space.write_word(child_tid, child.tid, 4)
    if flags & CLONE_CHILD_CLEARTID:
        _set_clear_child_tid(kernel, child, child_tid)
    kernel.scheduler.admit(child)
    if flags & CLONE_VFORK:
        _wait_for_image(child.tid)
    return child.tid


def _wait_for_image(tid: int) -> None:
    """vfork: the parent stands still until the child has its own image or has ended."""
    raise Block(Wait(f"vfork of {tid}", lambda _cause: tid, killable=True))


def _set_clear_child_tid(kernel, thread, address: int) -> None:
    thread.clear_child_tid = address
    kernel.memory.store(thread.descriptor + CLEAR_CHILD_TID, address)


def set_tid_address(kernel, thread, address: int) -> int:
    """set_tid_address(2)."""
    _set_clear_child_tid(kernel, thread, address)
    return thread.tid


def set_robust_list(_kernel, thread, head: int, length: int) -> int:
    """set_robust_list(2)."""
    if length != 24:
        raise KernelError(Errno.EINVAL, f"robust list head of {length} bytes")
    thread.robust_list = (head, length)
    return 0


def get_robust_list(kernel, thread, tid: int, head: int, length: int) -> int:
    """get_robust_list(2)."""
    target = kernel.tasks.by_tid.get(tid) if tid else thread
    if target is None:
        raise KernelError(Errno.ESRCH, f"thread {tid}")
    thread.process.space.write_word(head, target.robust_list[0])
    thread.process.space.write_word(length, target.robust_list[1])
    return 0


def futex(
    kernel, thread, address: int, operation: int, value: int, timeout: int, second: int, third: int
) -> int:
    """futex(2) without priority inheritance."""
    private = bool(operation & FUTEX_PRIVATE_FLAG)
    command = operation & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME) & 0xFFFF_FFFF
    table, space = kernel.futexes, thread.process.space
    value &= ANY
    if command in (FUTEX_WAIT, FUTEX_WAIT_BITSET):
        bitset = third & ANY if command == FUTEX_WAIT_BITSET else ANY
        deadline_ps = _futex_deadline(kernel, space, operation, command, timeout)
        return table.wait(
            thread, address, value, private=private, bitset=bitset, deadline_ps=deadline_ps
        )
    if command in (FUTEX_WAKE, FUTEX_WAKE_BITSET):
        bitset = third & ANY if command == FUTEX_WAKE_BITSET else ANY
        if not bitset:
            raise KernelError(Errno.EINVAL, "empty futex bitset")
        return table.wake(table.key(space, address, private), max(1, signed(value)), bitset)
    if command in (FUTEX_REQUEUE, FUTEX_CMP_REQUEUE):
        if signed(value) < 0 or signed(timeout) < 0:
            raise KernelError(Errno.EINVAL, "negative futex count")
        keys: tuple[Key, Key] = (
            table.key(space, address, private),
            table.key(space, second, private),
        )
        if command == FUTEX_CMP_REQUEUE and space.read_word(address, 4) != third & ANY:
            raise KernelError(Errno.EAGAIN)
        woken, moved = table.requeue(*keys, value, timeout & ANY)
        return woken + moved
    if command == FUTEX_WAKE_OP:
        return _wake_operation(
            kernel, space, (address, second), private, (value, timeout & ANY), third & ANY
        )
    raise KernelError(Errno.ENOSYS, f"futex operation {command}")


def _futex_deadline(kernel, space, operation: int, command: int, timeout: int) -> int | None:
    """FUTEX_WAIT counts from now, FUTEX_WAIT_BITSET names an instant of one of two clocks."""
    if not timeout:
        return None
    clock = ClockId.REALTIME if operation & FUTEX_CLOCK_REALTIME else ClockId.MONOTONIC
    absolute = command == FUTEX_WAIT_BITSET
    return kernel.clock.deadline_ps(clock, read_time_ns(space, timeout), absolute)


def _wake_operation(
    kernel, space, addresses: tuple[int, int], private: bool, counts: tuple[int, int], word: int
) -> int:
    """FUTEX_WAKE_OP: change the second word atomically, wake on the first, and on the second if it
    compared.
    """
    operation, comparison = word >> 28 & 15, word >> 24 & 15
    operand, compared = signed(word >> 12, 12), signed(word, 12)
    if operation & 8:
        operation, operand = operation & 7, 1 << (operand & 31)
    results = {
        0: lambda old: operand, 1: lambda old: old + operand, 2: lambda old: old | operand,
        3: lambda old: old & ~operand, 4: lambda old: old ^ operand,
    }  # fmt: skip
    tests = {
        0: lambda old: old == compared,
        1: lambda old: old != compared,
        2: lambda old: old < compared,
        3: lambda old: old <= compared,
        4: lambda old: old > compared,
        5: lambda old: old >= compared,
    }
    if operation not in results or comparison not in tests:
        raise KernelError(Errno.ENOSYS, f"futex wake operation {word:#x}")
    table = kernel.futexes
    keys = [table.key(space, address, private) for address in addresses]
    old = space.read_word(addresses[1], 4)
    space.compare_and_swap(addresses[1], old, results[operation](old) & ANY, 4)
    woken = table.wake(keys[0], counts[0])
    if tests[comparison](signed(old)):
        woken += table.wake(keys[1], counts[1])
    return woken


def sched_yield(kernel, thread) -> int:
    """sched_yield(2)."""
    kernel.scheduler.yield_core(thread)
    return 0


def sched_getaffinity(kernel, thread, tid: int, size: int, buffer: int) -> int:
    """sched_getaffinity(2)."""
    target = _thread_of(kernel, thread, tid)
    cores = _cores_seen(kernel)
    length = max(8, -(-cores // 64) * 8)
    if size < length or size % 8:
        raise KernelError(Errno.EINVAL, f"processor set of {size} bytes")
    mask = target.affinity or (1 << cores) - 1
    thread.process.space.write(buffer, mask.to_bytes(length, "little"))
    return length


def sched_setaffinity(kernel, thread, tid: int, size: int, buffer: int) -> int:
    """sched_setaffinity(2).  Cores of other nodes in the set count when the thread gets there:
    only migrate_call changes the node.
    """
    target = _thread_of(kernel, thread, tid)
    mask = int.from_bytes(thread.process.space.read(buffer, min(size, 128)), "little")
    everything = (1 << _cores_seen(kernel)) - 1
    mask &= everything
    here = (1 << len(kernel.cores)) - 1 << kernel.scheduler.first_processor
    if not mask & here:
        raise KernelError(Errno.EINVAL, "no core of this node in the set")
    kernel.scheduler.restrict(target, 0 if mask == everything else mask)
    return 0


def _thread_of(kernel, thread, tid: int):
    """The thread that a call names, 0 for the caller.  KernelError(ESRCH) when there is none."""
    target = kernel.tasks.by_tid.get(tid) if tid else thread
    if target is None:
        raise KernelError(Errno.ESRCH, f"thread {tid}")
    return target


def _cores_seen(kernel) -> int:
    return sum(row["cores"] for row in kernel.services.processors(kernel))


def getcpu(kernel, thread, core: int, node: int) -> int:
    """getcpu(2): the core's number among those that programs see, and the node."""
    if core:
        rows = kernel.services.processors(kernel)
        before = sum(row["cores"] for row in rows if row["node"] < kernel.node_index)
        number = before + kernel.scheduler.lanes.index(thread.lane)
        thread.process.space.write_word(core, number, 4)
    if node:
        thread.process.space.write_word(node, kernel.node_index, 4)
    return 0


def sched_getparam(_kernel, thread, _tid: int, buffer: int) -> int:
    """sched_getparam(2): priority 0."""
    thread.process.space.write_word(buffer, 0, 4)
    return 0


def gettid(_kernel, thread) -> int:
    """gettid(2)."""
    return thread.tid


def exit_thread(kernel, thread, status: int) -> None:
    """exit(2): this thread only; the last one ends the process."""
    kernel.processes.end_thread(thread, status & 0xFF)


def release_thread(kernel, thread) -> None:
    """What a thread that ends owes others: robust mutexes and the word that joiners wait on."""
    space = thread.process.space
    try:
        if thread.robust_list[0]:
            _release_robust(kernel, thread, space)
        if thread.clear_child_tid:
            space.write_word(thread.clear_child_tid, 0, 4)
            kernel.futexes.wake(kernel.futexes.key(space, thread.clear_child_tid, False), 1)
    except KernelError:
        return  # the guest's pointers are bad: nobody can be told


ROBUST_ENTRIES_MAX = 2048
OWNER_DIED, TID_MASK, WAITERS = 0x4000_0000, 0x3FFF_FFFF, 0x8000_0000


def _release_robust(kernel, thread, space) -> None:
    """Walk the robust list: words this thread owns are marked OWNER_DIED and a waiter is woken."""
    head = thread.robust_list[0]
    entry, offset, pending = (space.read_word(head + 8 * i) for i in range(3))
    offset = signed(offset, 64)
    entries = [pending] if pending else []
    while entry & ~1 != head and len(entries) < ROBUST_ENTRIES_MAX:
        entries.append(entry & ~1)
        entry = space.read_word(entry & ~1)
    for item in entries:
        address = item + offset
        word = space.read_word(address, 4)
        if word & TID_MASK == thread.tid:
            space.compare_and_swap(address, word, word & WAITERS | OWNER_DIED, 4)
            for private in (True, False):
                kernel.futexes.wake(kernel.futexes.key(space, address, private), 1)


CALLS = {
    "clone": Call(clone, 5),
    "clone3": Call(clone3, 2),
    "vfork": Call(vfork, 0),
    "set_tid_address": Call(set_tid_address, 1),
    "set_robust_list": Call(set_robust_list, 2),
    "get_robust_list": Call(get_robust_list, 3),
    "futex": Call(futex, 6),
    "sched_yield": Call(sched_yield, 0),
    "sched_getaffinity": Call(sched_getaffinity, 3),
    "sched_setaffinity": Call(sched_setaffinity, 3),
    "sched_getscheduler": Call(accept, 1),
    "sched_setscheduler": Call(accept, 3),
    "sched_getparam": Call(sched_getparam, 2),
    "sched_setparam": Call(accept, 2),
    "sched_get_priority_max": Call(accept, 1),
    "sched_get_priority_min": Call(accept, 1),
    "getpriority": Call(lambda kernel, thread: 20, 0),
    "setpriority": Call(accept, 3),
    "getcpu": Call(getcpu, 2),
    "gettid": Call(gettid, 0),
    "exit": Call(exit_thread, 1),
}
