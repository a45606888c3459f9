"""Timed regions: what a guest put between region_begin and region_end."""

from dataclasses import dataclass
from typing import Any, Protocol

STATISTICS_MAX = 200  # regions of a node with statistics of the machine: a report has an end


class Counters(Protocol):
    """Reads the counters of the whole machine: memsys.snapshot.Snapshots."""

    def take(self) -> Any: ...

    def difference(self, before: Any, after: Any) -> dict[str, int]: ...


@dataclass
class Region:
    """One region: where and when it began and ended, and what the core it began on did meanwhile.

    Times in ps; counts are differences of the core's own counters; end_ps is -1 while it is open.
    statistics: differences of all counters of the machine, by name; one that is not named did not
    move.  None: not taken.
    """

    label: int
    tid: int
    core: int
    begin_ps: int
    end_ps: int
    instructions_user: int
    instructions_kernel: int
    cycles: int
    statistics: dict[str, int] | None = None


class Regions:
    """All regions of one node, in the order they began."""

    def __init__(self, counters: Counters | None = None) -> None:
        self.all: list[Region] = []
        self._counters = counters
        self._open: dict[tuple[int, int], tuple[Region, Any]] = {}

    def use(self, counters: Counters) -> None:
        """Other counters from now on: the machine has got more cores."""
        self._counters = counters

    def begin(self, kernel, thread, label: int) -> None:
        """A region starts; one of the same thread and label that is open ends first."""
        if (thread.tid, label) in self._open:
            self.end(kernel, thread, label)
        core = thread.lane.core
        cycles = core.now_cycles()
        region = Region(
            label, thread.tid, core.index, kernel.clock.now_ps(), -1,
            core.engine.instructions, core.instructions_kernel, cycles,
        )  # fmt: skip
        wanted = self._counters is not None and len(self.all) < STATISTICS_MAX
        before = self._counters.take() if wanted and self._counters else None
        self._open[(thread.tid, label)] = region, before
        self.all.append(region)

    def end(self, kernel, thread, label: int) -> None:
        """A region ends; nothing happens when none is open."""
        region, before = self._open.pop((thread.tid, label), (None, None))
        if region is None:
            return
        core = kernel.scheduler.by_core[region.core].core
        region.end_ps = kernel.clock.now_ps()
        region.instructions_user = core.engine.instructions - region.instructions_user
        region.instructions_kernel = core.instructions_kernel - region.instructions_kernel
        region.cycles = core.now_cycles() - region.cycles
        if self._counters is not None and before is not None:
            region.statistics = self._counters.difference(before, self._counters.take())

    def rows(self) -> list[dict[str, Any]]:
        """Finished regions as plain data."""
        return [vars(region).copy() for region in self.all if region.end_ps >= 0]
