"""A load or store that L1D and L2 lack, in one pass: the L3 of a core alone has it, or memory does.

The same steps as memsys.kernels and memsys.third_level take for it one by one (make_room_l1d,
make_room_l2, from_domain, make_room, fill_first), with every set looked at once.  It serves only
what needs nothing else: see memsys.near, and besides an L3 of one row without a directory, a snoop
filter without a limit, no permission to ask for, no victim that L1I or (of the L3) L2 still has.
What it does not serve it leaves as it was.
"""

import numpy as np

from cosim.compiled import inner_kernel
from cosim.engine.stream import Kind
from memsys import header
from memsys.coherence import State
from memsys.domains import COUNTERS, ask_domains, domain_left, write_back
from memsys.rows import get_word, push_row, put_word
from memsys.sets import WAYS, find, first_way, key_of, line_of
from memsys.state import IN_L1D, IN_L1I, STATE_MASK, CoreWord, DomainWord
from memsys.statistics import Counter
from memsys.third_level import memory_access

LOAD = np.int64(Kind.LOAD)
I, S, E, M = (np.int64(state) for state in State)  # noqa: E741
NOT_SERVED = np.int64(-1)


@inner_kernel
def leave_for_l2(h, place, state):
    """A line that L1D had in `state`, E or M, is in the own L2 alone, at `place`."""
    # M has both bits of the state set, so it can be put over E.
    put_word(h, place, (get_word(h, place) | (M if state == M else I)) & ~IN_L1D)


@inner_kernel
def third_level_near(h, c, kind, line):
    """Serve a load or store of one line that is in neither L1D nor L2; cycles, or NOT_SERVED."""
    d = h[c + CoreWord.DOMAIN]
    l3 = d + DomainWord.L3
    below, outer = first_way(h, c + CoreWord.L2, line), first_way(h, l3, line)
    store = kind != LOAD
    found = find(h, l3, line)
    state = I
    lane = h[l3 + WAYS] - 1
    if found >= 0:
        lane = found - outer
        state = get_word(h, outer + lane) & STATE_MASK
        if store and state == S:
            return NOT_SERVED
    else:
        oldest = get_word(h, outer + lane)
        victim = line_of(h, l3, oldest, line)
        if oldest and find(h, c + CoreWord.L2, victim) >= 0:
            return NOT_SERVED
    if get_word(h, below + h[c + CoreWord.L2 + WAYS] - 1) & IN_L1I:
        return NOT_SERVED
    h[header.COST] = 0
    h[c + COUNTERS + (Counter.L1D_STORES if store else Counter.L1D_LOADS)] += 1
    h[c + COUNTERS + (Counter.L1D_STORE_ABSENT if store else Counter.L1D_LOAD_MISSES)] += 1
    h[c + COUNTERS + Counter.L2_ACCESSES] += 1
    h[c + COUNTERS + (Counter.L2_STORE_ABSENT if store else Counter.L2_LOAD_MISSES)] += 1
    h[c + COUNTERS + Counter.L3_ACCESSES] += 1
    free = make_room_inside(h, c, line)
    if state != I:
        h[c + COUNTERS + (Counter.L3_VALID_STORE if store else Counter.L3_VALID_LOAD)] += 1
        h[header.COST] += h[c + CoreWord.PRICE_L3]
        push_row(h, outer, lane, get_word(h, outer + lane))
    else:
        h[c + COUNTERS + (Counter.L3_ABSENT_STORE if store else Counter.L3_ABSENT_LOAD)] += 1
        state = fetch_line(h, c, store, line, outer, lane)
    given = S if state == S else E
    push_row(
        h, below, h[c + CoreWord.L2 + WAYS] - 1, key_of(h, c + CoreWord.L2, line) | given | IN_L1D
    )
    key = key_of(h, c + CoreWord.L1D, line)
    fill_inner(h, c, line, free, key | (M if store else given))
    return h[header.COST]


@inner_kernel
def fill_inner(h, c, line, free, word):
    """Put the line's word into L1D over the lane `free`; the oldest way, a victim, leaves too."""
    near = first_way(h, c + CoreWord.L1D, line)
    last = h[c + CoreWord.L1D + WAYS] - 1
    push_row(h, near, free, word)
    if free < last:
        put_word(h, near + last, 0)


@inner_kernel
def make_room_inside(h, c, line):
    """Let the victims of L1D and L2 go, as far as others are concerned; the lane of L1D that is
    free then.
    """
    l1d, l2 = c + CoreWord.L1D, c + CoreWord.L2
    near, below = first_way(h, l1d, line), first_way(h, l2, line)
    free = h[l1d + WAYS] - 1
    old = get_word(h, near + free)
    if old:
        state = old & STATE_MASK
        h[c + COUNTERS + Counter.L1D_EVICTIONS_S + state - S] += 1
        if state != S:
            # Inclusion: it is there.
            leave_for_l2(h, find(h, l2, line_of(h, l1d, old, line)), state)
    gone = get_word(h, below + h[l2 + WAYS] - 1)
    if gone:
        victim = line_of(h, l2, gone, line)
        state = gone & STATE_MASK
        if gone & IN_L1D:
            lane = find(h, l1d, victim) - near
            if lane >= 0 and lane != free:
                inner = get_word(h, near + lane) & STATE_MASK
                h[c + COUNTERS + Counter.L1D_LOST_OWN_S + inner - S] += 1
                state = M if inner == M else state
                free = lane
            else:
                h[c + COUNTERS + Counter.L1D_LOST_OWN_NONE] += 1
        h[c + COUNTERS + Counter.L2_EVICTIONS_SHARED + state - S] += 1
        if state == M:
            place = find(h, h[c + CoreWord.DOMAIN] + DomainWord.L3, victim)
            put_word(h, place, get_word(h, place) | M)
    return free


@inner_kernel
def fetch_line(h, c, store, line, outer, lane):
    """Memory supplies the line over the L3's oldest, in the lane `lane` of the set at `outer`; the
    state it gets there.
    """
    d = h[c + CoreWord.DOMAIN]
    oldest = get_word(h, outer + lane)
    if oldest:
        victim = line_of(h, d + DomainWord.L3, oldest, line)
        dirty = oldest & STATE_MASK == M
        h[c + COUNTERS + Counter.L3_EVICTED_VALID_CLEAN + dirty] += 1
        if dirty:
            write_back(h, c, victim)
        domain_left(h, d, victim)
    state = E if ask_domains(h, c, line, store) else S
    push_row(h, outer, lane, key_of(h, d + DomainWord.L3, line) | state)
    memory_access(h, c, line)
    return state
