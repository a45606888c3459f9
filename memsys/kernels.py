"""The compiled memory system: one access, and a ring full of records.

Levels and directories follow memsys.reference, which is the definition; see memsys.state for the
arrays and memsys.domains for arguments.  What is fast here: a hit in the first eight ways of L1D or
L1I is served inside the record loop, without a branch on where in the set it is, and the counters
of such hits stay in registers until the loop ends.
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
from memsys.coherence import Served
from memsys.domains import (
    COUNTERS,
    EVICT,
    FLAGS_MASK,
    NO,
    YES,
    E,
    I,
    M,
    S,
    ask_domains,
    carries_data,
    change,
    copy_left,
    drop_first_level,
    is_local,
    state_in,
    touch_if_there,
    write_back,
)
from memsys.near import COUNTS, book_near, one, second_level_near
from memsys.pointers import bytes_at, records_at, words_at
from memsys.rows import LANES, first_lane, get_word, match_near, prefetch, push_near, put_word
from memsys.sets import (
    FLAG_BITS,
    SET_MASK,
    find,
    first_way,
    insert,
    key_of,
    remove,
    take_victim,
)
from memsys.state import (
    CORE_BLOCK,
    DEVICE_PAGE,
    IN_L1D,
    IN_L1I,
    PAGE_OF_LINE_SHIFT,
    STATE_MASK,
    CoreWord,
    DomainWord,
    HitWord,
)
from memsys.statistics import Counter
from memsys.third_level import third_level

LOAD, STORE = np.int64(Kind.LOAD), np.int64(Kind.STORE)
ATOMIC, FETCH = np.int64(Kind.ATOMIC_LOAD), np.int64(Kind.FETCH)
LOAD_REST = np.int64(
    Kind.LOAD_REST
)  # the rest of a load, then that of a store: minus this, the kind it belongs to
USER, KERNEL = np.int64(Mode.USER), np.int64(Mode.KERNEL)
IDEAL = np.int64(Mode.KERNEL_IDEAL)
UNCACHED = np.int64(Mode.UNCACHED)
HITS = np.int64(Kind.HITS)
SERVED_BITS = 3
L1, L2 = np.int64(Served.L1), np.int64(Served.L2)
OUTSIDE = np.int64(Served.OUTSIDE)

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


# --- first level ---------------------------------------------------------------------------------


@inner_kernel
def own_line(h, c, line):
    """L1D has the line in M from now on, and the core's L1I not at all."""
    at = c + CoreWord.L1D
    index = find(h, at, line)
    if index < 0:
        insert(h, at, line, M)
    else:
        put_word(h, index, get_word(h, index) & ~STATE_MASK | M)
    index = find(h, c + CoreWord.L1I, line)
    if index >= 0:
        remove(h, c + CoreWord.L1I, line, index)
        h[c + COUNTERS + Counter.L1I_LOST] += 1


@inner_kernel
def mark(h, c, line, flag):
    """Note in L2's word that an L1 gets the line, which is now the first of its set."""
    first = first_way(h, c + CoreWord.L2, line)
    word = get_word(h, first)
    if word & ~FLAGS_MASK == key_of(h, c + CoreWord.L2, line) and word:
        put_word(h, first, word | flag)


@inner_kernel
def fill_first(h, c, kind, line, state):
    """Bring the line into L1I or L1D; room was made."""
    if kind == FETCH:
        mark(h, c, line, IN_L1I)
        insert(h, c + CoreWord.L1I, line, S)
        return
    mark(h, c, line, IN_L1D)
    if kind == LOAD:
        insert(h, c + CoreWord.L1D, line, S if state == S else E)
    else:
        own_line(h, c, line)


@inner_kernel
def write_behind_l2(h, c, line):
    """New data of a victim that L2 does not have goes to L3 or, past it, to memory."""
    index = find(h, h[c + CoreWord.DOMAIN] + DomainWord.L3, line)
    if index < 0:
        write_back(h, c, line)
    else:
        put_word(h, index, get_word(h, index) & ~STATE_MASK | M)


@inner_kernel
def make_room_l1d(h, c, line):
    """Evict L1D's oldest line when the set is full."""
    word = take_victim(h, c + CoreWord.L1D, line)
    if word == 0:
        return
    victim, state = word >> FLAG_BITS, word & STATE_MASK
    h[c + COUNTERS + Counter.L1D_EVICTIONS_S + state - S] += 1
    if state != S:
        index = find(h, c + CoreWord.L2, victim)
        dirty = carries_data(state, EVICT)
        if index >= 0:
            below = get_word(h, index)
            put_word(h, index, (below & ~STATE_MASK | M if dirty else below) & ~IN_L1D)
        elif dirty:
            write_behind_l2(h, c, victim)
    if not h[header.INCLUSIVE]:
        copy_left(h, c, victim, state != S)


@inner_kernel
def make_room_l1i(h, c, line):
    """Evict L1I's oldest line when the set is full."""
    word = take_victim(h, c + CoreWord.L1I, line)
    if word == 0:
        return
    h[c + COUNTERS + Counter.L1I_EVICTIONS] += 1
    if not h[header.INCLUSIVE]:
        copy_left(h, c, word >> FLAG_BITS, NO)


@inner_kernel
def data_access(h, c, kind, line):
    """A load or store of one line; Served."""
    store = kind != LOAD
    h[c + COUNTERS + (Counter.L1D_STORES if store else Counter.L1D_LOADS)] += 1
    at = c + CoreWord.L1D
    if line >= h[header.LINES]:
        h[c + COUNTERS + (Counter.L1D_STORE_HITS if store else Counter.L1D_LOAD_HITS)] += 1
        h[c + COUNTERS + Counter.REFERENCES_OUTSIDE] += 1
        return OUTSIDE
    state = touch_if_there(h, at, line)
    if state != I and not (store and state == S and asks_l3(h, c)):
        h[c + COUNTERS + (Counter.L1D_STORE_HITS if store else Counter.L1D_LOAD_HITS)] += 1
        h[header.COST] += h[c + CoreWord.PRICE_L1]
        if store and state == S:
            upgrade_alone(h, c, line)
        if store and state != M:
            if state == E:
                h[c + COUNTERS + Counter.L1D_SILENT_UPGRADES] += 1
            own_line(h, c, line)
        return L1
    if not store:
        h[c + COUNTERS + Counter.L1D_LOAD_MISSES] += 1
    else:
        h[
            c + COUNTERS + (Counter.L1D_STORE_ABSENT if state == I else Counter.L1D_STORE_SHARED)
        ] += 1
    if state == I:
        make_room_l1d(h, c, line)
    return second_level(h, c, kind, line)


@inner_kernel
def fetch_access(h, c, line):
    """An instruction fetch of one line; Served."""
    h[c + COUNTERS + Counter.FETCHES] += 1
    if line >= h[header.LINES]:
        h[c + COUNTERS + Counter.L1I_LINE_HITS] += 1
        h[c + COUNTERS + Counter.REFERENCES_OUTSIDE] += 1
        return OUTSIDE
    if touch_if_there(h, c + CoreWord.L1I, line) != I:
        h[c + COUNTERS + Counter.L1I_LINE_HITS] += 1
        h[header.COST] += h[c + CoreWord.PRICE_FETCH_HIT]
        return L1
    h[c + COUNTERS + Counter.L1I_MISSES] += 1
    make_room_l1i(h, c, line)
    state = state_in(h, c + CoreWord.L1D, line)
    if state != I and find(h, c + CoreWord.L2, line) < 0:
        make_room_l2(h, c, line)
        insert(h, c + CoreWord.L2, line, state)
    if state == M:
        change(h, c + CoreWord.L1D, line, E)
        change(h, c + CoreWord.L2, line, M)
    return second_level(h, c, FETCH, line)


# --- second level --------------------------------------------------------------------------------


@inner_kernel
def asks_l3(h, c):
    """True when a sharer's store has to ask the L3, because other cores are below it."""
    return h[h[c + CoreWord.DOMAIN] + DomainWord.DIRECTORY] != 0


@inner_kernel
def upgrade_alone(h, c, line):
    """A core alone in its domain stores to an S line: ask the other domains, then own it."""
    ask_domains(h, c, line, YES)
    change(h, c + CoreWord.L2, line, E)
    change(h, h[c + CoreWord.DOMAIN] + DomainWord.L3, line, E)


@inner_kernel
def make_room_l2(h, c, line):
    """Evict L2's oldest line when the set is full."""
    word = take_victim(h, c + CoreWord.L2, line)
    if word == 0:
        return
    victim, state = word >> FLAG_BITS, word & STATE_MASK
    if h[header.INCLUSIVE]:
        inner = drop_first_level(
            h, c, victim, word, Counter.L1D_LOST_OWN_S, Counter.L1D_LOST_OWN_NONE
        )
        if carries_data(inner, EVICT):
            state = M
    h[c + COUNTERS + Counter.L2_EVICTIONS_SHARED + state - S] += 1
    if carries_data(state, EVICT):
        write_behind_l2(h, c, victim)
    copy_left(h, c, victim, state != S)


@inner_kernel
def count_l2(h, c, kind, loads, stores, fetches):
    """Count by kind of access."""
    h[c + COUNTERS + (loads if kind == LOAD else fetches if kind == FETCH else stores)] += 1


@inner_kernel
def second_level(h, c, kind, line):
    """Ask L2 and what is behind it; Served."""
    store = kind in (STORE, ATOMIC)
    at = c + CoreWord.L2
    h[c + COUNTERS + Counter.L2_ACCESSES] += 1
    state = touch_if_there(h, at, line)
    if state != I and not (store and state == S and asks_l3(h, c)):
        count_l2(h, c, kind, Counter.L2_LOAD_HITS, Counter.L2_STORE_HITS, Counter.L2_FETCH_HITS)
        h[header.COST] += h[c + CoreWord.PRICE_L2]
        if store and state == S:
            upgrade_alone(h, c, line)
        fill_first(h, c, kind, line, state)
        return L2
    absent = Counter.L2_STORE_ABSENT if state == I else Counter.L2_STORE_SHARED
    count_l2(h, c, kind, Counter.L2_LOAD_MISSES, absent, Counter.L2_FETCH_MISSES)
    upgrade = store and (
        state != I or (not h[header.INCLUSIVE] and find(h, c + CoreWord.L1D, line) >= 0)
    )
    if not upgrade:
        make_room_l2(h, c, line)
    answer = third_level(h, c, store, line, upgrade)
    state = answer & STATE_MASK
    if not upgrade:
        insert(h, at, line, state)
    else:
        change(h, at, line, E)
    fill_first(h, c, kind, line, state)
    return answer >> FLAG_BITS


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
