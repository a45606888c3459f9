"""Threads that run a function on another node: migrate_call and the way back.

```text
 source                                             target
 migrate_call(node, f, x)
   keep the thread's registers in its context
   write a MIGRATION record ── MIGRATE interrupt ─▶  arrived: the thread of that id, made if new
   wait, "away"                                        keeps what it had (an activation)
                                                       runs mig_entry(f, x) on the same stack
   the call's result       ◀── MIGRATE interrupt ──   migrate_return(result): activation taken down
```
Activations nest to any depth, also back onto the first node, because each kernel keeps the
registers of its own instruction set and takes them down in reverse order.  A thread has one TASK
record wherever it runs, in its home's memory, and one Thread object per kernel it was on; all of
them but one wait.  What comes for a waiting one is put into its `inbox`, and handled in its name
when it has a core (attend).

The target runs 512 bytes below the caller's stack pointer: the red zones of all ISAs fit there.
"""

from dataclasses import dataclass
from typing import Any

from cosim import multi_isa
from cosim.broker import Function
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import Field, Structure
from cosim.kernel.slab import Slab
from cosim.kernel.task import TASK, Thread
from cosim.kernel.waiting import Block, Cause, Wait

STACK_GAP_BYTES = 512
CALL, RETURN = 1, 2

# fmt: off
MIGRATION = Structure("MIGRATION", 128, "a thread handed to another kernel, and its way back", (
    Field("state",          0, 4, "1 call, 2 return"),
    Field("source_core",    4, 4, "machine-wide number of the core it left"),
    Field("tid",            8, 4, "thread"),
    Field("pid",           12, 4, "its process"),
    Field("task",          16, 8, "its TASK record"),
    Field("function",      24, 8, "virtual address of the function to run"),
    Field("argument",      32, 8, "its argument"),
    Field("stack_pointer", 40, 8, "of the caller"),
    Field("thread_area",   48, 8, "the thread's own structure, from which thread pointers follow"),
    Field("signal_mask",   56, 8, "blocked signals"),
    Field("result",        64, 8, "of the function, on the way back"),
))
# fmt: on
CORE = TASK.offset("core")
RUNS_ON = TASK.offset("node")


@dataclass
class Activation:
    """What a thread returns to when the function it was sent here for is done.

    context: its registers before.  record: the MIGRATION that brought it.
    """

    context: Any
    source_core: int
    record: int
    signal_mask: int


class Migrations:
    """Sending threads away and taking them in, for one kernel."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        memory, frames = kernel.memory, kernel.frames
        with memory.uncharged():
            self._slab = Slab(memory, frames, frames.allocate(), MIGRATION.size)
        self._early: dict[int, list[tuple[Any, int]]] = {}
        self.sent = self.received = 0

    # --- leaving ---

    def call(self, thread: Thread, node: int, function: int, argument: int) -> int:
        """migrate_call: the function's result.

        Raises KernelError: ENOSYS (the program is no multi-ISA program, or it is this node: call
        it here), ENODEV (no such node); raises Block to wait.
        """
        kernel, process = self._kernel, thread.process
        if process.layout is None or node == kernel.node_index:
            raise KernelError(Errno.ENOSYS, "nothing to migrate")
        if not 0 <= node < len(kernel.node_rows):
            raise KernelError(Errno.ENODEV, f"there is no node {node}")
        if kernel.node_rows[node]["isa"] not in process.images:
            raise KernelError(Errno.ENODEV, f"the program was not built for node {node}")
        kernel.memory.charge("migration")
        kernel.processes.introduce(process, node)
        engine = thread.lane.core.engine
        rule = kernel.isa.linker.THREAD_POINTER_OFFSET
        pointer = engine.read("thread_pointer")
        record = self._slab.allocate()
        self._write(record, {
            "state": CALL, "source_core": thread.lane.core.index, "tid": thread.tid,
            "pid": process.pid, "task": thread.descriptor, "function": function,
            "argument": argument, "stack_pointer": engine.read("sp"),
            "thread_area": multi_isa.thread_descriptor(rule, pointer, process.layout.tls_bytes),
            "signal_mask": thread.mask,
        })  # fmt: skip
        thread.migrated = True
        self.sent += 1
        self._move_count(thread, node)
        target = self._core_of_thread(node, thread.tid)
        kernel.send_interrupt(target, Function.MIGRATE, record)
        raise Block(self.away(thread, f"its call on node {node}"))

    def return_(self, thread: Thread, result: int) -> int:
        """migrate_return: the function sent here is done.  KernelError(EINVAL) when none was."""
        kernel = self._kernel
        if not thread.activations:
            raise KernelError(Errno.EINVAL, "nothing to return from")
        kernel.memory.charge("migration")
        activation = thread.activations.pop()
        memory = kernel.memory
        memory.store(activation.record + MIGRATION.offset("result"), result)
        memory.store(activation.record + MIGRATION.offset("signal_mask"), thread.mask)
        memory.store(activation.record + MIGRATION.offset("state"), RETURN, 4)
        thread.lane.core.engine.restore(activation.context)
        thread.mask = activation.signal_mask
        self._move_count(thread, kernel.node_of_core(activation.source_core))
        kernel.send_interrupt(activation.source_core, Function.MIGRATE, activation.record)
        waits_for = "its call on another node" if thread.activations else "nothing: it was a guest"
        raise Block(self.away(thread, waits_for))

    def _move_count(self, thread: Thread, node: int) -> None:
        """The thread counts on `node` from now on: from there, shootdowns reach it."""
        kernel, space = self._kernel, thread.process.space.address
        kernel.remote_cpu.count_thread(space, kernel.node_index, -1)
        kernel.remote_cpu.count_thread(space, node, 1)

    def _core_of_thread(self, node: int, tid: int) -> int:
        """The core of `node` that takes the thread in: spread by thread id."""
        cores = self._kernel.node_rows[node]["cores"]
        core = self._kernel.machine_core(node, tid % cores)
        assert core is not None
        return core

    # --- arriving ---

    def arrived(self, lane, record: int) -> None:
        """A MIGRATE interrupt: a thread comes, or comes back."""
        kernel = self._kernel
        found = self._read(record)
        pid = found["pid"]
        if pid in kernel.processes.ended:
            return  # its process ended while it was on its way
        if not kernel.processes.knows(pid):
            self._early.setdefault(pid, []).append((lane, record))
            return  # the interrupt was faster than the message that introduces the process
        thread = kernel.tasks.by_tid.get(found["tid"])
        if found["state"] == RETURN:
            if thread is None:
                return  # it ended meanwhile
            self._slab.free(record)
            thread.inbox.append(lambda: self._come_back(thread, found))
        else:
            if thread is None:
                thread = kernel.processes.take_in(found["pid"], found["tid"], found["task"], lane)
            self.received += 1
            thread.inbox.append(lambda: self._enter(thread, record, found))
        kernel.scheduler.wake(thread, Cause.EVENT)

    def introduced(self, pid: int) -> None:
        """The process is known now: take in the threads that were faster."""
        for lane, record in self._early.pop(pid, ()):
            self.arrived(lane, record)

    def _come_back(self, thread: Thread, found: dict[str, int]) -> int:
        self.runs_here(thread)
        thread.mask = found["signal_mask"]
        return found["result"]

    def _enter(self, thread: Thread, record: int, found: dict[str, int]) -> None:
        """In the thread's name: keep its registers, start the function."""
        kernel, process = self._kernel, thread.process
        kernel.memory.charge("migration")
        self.runs_here(thread)
        engine, tables = thread.lane.core.engine, kernel.isa.registers
        thread.activations.append(
            Activation(engine.save(), found["source_core"], record, thread.mask)
        )
        thread.mask = thread.mask_at_home = found["signal_mask"]
        engine.reset()
        stack = (found["stack_pointer"] - STACK_GAP_BYTES & ~15) - tables.FUNCTION_STACK_BIAS_BYTES
        rule = kernel.isa.linker.THREAD_POINTER_OFFSET
        tls_bytes = process.layout.tls_bytes
        values = (found["function"], found["argument"])
        for register, value in zip(tables.FUNCTION_ARGUMENTS, values, strict=True):
            engine.write(register, value)
        engine.write("sp", stack)
        pointer = multi_isa.thread_pointer(rule, found["thread_area"], tls_bytes)
        engine.write("thread_pointer", pointer)
        engine.write("pc", process.layout.entry)

    def runs_here(self, thread: Thread) -> None:
        """Tell others, through the TASK record, which core wakes the thread."""
        memory = self._kernel.memory
        memory.store(thread.descriptor + CORE, thread.lane.core.index, 4)
        memory.store(thread.descriptor + RUNS_ON, self._kernel.node_index, 4)

    # --- waiting ---

    def away(self, thread: Thread, reason: str) -> Wait:
        """What keeps a Thread waiting that runs elsewhere."""
        return Wait(reason, lambda cause: self.attend(thread, reason, cause), killable=True)

    def attend(self, thread: Thread, reason: str, cause: Cause) -> int | None:
        """The end of a wait, in the thread's name: do what came for it."""
        if cause is Cause.SIGNAL:
            return 0  # SIGKILL is delivered next
        if not thread.inbox:
            raise Block(self.away(thread, reason))
        return thread.inbox.popleft()()

    # --- records ---

    def _write(self, record: int, values: dict[str, int]) -> None:
        for name, value in values.items():
            item = MIGRATION.by_name[name]
            self._kernel.memory.store(record + item.offset, value, item.size)

    def _read(self, record: int) -> dict[str, int]:
        return MIGRATION.decode(self._kernel.memory.read(record, MIGRATION.size))
