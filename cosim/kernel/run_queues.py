"""How loaded each core of a node is: one line of shared memory per core.

A kernel that places a thread looks at these lines, and whoever makes a thread runnable on a core
changes that core's line at once, so a core that a thread is on its way to is not idle any more.
A node with one core has nothing to choose, and no such lines.
"""

from collections.abc import Iterable

from cosim.kernel.layout import DIRECTORY, Field, Structure
from cosim.units import PAGE_BYTES

# fmt: off
RUN_QUEUE = Structure("RUN_QUEUE", 64, "the load of one core, in its own line", (
    Field("core",     0, 4, "machine-wide number of the core"),
    Field("runnable", 8, 8, "threads that run there, wait for the core or are on their way to it"),
))
# fmt: on

CORES_MAX = PAGE_BYTES // RUN_QUEUE.size  # one frame has them all
RUNNABLE = RUN_QUEUE.offset("runnable")


class RunQueues:
    """The RUN_QUEUE records of a node with several cores.

    cores: machine-wide numbers, in order; found from the DIRECTORY's `run_queues`.
    """

    def __init__(self, memory, frames, cores: Iterable[int]) -> None:
        self._memory = memory
        with memory.uncharged():
            table = frames.allocate()
            memory.store(frames.directory + DIRECTORY.offset("run_queues"), table)
            self._records = {
                core: table + number * RUN_QUEUE.size for number, core in enumerate(cores)
            }
            for core, record in self._records.items():
                memory.store(record, core, 4)

    def runnable(self, core: int) -> int:
        """Threads that a core has to run."""
        return self._memory.load(self._records[core] + RUNNABLE)

    def count(self, core: int, change: int) -> None:
        """A thread became runnable on the core (1), or is so no more (-1)."""
        at = self._records[core] + RUNNABLE
        before = self._memory.peek(at)
        self._memory.compare_and_swap(at, before, before + change)
