"""The reference stream: one 8-byte record per memory reference, in a shared ring per core.

A node writes records, the memory system consumes them in another process at the same time; a node
that would have to wait consumes them itself (the port, Alongside).  Only whole instructions are
published, so a faulting instruction can take its records back before anyone saw them.

```text
 record (u64)
 63      60 59     58 57      52 51                                        0
 +---------+---------+----------+------------------------------------------+
 |  kind   |  mode   | size-1   |  physical address (byte)                 |
 +---------+---------+----------+------------------------------------------+
```
A reference that crosses a line is one record; the memory system makes two line accesses of it.
A FETCH record is written when execution enters another line than the one it fetched from before:
instructions in the same line come from the core's fetch buffer (DECISIONS.md), and their L1I
accesses follow from the count.
"""

from enum import IntEnum

import numpy as np

ADDRESS_BITS = 52
ADDRESS_MASK = (1 << ADDRESS_BITS) - 1
SIZE_SHIFT = 52  # 6 bits: size in bytes - 1 (1..64 bytes)
MODE_SHIFT = 58  # 2 bits: Mode
KIND_SHIFT = 60  # 4 bits: Kind


class Kind(IntEnum):
    """What a reference does."""

    LOAD = 0
    STORE = 1
    ATOMIC_LOAD = 2  # the load half of an atomic read-modify-write: takes the line for writing
    FETCH = 3  # instruction fetch of a line
    # The part of a load or store that lies in the next page, which has a frame of its own: a line
    # access and a split, not another data reference.
    LOAD_REST = 4
    STORE_REST = 5
    # No reference but a number of them, all hits in the first level that change nothing there: see
    # certain_hits.  The native engine writes it behind the records of a stretch.
    HITS = 6


class Mode(IntEnum):
    """Who made the reference."""

    USER = 0
    KERNEL = 1
    KERNEL_IDEAL = 2  # counted, but neither cached nor charged (--ideal-kernel)
    UNCACHED = 3  # a device register: priced like local or remote memory, never cached


class Alongside(IntEnum):
    """Last argument of the memory port: who else may consume the ring at the same time."""

    NOBODY = 0  # inline: nothing is published, the caller has the ring to itself
    MEMORY_SYSTEM = 1  # pipelined: consume some of what is published, unless somebody does already


RING_RECORDS = 1 << 15  # 256 KiB: anything from 8 KiB to 1 MiB measured the same
RING_SLACK = 2048  # one instruction or one kernel primitive writes fewer records than this
PUBLISH_RECORDS = 512  # records between two publications


class Word(IntEnum):
    """u64 words of a core's header in the shared stream segment; the ring follows at
    RING_OFFSET_BYTES.
    """

    HEAD = 0  # records published, ever (node writes)
    TAIL = 8  # records consumed, ever (memory system writes; own host cache line)
    CYCLES = 9  # memory cycles charged to this core so far (memory system writes, before TAIL)
    CONSUMING = (
        10  # 1 while somebody consumes published records: the memory system or a node that waits
    )
    STOP = 16  # not 0: the machine is going down, waiting loops give up (supervisor or node writes)
    INSTRUCTIONS_USER = 24  # progress of the node, current at every stop of the engine
    INSTRUCTIONS_KERNEL = 25
    IDLE_CYCLES = 26
    FETCHES_USER = 27  # = INSTRUCTIONS_USER; kept apart for the memory system's L1I counts


HEADER_BYTES = 4096
RING_OFFSET_BYTES = HEADER_BYTES
CORE_STREAM_BYTES = HEADER_BYTES + RING_RECORDS * 8  # stride between cores in the segment


def record(kind: int, mode: int, size_bytes: int, address: int) -> int:
    """One record as an integer."""
    return kind << KIND_SHIFT | mode << MODE_SHIFT | (size_bytes - 1) << SIZE_SHIFT | address


# How hits are counted, in a HITS record (in the bits below the mode) and by the memory system:
# references in the lowest field, then those of them that are stores, then fetches.  A stretch of
# the native engine has fewer than 2^18, a ring fewer than 2^16.
STORES_SHIFT, FETCHES_SHIFT = 20, 40
HIT, STORE_HIT, FETCH_HIT = 1, 1 | 1 << STORES_SHIFT, 1 | 1 << FETCHES_SHIFT
FIELD_MASK = (1 << STORES_SHIFT) - 1
HITS_MASK = (1 << MODE_SHIFT) - 1


def certain_hits(word: int) -> tuple[int, int, int]:
    """(loads, stores, fetches) of a HITS record."""
    fields = int(word) & HITS_MASK
    stores, fetches = fields >> STORES_SHIFT & FIELD_MASK, fields >> FETCHES_SHIFT
    return (fields & FIELD_MASK) - stores - fetches, stores, fetches


def decode(word: int) -> tuple[int, int, int, int]:
    """(kind, mode, size in bytes, physical address) of a record."""
    word = int(word)
    return (
        word >> KIND_SHIFT,
        word >> MODE_SHIFT & 3,
        (word >> SIZE_SHIFT & 63) + 1,
        word & ADDRESS_MASK,
    )


class CoreStream:
    """One core's header and ring, as arrays over the shared segment.

    header: (HEADER_BYTES / 8,) u64, indexed by Word.  ring: (RING_RECORDS,) u64; record i is at i %
    RING_RECORDS.
    """

    def __init__(self, segment: np.ndarray, index: int) -> None:
        """segment: the whole stream segment as u8; index: the core's number in the machine."""
        start = index * CORE_STREAM_BYTES
        self.header = segment[start : start + HEADER_BYTES].view(np.uint64)
        self.ring = segment[start + RING_OFFSET_BYTES : start + CORE_STREAM_BYTES].view(np.uint64)
        self.header_address = self.header.ctypes.data
        self.ring_address = self.ring.ctypes.data
