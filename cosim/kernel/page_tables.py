"""One address space's page tables, in the format of an ISA, in simulated physical memory.

The kernel reads and writes entries through KernelMemory, so its walks are charged and coherent.
`find` is the walk that hardware would make: it leaves no trace.  Only 4 KiB pages are made.  A page
without any right keeps its frame in an entry that no hardware takes for valid (layout.HELD_FRAME).

Encoding and decoding go through the ISA's PagingFormat once per combination of rights; the frame
bits are then moved by mask and shift, because a page fault cannot afford to assemble fields one by
one.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cosim.errors import InvariantError
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import HELD_FRAME, FrameUse
from cosim.kernel.memory import KernelMemory
from cosim.paging import EntryForm, EntryKind, PagingFormat, Protection
from cosim.units import PAGE_SHIFT

HELD_ADDRESS_MASK = 0x000F_FFFF_FFFF_F000
ALL_RIGHTS = 7


class Mapping(NamedTuple):
    """What the tables say of one page.  protection: Protection bits, 0 for a held frame."""

    physical: int
    protection: int


class _Codec:
    """Entries of one level: `encode[protection]` without frame, and how a frame gets in and out."""

    def __init__(self, paging: PagingFormat, level: int, form: EntryForm, rights: range) -> None:
        field, low = form.frame[0]
        self._paging = paging
        self._level = level
        self.mask = form.layout.by_name[field].mask
        self.shift = low - form.layout.by_name[field].low
        self._plain = {p: form.encode(0, Protection(p)) for p in rights}
        self._known: dict[int, tuple[EntryKind, int, int]] = {}

    def encode(self, physical: int, protection: int = ALL_RIGHTS) -> int:
        return self._plain[protection] | physical >> self.shift

    def decode(self, entry: int) -> tuple[EntryKind, int, int]:
        """(kind, physical, protection).  Entries that differ in the frame only are looked at
        once.
        """
        key = entry & ~self.mask
        known = self._known.get(key)
        if known is None:
            kind, physical, rights = self._paging.decode(self._level, key)
            known = self._known[key] = (kind, physical, int(rights))
        kind, rest, protection = known
        return kind, (entry & self.mask) << self.shift | rest, protection


class PageTable:
    """The tables below one root.

    root: physical address of the top table.  leaf_bytes: what one last-level table serves.  owner:
    physical address of the ADDRESS_SPACE, for the frames' rows. Raises KernelError(ENOMEM) from
    everything that may need a new table.
    """

    def __init__(
        self,
        memory: KernelMemory,
        frames: FrameAllocator,
        paging: PagingFormat,
        owner: int = 0,
        root: int = 0,
    ) -> None:
        """Make an empty table, or look at the one at `root` that another kernel made."""
        self._memory = memory
        self._frames = frames
        self.owner = owner
        self.paging = paging
        levels = paging.levels
        self._upper = []
        for number, level in enumerate(levels[:-1]):
            assert level.table is not None
            codec = _Codec(paging, number, level.table, range(ALL_RIGHTS, ALL_RIGHTS + 1))
            self._upper.append((level.shift, level.entries - 1, codec))
        page = levels[-1].page
        assert page is not None
        assert levels[-1].shift == PAGE_SHIFT
        self._leaf_mask = levels[-1].entries - 1
        self._leaf = _Codec(paging, len(levels) - 1, page, range(ALL_RIGHTS + 1))
        self.leaf_bytes = 1 << levels[-2].shift
        self.root = root or frames.allocate(use=FrameUse.TABLE, user=owner)

    # --- entries ---

    def _encode(self, physical: int, protection: int) -> int:
        """Rights beyond nothing always include reading: no ISA here can store or execute
        without.
        """
        if protection == 0:
            return physical | HELD_FRAME
        return self._leaf.encode(physical, protection | 1)

    def _decode(self, entry: int) -> Mapping | None:
        kind, physical, protection = self._leaf.decode(entry)
        if kind is EntryKind.PAGE:
            return Mapping(physical, protection)
        if entry & HELD_FRAME and not entry & 1:
            return Mapping(entry & HELD_ADDRESS_MASK, 0)
        return None

    def slot(self, virtual: int, *, create: bool) -> int:
        """Physical address of the last-level entry for `virtual`; 0 when its table is missing and
        not to be made.
        """
        memory = self._memory
        memory.charge("table_step", len(self._upper))
        table = self.root
        for shift, mask, codec in self._upper:
            at = table + (virtual >> shift & mask) * 8
            entry = memory.load(at)
            if entry:
                kind, table, _ = codec.decode(entry)
                if kind is not EntryKind.TABLE:
                    raise InvariantError(
                        f"page table: entry {entry:#x} at {at:#x} for {virtual:#x} points at "
                        "no table"
                    )
                continue
            if not create:
                return 0
            first = virtual >> shift << shift
            table = self._frames.allocate(use=FrameUse.TABLE, user=self.owner, virtual=first)
            memory.charge("table_edit")
            memory.store(at, codec.encode(table))
        return table + (virtual >> PAGE_SHIFT & self._leaf_mask) * 8

    def read_slot(self, slot: int) -> Mapping | None:
        """What the entry at physical address `slot` says."""
        return self._decode(self._memory.load(slot))

    def write_slot(self, slot: int, physical: int, protection: int) -> None:
        """Make the entry at `slot` map the frame with these rights."""
        self._memory.charge("table_edit")
        self._memory.store(slot, self._encode(physical, protection))

    # --- pages ---

    def map(self, virtual: int, physical: int, protection: int) -> None:
        """Map one page; replaces what was there."""
        self.write_slot(self.slot(virtual, create=True), physical, protection)

    def unmap(self, virtual: int) -> int | None:
        """Forget one page; the frame it had, or None."""
        slot = self.slot(virtual, create=False)
        entry = self._memory.load(slot) if slot else 0
        found = self._decode(entry)
        if found is None:
            return None
        self._memory.charge("table_edit")
        self._memory.store(slot, 0)
        return found.physical

    def protect(self, virtual: int, protection: int) -> bool:
        """Change the rights of one page; False when nothing is mapped there."""
        slot = self.slot(virtual, create=False)
        found = self.read_slot(slot) if slot else None
        if found is None:
            return False
        self.write_slot(slot, found.physical, protection)
        return True

    def lookup(self, virtual: int) -> Mapping | None:
        """The frame and rights of a page, by a charged walk."""
        slot = self.slot(virtual, create=False)
        return self.read_slot(slot) if slot else None

    def find(self, virtual: int) -> Mapping | None:
        """The frame and rights of a page as hardware finds them: no charge, no record."""
        words = self._memory.words
        table = self.root
        for shift, mask, codec in self._upper:
            entry = words[(table >> 3) + (virtual >> shift & mask)]
            if not entry:
                return None
            table = codec.decode(entry)[1]
        return self._decode(words[(table >> 3) + (virtual >> PAGE_SHIFT & self._leaf_mask)])

    def pages(self, start: int, end: int) -> Iterator[tuple[int, int, Mapping]]:
        """(virtual, slot, mapping) of everything mapped in [start, end), ascending; missing tables
        are skipped whole.

        The entries of one table are read before its first page is given out, so the caller may
        change them.
        """
        for first, table, low, high in self._tables(0, self.root, 0, start, end):
            entries = self._memory.load_words(table + low * 8, high - low)
            for index, entry in enumerate(entries, low):
                if entry:
                    found = self._decode(entry)
                    if found is not None:
                        yield first + (index << PAGE_SHIFT), table + index * 8, found

    def _tables(
        self, level: int, table: int, first: int, start: int, end: int
    ) -> Iterator[tuple[int, int, int, int]]:
        """(first virtual address, table, low entry, entry behind high) of the last-level tables in
        [start, end).
        """
        if level == len(self._upper):
            low = max(start - first, 0) >> PAGE_SHIFT
            high = min(end - first - 1 >> PAGE_SHIFT, self._leaf_mask) + 1
            yield first, table, low, high
            return
        for _, virtual, child in self._below(level, table, first, start, end):
            yield from self._tables(level + 1, child, virtual, start, end)

    def _below(
        self, level: int, table: int, first: int, start: int, end: int
    ) -> list[tuple[int, int, int]]:
        """(entry address, first virtual address, child table) of the present entries of an upper
        table.
        """
        shift, mask, codec = self._upper[level]
        low = max(start - first, 0) >> shift
        high = min(end - first - 1 >> shift, mask) + 1
        self._memory.charge("table_step", high - low)
        entries = self._memory.load_words(table + low * 8, high - low)
        return [
            (table + index * 8, first + (index << shift), codec.decode(entry)[1])
            for index, entry in enumerate(entries, low)
            if entry
        ]

    def clear(self, slot: int) -> None:
        """Make the entry at `slot` empty."""
        self._memory.charge("table_edit")
        self._memory.store(slot, 0)

    # --- tables ---

    def trim(self, floor: int, ceiling: int) -> None:
        """Free every table that serves only addresses in [floor, ceiling), where nothing may be
        mapped any more.
        """
        self._trim(0, self.root, 0, floor, ceiling)

    def _trim(self, level: int, table: int, first: int, floor: int, ceiling: int) -> None:
        shift = self._upper[level][0]
        for at, virtual, child in self._below(level, table, first, floor, ceiling):
            if level + 1 < len(self._upper):
                self._trim(level + 1, child, virtual, floor, ceiling)
            if virtual >= floor and virtual + (1 << shift) <= ceiling:
                self._memory.store(at, 0)
                self._frames.free(child)

    def destroy(self) -> None:
        """Free all tables.  The pages must be gone already; the table cannot be used afterwards."""
        shift, mask, _ = self._upper[0]
        self.trim(0, mask + 1 << shift)
        self._frames.free(self.root)
