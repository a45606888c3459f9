"""Timed regions: what a guest put between region_begin and region_end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cosim.units import ps_of_cycles

STATISTICS_MAX = 200  # regions of a node with statistics of the machine: a report has an end


class Counters(Protocol):
    """Reads the counters of the whole machine: memsys.snapshot.Snapshots."""

    def take(self) -> Any: ...

    def difference(self, before: Any, after: Any) -> dict[str, int]: ...

    def clock_cycles(self, snapshot: Any, core: int) -> int: ...


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
    """All regions of one node, in the order they began.

    also: counters of further memory systems that are fed the same references; each has rows too.
    """

    def __init__(self, counters: Counters | None = None, also: Sequence[Counters] = ()) -> None:
        self.all: list[Region] = []
        self._counters = counters
        self._also = also
        self._rows_also: list[dict[int, Region]] = [{} for _ in also]  # by number in `all`
        self._open: dict[tuple[int, int], tuple[int, Any, list[Any]]] = {}

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
            label, thread.tid, core.index, core.now_ps(), -1,
            core.engine.instructions, core.instructions_kernel, cycles,
        )  # fmt: skip
        wanted = self._counters is not None and len(self.all) < STATISTICS_MAX
        before = self._counters.take() if wanted and self._counters else None
        snapshots = [counters.take() for counters in self._also]
        self._open[(thread.tid, label)] = len(self.all), before, snapshots
        self.all.append(region)

    def end(self, kernel, thread, label: int) -> None:
        """A region ends; nothing happens when none is open."""
        number, before, snapshots = self._open.pop((thread.tid, label), (-1, None, []))
        if number < 0:
            return
        region = self.all[number]
        core = kernel.scheduler.by_core[region.core].core
        region.end_ps = kernel.memory.core.now_ps()
        region.instructions_user = core.engine.instructions - region.instructions_user
        region.instructions_kernel = core.instructions_kernel - region.instructions_kernel
        region.cycles = core.now_cycles() - region.cycles
        if self._counters is not None and before is not None:
            region.statistics = self._counters.difference(before, self._counters.take())
        for counters, rows, then in zip(self._also, self._rows_also, snapshots, strict=True):
            rows[number] = _priced(region, counters, then, kernel.frequency_hz)

    def rows(self) -> list[dict[str, Any]]:
        """Finished regions as plain data."""
        return [vars(region).copy() for region in self.all if region.end_ps >= 0]

    def rows_also(self) -> list[list[dict[str, Any]]]:
        """The same, as each of the further memory systems prices them."""
        return [[vars(rows[number]).copy() for number in sorted(rows)] for rows in self._rows_also]


def _priced(region: Region, counters: Counters, before: Any, frequency_hz: int) -> Region:
    """A region that ends now, as another memory system prices it."""
    after = counters.take()
    begin, end = (counters.clock_cycles(taken, region.core) for taken in (before, after))
    return replace(
        region,
        begin_ps=ps_of_cycles(begin, frequency_hz),
        end_ps=ps_of_cycles(end, frequency_hz),
        cycles=end - begin,
        statistics=None if region.statistics is None else counters.difference(before, after),
    )
