"""System calls about the machine, and our own ones between nodes."""

import struct

from cosim.broker import Function
from cosim.kernel.calls.table import Call, accept, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.waiting import Block, Cause, Interrupted, Wait
from cosim.units import PAGE_BYTES, PS_PER_NS, PS_PER_SECOND

NAME_BYTES = 65  # of each field of struct utsname
GRND_KNOWN = 7
RANDOM_BYTES_MAX = 33_554_431
SYSINFO = struct.Struct("<q3Q6QHHxxxxQQIxxxx")
ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE = 1, 2, 3, 4
PR_SET_NAME, PR_GET_NAME = 15, 16
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 38, 39
TASK_NAME_BYTES = 16


def uname(kernel, thread, buffer: int) -> int:
    """uname(2)."""
    fields = (
        "Linux",
        thread.process.host_name or kernel.services.host_name(kernel),
        kernel.release,
        "#1 SMP Stramash",
        kernel.isa.system_calls.MACHINE,
        "(none)",
    )
    data = b"".join(text.encode()[: NAME_BYTES - 1].ljust(NAME_BYTES, b"\0") for text in fields)
    thread.process.space.write(buffer, data)
    return 0


def sysinfo(kernel, thread, buffer: int) -> int:
    """sysinfo(2)."""
    frames = kernel.frames
    data = SYSINFO.pack(
        kernel.clock.shown_ps() // PS_PER_SECOND, 0, 0, 0, frames.total * PAGE_BYTES,
        (frames.total - frames.used) * PAGE_BYTES, 0, 0, 0, 0, len(kernel.tasks.by_tid), 0, 0, 0, 1,
    )  # fmt: skip
    thread.process.space.write(buffer, data)
    return 0


def getrandom(kernel, thread, buffer: int, length: int, flags: int) -> int:
    """getrandom(2): drawn from the run's seed."""
    if flags & ~GRND_KNOWN:
        raise KernelError(Errno.EINVAL, f"getrandom flags {flags:#x}")
    data = kernel.random_bytes(thread.process, min(length, RANDOM_BYTES_MAX))
    thread.process.space.write(buffer, data)
    return len(data)


def prctl(_kernel, thread, option: int, argument: int) -> int:
    """prctl(2): names; the rest that has no effect here is accepted."""
    space = thread.process.space
    option &= 0xFFFF_FFFF
    if option == PR_SET_NAME:
        data = space.read(argument, TASK_NAME_BYTES)
        thread.name = data.partition(b"\0")[0][: TASK_NAME_BYTES - 1].decode(errors="replace")
    elif option == PR_GET_NAME:
        space.write(
            argument, thread.name.encode()[: TASK_NAME_BYTES - 1].ljust(TASK_NAME_BYTES, b"\0")
        )
    elif option == PR_GET_PDEATHSIG:
        space.write_word(argument, 0, 4)
    elif option == PR_GET_DUMPABLE:
        return 1
    elif option not in (
        PR_SET_PDEATHSIG,
        PR_SET_DUMPABLE,
        PR_SET_NO_NEW_PRIVS,
        PR_GET_NO_NEW_PRIVS,
    ):
        raise KernelError(Errno.EINVAL, f"prctl option {option}")
    return 0


def arch_prctl(_kernel, thread, option: int, argument: int) -> int:
    """arch_prctl(2), x86-64 only: the bases of fs (thread pointer) and gs."""
    engine = thread.lane.core.engine
    setters = {ARCH_SET_FS: "thread_pointer", ARCH_SET_GS: "gs_base"}
    getters = {ARCH_GET_FS: "thread_pointer", ARCH_GET_GS: "gs_base"}
    if option in setters:
        if argument >> 47:
            raise KernelError(Errno.EPERM, f"{argument:#x} is not a user address")
        engine.write(setters[option], argument)
    elif option in getters:
        thread.process.space.write_word(argument, engine.read(getters[option]))
    else:
        raise KernelError(Errno.EINVAL, f"arch_prctl option {option:#x}")
    return 0


def no_sockets(_kernel, _thread) -> int:
    """socket(2): there is no network, and the host's is out of reach."""
    raise KernelError(Errno.EAFNOSUPPORT, "no host sockets")


def absent(_kernel, _thread) -> int:
    """Calls that every libc tries and can do without; they are not reported as unknown."""
    raise KernelError(Errno.ENOSYS)


def current_node(kernel, _thread) -> int:
    """Our own: index of the node this thread runs on."""
    return kernel.node_index


def node_available(kernel, _thread, node: int) -> int:
    """Our own: 1 when the machine has a node with this index now."""
    return int(kernel.is_target(signed(node)))


def node_cores(kernel, _thread, node: int) -> int:
    """Our own: cores of the node with this index, 0 when there is none."""
    return sum(row["cores"] for row in kernel.node_rows if row["index"] == signed(node))


def region_begin(kernel, thread, label: int) -> int:
    """Our own: what is timed starts here.  label: a number for the report."""
    kernel.regions.begin(kernel, thread, label & 0xFFFF_FFFF)
    kernel.happens("region_begin", label & 0xFFFF_FFFF, thread.process)
    return 0


def region_end(kernel, thread, label: int) -> int:
    """Our own: what is timed ends here."""
    kernel.regions.end(kernel, thread, label & 0xFFFF_FFFF)
    kernel.happens("region_end", label & 0xFFFF_FFFF, thread.process)
    return 0


def ipi_send(kernel, _thread, node: int, core: int) -> int:
    """Our own: interrupt core number `core` of a node.  EINVAL when there is no such core."""
    target = kernel.machine_core(signed(node), signed(core))
    if target is None:
        raise KernelError(Errno.EINVAL, f"node {signed(node)} core {signed(core)}")
    kernel.send_interrupt(target, Function.USER, 0)
    return 0


def ipi_wait(kernel, thread, timeout_ns: int) -> int:
    """Our own: machine-wide number of the core whose ipi_send reached this core next; ETIMEDOUT.

    timeout_ns: 0 asks only, a negative number waits for ever.
    """
    lane = thread.lane
    timeout_ns = signed(timeout_ns, 64)
    if lane.arrived:
        return lane.arrived.popleft()
    if timeout_ns == 0:
        raise KernelError(Errno.EAGAIN)
    deadline_ps = None if timeout_ns < 0 else kernel.clock.now_ps() + timeout_ns * PS_PER_NS

    def leave() -> None:
        if thread in lane.ipi_waiters:
            lane.ipi_waiters.remove(thread)

    def finish(cause: Cause) -> int:
        if lane.arrived:
            return lane.arrived.popleft()
        if cause is Cause.TIMEOUT:
            raise KernelError(Errno.ETIMEDOUT)
        if cause is Cause.SIGNAL:
            raise Interrupted(restart=False)
        lane.ipi_waiters.append(thread)
        raise Block(wait)

    wait = Wait("interprocessor interrupt", finish, deadline_ps, leave)
    lane.ipi_waiters.append(thread)
    raise Block(wait)


CALLS = {
    "uname": Call(uname, 1),
    "sysinfo": Call(sysinfo, 1),
    "getrandom": Call(getrandom, 3),
    "prctl": Call(prctl, 2),
    "arch_prctl": Call(arch_prctl, 2),
    "riscv_flush_icache": Call(accept, 3),  # engines see code that changes
    "riscv_hwprobe": Call(absent, 0),
    "personality": Call(accept, 1),
    "socket": Call(no_sockets, 0),
    "socketpair": Call(no_sockets, 0),
    "rseq": Call(absent, 0),
    "migrate_call": Call(absent, 0),
    "migrate_return": Call(absent, 0),
    "current_node": Call(current_node, 0),
    "node_available": Call(node_available, 1),
    "node_cores": Call(node_cores, 1),
    "region_begin": Call(region_begin, 1),
    "region_end": Call(region_end, 1),
    "ipi_send": Call(ipi_send, 2),
    "ipi_wait": Call(ipi_wait, 1),
}
