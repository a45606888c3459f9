"""How a block is emptied: every page in it moves to a frame elsewhere, its bytes included.

A frame's FRAME row leads to the ADDRESS_SPACE and the virtual address that use it; from there the
entries of every kernel's page tables are found, each in its own format, and changed together under
the space's page-table lock.

```text
 FRAME row ─▶ ADDRESS_SPACE ─▶ TABLE row of each node ─▶ entry ── was: old frame, is: new frame
```
Not movable are kernel structures and page tables, whose addresses are kept in too many places, and
pages with the word of a shared futex on which somebody sleeps: the sleeper is queued under its
physical address.
"""

from cosim.kernel.errno import KernelError
from cosim.kernel.frames import Block
from cosim.kernel.fused.frames import FusedFrames
from cosim.kernel.futex import ADDRESS, BUCKET, BUCKETS, FIRST, NEXT, SPACE, Key
from cosim.kernel.layout import ADDRESS_SPACE, FrameUse
from cosim.kernel.page_tables import PageTable
from cosim.kernel.spinlock import Spinlock
from cosim.units import LINE_BYTES, PAGE_BYTES, align_down

TABLE_LOCK = ADDRESS_SPACE.offset("table_lock")


class Evacuation:
    """Empties blocks of one kernel.  moved: pages moved so far."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        self._memory = kernel.memory
        self._frames: FusedFrames = kernel.frames
        self.moved = 0

    def empty(self, block: Block) -> bool:
        """Move everything out of a block that is being evicted.

        False when something stays: it cannot be moved, or the kernel's other blocks are full.  What
        was moved until then is as good where it is.
        """
        contents = self._frames.contents(block)
        if not self._movable(contents):
            return False
        moved: dict[int, list[int]] = {}
        try:
            for address, _, space, virtual in contents:
                if not self._move(address, space, virtual):
                    return False
                moved.setdefault(space, []).append(virtual)
        except KernelError:
            return False
        finally:
            for space, pages in moved.items():
                self._kernel.translations_moved(space, pages)
        return True

    def can_empty(self, block: Block) -> bool:
        """Is there nothing in the block that stays, wherever the rest may go?"""
        return self._movable(self._frames.contents(block))

    def _movable(self, contents: list[tuple[int, int, int, int]]) -> bool:
        fixed = self._waited_for() if contents else set()
        return not any(use != FrameUse.PAGE or address in fixed for address, use, _, _ in contents)

    def _move(self, address: int, space: int, virtual: int) -> bool:
        """Move one page; False when no table maps it.  KernelError(ENOMEM)."""
        memory, frames = self._memory, self._frames
        lock = Spinlock(memory, space + TABLE_LOCK, self._kernel.node_index, "page table lock")
        target = frames.allocate(zero=False, use=FrameUse.PAGE, user=space, virtual=virtual)
        with lock:
            entries = self._entries(address, space, virtual)
            if entries:
                memory.charge("copy_line", PAGE_BYTES // LINE_BYTES)
                memory.copy(target, address, PAGE_BYTES)
            for table, slot, protection in entries:
                table.write_slot(slot, target, protection)
        frames.free(address if entries else target)
        self.moved += bool(entries)
        return bool(entries)

    def _entries(self, address: int, space: int, virtual: int) -> list[tuple[PageTable, int, int]]:
        """(table, slot, rights) of every kernel's entry that maps `virtual` to this frame."""
        found = []
        for node in self._kernel.nodes():
            table = self._kernel.remote_cpu.table(space, node)
            slot = table.slot(virtual, create=False) if table is not None else 0
            entry = table.read_slot(slot) if slot else None
            if entry is not None and entry.physical == address:
                found.append((table, slot, entry.protection))
        return found

    def _waited_for(self) -> set[int]:
        """Frames with a shared futex on which a thread of any node sleeps."""
        memory = self._memory
        load = memory.load
        table = self._kernel.futexes.table_of(Key(0, 0))
        found = set()
        for bucket in range(table, table + BUCKETS * BUCKET.size, BUCKET.size):
            task = load(bucket + FIRST)
            while task:
                memory.charge("futex_waiter")
                if not load(task + SPACE):
                    found.add(align_down(load(task + ADDRESS), PAGE_BYTES))
                task = load(task + NEXT)
        return found
