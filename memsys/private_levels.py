"""L1I, L1D and L2 of a core: hits, victims, fills; what they lack is for memsys.third_level.

The steps one by one, for every machine: memsys.reference is the definition, memsys.near has the
commonest of them in one pass.  See memsys.domains for arguments.
"""

import numpy as np

from cosim.compiled import inner_kernel
from cosim.engine.stream import Kind
from memsys import header
from memsys.coherence import Served
from memsys.copies import (
    COUNTERS,
    EVICT,
    FLAGS_MASK,
    NO,
    YES,
    E,
    I,
    M,
    S,
    carries_data,
    change,
    drop_first_level,
    state_in,
    touch_if_there,
)
from memsys.domains import ask_domains, copy_left, write_back
from memsys.rows import get_word, put_word
from memsys.sets import FLAG_BITS, find, first_way, insert, key_of, remove, take_victim
from memsys.state import IN_L1D, IN_L1I, STATE_MASK, CoreWord, DomainWord
from memsys.statistics import Counter
from memsys.third_level import third_level

LOAD, STORE = np.int64(Kind.LOAD), np.int64(Kind.STORE)
ATOMIC, FETCH = np.int64(Kind.ATOMIC_LOAD), np.int64(Kind.FETCH)
L1, L2 = np.int64(Served.L1), np.int64(Served.L2)
OUTSIDE = np.int64(Served.OUTSIDE)


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
