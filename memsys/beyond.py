"""A load or store that L1D and L2 lack, in one pass: the L3 of a core alone has it, or memory does.

The same steps as memsys.private_levels and memsys.third_level take for it one by one
(make_room_l1d, make_room_l2, from_domain, make_room, fill_first), with every set looked at once.
It serves only what needs nothing else: see memsys.near, and besides an L3 of one row without a
directory, a snoop filter without a limit, no permission to ask for, no victim that L1I or (of the
L3) L2 still has.  What it does not serve it leaves as it was.
"""

import numpy as np

from cosim.compiled import inline_kernel, inner_kernel
from cosim.engine.stream import Kind
from memsys import header
from memsys.coherence import Served, State
from memsys.copies import COUNTERS
from memsys.domains import ask_domains, domain_left, write_back
from memsys.rows import (
    LANES,
    NEAR_LANES,
    first_lane,
    get_word,
    push_near,
    push_row,
    push_whole,
    put_word,
    set_word,
)
from memsys.sets import WAYS, find, key_of, line_of, match_line, row_of
from memsys.state import IN_L1D, IN_L1I, STATE_MASK, CoreWord, DomainWord
from memsys.statistics import Counter
from memsys.third_level import memory_access

LOAD = np.int64(Kind.LOAD)
I, S, E, M = (np.int64(state) for state in State)  # noqa: E741
L3 = np.int64(Served.L3)
MEMORY = np.int64(3)  # local or remote
NOT_SERVED = np.int64(-1)


@inner_kernel
def leave_l1d(h, c, line, old):
    """L1D's oldest word `old` of the set of `line` goes; False, and nothing done, when L2 lacks a
    line that it should have.
    """
    if not old:
        return True
    state = old & STATE_MASK
    if state != S:
        victim = line_of(h, c + CoreWord.L1D, old, line)
        below = row_of(h, c + CoreWord.L2, victim)
        mask = match_line(h, below, key_of(h, c + CoreWord.L2, victim))
        if not mask:
            return False
        place = below + first_lane(mask)
        # M has both bits of the state set, so it can be put over E.
        set_word(h, place, (get_word(h, place) | (M if state == M else I)) & ~IN_L1D)
    h[c + COUNTERS + Counter.L1D_EVICTIONS_S + state - S] += 1
    return True


@inner_kernel
def push_first(h, near, lane, word):
    """push_row on L1D, half of it if that is all that changes."""
    if lane < NEAR_LANES:
        push_near(h, near, lane, word)
    else:
        push_row(h, near, lane, word)


@inline_kernel
def third_level_near(h, c, kind, line, near, below):
    """Serve a load or store of one line that is in neither L1D nor L2; see second_level_near.

    near, below: the line's rows in L1D and L2.
    """
    d = h[c + CoreWord.DOMAIN]
    outer = row_of(h, d + DomainWord.L3, line)
    mask = match_line(h, outer, key_of(h, d + DomainWord.L3, line))
    last = h[c + CoreWord.L2 + WAYS] - 1
    store = kind != LOAD
    state = I
    lane = h[d + DomainWord.L3 + WAYS] - 1
    if mask:
        lane = first_lane(mask)
        state = get_word(h, outer + lane) & STATE_MASK
        if store and state == S:
            return NOT_SERVED
    else:
        oldest = get_word(h, outer + lane)
        victim = line_of(h, d + DomainWord.L3, oldest, line)
        if oldest and find(h, c + CoreWord.L2, victim) >= 0:
            return NOT_SERVED
    if get_word(h, below + last) & IN_L1I:
        return NOT_SERVED
    free = make_room_inside(h, c, line, near, below)
    served = L3
    if state != I:
        push_row(h, outer, lane, get_word(h, outer + lane))
    else:
        served = MEMORY
        h[header.COST] = 0
        state = fetch_line(h, c, store, line, outer, lane)
    given = S if state == S else E
    word = key_of(h, c + CoreWord.L2, line) | given | IN_L1D
    if last == LANES - 1:
        push_whole(h, below, word)
    else:
        push_row(h, below, last, word)
    word = key_of(h, c + CoreWord.L1D, line) | (M if store else given)
    push_first(h, near, free, word)
    oldest_way = h[c + CoreWord.L1D + WAYS] - 1
    if free < oldest_way:
        put_word(h, near + oldest_way, 0)
    return served


@inline_kernel
def make_room_inside(h, c, line, near, below):
    """Let the victims of L1D and L2 go, as far as others are concerned; the lane of L1D that is
    free then.
    """
    free = h[c + CoreWord.L1D + WAYS] - 1
    leave_l1d(h, c, line, get_word(h, near + free))  # inclusion: it is there
    gone = get_word(h, below + h[c + CoreWord.L2 + WAYS] - 1)
    if gone:
        victim = line_of(h, c + CoreWord.L2, gone, line)
        state = gone & STATE_MASK
        if gone & IN_L1D:
            mask = match_line(h, near, key_of(h, c + CoreWord.L1D, victim))
            lane = first_lane(mask) if mask else free
            if lane != free:
                inner = get_word(h, near + lane) & STATE_MASK
                h[c + COUNTERS + Counter.L1D_LOST_OWN_S + inner - S] += 1
                state = M if inner == M else state
                free = lane
            else:
                h[c + COUNTERS + Counter.L1D_LOST_OWN_NONE] += 1
        h[c + COUNTERS + Counter.L2_EVICTIONS_SHARED + state - S] += 1
        if state == M:
            at = h[c + CoreWord.DOMAIN] + DomainWord.L3
            outer = row_of(h, at, victim)
            place = outer + first_lane(match_line(h, outer, key_of(h, at, victim)))  # inclusion
            set_word(h, place, get_word(h, place) | M)
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
