"""What the memory system is: caches, domains, prices and switches, resolved from the flat settings.

A *domain* is everything below one last-level cache: the cores of a node under its L3, all cores of
the machine when the model is fully-shared, or one core alone where there is no L3.  Inside a domain
the L3 is the directory; between domains the snoop filter is, and only there CXL snoops are sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosim import physical_map
from cosim.errors import InputError
from cosim.physical_map import PhysicalMap
from cosim.units import LINE_BYTES

MEMBERS_MAX = 62  # sharers and an owner flag must fit in one signed word
WRITE_BACKS_MAX = 6  # L1D, L2, L2 for a fetch, L3 and snoop-filter victims, and a snooped copy
LINES_PER_RECORD_MAX = 2


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Geometry of one cache; ways within a set are kept in true LRU order."""

    name: str
    size_bytes: int
    ways: int

    def __post_init__(self) -> None:
        sets, rest = divmod(self.size_bytes, self.ways * LINE_BYTES)
        if rest or sets < 1 or sets & (sets - 1):
            raise InputError(
                f"{self.name}: {self.size_bytes} B / ({self.ways} ways x {LINE_BYTES} B) ="
                f" {self.size_bytes / (self.ways * LINE_BYTES):g} sets, which is not a power of two"
            )

    @property
    def sets(self) -> int:
        """Number of sets."""
        return self.size_bytes // (self.ways * LINE_BYTES)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Cycles a core pays: for the level that serves, plus coherence and write-backs."""

    l1: int
    l2: int
    l3: int
    memory: int
    remote: int
    fetch_hit: int
    l3_transfer: int
    snoop_data: int
    snoop_invalidate: int
    back_invalidate: int


@dataclass(frozen=True, kw_only=True)
class Core:
    """One core: its number in the machine, its node and domain, its private caches."""

    index: int
    name: str
    node: int
    domain: int
    l1i: Cache
    l1d: Cache
    l2: Cache
    prices: Prices


@dataclass(frozen=True, kw_only=True)
class Domain:
    """Cores (machine-wide numbers, neighbours) below one last-level cache.  l3 None: their only
    core's L2.
    """

    index: int
    name: str
    cores: tuple[int, ...]
    l3: Cache | None

    @property
    def has_directory(self) -> bool:
        """True when several cores share the L3, so that it must know who holds what."""
        return len(self.cores) > 1


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The whole memory system.  filter_entries 0: the snoop filter tracks every line."""

    map: PhysicalMap
    nodes: tuple[str, ...]
    cores: tuple[Core, ...]
    domains: tuple[Domain, ...]
    inclusive: bool
    drops_owner_l1: bool
    silent_shared: bool
    filter_entries: int
    filter_ways: int

    @property
    def model(self) -> str:
        """Memory model: separated, shared or fully-shared."""
        return self.map.model

    @property
    def line_count(self) -> int:
        """Lines of physical memory: a line number is below."""
        return self.map.size_bytes // LINE_BYTES

    @property
    def has_filter(self) -> bool:
        """True when there is more than one domain, so that somebody can be snooped."""
        return len(self.domains) > 1

    def line_classes(self, core: Core) -> int:
        """By so many lowest values of a line's number all is kept apart that the core's accesses
        can change: everything lies in sets whose number is a multiple of this.
        """
        l3 = self.domains[core.domain].l3
        found = [cache.sets for cache in (core.l1i, core.l1d, core.l2, l3) if cache]
        if self.has_filter and self.filter_entries:
            found.append(self.filter_entries // self.filter_ways)
        return min(found)

    @property
    def worst_reference_cycles(self) -> int:
        """No record can cost its core more cycles than this."""
        return max(LINES_PER_RECORD_MAX * _worst_line_cycles(core.prices) for core in self.cores)


def _worst_line_cycles(prices: Prices) -> int:
    memory = max(prices.memory, prices.remote)
    served = max(prices.l1, prices.l2, prices.l3, prices.fetch_hit, memory)
    snoops = prices.l3_transfer + prices.back_invalidate
    snoops += max(prices.snoop_data, prices.snoop_invalidate)
    return served + snoops + WRITE_BACKS_MAX * memory


def build(settings: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> Specification:
    """The specification of a machine.

    settings: flat and complete, as cosim.settings.resolve gives them.  nodes: rows of the run
    configuration in machine order.  Raises InputError for what does not fit together.
    """
    fully_shared = settings["memory.model"] == "fully-shared"
    l3s = [
        _cache(settings, "cache.l3" if fully_shared else f"cache.{node['name']}.l3")
        for node in nodes
    ]
    cores: list[Core] = []
    members: list[list[int]] = []
    labels: list[tuple[str, Cache | None]] = []
    for position, node in enumerate(nodes):
        name, l3 = str(node["name"]), l3s[position]
        for number in range(int(node["cores"])):
            joins = l3 is not None and (number > 0 or (fully_shared and bool(members)))
            if not joins:
                members.append([])
                alone = f"{name}.core{number}" if l3 is None else name
                labels.append(("machine" if fully_shared and l3 else alone, l3))
            members[-1].append(len(cores))
            cores.append(_core(settings, name, position, number, len(cores), len(members) - 1))
    domains = tuple(
        Domain(index=index, name=label, cores=tuple(group), l3=l3)
        for index, (group, (label, l3)) in enumerate(zip(members, labels, strict=True))
    )
    _check(cores, domains)
    return Specification(
        map=physical_map.build(settings, nodes),
        nodes=tuple(str(node["name"]) for node in nodes),
        cores=tuple(cores),
        domains=domains,
        inclusive=settings["cache.inclusion"] == "inclusive",
        drops_owner_l1=bool(settings["cache.remote_load_drops_owner_l1"]),
        silent_shared=bool(settings["cache.silent_shared_eviction"]),
        filter_entries=int(settings["cache.snoop_filter.entries"]),
        filter_ways=int(settings["cache.snoop_filter.ways"]),
    )


def _cache(settings: Mapping[str, Any], name: str) -> Cache | None:
    size = int(settings[f"{name}.size"])
    return Cache(name=name, size_bytes=size, ways=int(settings[f"{name}.ways"])) if size else None


def _private(settings: Mapping[str, Any], name: str) -> Cache:
    cache = _cache(settings, name)
    if cache is None:
        raise InputError(f"{name}.size: 0; only the third level may be left out")
    return cache


def _core(
    settings: Mapping[str, Any], node: str, position: int, number: int, index: int, domain: int
) -> Core:
    own = ("l1", "l2", "l3", "memory", "remote", "fetch_hit", "l3_transfer")
    shared = ("snoop_data", "snoop_invalidate", "back_invalidate")
    prices = {name: int(settings[f"cost.{node}.{name}"]) for name in own}
    prices |= {name: int(settings[f"cost.{name}"]) for name in shared}
    return Core(
        index=index,
        name=f"{node}.core{number}",
        node=position,
        domain=domain,
        l1i=_private(settings, f"cache.{node}.l1i"),
        l1d=_private(settings, f"cache.{node}.l1d"),
        l2=_private(settings, f"cache.{node}.l2"),
        prices=Prices(**prices),
    )


def _check(cores: Sequence[Core], domains: Sequence[Domain]) -> None:
    if not cores:
        raise InputError("machine: no cores; every node needs at least one")
    for count, what in (
        (len(domains), "last-level caches"),
        (max(len(d.cores) for d in domains), "cores"),
    ):
        if count > MEMBERS_MAX:
            raise InputError(f"machine: {count} {what} in one directory; at most {MEMBERS_MAX} fit")
