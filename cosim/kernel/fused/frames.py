"""Frames that several kernels hand out: who owns a block, and how a frame finds its owner again.

The block tables of all nodes together describe the machine's memory.  A block's BLOCK row stays in
the table of the node that booted with it; `owner` and `state`, one word, say who may use the block:

```text
 owner     state      the frames are
 a node    ONLINE     allocated and freed by that kernel; by others only one by one (below)
 a node    EVICTING   moved out by that kernel
 a node    OFFLINE    that kernel's, but not in use
 NOBODY    OFFLINE    for whoever swaps its own number in first
```
A kernel that drops the last mapping of another's frame puts it on the owner's list of returned
frames; the owner takes the list in when it is told, or when it runs short:

```text
 owner's DIRECTORY: returned ─▶ frame: | next | ... | ─▶ frame: | 0 | ... |
```
A kernel that finds no frame and gets no block borrows single frames: one from another's list of
returned frames, or one from its blocks, under its allocator's lock.  They are given back like any
other.  So every free frame of the machine can be had by every kernel, which is what commitment
(cosim.kernel.commitment) counts on.

A node that joins a machine which runs boots in a block that another kernel gave up.  Its DIRECTORY
is the first frame there, since the block's row stays where it is.

Pages can be moved and kernel structures cannot.  So that blocks can be emptied, structures go to
the home block, which holds the DIRECTORY and never changes hands, and pages to the blocks behind.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cosim.errors import InvariantError
from cosim.kernel.commitment import COMMITTED, KERNEL_FRAMES, SIGN, Commitment
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.frames import (
    BITS,
    BLOCK_FIRST,
    FRAMES_TOTAL,
    FRAMES_USED,
    FREE,
    NEVER,
    ROWS,
    STATE,
    Block,
    FrameAllocator,
)
from cosim.kernel.layout import BLOCK, DIRECTORY, FRAME, USE_MASK, BlockState, FrameUse
from cosim.kernel.memory import KernelMemory
from cosim.kernel.spinlock import Spinlock
from cosim.units import PAGE_BYTES, PAGE_SHIFT, align_up

LOCK, BLOCK_TABLE = DIRECTORY.offset("lock"), DIRECTORY.offset("block_table")
RETURNED, RETURNED_LOCK = DIRECTORY.offset("returned"), DIRECTORY.offset("returned_lock")
OWNER = BLOCK.offset("owner")  # with the state behind it one word: see owned
NOBODY = 0xFFFF_FFFF
# One frame in so many of the home block is kept from pages while other blocks have room; and so
# many of all home blocks are promised to no program.
HOME_RESERVE = 16


def owned(node: int, state: int) -> int:
    """Owner and state of a BLOCK row as one word."""
    return node | state << 32


def joined(machine: Sequence[Sequence[tuple[int, int]]], index: int) -> bool:
    """Did the node join a machine that ran: is its memory a block of another's?"""
    start = machine[index][0][0]
    return any(low <= start < high for found in machine[:index] for low, high in found)


def directory_in(home: Block) -> int:
    """The DIRECTORY of a node that booted in a given block: its first frame."""
    return home.start + home.reserved * PAGE_BYTES


class FusedFrames(FrameAllocator):
    """See FrameAllocator, and the module.

    blocks: of the whole machine by BLOCK row, this node's first.  directories: of every node there
    ever was.  returned: frames given back to other kernels; borrowed: taken from them.
    on_foreign(node): the first frame was put on that node's empty list.  lenders(use): nodes to
    borrow a frame from now, best first.  on_freed: called after `frees_to_look` frees.  relieve:
    called when no frame is left; true when there is one again.
    """

    def __init__(
        self,
        memory: KernelMemory,
        ranges: Sequence[tuple[int, int]],
        block_bytes: int,
        node: int,
        machine: Sequence[Sequence[tuple[int, int]]],
    ) -> None:
        """machine: the boot ranges of every node, in machine order; a node's DIRECTORY is first."""
        self._node = node
        self._usable = owned(node, BlockState.ONLINE)
        self._machine = machine
        self.directories: list[int] = []
        self._returned_locks: list[Spinlock] = []
        self._locks: list[Spinlock] = []
        super().__init__(memory, ranges, block_bytes, node)
        self._own = [block.row for block in self._blocks_of(ranges) if block.row in self.blocks]
        self._own = self._own or [self.home]
        self._near = {row for row in self._own[1:] if self.blocks[row].start < ranges[0][1]}
        self._reserve = self.blocks[self.home].capacity // HOME_RESERVE
        self.returned = self.borrowed = 0
        self.commitment = Commitment(memory, self.directory, [], self.attainable, 0)
        self.reshape(machine, range(len(machine)))
        self.frees_to_look = NEVER
        self.on_foreign: Callable[[int], object] = lambda _node: None
        self.on_freed: Callable[[], object] = lambda: None
        self.relieve: Callable[[], bool] = lambda: False
        self.lenders: Callable[[int], Iterable[int]] = lambda _use: ()
        with memory.uncharged():
            self._arrange(self._own)

    def _settle(self, ranges: Sequence[tuple[int, int]], node: int) -> int:
        """See FrameAllocator._settle."""
        machine = self._machine
        own = [] if joined(machine, node) else self._blocks_of(ranges)
        others = [
            self._blocks_of(machine[index])
            for index in range(len(machine))
            if index != node and not joined(machine, index)
        ]
        self.blocks = {b.row: b for b in [*own, *(block for found in others for block in found)]}
        if own:
            self.home = own[0].row
            self._format(own, node)
            self._know(list(self.blocks.values()))
            return own[0].start
        self._know(list(self.blocks.values()))
        home = self.block_at(ranges[0][0])
        self.home = home.row
        return self._found(home, node)

    def _found(self, home: Block, node: int) -> int:
        """Make a home of a block that was given up; its DIRECTORY."""
        memory = self._memory
        memory.zero(home.rows, home.frames * FRAME.size)
        self._empty(home)
        directory = directory_in(home)
        memory.zero(directory, PAGE_BYTES)
        self._write_directory(directory, [home], node)
        self._take(home.row, FrameUse.KERNEL, 0, 0, directory)
        memory.store(directory + KERNEL_FRAMES, 1)
        memory.store(home.row + OWNER, self._usable)
        return directory

    def reshape(self, machine: Sequence[Sequence[tuple[int, int]]], present: Sequence[int]) -> None:
        """The machine has these nodes: boot ranges of every node there ever was, and the indices of
        those that are there.
        """
        memory, node = self._memory, self._node
        homes = [
            self.block_at(found[0][0]) if joined(machine, index) else self._blocks_of(found)[0]
            for index, found in enumerate(machine)
        ]
        self.directories[:] = [
            directory_in(home) if joined(machine, index) else home.start
            for index, home in enumerate(homes)
        ]
        self._returned_locks = [
            Spinlock(memory, directory + RETURNED_LOCK, node, f"returned frames of node {index}")
            for index, directory in enumerate(self.directories)
        ]
        self._locks = [
            Spinlock(memory, directory + LOCK, node, f"frame allocator lock of node {index}")
            for index, directory in enumerate(self.directories)
        ]
        kept = sum(homes[index].capacity // HOME_RESERVE for index in present)
        self.commitment.share([self.directories[index] for index in present], kept)

    def _arrange(self, rows: Sequence[int]) -> None:
        """Allocate from these BLOCK rows: structures from the own table's rows in their order, then
        from gained ones; pages from those beside the home block first.
        """
        usable = set(rows)
        gained = sorted(usable.difference(self._own))
        self.online_rows = [row for row in self._own if row in usable] + gained
        near = [row for row in self.online_rows if row in self._near]
        far = [row for row in self.online_rows[1:] if row not in self._near]
        self._page_rows = [*near, self.home, *far]
        self._rank = {row: rank for rank, row in enumerate(self._page_rows)}
        self._memory.store(self.directory + BLOCK_FIRST, self._page_rows[0])

    # --- allocation ---

    def _find(self, use: int, user: int, virtual: int) -> int:
        """See FrameAllocator._find.  ENOMEM when there is nothing left that this kernel could have
        at once.
        """
        try:
            return super()._find(use, user, virtual)
        except KernelError:
            if self.drain_returned() or self.relieve():
                return super()._find(use, user, virtual)
            for node in self.lenders(use):
                frame = self._borrow(node, use, user, virtual)
                if frame is not None:
                    self.borrowed += 1
                    return frame
            raise

    def _borrow(self, node: int, use: int, user: int, virtual: int) -> int | None:
        """A frame of another kernel; None when it has none.  Structures from its home block if
        possible, pages from the others.
        """
        load, directory = self._memory.load, self.directories[node]
        with self._returned_locks[node]:
            frame = load(directory + RETURNED)
            if frame:
                self._memory.store(directory + RETURNED, load(frame))
        if frame:  # in use as far as its owner knows
            self.set_user(frame, use, user, virtual)
            return frame
        usable = owned(node, BlockState.ONLINE)
        home = self._memory.peek(directory + BLOCK_TABLE)  # never changes
        rows = [row for row in self.blocks if load(row + OWNER) == usable and load(row + FREE)]
        if not rows:
            return None
        wants_home = use != FrameUse.PAGE
        row = min(rows, key=lambda row: (row == home) != wants_home)
        with self._locks[node]:
            return self._take(row, use, user, virtual, directory)[0]

    def _first_row(self, use: int) -> int:
        """See FrameAllocator._first_row; the hint is for pages."""
        load = self._memory.load
        if use == FrameUse.PAGE:
            first = load(self.directory + BLOCK_FIRST)
            for rank in range(self._rank[first], len(self._page_rows)):
                row = self._page_rows[rank]
                keep = self._reserve if row == self.home else 0
                if load(row + FREE) > keep and load(row + OWNER) == self._usable:
                    if row != first:
                        self._memory.store(self.directory + BLOCK_FIRST, row)
                    return row
        for row in self.online_rows:
            if load(row + FREE) and load(row + OWNER) == self._usable:
                return row
        raise KernelError(Errno.ENOMEM, "no block of this kernel has a free frame")

    def _has_free(self, row: int) -> None:
        """See FrameAllocator._has_free."""
        first = self._memory.load(self.directory + BLOCK_FIRST)
        if self._rank.get(row, NEVER) < self._rank[first]:
            self._memory.store(self.directory + BLOCK_FIRST, row)

    # --- ownership of frames ---

    def owner_of(self, address: int) -> int:
        """Index of the node that may allocate and free the frame now."""
        return self._memory.load(self._place(address)[0] + OWNER, 4)

    def free(self, address: int) -> None:
        """Free a frame of this kernel, or give it back to its owner."""
        memory = self._memory
        memory.charge("frame_free")
        row, number = self._place(address)
        owner = memory.load(row + OWNER, 4)
        if owner != self._node:
            self._give_back(address, row, number, owner)
            return
        self._release(address, row, number)
        self.frees_to_look -= 1
        if not self.frees_to_look:
            self.on_freed()

    def _give_back(self, address: int, row: int, number: int, owner: int) -> None:
        """Put another kernel's frame on its list; a frame there has no user any more."""
        memory = self._memory
        if owner >= len(self.directories):
            raise InvariantError(f"frame {address:#x} was freed, and its block belongs to nobody")
        head = self.directories[owner] + RETURNED
        entry = memory.load(row + ROWS) + number * FRAME.size
        with self._returned_locks[owner]:
            user = memory.load(entry)
            if user & USE_MASK == FrameUse.NONE:
                raise InvariantError(f"frame {address:#x} of node {owner} was freed twice")
            self._uncount(user)
            memory.store(entry, FrameUse.NONE)
            first = memory.load(head)
            memory.store(address, first)
            memory.store(head, address)
        self.returned += 1
        if not first and memory.core is not None:
            self.on_foreign(owner)

    def drain_returned(self) -> int:
        """Free what other kernels gave back; how many frames."""
        memory, head = self._memory, self.directory + RETURNED
        with self._returned_locks[self._node]:
            frame = memory.load(head)
            memory.store(head, 0)
        count = 0
        while frame:
            following = memory.load(frame)
            self.free(frame)
            frame = following
            count += 1
        return count

    # --- ownership of blocks ---

    def block_at(self, address: int) -> Block:
        """The block that holds a frame, whoever owns it.  InvariantError when there is none."""
        return self.blocks[self._place(address)[0]]

    def occupancy(self, node: int) -> tuple[int, int]:
        """(frames in use, frames in online blocks) of a node, as its DIRECTORY says."""
        load, directory = self._memory.load, self.directories[node]
        return load(directory + FRAMES_USED), load(directory + FRAMES_TOTAL)

    def claim(self) -> Block | None:
        """Become the owner of an unassigned block, by compare-and-swap; it is still offline."""
        memory = self._memory
        free, taken = owned(NOBODY, BlockState.OFFLINE), owned(self._node, BlockState.OFFLINE)
        for row, block in self.blocks.items():
            if memory.load(row + OWNER) == free:
                memory.charge("lock_operation")
                if memory.compare_and_swap(row + OWNER, free, taken) == free:
                    return block
        return None

    def unassigned(self) -> Block | None:
        """The first block that is for whoever asks; without charge."""
        free = owned(NOBODY, BlockState.OFFLINE)
        found = (
            block for row, block in self.blocks.items() if self._memory.peek(row + OWNER) == free
        )
        return next(found, None)

    def online(self, block: Block) -> None:
        """Allocate from an own block that is offline, after its metadata is written anew."""
        memory = self._memory
        memory.charge("frame_online", block.frames)
        memory.zero(block.rows, block.frames * FRAME.size)
        self._empty(block)
        self._enter(block)

    def start_eviction(self, *blocks: Block) -> None:
        """No new frames from these online blocks; the home block is not among them."""
        self._memory.charge("frame_offline", sum(block.frames for block in blocks))
        gone = {block.row for block in blocks}
        with self.lock:
            for block in blocks:
                self._memory.store(block.row + STATE, BlockState.EVICTING, 4)
            self._count(-sum(block.capacity for block in blocks))
            self._arrange([row for row in self.online_rows if row not in gone])

    def stop_eviction(self, block: Block) -> None:
        """Some frames could not be moved: allocate from the block again."""
        self._enter(block)

    def offline(self, block: Block, owner: int) -> None:
        """Hand an evicted block, in which nothing is in use, to `owner`, or to NOBODY."""
        free = self._memory.load(block.row + FREE)
        if free != block.capacity:
            raise InvariantError(
                f"block at {block.start:#x}: {block.capacity - free} frames are still in use"
            )
        self._memory.store(block.row + OWNER, owned(owner, BlockState.OFFLINE))

    def bequeath(self) -> tuple[list[int], int, int]:
        """This node leaves: what others have in its blocks stays where it is, and is another's.

        The addresses of its blocks, frames that it promised, and frames for structures that are
        left.
        """
        self.drain_returned()
        committed, kernel_frames = (
            value - ((value & SIGN) << 1)
            for value in (
                self._memory.load(self.directory + field) for field in (COMMITTED, KERNEL_FRAMES)
            )
        )
        self.free(self.directory)
        blocks = [self.blocks[row].start for row in self.online_rows]
        return blocks, committed, kernel_frames - 1  # the DIRECTORY was one of them

    def inherit(self, block: Block) -> None:
        """Own a block of a node that left, with all that is in it."""
        memory = self._memory
        used = block.capacity - memory.load(block.row + FREE)
        at = self.directory + FRAMES_USED
        memory.store(at, memory.load(at) + used)
        self._enter(block)

    def _enter(self, block: Block) -> None:
        with self.lock:
            self._memory.store(block.row + OWNER, self._usable)
            self._count(block.capacity)
            self._arrange([*self.online_rows, block.row])

    def _count(self, frames: int) -> None:
        at = self.directory + FRAMES_TOTAL
        self._memory.store(at, self._memory.load(at) + frames)

    def contents(self, block: Block) -> list[tuple[int, int, int, int]]:
        """(address, use, ADDRESS_SPACE, virtual address) of the block's frames in use, metadata
        left out, ascending.
        """
        memory = self._memory
        words = memory.load_words(block.bitmap, align_up(block.frames, BITS) // BITS)
        bits = np.unpackbits(np.array(words, "<u8").view(np.uint8), bitorder="little")
        table = np.frombuffer(memory.read(block.rows, block.frames * FRAME.size), "<u8")
        numbers = np.flatnonzero(bits[: block.frames]).tolist()
        found = []
        for number in numbers[block.reserved :]:  # metadata comes first
            user, virtual = int(table[2 * number]), int(table[2 * number + 1])
            address = block.start + (number << PAGE_SHIFT)
            found.append((address, user & USE_MASK, user & ~USE_MASK, virtual))
        return found

    # --- looking, without charge ---

    @property
    def attainable(self) -> int:
        """Frames there could be at most: what the machine has (metadata not counted)."""
        return sum(block.capacity for block in self.blocks.values())

    def _own_rows(self) -> list[int]:
        """See FrameAllocator._own_rows."""
        usable = (self._usable, owned(self._node, BlockState.EVICTING))
        blocks = sorted(self.blocks.values())
        return [b.row for b in blocks if self._memory.peek(b.row + OWNER) in usable]
