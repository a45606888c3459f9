"""The state of the memory system: one array of signed 64-bit words over the shared `hierarchy`
segment.

```text
 header       memsys.header: sizes, switches, where the parts begin
 cores        per core a block: CoreWord (node, caches, prices), then its counters and corrections
 domains      per domain a block: DomainWord (cores, L3, directory)
 places       one word per MiB of physical memory: bit n set = local to node n
 caches       per cache its sets in rows of 32-bit words (memsys.sets)
 filter       limited: sets x ways line words, then as many entries; else a table (memsys.entries)
 directories  per domain of several cores: a table
```
Flags of a cache word: bits 0-1 State; in L2 also IN_L1D and IN_L1I: that cache may have the line,
too.  A line word of the filter is `line << FLAG_BITS | 1`.  Entries: see memsys.entries.
Everything is below 2^63, so signed arithmetic is exact and never meets unsigned words; only stream
records are u64.  The parts indexed by line are as large as physical memory needs, and sparse.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from cosim.engine.stream import FETCH_HIT, HIT, STORE_HIT, Kind
from cosim.physical_map import BOUNDARY_BYTES, DEVICE_BASE, RowKind
from cosim.units import LINE_SHIFT, PAGE_SHIFT
from memsys import entries, header
from memsys.coherence import State as Held
from memsys.rows import LANES
from memsys.sets import (
    CACHE_WORDS,
    FIRST,
    FLAG_BITS,
    FLAGS_END,
    PITCH,
    SET_MASK,
    TAG_SHIFT,
)
from memsys.specification import Cache, Core, Specification
from memsys.statistics import CHARGES, COUNTERS

WORD_BYTES = 8
STATE_MASK = 3
IN_L1D = 4
IN_L1I = 8
PLACE_SHIFT = BOUNDARY_BYTES.bit_length() - 1 - LINE_SHIFT  # line number to index of its place
PAGE_OF_LINE_SHIFT = PAGE_SHIFT - LINE_SHIFT
DEVICE_PAGE = DEVICE_BASE >> PAGE_SHIFT
MAGIC = 0x5374_7261_6D61_7368
PART_WORDS = 512  # parts begin on a page
NO_CACHE_WORD = (
    256  # in the header's part, never written: the only set of a cache that is not there
)


class CoreWord(IntEnum):
    """Words of a core's block.  A cache is described by memsys.sets.CacheWord."""

    NODE = 0
    DOMAIN = 1  # first word of its domain's block
    MEMBER = 2  # its bit in the domain's directory
    L1I = 3
    L1D = 8
    L2 = 13
    PRICE_L1 = 18
    PRICE_L2 = 19
    PRICE_L3 = 20
    PRICE_MEMORY = 21
    PRICE_REMOTE = 22
    PRICE_FETCH_HIT = 23
    PRICE_L3_TRANSFER = 24
    PRICE_SNOOP_DATA = 25
    PRICE_SNOOP_INVALIDATE = 26
    PRICE_BACK_INVALIDATE = 27
    NEAR = 28  # what memsys.near can serve: NEVER, IN_L2 or ALONE
    # Of further memory systems alone (memsys.variants): cycles charged to the core, records served.
    CHARGED = 29
    FED = 30
    HITS = 32  # four rows of HitWord, by kind of record
    COUNTERS = 64


class HitWord(IntEnum):
    """Words of a row: what the record loop needs to serve one kind of record from an L1."""

    FIRST = 0  # of L1I or L1D, see CacheWord
    SET_MASK = 1
    PITCH = 2
    TAG_SHIFT = 3
    LOW = 4  # flags that serve it: from here
    SPAN = 5  # so many
    COUNT = 6  # what to add to the loop's counts: HIT, STORE_HIT or FETCH_HIT
    WORDS = 8


NEVER, IN_L2, ALONE = range(3)  # nothing; what L2 has; also what it lacks: see memsys.beyond


class DomainWord(IntEnum):
    """Words of a domain's block."""

    MEMBER = 0  # its bit in the snoop filter
    FIRST_CORE = 1  # first word of its first core's block
    CORES = 2
    L3 = 3  # as above; ways 0: no L3
    DIRECTORY = 8  # a table; first word 0: a core alone is looked at directly


CORRECTIONS = CoreWord.COUNTERS + COUNTERS  # memsys.repricing; one for each kind of charge
CORE_BLOCK = -(-(CORRECTIONS + len(CHARGES)) // 8) * 8
DOMAIN_BLOCK = 16
PRIVATE = {"l1i": CoreWord.L1I, "l1d": CoreWord.L1D, "l2": CoreWord.L2}
PRICES = {
    "l1": CoreWord.PRICE_L1,
    "l2": CoreWord.PRICE_L2,
    "l3": CoreWord.PRICE_L3,
    "memory": CoreWord.PRICE_MEMORY,
    "remote": CoreWord.PRICE_REMOTE,
    "fetch_hit": CoreWord.PRICE_FETCH_HIT,
    "l3_transfer": CoreWord.PRICE_L3_TRANSFER,
    "snoop_data": CoreWord.PRICE_SNOOP_DATA,
    "snoop_invalidate": CoreWord.PRICE_SNOOP_INVALIDATE,
    "back_invalidate": CoreWord.PRICE_BACK_INVALIDATE,
}


class Layout(NamedTuple):
    """First word of every part, and how many there are in all.

    caches: (domains' L3s after the cores' l1i, l1d, l2).  filter_lines 0: no snoop filter.
    """

    cores: int
    domains: int
    places: int
    caches: dict[str, int]
    filter_lines: int
    filter_entries: int
    directories: dict[int, int]
    words: int


class State(NamedTuple):
    """The arrays, all views of `words` (N,) i64.

    counters, corrections, prices: (cores, COUNTERS), (cores, len(CHARGES)), (cores, len(PRICES))
    i64, strided views into the core blocks.  caches: name -> (sets, ways) u32, see copies.
    filter_lines, filter_entries: (sets, ways) i64 when limited, else (0,) and (lines,).
    directories: domain index -> (lines,), of the width memsys.entries chose.
    """

    words: np.ndarray
    counters: np.ndarray
    corrections: np.ndarray
    prices: np.ndarray
    caches: dict[str, np.ndarray]
    filter_lines: np.ndarray
    filter_entries: np.ndarray
    directories: dict[int, np.ndarray]


def caches(specification: Specification) -> Iterator[tuple[str, Cache]]:
    """Every cache with the name of its array."""
    for core in specification.cores:
        for level in PRIVATE:
            yield f"{core.name}.{level}", getattr(core, level)
    for domain in specification.domains:
        if domain.l3 is not None:
            yield f"{domain.name}.l3", domain.l3


def pitch(cache: Cache) -> int:
    """32-bit words from set to set: ways in whole rows."""
    return -(-cache.ways // LANES) * LANES


def _cache_words(cache: Cache) -> int:
    return cache.sets * pitch(cache) // 2


def copies(ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lines, states), both (sets, ways) i64, of a cache's array; state 0: a free way."""
    sets = np.arange(len(ways))[:, np.newaxis]
    words = ways.astype(np.int64)
    return (words >> FLAG_BITS) * len(ways) + sets, words & STATE_MASK


def layout(specification: Specification) -> Layout:
    """Where everything is."""
    at = PART_WORDS

    def take(words: int) -> int:
        nonlocal at
        first = at
        at += -(-words // PART_WORDS) * PART_WORDS
        return first

    cores = take(len(specification.cores) * CORE_BLOCK)
    domains = take(len(specification.domains) * DOMAIN_BLOCK)
    places = take((specification.line_count >> PLACE_SHIFT) + 1)
    placed = {name: take(_cache_words(cache)) for name, cache in caches(specification)}
    filter_lines = filter_entries = 0
    if specification.has_filter:
        limit = specification.filter_entries
        filter_lines = take(max(1, limit))
        filter_entries = take(limit or _table_words(specification, len(specification.domains)))
    directories = {
        domain.index: take(_table_words(specification, len(domain.cores)))
        for domain in specification.domains
        if domain.has_directory
    }
    return Layout(cores, domains, places, placed, filter_lines, filter_entries, directories, at)


def _table_words(specification: Specification, members: int) -> int:
    return specification.line_count * entries.width_bits(members) // (8 * WORD_BYTES)


def size_bytes(specification: Specification) -> int:
    """Bytes of the hierarchy segment."""
    return layout(specification).words * WORD_BYTES


def build(specification: Specification, segment: np.ndarray) -> State:
    """Lay the machine out in `segment` (u8, zeroed, size_bytes long) and return its arrays."""
    places = layout(specification)
    words = segment[: places.words * WORD_BYTES].view(np.int64)
    values = {
        header.WORDS: places.words,
        header.CORES: len(specification.cores),
        header.DOMAINS: len(specification.domains),
        header.LINES: specification.line_count,
        header.INCLUSIVE: int(specification.inclusive),
        header.DROPS_OWNER_L1: int(specification.drops_owner_l1),
        header.SILENT_SHARED: int(specification.silent_shared),
        header.HAS_FILTER: int(specification.has_filter),
        header.FILTER_SETS: specification.filter_entries // specification.filter_ways,
        header.FILTER_WAYS: specification.filter_ways,
        header.FILTER_LINES: places.filter_lines,
        header.FILTER_ENTRIES: places.filter_entries,
        header.CORE_BLOCKS: places.cores,
        header.DOMAIN_BLOCKS: places.domains,
        header.PLACES: places.places,
        header.NODES: len(specification.nodes),
        header.MAGIC: MAGIC,
    }
    for word, value in values.items():
        words[word] = value
    _put(words, header.FILTER, entries.describe(places.filter_entries, len(specification.domains)))
    for core in specification.cores:
        _build_core(words, specification, core, places)
    for domain in specification.domains:
        at = places.domains + domain.index * DOMAIN_BLOCK
        words[at + DomainWord.MEMBER] = 1 << domain.index
        words[at + DomainWord.FIRST_CORE] = places.cores + domain.cores[0] * CORE_BLOCK
        words[at + DomainWord.CORES] = len(domain.cores)
        if domain.has_directory:
            table = entries.describe(places.directories[domain.index], len(domain.cores))
            _put(words, at + DomainWord.DIRECTORY, table)
        if domain.l3 is not None:
            _build_cache(words, at + DomainWord.L3, places.caches[f"{domain.name}.l3"], domain.l3)
        else:
            _put(words, at + DomainWord.L3, [NO_CACHE_WORD * 2, 0, 0, LANES, 0])
    for row in specification.map.rows:
        if row.kind is not RowKind.DEVICE:
            first, last = row.start // BOUNDARY_BYTES, row.end // BOUNDARY_BYTES
            nodes = sum(1 << node for node in row.local_nodes)
            words[places.places + first : places.places + last] = nodes
    return view(specification, words)


def _build_core(
    words: np.ndarray, specification: Specification, core: Core, places: Layout
) -> None:
    at = places.cores + core.index * CORE_BLOCK
    words[at + CoreWord.NODE] = core.node
    words[at + CoreWord.DOMAIN] = places.domains + core.domain * DOMAIN_BLOCK
    words[at + CoreWord.MEMBER] = 1 << (core.index - specification.domains[core.domain].cores[0])
    for name, word in PRIVATE.items():
        _build_cache(words, at + word, places.caches[f"{core.name}.{name}"], getattr(core, name))
    for name, word in PRICES.items():
        words[at + word] = getattr(core.prices, name)
    words[at + CoreWord.NEAR] = _near(specification, core)
    any_state, modified = [int(Held.S), FLAGS_END - 1], [int(Held.M), 1]
    for kind, word, flags, count in (
        (Kind.LOAD, CoreWord.L1D, any_state, HIT),
        (Kind.STORE, CoreWord.L1D, modified, STORE_HIT),
        (Kind.ATOMIC_LOAD, CoreWord.L1D, modified, STORE_HIT),
        (Kind.FETCH, CoreWord.L1I, any_state, FETCH_HIT),
    ):
        cache = words[at + word : at + word + CACHE_WORDS]
        geometry = [int(cache[name]) for name in (FIRST, SET_MASK, PITCH, TAG_SHIFT)]
        _put(words, at + CoreWord.HITS + kind * HitWord.WORDS, [*geometry, *flags, count])


def _near(specification: Specification, core: Core) -> int:
    """What memsys.near can serve of a core's misses."""
    if not specification.inclusive or max(core.l1d.ways, core.l2.ways) > LANES:
        return NEVER
    domain = specification.domains[core.domain]
    alone = domain.l3 is not None and domain.l3.ways <= LANES and not domain.has_directory
    # L2's victim is then in the L1D set that the new line goes to, if it is in L1D.
    nested = core.l1d.sets <= core.l2.sets
    return ALONE if alone and nested and not specification.filter_entries else IN_L2


def _build_cache(words: np.ndarray, at: int, first: int, cache: Cache) -> None:
    tag_shift = cache.sets.bit_length() - 1
    _put(words, at, [first * 2, cache.sets - 1, cache.ways, pitch(cache), tag_shift])


def _put(words: np.ndarray, at: int, values: list[int]) -> None:
    words[at : at + len(values)] = values


def view(specification: Specification, words: np.ndarray) -> State:
    """The arrays of a hierarchy that was built, here or in another process."""
    places = layout(specification)

    def part(first: int, *shape: int) -> np.ndarray:
        return words[first : first + int(np.prod(shape))].reshape(shape)

    def ways(first: int, cache: Cache) -> np.ndarray:
        rows = words[first : first + _cache_words(cache)].view(np.uint32)
        return rows.reshape(cache.sets, pitch(cache))[:, : cache.ways]

    def table(first: int, members: int) -> np.ndarray:
        return entries.unpack(part(first, _table_words(specification, members)), members)

    limit = specification.filter_entries
    shape = (limit // specification.filter_ways, specification.filter_ways)
    filter_lines = filter_entries = part(0, 0)
    if specification.has_filter and limit:
        filter_lines = part(places.filter_lines, *shape)
        filter_entries = part(places.filter_entries, *shape)
    elif specification.has_filter:
        filter_entries = table(places.filter_entries, len(specification.domains))
    blocks = part(places.cores, len(specification.cores), CORE_BLOCK)
    return State(
        words=words,
        counters=blocks[:, CoreWord.COUNTERS : CORRECTIONS],
        corrections=blocks[:, CORRECTIONS : CORRECTIONS + len(CHARGES)],
        prices=blocks[:, CoreWord.PRICE_L1 : CoreWord.PRICE_L1 + len(PRICES)],
        caches={name: ways(places.caches[name], cache) for name, cache in caches(specification)},
        filter_lines=filter_lines,
        filter_entries=filter_entries,
        directories={
            index: table(first, len(specification.domains[index].cores))
            for index, first in places.directories.items()
        },
    )
