"""Compiled third level: what an L3 does with a request, and how it makes room.  Arguments:
memsys.domains.
"""

import numpy as np

from cosim.compiled import inner_kernel
from memsys import header
from memsys.coherence import Served
from memsys.copies import (
    COUNTERS,
    EVICT,
    E,
    I,
    M,
    S,
    carries_data,
    change,
    downgrade,
    invalidate,
    invalidate_sharer,
    recall,
    step,
    touch_if_there,
)
from memsys.domains import (
    BACK_INVALIDATE,
    LOAD_ALONE,
    LOAD_SHARED,
    ask_domains,
    domain_holds,
    domain_left,
    domain_owns,
    is_local,
    listed,
    owner_of,
    write_back,
)
from memsys.entries import OWNED, get_entry, put_entry
from memsys.sets import FLAG_BITS, WAYS, find, insert, take_victim
from memsys.state import CORE_BLOCK, STATE_MASK, CoreWord, DomainWord
from memsys.statistics import Counter

ZERO = np.int64(0)
L3, UPGRADE, PEER = np.int64(Served.L3), np.int64(Served.UPGRADE), np.int64(Served.PEER)
LOCAL, REMOTE = np.int64(Served.MEMORY_LOCAL), np.int64(Served.MEMORY_REMOTE)
VALID, SHARED, OWNER = np.int64(0), np.int64(1), np.int64(2)  # who held an L3 victim below it


@inner_kernel
def recall_all(h, c, d, line):
    """An inclusive L3's victim leaves the cores below; holders * 2 + 1 if one had new data."""
    o = h[d + DomainWord.FIRST_CORE]
    if h[d + DomainWord.DIRECTORY] == 0:
        if find(h, o + CoreWord.L2, line) < 0:
            return VALID * 2
        state = recall(h, o, line)
        dirty = carries_data(state, BACK_INVALIDATE)
        h[c + COUNTERS + Counter.L3_RECALLS] += 1
        held = SHARED if state == S else OWNER
    else:
        entry = get_entry(h, d + DomainWord.DIRECTORY, line)
        dirty = False
        members = entry & ~OWNED
        while members:
            if members & 1:
                h[c + COUNTERS + Counter.L3_RECALLS] += 1
                dirty |= carries_data(recall(h, o, line), BACK_INVALIDATE)
            members >>= 1
            o += CORE_BLOCK
        held = OWNER if entry & OWNED else SHARED if entry else VALID
        put_entry(h, d + DomainWord.DIRECTORY, line, I)
    if held == OWNER:
        moved = Counter.L3_RECALLED_DIRTY if dirty else Counter.L3_RECALLED_CLEAN
        h[c + COUNTERS + moved] += 1
    return held * 2 + dirty


@inner_kernel
def make_room(h, c, line):
    """Evict the L3's oldest line when the set is full."""
    d = h[c + CoreWord.DOMAIN]
    word = take_victim(h, d + DomainWord.L3, line)
    if word == 0:
        return
    victim = word >> FLAG_BITS
    dirty = carries_data(word & STATE_MASK, EVICT)
    if h[header.INCLUSIVE]:
        answer = recall_all(h, c, d, victim)
        held, inner_dirty = answer >> 1, answer & 1 == 1
    else:
        entry = listed(h, d, victim)
        held, inner_dirty = OWNER if entry & OWNED else SHARED if entry else VALID, False
    h[c + COUNTERS + Counter.L3_EVICTED_VALID_CLEAN + held * 2 + dirty] += 1
    if dirty or inner_dirty:
        write_back(h, c, victim)
    if h[header.INCLUSIVE] or not domain_holds(h, d, victim):
        domain_left(h, d, victim)


@inner_kernel
def keep(h, c, line, state):
    """Data passing through the L3 stays there; only `nine` can lack the line here."""
    at = h[c + CoreWord.DOMAIN] + DomainWord.L3
    if find(h, at, line) < 0:
        make_room(h, c, line)
        insert(h, at, line, state)


@inner_kernel
def memory_access(h, c, line):
    """Memory supplies the line; Served."""
    if is_local(h, c, line):
        h[c + COUNTERS + Counter.MEMORY_LOCAL] += 1
        h[header.COST] += h[c + CoreWord.PRICE_MEMORY]
        return LOCAL
    h[c + COUNTERS + Counter.MEMORY_REMOTE] += 1
    h[header.COST] += h[c + CoreWord.PRICE_REMOTE]
    return REMOTE


@inner_kernel
def third_level(h, c, store, line, upgrade):
    """Ask beyond the private caches; Served << FLAG_BITS | state the core's L2 gets."""
    d = h[c + CoreWord.DOMAIN]
    if h[d + DomainWord.L3 + WAYS] == 0:
        exclusive = ask_domains(h, c, line, store)
        return memory_access(h, c, line) << FLAG_BITS | (E if exclusive else S)
    h[c + COUNTERS + Counter.L3_ACCESSES] += 1
    l3_state = touch_if_there(h, d + DomainWord.L3, line)
    if h[d + DomainWord.DIRECTORY] == 0:
        return from_domain(h, c, store, line, upgrade, ZERO, l3_state)
    entry = get_entry(h, d + DomainWord.DIRECTORY, line)
    if entry & OWNED:
        answer = from_owner(h, c, store, line, owner_of(h, d, entry))
    else:
        answer = from_domain(h, c, store, line, upgrade, entry, l3_state)
    member = h[c + CoreWord.MEMBER]
    if answer & STATE_MASK == S:
        now = get_entry(h, d + DomainWord.DIRECTORY, line)
        put_entry(h, d + DomainWord.DIRECTORY, line, now & ~OWNED | member)
    else:
        put_entry(h, d + DomainWord.DIRECTORY, line, OWNED | member)
    return answer


@inner_kernel
def from_owner(h, c, store, line, o):
    """Another core below this L3 has the line in E or M and supplies it."""
    h[c + COUNTERS + (Counter.L3_OWNED_STORE if store else Counter.L3_OWNED_LOAD)] += 1
    h[c + COUNTERS + Counter.L3_TRANSFERS] += 1
    h[c + COUNTERS + Counter.L3_TRANSFER_WAITS] += 1
    h[header.COST] += h[c + CoreWord.PRICE_L3] + h[c + CoreWord.PRICE_L3_TRANSFER]
    if store:
        h[o + COUNTERS + Counter.L2_OWNERSHIP_LOST] += 1
        state = invalidate(h, o, line, Counter.L1D_LOST_REMOTE_S)
        return PEER << FLAG_BITS | (M if carries_data(state, BACK_INVALIDATE) else E)
    dirty = downgrade(h, o, line)
    moved = Counter.L3_DOWNGRADED_DIRTY if dirty else Counter.L3_DOWNGRADED_CLEAN
    h[c + COUNTERS + moved] += 1
    keep(h, c, line, E)
    if dirty:
        change(h, h[c + CoreWord.DOMAIN] + DomainWord.L3, line, M)
    return PEER << FLAG_BITS | S


@inner_kernel
def count_request(h, c, store, upgrade, absent, entry):
    """Count a request that no owner answers, by what was found."""
    if upgrade:
        h[c + COUNTERS + Counter.L3_UPGRADES] += 1
    elif absent:
        h[c + COUNTERS + (Counter.L3_ABSENT_STORE if store else Counter.L3_ABSENT_LOAD)] += 1
    elif entry:
        h[c + COUNTERS + (Counter.L3_SHARED_STORE if store else Counter.L3_SHARED_LOAD)] += 1
    else:
        h[c + COUNTERS + (Counter.L3_VALID_STORE if store else Counter.L3_VALID_LOAD)] += 1


@inner_kernel
def any_has_data(h, d, line, members):
    """True when one of these cores has the line in L1D or L2."""
    o = h[d + DomainWord.FIRST_CORE]
    while members:
        if members & 1 and (
            find(h, o + CoreWord.L1D, line) >= 0 or find(h, o + CoreWord.L2, line) >= 0
        ):
            return True
        members >>= 1
        o += CORE_BLOCK
    return False


@inner_kernel
def send_invalidations(h, c, line, members):
    """INV to these cores below the same L3."""
    o = h[h[c + CoreWord.DOMAIN] + DomainWord.FIRST_CORE]
    while members:
        if members & 1:
            h[c + COUNTERS + Counter.L3_INVALIDATIONS] += 1
            invalidate_sharer(h, o, line)
        members >>= 1
        o += CORE_BLOCK


@inner_kernel
def from_domain(h, c, store, line, upgrade, entry, l3_state):
    """No other core owns the line: the L3, a sharer below it, or memory supplies it."""
    d = h[c + CoreWord.DOMAIN]
    others = entry & ~h[c + CoreWord.MEMBER]
    supplied = l3_state == I and not upgrade and others != 0 and any_has_data(h, d, line, others)
    absent = l3_state == I and not upgrade and not supplied
    count_request(h, c, store, upgrade, absent, entry)
    if not absent:
        h[header.COST] += h[c + CoreWord.PRICE_L3]
    if supplied:
        h[c + COUNTERS + Counter.L3_TRANSFERS] += 1
    if supplied or (store and others != 0):
        h[c + COUNTERS + Counter.L3_TRANSFER_WAITS] += 1
        h[header.COST] += h[c + CoreWord.PRICE_L3_TRANSFER]
    if store:
        send_invalidations(h, c, line, others)
    if absent:
        make_room(h, c, line)
    if absent or store:
        exclusive = ask_domains(h, c, line, store)
    elif l3_state != I:
        exclusive = l3_state != S
    else:
        exclusive = domain_owns(h, d, line)
    if absent:
        insert(h, d + DomainWord.L3, line, E if exclusive else S)
    elif supplied and not store:
        keep(h, c, line, E if exclusive else S)
    elif store and l3_state == S:
        change(h, d + DomainWord.L3, line, E)
    alone = exclusive and (entry if h[header.SILENT_SHARED] else others) == 0
    state = E if store else step(h, I, LOAD_ALONE if alone else LOAD_SHARED)
    if absent:
        return memory_access(h, c, line) << FLAG_BITS | state
    return (UPGRADE if upgrade else PEER if supplied else L3) << FLAG_BITS | state
