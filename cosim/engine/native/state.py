"""The flat struct that blocks of one core work on: its layout, in 8-byte words from the start.

```text
 0   words of the runtime (StateWord)
 40  register file of the ISA: its layout says which slot is where
 …   TLB: TLB_SLOTS entries of four words (TlbWord)
 …   jump cache: JUMP_CACHE_SLOTS pairs (guest address, host code)
 …   one word per code page: 1 when it was compared with the page table since the last flush
 …   recency: RECENT_CLASSES entries of four words (RecentWord)
```
Blocks find it through r12.  Everything that Unicorn's hooks know too stays in the control block.
"""

from enum import IntEnum

# MXCSR's rounding control: nearest, down, up, zero.
HOST_ROUNDING_SHIFT = 13
HOST_ROUNDING = 3 << HOST_ROUNDING_SHIFT


class StateWord(IntEnum):
    """Words of the runtime."""

    RING = 0  # host address where the next record goes; in r13 while a block runs
    BUDGET = 1  # instructions that may still be executed; in r14 while a block runs
    SITE = 2  # number of the exit that was taken: see SiteWord
    LINE = 3  # number of the line the last FETCH record was written for, 0: none
    PREVIOUS_LINE = 4  # LINE before the current block's entry wrote a FETCH record
    MARK = 5  # BUDGET when it did
    ARGUMENT = 6  # of the exit: address of an access, or a guest address to go to
    FILL = 7  # host address of the function that fills the TLB
    SITES = 8  # host address of the table of exits
    CONTROL = 9  # host address of the control block
    CODE_FRAMES = 10  # host address of one byte per frame: 1 when blocks were made from it
    FLOATING = 11  # MXCSR of the host while blocks run: its flags and rounding are the guest's
    HOST_FLOATING = 12  # MXCSR of the simulator
    FILLED = 13  # what the last fill answered: see Fill
    # Host addresses of functions for accesses over the end of a page (runtime), and room for one.
    REACH = 14
    NOTE = 15
    GATHER = 16
    SCATTER = 17
    BOUNCE = 18  # 8 words
    HELPER = 26  # host address of the ISA's function that puts the state in order
    BUFFER = 27  # host address of the record buffer
    GIVEN = 28  # BUDGET when it was given
    PACE = 29  # host address of the function that prices between two instructions of a paced block
    PACE_RETURN = 30  # host address of the code behind
    HITS = 31  # references left out of the records, see recency; in r15 while a block runs
    UNKNOWN = (
        32  # ~0 where no reference may be left out, else 0: what is noted then matches nothing
    )


class TlbWord(IntEnum):
    """Words of one TLB entry."""

    READ_TAG = 0  # virtual page address, or NO_PAGE
    WRITE_TAG = 1
    DELTA = 2  # physical minus virtual address
    HOST = 3  # host minus virtual address


class RecentWord(IntEnum):
    """Words of one entry of the recency table, see recency."""

    LOADABLE = 0  # physical byte address of the line used last by loads and stores, or ~0
    STORABLE = 1  # the same when it is in state M for certain, or ~0
    FETCHED = 2  # number of the line fetched last, 0: none
    WORDS = 4


class SiteWord(IntEnum):
    """Words of one exit of a block."""

    KIND = 0  # see SiteKind
    PC = 1  # of the instruction not executed; of the target of a LINK
    UNDONE = 2  # instructions of the block that were paid for and not executed
    RETRY = 3  # host code that executes the instruction again; of a LINK: where its jump is patched
    LINE_KIND = 4  # see LineKind
    LINE = 5  # BACK: number of the line before; LINK: number of the line it comes from
    PAGE = 6  # number of the block's code page
    FORM = 7  # number of the form that fell back, for the statistics
    END = 8  # INSTRUCTION: host code behind the instruction
    CAREFUL = 9  # INSTRUCTION: host code that does it over the end of a page, or 0


class SiteKind(IntEnum):
    """What an exit means."""

    INSTRUCTION = 0  # this instruction could not be executed here
    LINK = 1  # to a block that is not linked yet
    BUDGET = 2  # the budget is too small for the whole block
    INDIRECT = 3  # to the guest address in ARGUMENT
    STALE = 4  # the page must be compared first


class Fill(IntEnum):
    """Answers of the function that fills the TLB."""

    REFUSED = 0
    FILLED = 1
    CROSSING = 2  # the entry is there: the access goes over the end of its page


class LineKind(IntEnum):
    """What leaving before an instruction does to the fetch buffer."""

    SAME = 0  # it lies in the line of the one before
    ENTRY = 1  # first of its block: a FETCH record was written if MARK says so
    BACK = 2  # first of its line: take the record back


REGISTERS_WORD = 40
REGISTERS_WORDS = 224
TLB_SLOTS = 1024
TLB_ENTRY_BYTES = 32
TLB_AT = 8 * (REGISTERS_WORD + REGISTERS_WORDS)
JUMP_CACHE_SLOTS = 1024
JUMP_CACHE_AT = TLB_AT + TLB_SLOTS * TLB_ENTRY_BYTES
CODE_PAGES = 8192
CODE_PAGES_AT = JUMP_CACHE_AT + JUMP_CACHE_SLOTS * 16
RECENT_CLASSES = 64
RECENT_BYTES = 8 * RecentWord.WORDS
RECENT_AT = CODE_PAGES_AT + CODE_PAGES * 8
STATE_BYTES = RECENT_AT + RECENT_CLASSES * RECENT_BYTES
NO_PAGE = 1  # no address: pages are aligned
SITE_WORDS = 16
