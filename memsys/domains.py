"""Compiled protocol around the private caches: domains, the snoop filter, memory.

Everything works on h, the words of memsys.state.  c, o: first word of a core's block (c: the core
whose access this is, which counts and pays; o: a core whose copies are touched).  d: first word of
a domain's block.  memsys.reference is the definition; costs, counters and the order of events
follow it exactly.  What happens to one core's copies is in memsys.copies.

Constants are np.int64 and np.bool_, because numba compiles a function once more for every plain
literal.
"""

import numpy as np

from cosim.compiled import inner_kernel
from memsys import header
from memsys.coherence import Event
from memsys.copies import (
    COUNTERS,
    NO,
    REMOTE_LOAD,
    YES,
    E,
    I,
    S,
    carries_data,
    core_state,
    downgrade,
    invalidate,
    invalidate_sharer,
    recall,
    step,
)
from memsys.entries import OWNED, get_entry, put_entry
from memsys.rows import get_word, put_word
from memsys.sets import FLAG_BITS, WAYS, find, remove
from memsys.state import CORE_BLOCK, DOMAIN_BLOCK, PLACE_SHIFT, STATE_MASK, CoreWord, DomainWord
from memsys.statistics import Counter

LOAD_ALONE, LOAD_SHARED = np.int64(Event.LOAD_ALONE), np.int64(Event.LOAD_SHARED)
BACK_INVALIDATE = np.int64(Event.BACK_INVALIDATE)


@inner_kernel
def is_local(h, c, line):
    """True when the line's home is local to the core's node."""
    return h[h[header.PLACES] + (line >> PLACE_SHIFT)] >> h[c + CoreWord.NODE] & 1 == 1


@inner_kernel
def write_back(h, c, line):
    """New data goes to the line's home; c pays."""
    if is_local(h, c, line):
        h[c + COUNTERS + Counter.WRITE_BACKS_LOCAL] += 1
        h[header.COST] += h[c + CoreWord.PRICE_MEMORY]
    else:
        h[c + COUNTERS + Counter.WRITE_BACKS_REMOTE] += 1
        h[header.COST] += h[c + CoreWord.PRICE_REMOTE]


# --- who holds a line ----------------------------------------------------------------------------


@inner_kernel
def listed(h, d, line):
    """Entry of a domain's directory; a core alone is looked at directly."""
    if h[d + DomainWord.DIRECTORY]:
        return get_entry(h, d + DomainWord.DIRECTORY, line)
    state = core_state(h, h[d + DomainWord.FIRST_CORE], line)
    if state == I:
        return I
    return S if state == S else OWNED | 1


@inner_kernel
def list_only(h, d, line, entry):
    """Replace the entry of a domain's directory, if it has one."""
    if h[d + DomainWord.DIRECTORY]:
        put_entry(h, d + DomainWord.DIRECTORY, line, entry)


@inner_kernel
def owner_of(h, d, entry):
    """Block of the only core in an owned entry."""
    o = h[d + DomainWord.FIRST_CORE]
    member = entry & ~OWNED
    while member > 1:
        member >>= 1
        o += CORE_BLOCK
    return o


@inner_kernel
def domain_holds(h, d, line):
    """True when any cache of the domain has the line."""
    if find(h, d + DomainWord.L3, line) >= 0:
        return True
    o = h[d + DomainWord.FIRST_CORE]
    for _ in range(h[d + DomainWord.CORES]):
        if core_state(h, o, line) != I:
            return True
        o += CORE_BLOCK
    return False


@inner_kernel
def filter_slot(h, line):
    """Where the snoop filter keeps the line's entry, -1 for nowhere.  LRU stays."""
    if h[header.FILTER_SETS] == 0:
        return line
    first = (line & (h[header.FILTER_SETS] - 1)) * h[header.FILTER_WAYS]
    for way in range(first, first + h[header.FILTER_WAYS]):
        if h[h[header.FILTER_LINES] + way] == line << FLAG_BITS | 1:
            return way
    return -1


@inner_kernel
def filter_get(h, slot):
    """The entry in a slot."""
    if h[header.FILTER_SETS] == 0:
        return get_entry(h, header.FILTER, slot)
    return h[h[header.FILTER_ENTRIES] + slot]


@inner_kernel
def filter_put(h, slot, entry):
    """Replace the entry in a slot; one that lists nobody is closed."""
    if h[header.FILTER_SETS] == 0:
        put_entry(h, header.FILTER, slot, entry)
        return
    lines, entries = h[header.FILTER_LINES], h[header.FILTER_ENTRIES]
    if entry & ~OWNED:
        h[entries + slot] = entry
        return
    last = slot - slot % h[header.FILTER_WAYS] + h[header.FILTER_WAYS] - 1
    for way in range(slot, last):
        h[lines + way] = h[lines + way + 1]
        h[entries + way] = h[entries + way + 1]
    h[lines + last] = 0
    h[entries + last] = 0


@inner_kernel
def filter_open(h, c, line):
    """Slot of the line's entry, made most recently used; a full set gives up its oldest one."""
    slot = filter_slot(h, line)
    if h[header.FILTER_SETS] == 0:
        return slot
    lines, entries = h[header.FILTER_LINES], h[header.FILTER_ENTRIES]
    first = (line & (h[header.FILTER_SETS] - 1)) * h[header.FILTER_WAYS]
    entry = I
    if slot >= 0:
        entry = h[entries + slot]
    else:
        slot = first + h[header.FILTER_WAYS] - 1
        victim, holders = h[lines + slot], h[entries + slot]
        h[lines + slot] = 0
        h[entries + slot] = 0
        if victim:
            back_invalidate(h, c, victim >> FLAG_BITS, holders)
    for back in range(slot - first):
        way = slot - back
        h[lines + way] = h[lines + way - 1]
        h[entries + way] = h[entries + way - 1]
    h[lines + first] = line << FLAG_BITS | 1
    h[entries + first] = entry
    return first


# --- the last copy leaves ------------------------------------------------------------------------


@inner_kernel
def domain_left(h, d, line):
    """The domain holds the line no more: tell the snoop filter (sharers may be silent)."""
    slot = -1
    entry = I
    member = h[d + DomainWord.MEMBER]
    if h[header.HAS_FILTER]:
        slot = filter_slot(h, line)
        if slot >= 0:
            entry = filter_get(h, slot)
    if entry != OWNED | member and h[header.SILENT_SHARED]:
        return
    list_only(h, d, line, I)
    if entry & member:
        entry &= ~member
        filter_put(h, slot, entry if entry != OWNED else I)


@inner_kernel
def core_left(h, c, line, state, was_owned):
    """The core gave up a copy, `state` is what its others give: tell the domain's directory."""
    d = h[c + CoreWord.DOMAIN]
    if h[d + DomainWord.DIRECTORY] == 0:
        return
    member = h[c + CoreWord.MEMBER]
    entry = get_entry(h, d + DomainWord.DIRECTORY, line)
    if entry == OWNED | member:
        entry = member
    if state == I and (was_owned or not h[header.SILENT_SHARED]):
        entry &= ~member
    put_entry(h, d + DomainWord.DIRECTORY, line, entry)


@inner_kernel
def copy_left(h, c, line, was_owned):
    """A private cache gave up a copy: what must the directories hear?"""
    d = h[c + CoreWord.DOMAIN]
    if h[header.INCLUSIVE]:
        # It was L2's, so the core has no other; an L3 still holds the line for the domain.
        core_left(h, c, line, I, was_owned)
        if h[d + DomainWord.L3 + WAYS] == 0:
            domain_left(h, d, line)
        return
    state = core_state(h, c, line)
    if state >= E:
        return
    core_left(h, c, line, state, was_owned)
    if state == I and not domain_holds(h, d, line):
        domain_left(h, d, line)


# --- between domains -----------------------------------------------------------------------------


@inner_kernel
def invalidate_domain(h, d, line, recalled):
    """Take every copy of the line in a domain; True when there was new data."""
    entry = listed(h, d, line)
    dirty = False
    o = h[d + DomainWord.FIRST_CORE]
    members = entry & ~OWNED
    while members:
        if members & 1:
            if recalled:
                dirty |= carries_data(recall(h, o, line), BACK_INVALIDATE)
            elif entry & OWNED:
                h[o + COUNTERS + Counter.L2_OWNERSHIP_LOST] += 1
                state = invalidate(h, o, line, Counter.L1D_LOST_REMOTE_S)
                dirty |= carries_data(state, BACK_INVALIDATE)
            else:
                invalidate_sharer(h, o, line)
        members >>= 1
        o += CORE_BLOCK
    list_only(h, d, line, I)
    index = find(h, d + DomainWord.L3, line)
    if index >= 0:
        dirty |= carries_data(get_word(h, index) & STATE_MASK, BACK_INVALIDATE)
        remove(h, d + DomainWord.L3, line, index)
    return dirty


@inner_kernel
def back_invalidate(h, c, line, entry):
    """BISnp to every holder of an evicted entry."""
    dirty = False
    d = h[header.DOMAIN_BLOCKS]
    members = entry & ~OWNED
    while members:
        if members & 1:
            h[c + COUNTERS + Counter.BACK_INVALIDATE_SENT] += 1
            h[h[d + DomainWord.FIRST_CORE] + COUNTERS + Counter.BACK_INVALIDATE_RECEIVED] += 1
            dirty |= invalidate_domain(h, d, line, YES)
        members >>= 1
        d += DOMAIN_BLOCK
    h[c + COUNTERS + Counter.BACK_INVALIDATE_WAITS] += 1
    h[header.COST] += h[c + CoreWord.PRICE_BACK_INVALIDATE]
    if dirty:
        write_back(h, c, line)


@inner_kernel
def snoop_invalidate(h, c, line, members):
    """SnpInv to these domains, all at once."""
    dirty = False
    d = h[header.DOMAIN_BLOCKS]
    while members:
        if members & 1:
            h[c + COUNTERS + Counter.SNOOP_INVALIDATE_SENT] += 1
            h[h[d + DomainWord.FIRST_CORE] + COUNTERS + Counter.SNOOP_INVALIDATE_RECEIVED] += 1
            dirty |= invalidate_domain(h, d, line, NO)
        members >>= 1
        d += DOMAIN_BLOCK
    h[c + COUNTERS + Counter.SNOOP_INVALIDATE_WAITS] += 1
    h[header.COST] += h[c + CoreWord.PRICE_SNOOP_INVALIDATE]
    if dirty:
        write_back(h, c, line)


@inner_kernel
def snoop_data(h, c, line, member):
    """SnpData to the one domain that owns the line."""
    d = h[header.DOMAIN_BLOCKS]
    while member > 1:
        member >>= 1
        d += DOMAIN_BLOCK
    h[c + COUNTERS + Counter.SNOOP_DATA_SENT] += 1
    h[h[d + DomainWord.FIRST_CORE] + COUNTERS + Counter.SNOOP_DATA_RECEIVED] += 1
    h[c + COUNTERS + Counter.SNOOP_DATA_WAITS] += 1
    h[header.COST] += h[c + CoreWord.PRICE_SNOOP_DATA]
    entry = listed(h, d, line)
    dirty = False
    if entry & OWNED:
        dirty = downgrade(h, owner_of(h, d, entry), line)
        list_only(h, d, line, entry & ~OWNED)
    index = find(h, d + DomainWord.L3, line)
    if index >= 0:
        state = get_word(h, index) & STATE_MASK
        dirty |= carries_data(state, REMOTE_LOAD)
        put_word(h, index, get_word(h, index) & ~STATE_MASK | step(h, state, REMOTE_LOAD))
    if dirty:
        write_back(h, c, line)


@inner_kernel
def ask_domains(h, c, line, store):
    """Get the line, or the right to store, from other domains; True when no other keeps it."""
    if not h[header.HAS_FILTER]:
        return True
    member = h[h[c + CoreWord.DOMAIN] + DomainWord.MEMBER]
    slot = filter_open(h, c, line)
    entry = filter_get(h, slot)
    if entry == OWNED | member:
        return True
    others = entry & ~OWNED & ~member
    if store:
        filter_put(h, slot, OWNED | member)
        if others:
            snoop_invalidate(h, c, line, others)
        return True
    if entry & OWNED:
        snoop_data(h, c, line, others)
    elif others == 0 and (entry == 0 or not h[header.SILENT_SHARED]):
        filter_put(h, slot, OWNED | member)
        return True
    filter_put(h, slot, others | member)
    return False


@inner_kernel
def domain_owns(h, d, line):
    """True when no other domain can have the line."""
    if not h[header.HAS_FILTER]:
        return True
    slot = filter_slot(h, line)
    return slot >= 0 and filter_get(h, slot) == OWNED | h[d + DomainWord.MEMBER]
