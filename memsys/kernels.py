"""The compiled memory system: one access, and a ring full of records.

Levels (memsys.private_levels, memsys.third_level) and directories follow memsys.reference, which is
the definition; see memsys.state for the arrays and memsys.domains for arguments.  What is fast: a
hit in the first eight ways of L1D or L1I is served inside the record loop, without a branch on
where in the set it is, and its counters stay in registers; so are misses that memsys.near serves.
"""

import numpy as np

from cosim.compiled import inner_kernel, kernel
from cosim.engine.stream import (
    ADDRESS_BITS,
    FETCHES_SHIFT,
    FIELD_MASK,
    MODE_SHIFT,
    RING_RECORDS,
    SIZE_SHIFT,
    STORES_SHIFT,
    Kind,
    Mode,
)
from cosim.units import LINE_BYTES, LINE_SHIFT
from memsys import header
from memsys.beyond import MEMORY, NOT_SERVED
from memsys.copies import COUNTERS
from memsys.domains import is_local
from memsys.near import COUNTS, book_near, one, second_level_near
from memsys.pointers import bytes_at, records_at, words_at
from memsys.private_levels import data_access, fetch_access
from memsys.rows import LANES, first_lane, get_word, match_near, prefetch, push_near
from memsys.sets import FLAG_BITS, SET_MASK
from memsys.state import CORE_BLOCK, DEVICE_PAGE, PAGE_OF_LINE_SHIFT, CoreWord, DomainWord, HitWord
from memsys.statistics import Counter

LOAD, FETCH = np.int64(Kind.LOAD), np.int64(Kind.FETCH)
LOAD_REST = np.int64(
    Kind.LOAD_REST
)  # the rest of a load, then that of a store: minus this, the kind it belongs to
USER, KERNEL = np.int64(Mode.USER), np.int64(Mode.KERNEL)
IDEAL = np.int64(Mode.KERNEL_IDEAL)
UNCACHED = np.int64(Mode.UNCACHED)
HITS = np.int64(Kind.HITS)
SERVED_BITS = 3

# A record is u64; everything taken out of it is below 2^52 and becomes signed at once.
RECORD_ADDRESS = np.uint64((1 << ADDRESS_BITS) - 1)
RECORD_SIZE_SHIFT, RECORD_SIZE = np.uint64(SIZE_SHIFT), np.uint64(63)
RECORD_MODE_SHIFT = np.uint64(MODE_SHIFT)
MODE_BITS, MODES = 2, 3
RING_MASK = RING_RECORDS - 1
# Where many records miss, rows are fetched AHEAD of them: a walk over 2 MiB took 20 % less, but
# one that hits 20 % more, so it is decided anew every LOOK records.
LOOK, LOOK_MISSES, AHEAD = COUNTS, 6, 6
# Bit `kind << 2 | mode` is set for what the loop in `consume` may serve from an L1.
PLAIN = np.int64(
    sum(
        1 << (kind << 2 | mode)
        for kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC_LOAD, Kind.FETCH)
        for mode in (Mode.USER, Mode.KERNEL)
    )
)
IN_LINE = LINE_BYTES - 1


# --- records -------------------------------------------------------------------------------------


@inner_kernel
def access(h, c, kind, line):
    """One access of the core with block `c`; cycles << SERVED_BITS | Served."""
    h[header.COST] = 0
    served = fetch_access(h, c, line) if kind == FETCH else data_access(h, c, kind, line)
    return h[header.COST] << SERVED_BITS | served


@inner_kernel
def device_access(h, c, line):
    """One reference to a device register; cycles.  The owner's page is local, any other is not."""
    owner = (line >> PAGE_OF_LINE_SHIFT) - DEVICE_PAGE
    if 0 <= owner < h[header.NODES]:
        local = owner == h[c + CoreWord.NODE]
    else:
        local = line < h[header.LINES] and is_local(h, c, line)
    h[c + COUNTERS + (Counter.DEVICES_LOCAL if local else Counter.DEVICES_REMOTE)] += 1
    return h[c + CoreWord.PRICE_MEMORY] if local else h[c + CoreWord.PRICE_REMOTE]


@inner_kernel
def slow_record(h, c, kind, mode, size, address):
    """A record that the loop in `consume` did not serve; cycles."""
    if kind == HITS:
        return book_hits(h, c, address | (size - 1) << SIZE_SHIFT, mode)
    line = address >> LINE_SHIFT
    if mode == UNCACHED:
        cycles = device_access(h, c, line)
        h[c + COUNTERS + Counter.CYCLES_KERNEL] += cycles
        return cycles
    if kind >= LOAD_REST:
        kind -= LOAD_REST
        h[c + COUNTERS + Counter.L1D_SPLITS] += 1
    elif kind != FETCH:
        h[
            c + COUNTERS + (Counter.REFERENCES_USER if mode == USER else Counter.REFERENCES_KERNEL)
        ] += 1
    if mode == IDEAL:
        h[c + COUNTERS + Counter.REFERENCES_IDEAL] += 1
        return 0
    cycles = access(h, c, kind, line) >> SERVED_BITS
    if kind != FETCH and (address & IN_LINE) + size > LINE_BYTES:
        h[c + COUNTERS + Counter.L1D_SPLITS] += 1
        cycles += access(h, c, kind, line + 1) >> SERVED_BITS
    h[c + COUNTERS + (Counter.CYCLES_USER if mode == USER else Counter.CYCLES_KERNEL)] += cycles
    return cycles


@inner_kernel
def consume(h, core, ring, first, last):
    """Serve the records first..last (numbers since the start) of a core's ring; cycles charged.

    h: (N,) i64 words of the hierarchy.  ring: (RING_RECORDS,) u64; record i at i % RING_RECORDS.
    """
    c = h[header.CORE_BLOCKS] + core * CORE_BLOCK
    lines = h[header.LINES]
    cycles = 0
    counts = 0
    kernel_counts = 0
    l2, l2_mask = h[c + CoreWord.L2], h[c + CoreWord.L2 + SET_MASK]
    at = h[c + CoreWord.DOMAIN] + DomainWord.L3
    l3, l3_mask = h[at], h[at + SET_MASK]
    misses = 0
    for begin in range(first, last, LOOK):
        ahead = misses > LOOK_MISSES
        misses = 0
        nears, kernel_nears = 0, 0
        for number in range(begin, min(begin + LOOK, last)):
            if ahead:
                coming = ring[(number + AHEAD) & RING_MASK] & RECORD_ADDRESS
                coming_line = np.int64(coming) >> LINE_SHIFT
                prefetch(h, l2 + (coming_line & l2_mask) * LANES)
                prefetch(h, l3 + (coming_line & l3_mask) * LANES)
            record = ring[number & RING_MASK]
            address = np.int64(record & RECORD_ADDRESS)
            line = address >> LINE_SHIFT
            what = np.int64(record >> RECORD_MODE_SHIFT)
            kind, mode = what >> MODE_BITS, what & MODES
            size = np.int64((record >> RECORD_SIZE_SHIFT) & RECORD_SIZE) + 1
            if PLAIN >> what & 1 and (address & IN_LINE) + size <= LINE_BYTES and line < lines:
                hit = c + CoreWord.HITS + kind * HitWord.WORDS
                row = h[hit] + (line & h[hit + HitWord.SET_MASK]) * h[hit + HitWord.PITCH]
                key = line >> h[hit + HitWord.TAG_SHIFT] << FLAG_BITS
                mask = match_near(h, row, key, h[hit + HitWord.LOW], h[hit + HitWord.SPAN])
                if mask:
                    lane = first_lane(mask)
                    push_near(h, row, lane, get_word(h, row + lane))
                    counts += h[hit + HitWord.COUNT]
                    kernel_counts += h[hit + HitWord.COUNT] & -mode
                    continue
                if kind != FETCH:
                    served = second_level_near(h, c, kind, line)
                    misses += 1
                    if served != NOT_SERVED:
                        near = one(served, kind != LOAD)
                        nears += near
                        kernel_nears += near & -mode
                        if served == MEMORY:
                            cycles += h[header.COST]
                            h[c + COUNTERS + Counter.CYCLES_USER + mode] += h[header.COST]
                        continue
            cycles += slow_record(h, c, kind, mode, size, address)
        if nears:
            cycles += book_near(h, c, nears - kernel_nears, kernel_nears)
    return (
        cycles
        + book_hits(h, c, counts - kernel_counts, USER)
        + book_hits(h, c, kernel_counts, KERNEL)
    )


@inner_kernel
def book_hits(h, c, counts, mode):
    """Book what the loop in `consume` served for user or kernel: see HitWord.COUNT; cycles."""
    fetches, stores = counts >> FETCHES_SHIFT, counts >> STORES_SHIFT & FIELD_MASK
    data = (counts & FIELD_MASK) - fetches
    cycles = data * h[c + CoreWord.PRICE_L1] + fetches * h[c + CoreWord.PRICE_FETCH_HIT]
    at = c + COUNTERS
    h[at + (Counter.REFERENCES_USER if mode == USER else Counter.REFERENCES_KERNEL)] += data
    h[at + (Counter.CYCLES_USER if mode == USER else Counter.CYCLES_KERNEL)] += cycles
    h[at + Counter.L1D_LOADS] += data - stores
    h[at + Counter.L1D_STORES] += stores
    h[at + Counter.L1D_LOAD_HITS] += data - stores
    h[at + Counter.L1D_STORE_HITS] += stores
    h[at + Counter.FETCHES] += fetches
    h[at + Counter.L1I_LINE_HITS] += fetches
    return cycles


@inner_kernel
def run_trace(h, cores, kinds, lines, results, first, last):
    """Serve the accesses first..last of a trace in order.

    cores, kinds: u8, lines: i64, one an access; results: i64, written, see access.
    """
    for index in range(first, last):
        c = h[header.CORE_BLOCKS] + np.int64(cores[index]) * CORE_BLOCK
        results[index] = access(h, c, np.int64(kinds[index]), lines[index])


# --- entries: the same with host addresses of the arrays -----------------------------------------


@kernel
def consume_at(words, core, ring, first, last):
    """`consume`, with the host addresses (u64) of the hierarchy's words and of the ring."""
    return consume(words_at(words), core, records_at(ring), first, last)


@kernel
def run_trace_at(words, cores, kinds, lines, results, first, last):
    """`run_trace`, with the host addresses (u64) of the arrays."""
    run_trace(
        words_at(words),
        bytes_at(cores),
        bytes_at(kinds),
        words_at(lines),
        words_at(results),
        first,
        last,
    )
