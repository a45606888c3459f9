"""Frames of physical memory: who owns a block, which frames of it are in use, and by whom.

The node's memory is cut into blocks of `block_bytes` (the unit in which kernels hand memory to each
other).  Each block carries its own metadata in its first frames, so that it can change hands as a
whole:

```text
 block:      | bitmap: 1 bit per frame | FRAME rows: 16 bytes per frame | frames to allocate ... |
 first frame of the node's first range (before that block's metadata):   | DIRECTORY | BLOCK rows |
```
Allocation takes the lowest free frame of the first online block in table order; hints that only
move past full places make the search constant on average.  A page of a process gets a frame of its
own *colour*, so that neighbouring pages do not fight for the sets of a physically indexed L2 (page
colouring: Kessler and Hill, "Page Placement Algorithms for Large Real-Indexed Caches", 1992).  The
FRAME rows lead from a frame back to the page-table entry that maps it, which is what emptying a
block needs.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cosim.errors import InputError, InvariantError
from cosim.kernel.commitment import Commitment
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import (
    BLOCK,
    DIRECTORY,
    DIRECTORY_MAGIC,
    FRAME,
    USE_MASK,
    BlockState,
    FrameUse,
)
from cosim.kernel.memory import KernelMemory
from cosim.kernel.spinlock import Spinlock
from cosim.units import PAGE_BYTES, PAGE_SHIFT, align_down, align_up

BITS = 64
FULL = (1 << BITS) - 1
# Pages in one way of a 1 MiB 16-way cache; without colours the oracle's L2 misses were 1.4 % off.
COLOURS = 16
COLOUR_MASK = sum(1 << bit for bit in range(0, BITS, COLOURS))  # frames of colour 0 in a word
COLOUR_WORDS_MAX = 16  # bitmap words searched for a colour before any frame will do

BLOCK_FIRST = DIRECTORY.offset("block_first")
FRAMES_USED = DIRECTORY.offset("frames_used")
FRAMES_TOTAL = DIRECTORY.offset("frames_total")
FRAMES = BLOCK.offset("frames")
FREE = BLOCK.offset("free")
STATE = BLOCK.offset("state")
HINT = BLOCK.offset("hint")
BITMAP = BLOCK.offset("bitmap")
ROWS = BLOCK.offset("rows")
BASE = BLOCK.offset("base")
ONLINE = int(BlockState.ONLINE)
NEVER = 1 << 62  # more frames, or more frees, than there will be
KEPT = 64  # one frame in so many is promised to no program, so that the kernel can go on


class Block(NamedTuple):
    """Where a block and its metadata lie.

    start, end: physical bytes.  row: address of its BLOCK row.  bitmap, rows: of its metadata.
    reserved: frames of it that hold metadata.
    """

    start: int
    end: int
    row: int
    bitmap: int
    rows: int
    reserved: int

    @property
    def frames(self) -> int:
        """Frames of the block, metadata included."""
        return self.end - self.start >> PAGE_SHIFT

    @property
    def capacity(self) -> int:
        """Frames that can be allocated from it."""
        return self.frames - self.reserved


class FrameAllocator:
    """Hands out the frames of one node.  All state is in simulated memory; this object only knows
    where.

    directory: physical address of the node's DIRECTORY, from which everything else can be found.
    on_pressure: called after an allocation that left more than `pressure_limit` frames in use.
    commitment: what is promised of the frames.
    """

    def __init__(
        self, memory: KernelMemory, ranges: Sequence[tuple[int, int]], block_bytes: int, node: int
    ) -> None:
        """Lay out the metadata of `ranges` ([start, end) in bytes, preferred ones first).  Nothing
        is charged: this is boot.

        Raises InputError when a range is empty, unaligned, overlaps the one before, or is too small
        to hold its own metadata.
        """
        self._memory = memory
        self._block_bytes = block_bytes
        self._check(ranges)
        self.pressure_limit = NEVER
        self.on_pressure: Callable[[], object] = lambda: None
        with memory.uncharged():
            self.directory = self._settle(ranges, node)
        self.lock = Spinlock(
            memory, self.directory + DIRECTORY.offset("lock"), node, "frame allocator lock"
        )
        total = self.total
        self.commitment = Commitment(memory, self.directory, [self.directory], total, total // KEPT)

    def _settle(self, ranges: Sequence[tuple[int, int]], node: int) -> int:
        """Write the metadata; the address of the DIRECTORY."""
        blocks = self._blocks_of(ranges)
        self._know(blocks)
        self._table_end = blocks[-1].row + BLOCK.size
        self._format(blocks, node)
        return ranges[0][0]

    def _check(self, ranges: Sequence[tuple[int, int]]) -> None:
        if not ranges:
            raise InputError(
                "physical map: the node has no memory of its own; give it a local range"
            )
        if self._block_bytes % PAGE_BYTES or self._block_bytes <= 0:
            raise InputError(
                f"memory.block: {self._block_bytes} is not a multiple of {PAGE_BYTES}; try 128MiB"
            )
        last = 0
        for start, end in sorted(ranges):
            if (
                start % PAGE_BYTES
                or end % PAGE_BYTES
                or not last <= start < end <= self._memory.size
            ):
                raise InputError(
                    f"physical map: local range {start:#x}..{end:#x} must be page aligned, "
                    f"not empty, behind {last:#x} and inside the {self._memory.size:#x} bytes of "
                    "physical memory"
                )
            last = end

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The part of each block that lies in [start, end)."""
        at = start
        while at < end:
            stop = min(end, align_down(at, self._block_bytes) + self._block_bytes)
            yield at, stop
            at = stop

    def _blocks_of(self, ranges: Sequence[tuple[int, int]]) -> list[Block]:
        """The blocks of a node with these ranges, in the order of its block table."""
        pieces = [piece for start, end in ranges for piece in self._pieces(start, end)]
        directory = ranges[0][0]
        header_bytes = align_up(DIRECTORY.size + len(pieces) * BLOCK.size, PAGE_BYTES)
        found = []
        for index, (start, end) in enumerate(pieces):
            bitmap = start + (header_bytes if index == 0 else 0)
            frames = end - start >> PAGE_SHIFT
            rows = bitmap + align_up(align_up(frames, BITS) // 8, BLOCK.size)
            reserved = align_up(rows + frames * FRAME.size, PAGE_BYTES) - start >> PAGE_SHIFT
            row = directory + DIRECTORY.size + index * BLOCK.size
            found.append(Block(start, end, row, bitmap, rows, reserved))
        return found

    def _know(self, blocks: Sequence[Block]) -> None:
        """Find frames in these blocks from now on."""
        by_base = sorted(blocks)
        self._bases = [block.start for block in by_base]
        self._ends_and_rows = [(block.end, block.row) for block in by_base]

    def _format(self, blocks: list[Block], node: int) -> None:
        memory = self._memory
        for block in blocks:
            if block.capacity <= 0:
                raise InputError(
                    f"physical map: block {block.start:#x}..{block.end:#x} has {block.frames} "
                    f"frames and needs {block.reserved} for its own metadata; make the range larger"
                )
        directory = blocks[0].start
        memory.zero(directory, blocks[0].bitmap - directory)
        for block in blocks:
            values = {
                "base": block.start,
                "frames": block.frames,
                "owner": node,
                "state": ONLINE,
                "bitmap": block.bitmap,
                "rows": block.rows,
            }
            for name, value in values.items():
                item = BLOCK.by_name[name]
                memory.poke(block.row + item.offset, value, item.size)
            self._empty(block)
        self._write_directory(directory, blocks, node)

    def _write_directory(self, directory: int, blocks: Sequence[Block], node: int) -> None:
        header = {
            "magic": DIRECTORY_MAGIC,
            "node": node,
            "block_count": len(blocks),
            "block_bytes": self._block_bytes,
            "block_table": blocks[0].row,
            "block_first": blocks[0].row,
            "frames_total": sum(block.capacity for block in blocks),
        }
        for name, value in header.items():
            item = DIRECTORY.by_name[name]
            self._memory.poke(directory + item.offset, value, item.size)

    def _empty(self, block: Block) -> None:
        """Write a block's metadata as when nothing but metadata is in use."""
        memory = self._memory
        bits = align_up(block.frames, BITS)
        memory.zero(block.bitmap, bits // 8)
        self._mark_used(block.bitmap, 0, block.reserved)
        self._mark_used(block.bitmap, block.frames, bits)
        for frame in range(block.reserved):
            memory.store(block.rows + frame * FRAME.size, FrameUse.METADATA)
        memory.store(block.row + FREE, block.capacity)
        memory.store(block.row + HINT, block.reserved // BITS)

    def _mark_used(self, bitmap: int, first: int, end: int) -> None:
        memory = self._memory
        while first < end:
            stop = min(end, align_down(first, BITS) + BITS)
            word = bitmap + first // BITS * 8
            memory.store(word, memory.load(word) | (1 << stop - first) - 1 << first % BITS)
            first = stop

    # --- allocation ---

    def allocate(
        self, zero: bool = True, use: int = FrameUse.KERNEL, user: int = 0, virtual: int = 0
    ) -> int:
        """Physical address of a frame, cleared unless told otherwise.

        user, virtual: the ADDRESS_SPACE and address that will map it (see layout.FRAME).
        Raises KernelError(ENOMEM) when no online block has a free frame, and to kernel structures
        when all that is free is promised.
        """
        self._memory.charge("frame_allocate")
        if use == FrameUse.KERNEL:
            self.commitment.check(1, urgent=True)
        frame = self._find(use, user, virtual)
        if use != FrameUse.PAGE:
            self.commitment.count_kernel(1)
        if zero:
            self._memory.charge("zero_line", PAGE_BYTES // 64)
            self._memory.zero(frame, PAGE_BYTES)
        return frame

    def _find(self, use: int, user: int, virtual: int) -> int:
        """A free frame, now in use.  KernelError(ENOMEM)."""
        with self.lock:
            row = self._first_row(use)
            frame, used = self._take(row, use, user, virtual, self.directory)
        if used > self.pressure_limit:
            self.on_pressure()
        return frame

    def _take(self, row: int, use: int, user: int, virtual: int, directory: int) -> tuple[int, int]:
        """A free frame of the block at `row`, and the frames that are in use then of the node with
        this DIRECTORY, whose block it is.
        """
        load, store = self._memory.load, self._memory.store
        bitmap = load(row + BITMAP)
        index = self._first_word(row, bitmap)
        if use == FrameUse.PAGE:
            index, word, wanted = self._coloured(row, bitmap, index, virtual)
        else:
            word = load(bitmap + index * 8)
            wanted = ~word & FULL
        bit = (wanted & -wanted).bit_length() - 1
        store(bitmap + index * 8, word | 1 << bit)
        store(row + FREE, load(row + FREE) - 1)
        used = load(directory + FRAMES_USED) + 1
        store(directory + FRAMES_USED, used)
        number = index * BITS + bit
        entry = load(row + ROWS) + number * FRAME.size
        store(entry, user | use)
        store(entry + 8, virtual)
        return load(row + BASE) + (number << PAGE_SHIFT), used

    def _first_word(self, row: int, bitmap: int) -> int:
        """Index of the lowest bitmap word with a free frame; moves the block's hint to it."""
        hint = index = self._memory.load(row + HINT)
        while self._memory.load(bitmap + index * 8) == FULL:
            index += 1
        if index != hint:
            self._memory.store(row + HINT, index)
        return index

    def _coloured(self, row: int, bitmap: int, first: int, virtual: int) -> tuple[int, int, int]:
        """(index, bitmap word, frames of it to choose from) for a page at `virtual`, from word
        `first` on.

        The frame has the page's colour if one is near, else it is the lowest free one.
        """
        load = self._memory.load
        colour = (virtual - load(row + BASE) >> PAGE_SHIFT) % COLOURS
        words = align_up(load(row + FRAMES), BITS) // BITS
        for index in range(first, min(first + COLOUR_WORDS_MAX, words)):
            word = load(bitmap + index * 8)
            if wanted := ~word & COLOUR_MASK << colour:
                return index, word, wanted
        word = load(bitmap + first * 8)
        return first, word, ~word & FULL

    def _first_row(self, _use: int) -> int:
        """The lowest BLOCK row that may allocate and has a free frame; moves the directory's hint
        to it.
        """
        load = self._memory.load
        first = row = load(self.directory + BLOCK_FIRST)
        while row < self._table_end:
            if load(row + FREE) and load(row + STATE, 4) == ONLINE:
                if row != first:
                    self._memory.store(self.directory + BLOCK_FIRST, row)
                return row
            row += BLOCK.size
        raise KernelError(Errno.ENOMEM, "no online block has a free frame")

    def free(self, address: int) -> None:
        """Give a frame back.  InvariantError when it is not ours or not in use."""
        self._memory.charge("frame_free")
        self._release(address, *self._place(address))

    def _release(self, address: int, row: int, number: int) -> None:
        """Free frame `number` of the block at `row`."""
        load, store = self._memory.load, self._memory.store
        index, bit = divmod(number, BITS)
        with self.lock:
            word_at = load(row + BITMAP) + index * 8
            word = load(word_at)
            if not word >> bit & 1:
                raise InvariantError(f"frame {address:#x} was freed twice")
            store(word_at, word & ~(1 << bit))
            entry = load(row + ROWS) + number * FRAME.size
            self._uncount(load(entry))
            store(entry, FrameUse.NONE)
            store(row + FREE, load(row + FREE) + 1)
            if index < load(row + HINT):
                store(row + HINT, index)
            store(self.directory + FRAMES_USED, load(self.directory + FRAMES_USED) - 1)
            self._has_free(row)

    def _uncount(self, user: int) -> None:
        """A frame that was used as its FRAME row says is free now."""
        if user & USE_MASK in (FrameUse.KERNEL, FrameUse.TABLE):
            self.commitment.count_kernel(-1)

    def _has_free(self, row: int) -> None:
        """Move the directory's hint back if the block, which has a free frame, lies before it."""
        if row < self._memory.load(self.directory + BLOCK_FIRST):
            self._memory.store(self.directory + BLOCK_FIRST, row)

    def _place(self, address: int) -> tuple[int, int]:
        """(BLOCK row, frame number in the block) of a frame."""
        index = bisect_right(self._bases, address) - 1
        end, row = self._ends_and_rows[index]
        if index < 0 or address >= end or address % PAGE_BYTES:
            raise InvariantError(f"{address:#x} is not a frame of this node's allocator")
        return row, address - self._memory.load(row + BASE) >> PAGE_SHIFT

    def set_user(self, address: int, use: int, user: int, virtual: int) -> None:
        """Record that a frame changed its place (mremap): see layout.FRAME."""
        row, number = self._place(address)
        entry = self._memory.load(row + ROWS) + number * FRAME.size
        self._memory.store(entry, user | use)
        self._memory.store(entry + 8, virtual)

    # --- looking, without charge ---

    @property
    def used(self) -> int:
        """Frames allocated now (metadata not counted)."""
        return self._memory.peek(self.directory + FRAMES_USED)

    @property
    def total(self) -> int:
        """Frames there are to allocate (metadata not counted)."""
        return self._memory.peek(self.directory + FRAMES_TOTAL)

    def user_of(self, address: int) -> tuple[FrameUse, int, int]:
        """(use, ADDRESS_SPACE, virtual address) of a frame."""
        with self._memory.uncharged():
            row, number = self._place(address)
        entry = self._memory.peek(row + ROWS) + number * FRAME.size
        word = self._memory.peek(entry)
        return FrameUse(word & USE_MASK), word & ~USE_MASK, self._memory.peek(entry + 8)

    def in_use(self) -> Iterator[int]:
        """Every frame in use, metadata included, ascending: what a digest of the machine covers."""
        memory = self._memory
        for row in self._own_rows():
            bitmap = memory.peek(row + BITMAP)
            frames = memory.peek(row + FRAMES)
            words = memory.words[bitmap >> 3 : (bitmap >> 3) + align_up(frames, BITS) // BITS]
            bits = np.unpackbits(
                np.frombuffer(words.tobytes(), np.uint8), bitorder="little", count=frames
            )
            base = memory.peek(row + BASE)
            for number in np.flatnonzero(bits).tolist():
                yield base + (number << PAGE_SHIFT)

    def _own_rows(self) -> list[int]:
        """BLOCK rows of this node's blocks, ascending by their memory."""
        return [row for _, row in self._ends_and_rows]
