"""Compiled operations on one cache set: find, touch, insert, remove.

h: (N,) i64, the hierarchy's words.  `at` is the first of a cache's describing words, see CacheWord.
A set is `ways` neighbouring 32-bit words, most recently used first, free ways (0) last, filled up
with zeroes to whole rows (memsys.rows).  So the last way is the victim, LRU needs no
further state, and no operation has to know where in a row the ways end: what is pushed over the
last way is 0.  An index is the place of a word, counted in 32-bit words from h.

A word is `tag << FLAG_BITS | flags`, with the tag = line >> log2 of the sets; what these functions
take and return is wider, `line << FLAG_BITS | flags`.
"""

from enum import IntEnum

from cosim.compiled import inner_kernel
from memsys.rows import LANES, first_lane, get_word, match_row, pull_row, push_row, put_word

FLAG_BITS = 4
FLAGS_END = 1 << FLAG_BITS
ROW_SHIFT = LANES.bit_length() - 1
LAST_LANE = LANES - 1


class CacheWord(IntEnum):
    """Words that describe a cache."""

    FIRST = 0  # index of its first way
    SET_MASK = 1
    WAYS = 2  # 0: there is no such cache, and its one set stays empty
    PITCH = 3  # words from set to set: ways in whole rows
    TAG_SHIFT = 4  # log2 of the sets


CACHE_WORDS = len(CacheWord)
FIRST, SET_MASK, WAYS, PITCH, TAG_SHIFT = (int(word) for word in CacheWord)


@inner_kernel
def first_way(h, at, line):
    """Index of the first way of the line's set."""
    return h[at] + (line & h[at + SET_MASK]) * h[at + PITCH]


@inner_kernel
def row_of(h, at, line):
    """`first_way` in a cache whose sets are one row, without a multiplication."""
    return h[at] + (line & h[at + SET_MASK]) * LANES


@inner_kernel
def key_of(h, at, line):
    """The line's word without flags."""
    return line >> h[at + TAG_SHIFT] << FLAG_BITS


@inner_kernel
def line_of(h, at, word, line):
    """The line of a word in the set that `line` belongs to."""
    return word >> FLAG_BITS << h[at + TAG_SHIFT] | line & h[at + SET_MASK]


@inner_kernel
def match_line(h, row, key):
    """Mask of the lane that holds the line with that key in the row at `row`, or 0.

    Flags of a valid word are not 0: a free way matches no line, not even line 0.
    """
    return match_row(h, row, key, 1, FLAGS_END - 1)


@inner_kernel
def find(h, at, line):
    """Index of the word that holds `line`, or -1.  Writes nothing."""
    first, key = first_way(h, at, line), key_of(h, at, line)
    mask = match_line(h, first, key)
    if mask:
        return first + first_lane(mask)
    return (
        find_beyond(h, first + LANES, first + h[at + PITCH], key) if h[at + PITCH] > LANES else -1
    )


@inner_kernel
def find_beyond(h, row, end, key):
    """`find` in the second and further rows of a set."""
    while row < end:
        mask = match_line(h, row, key)
        if mask:
            return row + first_lane(mask)
        row += LANES
    return -1


@inner_kernel
def push(h, first, index, word):
    """Put `word` at `first`, and the words before `index` one way back, over what is there."""
    if index - first < LANES:
        push_row(h, first, index - first, word)
    else:
        push_beyond(h, first, index, word)


@inner_kernel
def push_beyond(h, first, index, word):
    """`push` over several rows."""
    while index - first >= LANES:
        last = get_word(h, first + LAST_LANE)
        push_row(h, first, LAST_LANE, word)
        word = last
        first += LANES
    push_row(h, first, index - first, word)


@inner_kernel
def touch(h, at, line, index):
    """Move the word at `index` to the front of its set; the word."""
    word = get_word(h, index)
    push(h, first_way(h, at, line), index, word)
    return word


@inner_kernel
def insert(h, at, line, flags):
    """Put a line at the front of its set, whose last way must be free."""
    first = first_way(h, at, line)
    push(h, first, first + h[at + PITCH] - 1, key_of(h, at, line) | flags)


@inner_kernel
def remove(h, at, line, index):
    """Take the word at `index` out of its set."""
    first = first_way(h, at, line)
    if h[at + PITCH] == LANES:
        pull_row(h, first, index - first, 0)
    else:
        pull_beyond(h, first, index, first + h[at + PITCH])


@inner_kernel
def pull_beyond(h, first, index, end):
    """`remove` from a set of several rows that ends before `end`."""
    row = first + ((index - first) >> ROW_SHIFT << ROW_SHIFT)
    lane = index - row
    while row < end:
        pull_row(h, row, lane, get_word(h, row + LANES) if row + LANES < end else 0)
        lane = 0
        row += LANES


@inner_kernel
def take_victim(h, at, line):
    """The `line << FLAG_BITS | flags` that must go before `line` can come, taken out; 0 when there
    is room.
    """
    last = first_way(h, at, line) + h[at + WAYS] - 1
    word = get_word(h, last)
    put_word(h, last, 0)
    return line_of(h, at, word, line) << FLAG_BITS | word & (FLAGS_END - 1) if word else 0
