"""Compiled protocol inside one core: its copies of a line, and how others take or weaken them.

o: first word of the block of a core whose copies are touched; see memsys.domains.
"""

import numpy as np

from cosim.compiled import inner_kernel
from memsys import header
from memsys.coherence import ACTIONS, NEXT, Action, Event, State
from memsys.rows import get_word, put_word
from memsys.sets import FLAGS_END, find, remove, touch
from memsys.state import IN_L1D, IN_L1I, STATE_MASK, CoreWord
from memsys.statistics import Counter

I, S, E, M = (np.int64(state) for state in State)  # noqa: E741
REMOTE_LOAD, EVICT = np.int64(Event.REMOTE_LOAD), np.int64(Event.EVICT)
WRITE_BACK = np.int64(Action.WRITE_BACK)
YES, NO = np.bool_(True), np.bool_(False)
FLAGS_MASK = FLAGS_END - 1
COUNTERS = int(CoreWord.COUNTERS)


@inner_kernel
def step(h, state, event):
    """The table's next state; a pair it calls impossible is remembered in the header (see laws)."""
    target = NEXT[state, event]
    if target < 0:
        h[header.BROKEN] = 1 + state * 16 + event
        return I
    return target


@inner_kernel
def carries_data(state, event):
    """True when the transition writes the copy's data back."""
    return state != I and ACTIONS[state, event] & WRITE_BACK != 0


@inner_kernel
def state_in(h, at, line):
    """State of a line in one cache."""
    index = find(h, at, line)
    return get_word(h, index) & STATE_MASK if index >= 0 else I


@inner_kernel
def change(h, at, line, state):
    """Set the state of a line if the cache has it; LRU stays."""
    index = find(h, at, line)
    if index >= 0:
        put_word(h, index, get_word(h, index) & ~STATE_MASK | state)


@inner_kernel
def touch_if_there(h, at, line):
    """State of the line in a cache, made most recently used; I when it is not there."""
    index = find(h, at, line)
    if index < 0:
        return I
    return touch(h, at, line, index) & STATE_MASK


# --- copies of one core --------------------------------------------------------------------------


@inner_kernel
def core_state(h, o, line):
    """The strongest right any private copy of a core gives; an L1I copy alone is S."""
    state = state_in(h, o + CoreWord.L2, line)
    if state == I and h[header.INCLUSIVE]:
        return I
    inner = state_in(h, o + CoreWord.L1D, line)
    if inner > state:
        state = inner
    if state == I and find(h, o + CoreWord.L1I, line) >= 0:
        return S
    return state


@inner_kernel
def drop_first_level(h, o, line, flags, lost, absent):
    """Take the line out of L1D and L1I; the state it had there (S for L1I alone).

    flags: of the line's L2 word.  lost, absent: the counters of a lost S copy, and of looking in
    vain.
    """
    state = I
    everywhere = not h[header.INCLUSIVE]
    if everywhere or flags & IN_L1D:
        index = find(h, o + CoreWord.L1D, line)
        if index >= 0:
            state = get_word(h, index) & STATE_MASK
            remove(h, o + CoreWord.L1D, line, index)
            h[o + COUNTERS + lost + state - S] += 1
        elif not everywhere:
            h[o + COUNTERS + absent] += 1
    if everywhere or flags & IN_L1I:
        index = find(h, o + CoreWord.L1I, line)
        if index >= 0:
            remove(h, o + CoreWord.L1I, line, index)
            h[o + COUNTERS + Counter.L1I_LOST] += 1
            if state == I:
                state = S
    return state


@inner_kernel
def invalidate(h, o, line, lost):
    """Take every private copy of a core; its strongest state.  lost: see drop_first_level."""
    at = o + CoreWord.L2
    index = find(h, at, line)
    flags = I
    if index >= 0:
        flags = get_word(h, index) & FLAGS_MASK
        remove(h, at, line, index)
    elif h[header.INCLUSIVE]:
        return I
    inner = drop_first_level(h, o, line, flags, lost, Counter.L1D_LOST_ELSE_NONE)
    outer = flags & STATE_MASK
    return inner if inner > outer else outer


@inner_kernel
def recall(h, o, line):
    """Back-invalidate one core; the strongest state it had."""
    state = invalidate(h, o, line, Counter.L1D_LOST_RECALL_S)
    h[o + COUNTERS + Counter.L2_RECALLS] += 1
    if state == I:
        h[o + COUNTERS + Counter.L2_RECALLS_NONE] += 1
    elif state != S:
        h[o + COUNTERS + Counter.L2_RECALLS_OWNER] += 1
    return state


@inner_kernel
def invalidate_sharer(h, o, line):
    """Another core's store takes a sharer's copies."""
    h[o + COUNTERS + Counter.L2_INVALIDATIONS] += 1
    if invalidate(h, o, line, Counter.L1D_LOST_REMOTE_S) == I:
        h[o + COUNTERS + Counter.L2_INVALIDATIONS_NONE] += 1


@inner_kernel
def downgrade(h, o, line):
    """The owner becomes a sharer; True when it had new data."""
    h[o + COUNTERS + Counter.L2_DOWNGRADES] += 1
    dirty = False
    dropped = False
    at = o + CoreWord.L1D
    index = find(h, at, line)
    if index >= 0:
        state = get_word(h, index) & STATE_MASK
        dirty = carries_data(state, REMOTE_LOAD)
        if h[header.DROPS_OWNER_L1]:
            remove(h, at, line, index)
            h[o + COUNTERS + Counter.L1D_LOST_REMOTE_S + state - S] += 1
            dropped = True
        else:
            put_word(h, index, get_word(h, index) & ~STATE_MASK | step(h, state, REMOTE_LOAD))
    index = find(h, o + CoreWord.L2, line)
    if index >= 0:
        word = get_word(h, index)
        state = word & STATE_MASK
        dirty = dirty or carries_data(state, REMOTE_LOAD)
        word = word & ~STATE_MASK | step(h, state, REMOTE_LOAD)
        put_word(h, index, word & ~IN_L1D if dropped else word)
    return dirty
