"""The dictionaries of memsys.reference: caches, directories, counters, and who holds what."""

from collections import Counter as Tally
from collections.abc import Iterator

from cosim.units import LINE_SHIFT
from memsys.coherence import State
from memsys.specification import Cache, Core, Domain, Specification
from memsys.statistics import Counter

I, S, E, M = State  # noqa: E741


class ReferenceCache:
    """One cache: per set a dictionary line -> state, least recently used first."""

    def __init__(self, geometry: Cache) -> None:
        self.ways = geometry.ways
        self.sets: list[dict[int, State]] = [{} for _ in range(geometry.sets)]

    def _set(self, line: int) -> dict[int, State]:
        return self.sets[line % len(self.sets)]

    def get(self, line: int) -> State:
        """State of the line, I when it is not here."""
        return self._set(line).get(line, I)

    def touch(self, line: int) -> None:
        """Make the line the most recently used of its set."""
        lines = self._set(line)
        lines[line] = lines.pop(line)

    def change(self, line: int, state: State) -> None:
        """New state of a line that may be here; I takes it out.  LRU stays."""
        lines = self._set(line)
        if line in lines:
            if state == I:
                del lines[line]
            else:
                lines[line] = state

    def victim(self, line: int) -> int | None:
        """The line that must go before `line` can come, None when there is room."""
        lines = self._set(line)
        return next(iter(lines)) if len(lines) == self.ways else None

    def insert(self, line: int, state: State) -> None:
        """Put a line in; there must be room."""
        lines = self._set(line)
        assert line not in lines and len(lines) < self.ways, (line, lines)
        lines[line] = state

    def contents(self) -> list[list[tuple[int, int]]]:
        """Per set (line, state), most recently used first."""
        return [
            [(line, int(state)) for line, state in reversed(lines.items())] for lines in self.sets
        ]


class Entry:
    """A directory's knowledge of one line: who may hold it, and whether one of them owns it (E or
    M).
    """

    def __init__(self) -> None:
        self.holders: set[int] = set()
        self.owner: int | None = None

    def give(self, member: int) -> None:
        """One owner, nobody else."""
        self.holders, self.owner = {member}, member

    def forget(self, member: int) -> None:
        """A member that holds nothing any more."""
        self.holders.discard(member)
        if self.owner == member:
            self.owner = None


class SnoopFilter:
    """Line -> Entry, for the domains.  entries 0: unlimited; else sets of `ways`, LRU."""

    def __init__(self, entries: int, ways: int) -> None:
        self.ways = ways if entries else None
        self.sets: list[dict[int, Entry]] = [{} for _ in range(entries // ways if entries else 1)]

    def lines(self, line: int) -> dict[int, Entry]:
        """The set of the line, least recently used first."""
        return self.sets[line % len(self.sets)]

    def get(self, line: int) -> Entry | None:
        """The entry, if there is one."""
        return self.lines(line).get(line)


class ReferenceState:
    """All caches and directories, and questions about them that change nothing.

    tallies[core]: counters by memsys.statistics.Counter.
    """

    def __init__(self, specification: Specification) -> None:
        self.specification = specification
        cores = specification.cores
        self.l1i = [ReferenceCache(core.l1i) for core in cores]
        self.l1d = [ReferenceCache(core.l1d) for core in cores]
        self.l2 = [ReferenceCache(core.l2) for core in cores]
        self.l3 = [ReferenceCache(d.l3) if d.l3 else None for d in specification.domains]
        self.directories: list[dict[int, Entry]] = [{} for _ in specification.domains]
        self.filter = SnoopFilter(specification.filter_entries, specification.filter_ways)
        self.maybe_l1d: list[set[int]] = [set() for _ in cores]  # lines L2 believes to be in L1D
        self.tallies: list[Tally[int]] = [Tally() for _ in cores]
        self.cost = 0  # of the access in progress

    def _count(self, core: int, name: str, amount: int = 1) -> None:
        self.tallies[core][Counter[name]] += amount

    def _core(self, core: int) -> Core:
        return self.specification.cores[core]

    def _domain(self, core: int) -> Domain:
        return self.specification.domains[self._core(core).domain]

    def _is_local(self, core: int, line: int) -> bool:
        return self.specification.map.is_local(self._core(core).node, line << LINE_SHIFT)

    def _first(self, domain: int) -> int:
        return self.specification.domains[domain].cores[0]

    def _state(self, core: int, line: int) -> State:
        """The strongest right any private copy gives; an L1I copy alone is S."""
        found = max(self.l1d[core].get(line), self.l2[core].get(line))
        return max(found, S) if self.l1i[core].get(line) != I else found

    def _has_data(self, core: int, line: int) -> bool:
        return self.l1d[core].get(line) != I or self.l2[core].get(line) != I

    def _listed(self, domain: Domain, line: int) -> Entry:
        """Who of the domain holds the line; a core alone is looked at directly."""
        if domain.has_directory:
            return self.directories[domain.index].get(line, Entry())
        entry, (core,) = Entry(), domain.cores
        state = self._state(core, line)
        if state != I:
            entry.holders = {core}
            entry.owner = core if state in (E, M) else None
        return entry

    def _domain_owns(self, domain: Domain, line: int) -> bool:
        """True when no other domain can have the line."""
        if not self.specification.has_filter:
            return True
        entry = self.filter.get(line)
        return entry is not None and entry.owner == domain.index

    def _domain_holds(self, domain: Domain, line: int) -> bool:
        l3 = self.l3[domain.index]
        if l3 is not None and l3.get(line) != I:
            return True
        return any(self._state(core, line) != I for core in domain.cores)

    @staticmethod
    def _drop_if_empty(lines: dict[int, Entry], line: int) -> None:
        if not lines[line].holders:
            del lines[line]

    # --- for comparisons ---------------------------------------------------------------------

    def caches(self) -> Iterator[tuple[str, ReferenceCache]]:
        """Every cache with its name."""
        for core in self.specification.cores:
            for level in ("l1i", "l1d", "l2"):
                yield f"{core.name}.{level}", getattr(self, level)[core.index]
        for domain in self.specification.domains:
            l3 = self.l3[domain.index]
            if l3 is not None:
                yield f"{domain.name}.l3", l3

    def holders(self) -> dict[str, dict[int, tuple[tuple[int, ...], int | None]]]:
        """Every directory: name -> line -> (members that may hold it, owner)."""
        found = {"filter": {
            line: (tuple(sorted(entry.holders)), entry.owner)
            for lines in self.filter.sets for line, entry in lines.items()
        }}  # fmt: skip
        for domain in self.specification.domains:
            if domain.has_directory:
                found[domain.name] = {
                    line: (tuple(sorted(entry.holders)), entry.owner)
                    for line, entry in self.directories[domain.index].items()
                }
        return found
