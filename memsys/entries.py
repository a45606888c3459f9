"""Directory entries: who may hold a line.  Compiled, for tables with one entry per line of memory.

An entry, as every kernel sees it, has one bit per member and bit 62, OWNED, when its only member
has the line in E or M.  In a table it takes 8, 16, 32 or 64 bits, as the members need, with OWNED
as the top bit (bit 62 of 64): 128 MiB of sparse table for 8 GiB of memory, and a small share of the
host's caches. A table is four words at `at`: its first word, log2 of the entries per word, a mask
of one entry, OWNED within it.
"""

import numpy as np

from cosim.compiled import inner_kernel

OWNED = np.int64(1 << 62)
TABLE_WORDS = 4
WIDTHS = ((8, np.uint8), (16, np.uint16), (32, np.uint32), (64, np.uint64))


def width_bits(members: int) -> int:
    """Bits of one entry in a table of this many members."""
    return next(bits for bits, _ in WIDTHS if members < bits - (bits == 64))


def describe(first: int, members: int) -> list[int]:
    """The four words of a table that begins at word `first`."""
    bits = width_bits(members)
    if bits == 64:
        return [first, 0, -1, int(OWNED)]
    return [first, (64 // bits).bit_length() - 1, (1 << bits) - 1, 1 << (bits - 1)]


def unpack(words: np.ndarray, members: int) -> np.ndarray:
    """Entries of a table's words: (lines,) of the table's width, OWNED still the table's bit."""
    return words.view(dict(WIDTHS)[width_bits(members)])


def owned_bit(members: int) -> int:
    """OWNED within an unpacked entry."""
    return describe(0, members)[3]


@inner_kernel
def get_entry(h, at, line):
    """The line's entry."""
    pack, owned = h[at + 1], h[at + 3]
    shift = (line & ((1 << pack) - 1)) << (6 - pack)
    field = h[h[at] + (line >> pack)] >> shift & h[at + 2]
    return field & (owned - 1) | (OWNED if field & owned else 0)


@inner_kernel
def put_entry(h, at, line, entry):
    """Replace the line's entry."""
    pack, owned = h[at + 1], h[at + 3]
    shift = (line & ((1 << pack) - 1)) << (6 - pack)
    index = h[at] + (line >> pack)
    field = entry & (owned - 1) | (owned if entry & OWNED else 0)
    h[index] = h[index] & ~(h[at + 2] << shift) | field << shift
