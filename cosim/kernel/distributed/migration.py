"""Threads that run a function on another node: migrate_call and the way back.

```text
 source                                             target
 migrate_call(node, f, x)
   keep the thread's registers in its context
   hand a Move over ─────────────────────────────▶  arrive: the thread of that id, made if new
   wait, "away"                                        keeps what it had (an activation)
                                                       runs mig_entry(f, x) on the same stack
   the call's result       ◀──────────────────────   migrate_return(result): activation taken down
```
Activations nest to any depth, also back onto the first node, because each kernel keeps the
registers of its own instruction set and takes them down in reverse order.  A thread has one Thread
object per kernel it was on; all of them but one wait.  What comes for a waiting one is put into its
`inbox`, and handled in its name when it has a core (attend).  How a Move gets to the other kernel
is the design's: a record in shared memory, or a message.

The target runs 512 bytes below the caller's stack pointer: the red zones of all ISAs fit there.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

from cosim import multi_isa
from cosim.kernel.calls.table import Call, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.task import TASK, Thread
from cosim.kernel.waiting import Block, Cause, PageWait, Wait

STACK_GAP_BYTES = 512
GUEST, WAS_GUEST = "nothing: it is a guest", "nothing: it was a guest"  # what idle ones wait for
CORE = TASK.offset("core")
RUNS_ON = TASK.offset("node")


class Move(NamedTuple):
    """A thread on its way.  task: its TASK record.  source_core: the core it left.

    thread_area: the thread's own structure, from which thread pointers follow.
    """

    source_core: int
    tid: int
    pid: int
    task: int
    function: int
    argument: int
    stack_pointer: int
    thread_area: int
    signal_mask: int


@dataclass
class Activation:
    """What a thread returns to when the function it was sent here for is done.

    context: its registers before.  source_core: where its result goes.  record: of the design.
    """

    context: Any
    source_core: int
    record: int
    signal_mask: int


class Migrations(ABC):
    """Sending threads away and taking them in, for one kernel."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        self.sent = self.received = 0
        self._redirected: dict[int, int] = {}  # process -> node

    @abstractmethod
    def _hand_over(self, thread: Thread, node: int, move: Move) -> None:
        """Give a thread to another kernel."""

    @abstractmethod
    def _give_back(self, thread: Thread, activation: Activation, result: int) -> None:
        """Tell the kernel that sent a thread what its function returned."""

    # --- leaving ---

    def call(self, thread: Thread, node: int, function: int, argument: int) -> int:
        """migrate_call: the function's result.

        Raises KernelError: ENOSYS (the program is no multi-ISA program, or it is this node: call
        it here), ENODEV (no such node); raises Block to wait.
        """
        kernel, process = self._kernel, thread.process
        node = self._redirected.get(process.pid, node)
        if process.layout is None or node == kernel.node_index:
            self._redirected.pop(process.pid, None)
            raise KernelError(Errno.ENOSYS, "nothing to migrate")
        if not kernel.is_target(node):
            raise KernelError(Errno.ENODEV, f"there is no node {node}")
        if kernel.node_rows[node]["isa"] not in process.images:
            raise KernelError(Errno.ENODEV, f"the program was not built for node {node}")
        kernel.memory.charge("migration")
        engine = thread.lane.core.engine
        rule = kernel.isa.linker.THREAD_POINTER_OFFSET
        pointer = engine.read("thread_pointer")
        area = multi_isa.thread_descriptor(rule, pointer, process.layout.tls_bytes)
        thread.migrated = True
        self._redirected.pop(process.pid, None)
        self.sent += 1
        self._move_count(thread, node)
        self._hand_over(thread, node, Move(
            thread.lane.core.index, thread.tid, process.pid, thread.descriptor, function,
            argument, engine.read("sp"), area, thread.mask,
        ))  # fmt: skip
        raise Block(self.away(thread, f"its call on node {node}"))

    def return_(self, thread: Thread, result: int) -> int:
        """migrate_return: the function sent here is done.  KernelError(EINVAL) when none was."""
        kernel = self._kernel
        if not thread.activations:
            raise KernelError(Errno.EINVAL, "nothing to return from")
        kernel.memory.charge("migration")
        activation = thread.activations.pop()
        self._move_count(thread, kernel.node_of_core(activation.source_core))
        self._give_back(thread, activation, result)
        thread.lane.core.engine.restore(activation.context)
        thread.mask = activation.signal_mask
        waits_for = "its call on another node" if thread.activations else WAS_GUEST
        raise Block(self.away(thread, waits_for))

    def _move_count(self, thread: Thread, node: int) -> None:
        """The thread counts on `node` from now on: from there, shootdowns reach it."""
        kernel, space = self._kernel, thread.process.space
        kernel.processes.count_thread(space, kernel.node_index, -1)
        kernel.processes.count_thread(space, node, 1)

    def core_of_thread(self, node: int, tid: int) -> int:
        """The core of `node` that takes the thread in: spread by thread id."""
        cores = self._kernel.node_rows[node]["cores"]
        core = self._kernel.machine_core(node, tid % cores)
        assert core is not None
        return core

    def redirect(self, pid: int, node: int) -> None:
        """The next migrate_call of a process on this kernel goes to `node`, whatever it says."""
        self._redirected[pid] = node

    # --- arriving ---

    def come(self, lane, move: Move, record: int = 0) -> None:
        """A thread comes to a core; its process is known."""
        kernel = self._kernel
        thread = kernel.tasks.by_tid.get(move.tid)
        if thread is None:
            thread = kernel.processes.take_in(move.pid, move.tid, move.task, lane)
        kernel.scheduler.take_to(thread, lane)
        self._refresh(thread)
        self.received += 1
        thread.inbox.append(lambda: self._enter(thread, record, move))
        kernel.scheduler.wake(thread, Cause.EVENT)

    def come_back(self, tid: int, result: int, mask: int) -> None:
        """A thread has its result, unless it ended meanwhile."""
        kernel = self._kernel
        thread = kernel.tasks.by_tid.get(tid)
        if thread is not None:
            self._refresh(thread)
            thread.inbox.append(lambda: self._go_on(thread, result, mask))
            kernel.scheduler.wake(thread, Cause.EVENT)

    def _refresh(self, thread: Thread) -> None:
        """What the thread asked for elsewhere decides which core it gets here."""
        if any(row["cores"] > 1 for row in self._kernel.node_rows):
            self._kernel.tasks.refresh_affinity(thread)

    def _go_on(self, thread: Thread, result: int, mask: int) -> int:
        self.runs_here(thread)
        thread.mask = mask
        return result

    def _enter(self, thread: Thread, record: int, move: Move) -> None:
        """In the thread's name: keep its registers, start the function."""
        kernel, process = self._kernel, thread.process
        kernel.memory.charge("migration")
        self.runs_here(thread)
        engine, tables = thread.lane.core.engine, kernel.isa.registers
        thread.activations.append(Activation(engine.save(), move.source_core, record, thread.mask))
        thread.mask = thread.mask_at_home = move.signal_mask
        engine.reset()
        stack = (move.stack_pointer - STACK_GAP_BYTES & ~15) - tables.FUNCTION_STACK_BIAS_BYTES
        rule = kernel.isa.linker.THREAD_POINTER_OFFSET
        tls_bytes = process.layout.tls_bytes
        values = (move.function, move.argument)
        for register, value in zip(tables.FUNCTION_ARGUMENTS, values, strict=True):
            engine.write(register, value)
        engine.write("sp", stack)
        pointer = multi_isa.thread_pointer(rule, move.thread_area, tls_bytes)
        engine.write("thread_pointer", pointer)
        engine.write("pc", process.layout.entry)

    def runs_here(self, thread: Thread) -> None:
        """Tell others, through the TASK record, which core wakes the thread."""
        memory = self._kernel.memory
        self._kernel.happens("arrives", self._kernel.node_name, thread.process)
        memory.store(thread.descriptor + CORE, thread.lane.core.index, 4)
        memory.store(thread.descriptor + RUNS_ON, self._kernel.node_index, 4)

    def is_idle(self, thread: Thread) -> bool:
        """Is this Thread only kept for the next time that a thread of another home comes?"""
        wait = thread.wait
        return wait is not None and wait.reason in (GUEST, WAS_GUEST) and not thread.inbox

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
        work = thread.inbox.popleft()
        try:
            return work()
        except PageWait:
            thread.inbox.appendleft(work)  # it is done from its start when the page is there
            raise


def migrate_call(kernel, thread, node: int, function: int, argument: int) -> int:
    """migrate_call of stramash.h."""
    return kernel.migrations.call(thread, signed(node), function, argument)


def migrate_return(kernel, thread, result: int) -> int:
    """What mig_entry calls when its function is done."""
    return kernel.migrations.return_(thread, result)


MIGRATION_CALLS = {
    "migrate_call": Call(migrate_call, 3),
    "migrate_return": Call(migrate_return, 1),
}
