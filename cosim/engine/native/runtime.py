"""The compiled part between blocks: find the next one, run, account for what it did.

A stretch of blocks writes its records to a buffer of its own; between stretches they are copied to
the ring and priced or published, exactly as Unicorn's hooks do at instruction boundaries: in
between nobody can see a difference.
"""

from enum import IntEnum

import numpy as np
from numba import cfunc, types

from cosim.compiled import call_pointer4, kernel, load_word, store_byte, store_release, store_word
from cosim.engine.control import Control, Halt
from cosim.engine.hooks import (
    BLOCK,
    CORE,
    COUNT,
    CYCLE_LIMIT,
    CYCLES,
    FOREVER,
    HEADER,
    INLINE,
    INSTRUCTION_LIMIT,
    IPC_DENOMINATOR,
    IPC_NUMERATOR,
    KERNEL_COUNT,
    PORT,
    PORT_ARGUMENT,
    PRICED,
    PUBLISHED,
    RECORD_LIMIT,
    RING,
    STOP,
    WRITE,
    instructions_before,
    wait_for_room,
)
from cosim.engine.interface import Access
from cosim.engine.native.code_space import NO_BLOCK, BlockWord, table_slot
from cosim.engine.native.state import (
    CODE_PAGES_AT,
    JUMP_CACHE_AT,
    JUMP_CACHE_SLOTS,
    NO_PAGE,
    RECENT_AT,
    RECENT_CLASSES,
    TLB_AT,
    TLB_ENTRY_BYTES,
    TLB_SLOTS,
    Fill,
    LineKind,
    RecentWord,
    SiteKind,
    SiteWord,
    StateWord,
    TlbWord,
)
from cosim.engine.native.translator import RECORDS_PER_INSTRUCTION
from cosim.engine.stream import (
    FETCH_HIT,
    FIELD_MASK,
    KIND_SHIFT,
    RING_RECORDS,
    SIZE_SHIFT,
    Kind,
    Word,
)
from cosim.engine.walk import MAPPED, walk
from cosim.paging import Protection
from cosim.units import LINE_BYTES

STRETCH_INSTRUCTIONS = 2048  # between two looks at the limits: 2 us of guest, 20 ns of looking
BUFFER_RECORDS = STRETCH_INSTRUCTIONS * RECORDS_PER_INSTRUCTION
COPY_RECORDS = 1024  # less than RING_SLACK


class Outcome(IntEnum):
    """Why `run_blocks` came back."""

    LIMIT = 0  # too near a limit for a whole block
    MISSING = 1  # no block at this address
    UNCHECKED = 2  # its page must be compared first
    FALLBACK = 3  # the instruction at this address is Unicorn's
    SHUTDOWN = 4  # the machine is going down


class RunWord(IntEnum):
    """Words through which `run_blocks` and Python talk."""

    PC = 0  # where to go on
    PENDING = 1  # the exit that is to be linked with PC, or -1
    SPACE = 2  # number of the address space
    ENTER = 3  # host address of the piece that enters a block
    PACED = 4  # 1: on the way to a limit, by paced blocks
    SITE = 5  # of a FALLBACK
    WORST = 6  # cycles one record may cost at most
    BLOCKS_ENTERED = 7
    CHOOSE = 8  # 1: a run begins; look whether its limit is near
    WHOLE = 9  # after this count a run ends before a block that would pass its limit
    WORDS = 10


U, S64 = np.uint64, np.int64
ZERO, ONE, EIGHT, SIXTEEN = U(0), U(1), U(8), U(16)
PAGE_SHIFT, PAGE_MASK = U(12), U(0xFFFF_FFFF_FFFF_F000)
RING_MASK = U(RING_RECORDS - 1)
COPY = U(COPY_RECORDS)
HEAD_AT = U(Word.HEAD * 8)
STRETCH = U(STRETCH_INSTRUCTIONS)
RECORDS_EACH = U(RECORDS_PER_INSTRUCTION)
NEVER = U(0xFFFF_FFFF_FFFF_FFFF)
HALT_SHUTDOWN = U(Halt.SHUTDOWN)
WRITE_ACCESS = U(Access.WRITE)
READ_RIGHT, WRITE_RIGHT = U(Protection.READ), U(Protection.WRITE)
NOTHING = U(NO_PAGE)

S_RING, S_BUDGET, S_SITE = int(StateWord.RING), int(StateWord.BUDGET), int(StateWord.SITE)
S_LINE, S_PREVIOUS = int(StateWord.LINE), int(StateWord.PREVIOUS_LINE)
S_MARK, S_ARGUMENT = int(StateWord.MARK), int(StateWord.ARGUMENT)
S_BUFFER, S_GIVEN = int(StateWord.BUFFER), int(StateWord.GIVEN)
S_HITS = int(StateWord.HITS)
CONTROL_AT, CODE_FRAMES_AT = U(StateWord.CONTROL * 8), U(StateWord.CODE_FRAMES * 8)
TLB_WORD = TLB_AT // 8
TLB_WORDS = TLB_SLOTS * TLB_ENTRY_BYTES // 8
TLB_START, SLOT_MASK = U(TLB_AT), U(TLB_SLOTS - 1)
TLB_ENTRY = U(TLB_ENTRY_BYTES)
BOUNCE_AT = U(StateWord.BOUNCE * 8)
CROSSING = U(Fill.CROSSING)
SIZE_AT, PAGE_BYTES = U(SIZE_SHIFT), U(4096)
LOAD_REST, STORE_REST = U(Kind.LOAD_REST), U(Kind.STORE_REST)
WRITE_TAG_AT, DELTA_AT, HOST_AT = (
    U(word * 8) for word in (TlbWord.WRITE_TAG, TlbWord.DELTA, TlbWord.HOST)
)
JUMP_WORD, JUMP_WORDS = JUMP_CACHE_AT // 8, JUMP_CACHE_SLOTS * 2
JUMP_MASK = U(JUMP_CACHE_SLOTS - 1)
TWO, TWELVE = U(2), U(12)
NEAR_RECORDS = U(8)  # a block with two references, priced at the worst
OTHER_SLOT = U(4)
PAGES_WORD = CODE_PAGES_AT // 8

R_PC, R_PENDING, R_SPACE, R_ENTER, R_PACED, R_SITE, R_WORST, R_ENTERED, R_CHOOSE, R_WHOLE = (
    int(word) for word in list(RunWord)[:10]
)
(B_CHECKED, B_PLAIN, B_PAGE_CHECKED, B_LINE, B_PAGE, B_COUNT, B_RECORDS, _, B_OTHER_PAGE, _) = (
    int(word) for word in BlockWord
)
(T_KIND, T_PC, T_UNDONE, T_RETRY, T_LINE_KIND, T_LINE, T_PAGE, T_FORM) = (
    int(word) for word in list(SiteWord)[:8]
)
K_INSTRUCTION, K_LINK, K_BUDGET, K_INDIRECT = (
    int(kind) for kind in (SiteKind.INSTRUCTION, SiteKind.LINK, SiteKind.BUDGET, SiteKind.INDIRECT)
)
L_ENTRY, L_BACK = int(LineKind.ENTRY), int(LineKind.BACK)
LIMIT, MISSING, UNCHECKED, FALLBACK, SHUTDOWN = (int(outcome) for outcome in Outcome)
FETCH_KIND, STORE_KIND, REST_KIND = U(Kind.FETCH), U(Kind.STORE), U(Kind.STORE_REST)
KIND_AT = U(KIND_SHIFT)
MEMORY_BASE_AT, MEMORY_SIZE_AT, WALK_TABLE_AT, ROOT_AT = (
    U(8 * word)
    for word in (Control.MEMORY_BASE, Control.MEMORY_SIZE, Control.WALK_TABLE, Control.ROOT)
)
FRAME_MASK = U((1 << 52) - 1)
HITS_RECORD, ONE_FETCH = U(Kind.HITS << KIND_SHIFT), U(FETCH_HIT)
HITS_COUNT = U(FIELD_MASK)
CLASS_SHIFT, CLASSES = U(LINE_BYTES.bit_length() - 1), U(RECENT_CLASSES - 1)
RECENT_START, RECENT_WORDS = U(RECENT_AT), int(RecentWord.WORDS)
LOADABLE, STORABLE, FETCHED = (int(word) for word in list(RecentWord)[:3])


@kernel
def forget_recent(state):
    """No line is known to have been used last: see recency.  state: host address."""
    at = state + RECENT_START
    for _ in range(RECENT_CLASSES):
        store_word(at + U(8 * LOADABLE), NEVER)
        store_word(at + U(8 * STORABLE), NEVER)
        store_word(at + U(8 * FETCHED), ZERO)
        at += U(8 * RECENT_WORDS)


@kernel
def set_word32(address, value):
    """Write the low four bytes of `value` at a host address."""
    for place in range(4):
        store_byte(address + U(place), (value >> U(8 * place)) & U(0xFF))


@kernel
def reachable(state, address):
    """(physical byte address, may be read, may be written) of a virtual address."""
    control = load_word(state + CONTROL_AT)
    outcome, physical, rights = walk(
        load_word(control + WALK_TABLE_AT),
        load_word(control + MEMORY_BASE_AT),
        load_word(control + MEMORY_SIZE_AT),
        load_word(control + ROOT_AT),
        address,
    )
    if outcome != MAPPED:
        return ZERO, False, False
    flags = load_word(state + CODE_FRAMES_AT) + (physical >> PAGE_SHIFT)
    is_code = (load_word(flags & ~U(7)) >> ((flags & U(7)) << U(3))) & U(0xFF)
    return physical, rights & READ_RIGHT != ZERO, rights & WRITE_RIGHT != ZERO and is_code == ZERO


@kernel
def fill(state, address, access):
    """Put the page of virtual `address` into the TLB: a Fill.

    state: host address.  When the entry is already there, the access goes over the page's end.
    Pages that code was made from are never given for writing.
    """
    page = address & PAGE_MASK
    entry = state + TLB_START + ((address >> PAGE_SHIFT) & SLOT_MASK) * TLB_ENTRY
    tag = entry + WRITE_TAG_AT if access == WRITE_ACCESS else entry
    if load_word(tag) == page:
        return CROSSING
    physical, readable, writable = reachable(state, address)
    if not (writable if access == WRITE_ACCESS else readable):
        return ZERO
    base = load_word(load_word(state + CONTROL_AT) + MEMORY_BASE_AT)
    delta = (physical & PAGE_MASK) - page
    store_word(entry, page if readable else NOTHING)
    store_word(entry + WRITE_TAG_AT, page if writable else NOTHING)
    store_word(entry + DELTA_AT, delta)
    store_word(entry + HOST_AT, delta + base)
    return ONE


# Accesses over the end of a page: rare, so each step walks the page table anew.


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def reach_function(state, address, size, access):
    """1 if all bytes may be accessed here."""
    for at in (address, address + size - ONE):
        _, readable, writable = reachable(state, at)
        if not (writable if access == WRITE_ACCESS else readable):
            return ZERO
    return ONE


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def note_function(state, ring, address, size_and_kind):
    """Write the records of one access to host address `ring`; where the next one goes."""
    size, kind = size_and_kind & U(0xFF), size_and_kind >> EIGHT
    forget_recent(state)
    here = min(size, PAGE_BYTES - (address & ~PAGE_MASK))
    physical, _, _ = reachable(state, address)
    store_word(ring, physical | ((here - ONE) << SIZE_AT) | (kind << KIND_AT))
    ring += EIGHT
    if here < size:
        physical, _, _ = reachable(state, address + here)
        rest = STORE_REST if kind == STORE_KIND else LOAD_REST
        store_word(ring, physical | ((size - here - ONE) << SIZE_AT) | (rest << KIND_AT))
        ring += EIGHT
    return ring


@kernel
def host_byte(state, address):
    """Host address of a byte."""
    physical, _, _ = reachable(state, address)
    return load_word(load_word(state + CONTROL_AT) + MEMORY_BASE_AT) + physical


@kernel
def load_byte(address):
    """The byte at a host address."""
    return (load_word(address & ~U(7)) >> ((address & U(7)) << U(3))) & U(0xFF)


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def gather_function(state, address, size, unused):
    """Copy the bytes to BOUNCE."""
    for place in range(size):
        byte = load_byte(host_byte(state, address + U(place)))
        store_byte(state + BOUNCE_AT + U(place), byte)
    return ZERO


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def scatter_function(state, address, size, unused):
    """Copy the bytes from BOUNCE."""
    for place in range(size):
        store_byte(host_byte(state, address + U(place)), load_byte(state + BOUNCE_AT + U(place)))
    return ZERO


@kernel
def note_hits(p, s, write_end):
    """Put the references that were left out behind the records; where these end now.

    For the record limit they count as records: it stands for cycles, and they have a price.
    """
    hits = s[S_HITS]
    if hits == ZERO:
        return write_end
    s[S_HITS] = ZERO
    if p[RECORD_LIMIT] < FOREVER:
        p[RECORD_LIMIT] -= min(hits & HITS_COUNT, p[RECORD_LIMIT])
    store_word(write_end, HITS_RECORD | hits)
    return write_end + EIGHT


@kernel
def flush_buffer(p, s, write_end):
    """Copy the records from the buffer up to `write_end` to the ring; price or publish them.

    False at the machine's end.
    """
    at = s[S_BUFFER]
    write_end = note_hits(p, s, write_end)
    while at < write_end:
        count = min((write_end - at) // EIGHT, COPY)
        write = p[WRITE]
        ring = p[RING]
        for _ in range(count):
            store_word(ring + ((write & RING_MASK) * EIGHT), load_word(at))
            write += ONE
            at += EIGHT
        p[WRITE] = write
        p[PUBLISHED] = write
        if p[INLINE] != ZERO:
            p[CYCLES] = call_pointer4(p[PORT], p[PORT_ARGUMENT], p[CORE], write, ZERO)
            p[PRICED] = write
        else:
            store_release(p[HEADER] + HEAD_AT, write)
            if not wait_for_room(p):
                p[STOP] = HALT_SHUTDOWN
                return False
    return True


@kernel
def affordable(p, run, count, records):
    """Instructions that may be executed now without passing a limit; 0: none.

    count, records: of the block that is next; near the cycle limit only this one block is allowed.
    """
    left = p[INSTRUCTION_LIMIT] - p[COUNT]
    if p[COUNT] >= p[INSTRUCTION_LIMIT] or p[WRITE] >= p[RECORD_LIMIT]:
        return ZERO
    if p[RECORD_LIMIT] < FOREVER:
        left = min(left, (p[RECORD_LIMIT] - p[WRITE] - ONE) // RECORDS_EACH)
    if p[INLINE] != ZERO and p[CYCLE_LIMIT] < FOREVER:
        instructions = p[COUNT] + p[KERNEL_COUNT] + count
        worst = instructions * p[IPC_DENOMINATOR] // p[IPC_NUMERATOR] + p[CYCLES] + ONE
        if worst + records * run[R_WORST] >= p[CYCLE_LIMIT]:
            return ZERO
        # At the worst price of every instruction; else only this one block.
        price = RECORDS_EACH * run[R_WORST] + p[IPC_DENOMINATOR] // p[IPC_NUMERATOR] + ONE
        left = min(left, max((p[CYCLE_LIMIT] - worst) // price, count, ONE))
    return min(left, STRETCH)


@kernel
def allowed(p):
    """Instructions that may begin before the next limit, at what is known of the clock now."""
    if p[WRITE] >= p[RECORD_LIMIT]:
        return ZERO
    limit = p[INSTRUCTION_LIMIT]
    if p[INLINE] != ZERO:
        limit = min(limit, instructions_before(p, p[CYCLES]))
    return min(limit - p[COUNT], STRETCH) if limit > p[COUNT] else ZERO


@kernel
def near(p, run):
    """Is the cycle limit so near that blocks would soon not be allowed?

    Contended turns are such: a quantum of 2 us is three references at the worst price.
    """
    if p[INLINE] == ZERO or p[CYCLE_LIMIT] >= FOREVER:
        return False
    return instructions_before(p, p[CYCLES] + NEAR_RECORDS * run[R_WORST]) <= p[COUNT]


@cfunc(types.uint64(BLOCK, BLOCK, types.uint64, types.uint64), cache=True)
def pace_function(p, s, ring, budget):
    """Between two instructions of a paced block: price its records; the budget it has now."""
    p[COUNT] += s[S_GIVEN] - budget
    s[S_MARK] = NEVER  # budgets repeat here
    s[S_GIVEN] = ZERO
    if flush_buffer(p, s, ring):
        s[S_GIVEN] = allowed(p)
    return s[S_GIVEN]


@kernel
def space_key(space, paced):
    """What blocks of an address space are found under."""
    return space + space + paced


@kernel
def clear_jump_cache(s):
    """Forget where indirect jumps go."""
    for word in range(JUMP_WORD, JUMP_WORD + JUMP_WORDS, 2):
        s[word] = ZERO
    s[JUMP_WORD] = OTHER_SLOT  # an address is only looked for in its slot: 0 in the first


@kernel
def set_pace(s, run, paced):
    """Go on by paced blocks, or by others; the jump cache is of one kind only."""
    if paced != run[R_PACED]:
        run[R_PACED] = paced
        clear_jump_cache(s)


@kernel
def link(sites, blocks, site, block):
    """Patch the jump of exit `site` so that it goes to `block` directly."""
    if sites[site, T_PAGE] != blocks[block, B_PAGE]:
        target = blocks[block, B_PAGE_CHECKED]
    elif sites[site, T_LINE] == blocks[block, B_LINE]:
        target = blocks[block, B_PLAIN]
    else:
        target = blocks[block, B_CHECKED]
    at = sites[site, T_RETRY]
    set_word32(U(at), U(target - at - 4))


@kernel
def leave_line(s, sites, site):
    """An instruction that is not executed takes back the fetch that was noted for it."""
    kind = sites[site, T_LINE_KIND]
    if kind == L_BACK:
        take_fetch_back(s, U(sites[site, T_PC]))
        s[S_LINE] = U(sites[site, T_LINE])
    elif kind == L_ENTRY and s[S_MARK] == s[S_BUDGET]:
        take_fetch_back(s, U(sites[site, T_PC]))
        s[S_LINE] = s[S_PREVIOUS]


@kernel
def take_fetch_back(s, pc):
    """The fetch noted last was that of the line of `pc`: take it back.

    It has a record when the last one is a FETCH of its class; if not, its line was known.
    """
    if s[S_RING] > s[S_BUFFER]:
        record = load_word(s[S_RING] - EIGHT)
        same = ((record ^ pc) >> CLASS_SHIFT) & CLASSES == ZERO
        if record >> KIND_AT == FETCH_KIND and same:
            s[S_RING] -= EIGHT
            return
    s[S_HITS] -= ONE_FETCH


@kernel
def resolve(s, run, sites, blocks, block):
    """Let the exit that asked for `block` go there by itself from now on."""
    if run[R_PENDING] == NEVER:
        return
    site = S64(run[R_PENDING])
    run[R_PENDING] = NEVER
    if sites[site, T_KIND] == K_LINK:
        link(sites, blocks, site, block)
        return
    pc = run[R_PC]
    index = S64(((pc >> TWO) ^ (pc >> TWELVE)) & JUMP_MASK)
    s[JUMP_WORD + 2 * index] = pc
    s[JUMP_WORD + 2 * index + 1] = U(blocks[block, B_CHECKED])


@kernel
def run_blocks(p, s, run, sites, blocks, table):
    """Run from RunWord.PC until something is needed that only Python can do: an Outcome.

    p: the control block.  s: the state, u64 words.  run: RunWord, u64.  The others: see CodeSpace.
    """
    state = s.ctypes.data
    forget_recent(U(state))
    if p[INLINE] != ZERO and p[WRITE] != p[PRICED]:
        p[CYCLES] = call_pointer4(p[PORT], p[PORT_ARGUMENT], p[CORE], p[WRITE], ZERO)
        p[PRICED] = p[WRITE]
        p[PUBLISHED] = p[WRITE]
    if run[R_CHOOSE] != ZERO:
        run[R_CHOOSE] = ZERO
        set_pace(s, run, ONE if near(p, run) else ZERO)
    while True:
        pc = S64(run[R_PC])
        slot = table_slot(table, S64(space_key(run[R_SPACE], run[R_PACED])), pc)
        if table[slot, 0] == 0 or table[slot, 2] == NO_BLOCK:
            return MISSING
        block = table[slot, 2]
        for page in (blocks[block, B_PAGE], blocks[block, B_OTHER_PAGE]):
            if s[PAGES_WORD + page] == ZERO:
                return UNCHECKED
        resolve(s, run, sites, blocks, block)
        if run[R_PACED] != ZERO:
            budget = allowed(p)
            if budget == ZERO:
                return LIMIT
        else:
            budget = affordable(p, run, U(blocks[block, B_COUNT]), U(blocks[block, B_RECORDS]))
            if budget < U(blocks[block, B_COUNT]) or budget == ZERO:
                if p[COUNT] > run[R_WHOLE]:
                    return LIMIT
                set_pace(s, run, ONE)
                continue
        s[S_RING] = s[S_BUFFER]
        s[S_BUDGET] = s[S_GIVEN] = budget
        s[S_MARK] = NEVER
        run[R_ENTERED] += ONE
        call_pointer4(run[R_ENTER], U(state), U(blocks[block, B_CHECKED]), ZERO, ZERO)
        site = S64(s[S_SITE])
        kind = sites[site, T_KIND]
        if kind == K_INSTRUCTION:
            leave_line(s, sites, site)
            s[S_BUDGET] += U(sites[site, T_UNDONE])
        p[COUNT] += s[S_GIVEN] - s[S_BUDGET]
        run[R_PC] = s[S_ARGUMENT] if kind == K_INDIRECT else U(sites[site, T_PC])
        if not flush_buffer(p, s, s[S_RING]) or p[STOP] == HALT_SHUTDOWN:
            return SHUTDOWN
        if kind == K_INSTRUCTION:
            run[R_SITE] = U(site)
            return FALLBACK
        if kind in (K_LINK, K_INDIRECT):
            run[R_PENDING] = U(site)


@kernel
def clear_tlb(s):
    """Forget all translations of data, and where indirect jumps go."""
    for word in range(TLB_WORD, TLB_WORD + TLB_WORDS, 4):
        s[word] = NOTHING
        s[word + 1] = NOTHING
    clear_jump_cache(s)


@kernel
def note_records(p, frames, first, touched):
    """Look at what Unicorn did since record `first`: frames it fetched from become code frames.

    frames: one byte per frame.  touched: room for numbers of code frames it stored to; how many.
    """
    found = 0
    ring = p[RING]
    at = first
    while at < p[WRITE]:
        record = load_word(ring + ((at & RING_MASK) * EIGHT))
        kind = record >> KIND_AT
        frame = S64((record & FRAME_MASK & U((1 << 52) - 1)) >> PAGE_SHIFT)
        if kind == FETCH_KIND:
            frames[frame] |= 2
        elif kind in (STORE_KIND, REST_KIND) and frames[frame] != 0:
            found = min(found + 1, len(touched))
            touched[found - 1] = frame
        at += ONE
    return found


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64), cache=True)
def fill_function(state, address, access):
    """fill, as blocks call it."""
    return fill(state, address, access)
