"""Which nodes have a page: one word a page, in simulated memory.

The home's words are the directory; another kernel's say what it has itself.  The words stand in
tables like page tables (9 bits of the address a level), as Popcorn keeps them in a radix tree of
pages.

```text
 home    bits 15:0  nodes that have the page; 0: it was never given away, so only the home has it
 others  bit 0      this kernel has it, bit 1: and nobody else, so it may write
```
"""

from collections.abc import Iterator

from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import FrameUse
from cosim.kernel.memory import KernelMemory
from cosim.units import PAGE_BYTES, PAGE_SHIFT

HAS, ALONE = 1, 2  # bits of a word that is not the home's
SHIFTS = (39, 30, 21)  # of the upper levels; the last one has a word for each of 512 pages
INDEX_MASK = 511
LEAF_BYTES = 1 << SHIFTS[-1]


class Ownership:
    """The words of one address space on one kernel.

    root_at: physical address of the pointer to the top table, 0 there while no word was written.
    Writing raises KernelError(ENOMEM) when a table is needed and no frame is left.
    """

    def __init__(self, memory: KernelMemory, frames: FrameAllocator, root_at: int) -> None:
        self._memory = memory
        self._frames = frames
        self._root_at = root_at

    def _leaf(self, page: int, *, create: bool) -> int:
        """The last table on the way to a page; 0 when it is missing and not to be made."""
        memory = self._memory
        memory.charge("table_step", len(SHIFTS))
        at = self._root_at
        for shift in (*SHIFTS, 0):
            table = memory.load(at)
            if not table:
                if not create:
                    return 0
                table = self._frames.allocate(use=FrameUse.KERNEL)
                memory.store(at, table)
            if not shift:
                break
            at = table + (page >> shift & INDEX_MASK) * 8
        return table

    def read(self, page: int) -> int:
        """The word of a page, 0 when it has none."""
        leaf = self._leaf(page, create=False)
        return self._memory.load(leaf + (page >> PAGE_SHIFT & INDEX_MASK) * 8) if leaf else 0

    def write(self, page: int, word: int) -> None:
        """Change it."""
        leaf = self._leaf(page, create=True)
        self._memory.store(leaf + (page >> PAGE_SHIFT & INDEX_MASK) * 8, word)

    def pages(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(page, word) of every word in [start, end) that is not 0, ascending."""
        for first, leaf in self._leaves(start, end):
            low = max(start - first, 0) >> PAGE_SHIFT
            high = min(end - first, LEAF_BYTES) >> PAGE_SHIFT
            words = self._memory.load_words(leaf + low * 8, high - low)
            for index, word in enumerate(words, low):
                if word:
                    yield first + index * PAGE_BYTES, word

    def clear(self, start: int, end: int) -> None:
        """Forget the words of [start, end)."""
        for page, _ in tuple(self.pages(start, end)):
            self.write(page, 0)

    def _leaves(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(first address, table) of the last tables that serve [start, end)."""
        root = self._memory.load(self._root_at)
        tables = [(0, root)] if root else []
        for shift in SHIFTS:
            tables = [
                (first + (index << shift), child)
                for first, table in tables
                for index, child in self._children(table, first, shift, start, end)
            ]
        yield from tables

    def _children(
        self, table: int, first: int, shift: int, start: int, end: int
    ) -> list[tuple[int, int]]:
        low = max(start - first, 0) >> shift
        high = min((end - first - 1 >> shift) + 1, INDEX_MASK + 1)
        if low >= high:
            return []
        self._memory.charge("table_step", high - low)
        words = self._memory.load_words(table + low * 8, high - low)
        return [(index, child) for index, child in enumerate(words, low) if child]

    def destroy(self) -> None:
        """Give all tables back."""
        root = self._memory.load(self._root_at)
        if root:
            self._free(root, 0)
            self._memory.store(self._root_at, 0)

    def _free(self, table: int, level: int) -> None:
        if level < len(SHIFTS):
            for child in self._memory.load_words(table, INDEX_MASK + 1):
                if child:
                    self._free(child, level + 1)
        self._frames.free(table)
