"""Futexes that threads on all nodes share: every kernel works on one bucket table.

The buckets of a private futex are those of its process's home, the buckets of a shared one (a
segment that several processes map) those of node 0; all kernels take the bucket locks in shared
memory.  A waiter on another node costs exactly one interrupt, RESCHEDULE with its thread id
(the paper, 6.5; `futex.direct=false` has every operation run at home instead).
"""

from cosim.broker import Function
from cosim.kernel.futex import TID, WAITING, FutexTable, Key
from cosim.kernel.layout import ADDRESS_SPACE, DIRECTORY
from cosim.kernel.task import PIDS_PER_NODE, TASK, TaskState
from cosim.kernel.waiting import Cause

CORE = TASK.offset("core")
NODE = ADDRESS_SPACE.offset("node")
FUTEXES = DIRECTORY.offset("futexes")


class FusedFutexTable(FutexTable):
    """See FutexTable.  interrupts: waiters of other nodes that were woken."""

    def __init__(self, memory, frames, node: int, wake_task) -> None:
        super().__init__(memory, frames, node, wake_task)
        self._kernel = wake_task.__self__
        self.interrupts = 0

    def table_of(self, key: Key) -> int:
        """See FutexTable.table_of."""
        memory = self._memory
        node = memory.load(key.space + NODE, 4) if key.space else 0
        if node == self._kernel.node_index:
            return self.table
        return memory.load(self._kernel.directory_of(node) + FUTEXES)

    def _wake(self, task: int) -> None:
        kernel = self._kernel
        tid = self._memory.load(task + TID, 4)
        if kernel.delegation.futex_direct:
            core = self._memory.load(task + CORE, 4)
        else:  # whoever waits does so at the home of its process
            core = kernel.machine_core(tid // PIDS_PER_NODE, 0)
        if kernel.node_of_core(core) == kernel.node_index:
            self._wake_task(tid)
            return
        self.interrupts += 1
        kernel.send_interrupt(core, Function.RESCHEDULE, tid)


def reschedule(kernel, _lane, row: dict) -> None:
    """RESCHEDULE: a thread of this core was woken by another core, of this node or another.

    One that waits for something else by now, or for the futex again, was woken before this came.
    """
    thread = kernel.tasks.by_tid.get(row["payload"])
    if thread is None:
        return
    if thread.state is TaskState.WAKING:
        kernel.scheduler.arrive(thread.tid)
    elif (
        thread.state is TaskState.WAITING
        and thread.wait.reason.startswith("futex 0x")
        and not kernel.memory.load(thread.descriptor + WAITING, 4)
    ):
        kernel.scheduler.wake(thread, Cause.EVENT)
