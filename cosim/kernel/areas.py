"""How areas of an address space are cut, joined, moved and emptied, and where new ones find room.

The half of AddressSpace below its system calls.  Callers hold the address space lock.
"""

from abc import ABC, abstractmethod
from typing import Protocol, cast

from cosim.kernel.commitment import Account
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import ADDRESS_SPACE, AreaFlag, AreaKind, FrameUse
from cosim.kernel.mapping import (
    AREAS_MAX,
    MINIMUM,
    MMAP_BASE,
    PROT_WRITE,
    STACK_GUARD_BYTES,
    USER_END,
)
from cosim.kernel.memory import KernelMemory
from cosim.kernel.page_faults import page_rights
from cosim.kernel.page_tables import PageTable
from cosim.kernel.spinlock import Spinlock
from cosim.kernel.vma import Vma, VmaTree
from cosim.units import PAGE_BYTES, align_down, align_up

SEARCH_TOP = ADDRESS_SPACE.offset("search_top")
SEARCH_HOLE = ADDRESS_SPACE.offset("search_hole")


class FileSource(Protocol):
    """A file that can be mapped.

    writable: a shared mapping may be writable; then it is a WritableSource.
    """

    writable: bool

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer at the end of the file, none behind it."""


class WritableSource(FileSource, Protocol):
    """A file whose shared mappings are written back."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Replace bytes of the file; never called behind its end."""


class Areas(ABC):
    """The area half of an AddressSpace."""

    memory: KernelMemory
    frames: FrameAllocator
    page_table: PageTable
    tree: VmaTree
    account: Account
    address: int
    table_lock: Spinlock

    @abstractmethod
    def retain(self, area: Vma) -> None:
        """One more area uses this one's source."""

    @abstractmethod
    def release(self, area: Vma) -> None:
        """An area that used its source is gone."""

    @abstractmethod
    def translations_changed(self, pages: list[int]) -> None:
        """Translations of these pages were reduced or replaced; a page may be named repeatedly."""

    def tables(self) -> list[PageTable]:
        """The page tables of every kernel that has some for this address space, the own first."""
        return [self.page_table]

    @abstractmethod
    def source(self, number: int) -> FileSource:
        """The file behind an area."""

    def entry_rights(self, area: Vma, _page: int, *, changed: bool) -> int:
        """Rights that the entry of one page of `area` gets: see page_faults.page_rights."""
        return page_rights(area, changed=changed)

    # --- room ---

    def forget_search(self) -> None:
        """The next search for room starts at the top."""
        self.memory.store(self.address + SEARCH_TOP, MMAP_BASE)
        self.memory.store(self.address + SEARCH_HOLE, USER_END)

    def find_space(self, hint: int, length: int) -> int:
        """Where `length` bytes are free: at `hint` if possible, else as high as possible below
        MMAP_BASE.

        The search goes on where the last one ended, unless a hole it passed may be large enough.
        KernelError(ENOMEM) when there is no room.
        """
        if MINIMUM <= hint <= USER_END - length and not self.tree.overlapping(hint, hint + length):
            return hint
        limit = self.memory.load(self.address + SEARCH_TOP)
        largest = self.memory.load(self.address + SEARCH_HOLE)
        if length <= largest:
            limit, largest = MMAP_BASE, 0
        while limit - length >= MINIMUM:
            area = self.tree.before(limit)
            floor = max(area.end if area is not None else 0, MINIMUM)
            if limit - floor >= length:
                self.memory.store(self.address + SEARCH_TOP, limit - length)
                self.memory.store(self.address + SEARCH_HOLE, largest)
                return limit - length
            if area is None:
                break
            largest = max(largest, limit - floor)
            limit = area.start - (STACK_GUARD_BYTES if area.flags & AreaFlag.GROWS_DOWN else 0)
        raise KernelError(Errno.ENOMEM, f"no {length:#x} free bytes in the address space")

    # --- cutting and joining ---

    def add(self, area: Vma, *, replaced: int = 0, freed: int = 0) -> None:
        """Insert an area into free space, joined with equal neighbours.  KernelError(ENOMEM) with
        too many areas, or when its pages cannot be promised.

        replaced, freed: see Commitment.promise.
        """
        self.retain(area)
        try:
            self.account.add(area, replaced=replaced, freed=freed)
        except KernelError:
            self.release(area)
            raise
        below = self.tree.before(area.start)
        if below is not None and self._joins(below, area):
            below.end = area.end
            self.tree.update(below)
            self.release(area)
        else:
            try:
                self._check_count()
                self.tree.insert(area)
            except KernelError:
                self.account.remove(area)
                self.release(area)
                raise
        self.merge_around(area.end, area.end)

    def _check_count(self) -> None:
        if self.tree.count >= AREAS_MAX:
            raise KernelError(Errno.ENOMEM, f"more than {AREAS_MAX} areas")

    def _joins(self, lower: Vma, upper: Vma) -> bool:
        if lower.end != upper.start or not lower.same_but_place(upper):
            return False
        if lower.flags & AreaFlag.GROWS_DOWN:
            return False
        return not lower.source or lower.offset + lower.end - lower.start == upper.offset

    def merge_around(self, start: int, end: int) -> None:
        """Join what can be joined at the edges and inside of [start, end]."""
        lower = self.tree.before(start) or self.tree.at_or_after(start)
        while lower is not None and lower.end <= end:
            upper = self.tree.at_or_after(lower.end)
            if upper is not None and self._joins(lower, upper):
                top = upper.end
                self.tree.remove(upper)
                self.release(upper)
                lower.end = top
                self.tree.update(lower)
            else:
                lower = upper

    def cut(self, start: int, end: int) -> list[Vma]:
        """Areas that lie in [start, end), cut at its edges."""
        found = self.tree.overlapping(start, end)
        if found and found[0].start < start:
            found[0] = self._split(found[0], start)
        if found and found[-1].end > end:
            self._split(found[-1], end)
        return found

    def _split(self, area: Vma, address: int) -> Vma:
        """Cut one area; `area` keeps the lower part, the upper one is returned."""
        self._check_count()
        upper = self.tree.split(area, address)
        self.retain(upper)
        return upper

    def clear(self, start: int, end: int) -> None:
        """Unmap [start, end) and free the tables that only served it."""
        areas = self.cut(start, end)
        for area in areas:
            self.drop_pages(area, area.start, area.end)
            self.account.remove(area)
            self.tree.remove(area)
            self.release(area)
        if not areas:
            return
        if end >= self.memory.load(self.address + SEARCH_TOP):
            self.memory.store(self.address + SEARCH_HOLE, USER_END)
        below, above = self.tree.before(start), self.tree.at_or_after(end)
        reach = self.page_table.leaf_bytes
        floor = max(below.end if below is not None else 0, align_down(start, reach))
        ceiling = min(
            above.start if above is not None else align_up(USER_END, reach), align_up(end, reach)
        )
        if align_up(floor, reach) < ceiling:
            self.page_table.trim(floor, ceiling)

    # --- pages ---

    def drop_pages(self, area: Vma, start: int, end: int) -> None:
        """Take the pages of [start, end), all in `area`, out of the tables; free the frames that
        are ours.
        """
        if area.kind == AreaKind.SHARED_FILE:
            self.write_back(area, start, end)
        pages, physical = [], []
        with self.table_lock:
            for table in self.tables():
                for virtual, slot, found in table.pages(start, end):
                    table.clear(slot)
                    pages.append(virtual)
                    physical.append(found.physical)
        self.translations_changed(pages)
        self.account.drop(area, len(set(pages)))
        if area.kind != AreaKind.WINDOW:
            for frame in dict.fromkeys(physical):
                self.frames.free(frame)

    def change_protection(self, area: Vma, protection: int) -> None:
        """Give a whole area and its present pages other rights."""
        if area.kind == AreaKind.SHARED_FILE and not protection & PROT_WRITE:
            self.write_back(area, area.start, area.end)
        area.protection = protection
        self.tree.update(area)
        pages = []
        with self.table_lock:
            for table in self.tables():
                for virtual, slot, found in table.pages(area.start, area.end):
                    changed = bool(found.protection & PROT_WRITE)
                    rights = self.entry_rights(area, virtual, changed=changed)
                    table.write_slot(slot, found.physical, rights)
                    pages.append(virtual)
        self.translations_changed(pages)

    def write_back(self, area: Vma, start: int, end: int) -> None:
        """Write the changed pages of a shared file area to the file; they count as unchanged
        afterwards.
        """
        source = cast(WritableSource, self.source(area.source))
        pages = []
        with self.table_lock:
            changed = [
                (table, *row)
                for table in self.tables()
                for row in table.pages(start, end)
                if row[2].protection & PROT_WRITE
            ]
            for table, virtual, slot, found in changed:
                offset = area.offset + virtual - area.start
                length = len(source.read_at(offset, PAGE_BYTES))
                if length:
                    self.memory.charge("file_page")
                    source.write_at(offset, self.memory.read(found.physical, length))
                rights = self.entry_rights(area, virtual, changed=False)
                table.write_slot(slot, found.physical, rights)
                pages.append(virtual)
        self.translations_changed(pages)

    def move(self, start: int, end: int, target: int, length: int, freed: int = 0) -> int:
        """Move [start, end), part of one area, to `length` free bytes at `target`, which is
        returned.

        freed: see Commitment.promise.  A shorter length drops the rest.  Frames stay, only their
        entries move.  KernelError(ENOMEM) changes nothing that can be seen.
        """
        (area,) = self.cut(start, end)
        keep = min(end, start + length)
        table = self.page_table
        for virtual, _, _ in table.pages(start, keep):
            table.slot(target + virtual - start, create=True)
        moved = Vma(
            target,
            target + length,
            area.protection,
            area.flags,
            area.kind,
            area.offset,
            area.source,
        )
        self.add(moved, replaced=self.account.promised(area), freed=freed)
        pages = []
        with self.table_lock:
            for virtual, slot, found in table.pages(start, keep):
                place = target + virtual - start
                table.write_slot(table.slot(place, create=True), found.physical, found.protection)
                table.clear(slot)
                pages.append(virtual)
                if area.kind != AreaKind.WINDOW:
                    self.frames.set_user(found.physical, FrameUse.PAGE, self.address, place)
            for other in self.tables()[1:]:  # they find the page again in this kernel's table
                for _, slot, _ in other.pages(start, keep):
                    other.clear(slot)
        self.translations_changed(pages)
        self.clear(start, end)
        return target
