"""One process's memory: areas, pages and tables, kept in simulated memory under an ADDRESS_SPACE
record.

Semantics are Linux' (man 2 mmap, munmap, mprotect, mremap, brk, madvise).  Everything is demand
paged.  Who frees a frame follows from the kind of its area: window frames belong to nobody, all
others to the address space.

Not modelled: fork and copy-on-write, huge pages, locking pages, coherence between two mappings of
one shared file.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from cosim.engine.interface import Access
from cosim.isa import Isa
from cosim.kernel import page_faults
from cosim.kernel.areas import Areas, FileSource
from cosim.kernel.commitment import Account
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import ADDRESS_SPACE, AREA, DIRECTORY, AreaFlag, AreaKind, FrameUse
from cosim.kernel.mapping import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_TYPE,
    MINIMUM,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_ALL,
    PROT_WRITE,
    SI_KERNEL,
    SIGKILL,
    USER_END,
    Signal,
)
from cosim.kernel.memory import KernelMemory
from cosim.kernel.page_tables import PageTable
from cosim.kernel.shared_window import SharedWindow, WindowSegment
from cosim.kernel.slab import Slab
from cosim.kernel.spinlock import Spinlock
from cosim.kernel.user_copies import UserCopies
from cosim.kernel.vma import Vma, VmaTree
from cosim.units import PAGE_BYTES, align_up

GENERATION = ADDRESS_SPACE.offset("generation")
OFFSET_MASK = PAGE_BYTES - 1
FLUSH_PAGES_MAX = (
    32  # beyond this, forgetting all translations is cheaper than page by page (as Linux on x86)
)


class MemoryServices(Protocol):
    """What an address space needs of its kernel."""

    memory: KernelMemory
    frames: FrameAllocator
    window: SharedWindow | None
    isa: Isa
    levels: int  # of page tables
    node_index: int


class AddressSpace(Areas, UserCopies):
    """The memory of one process on one kernel.

    address: physical address of the ADDRESS_SPACE record.  page_table: the tables in this kernel's
    ISA format. changed: called with (virtual page address, or None for everything) after
    translations that an engine may have cached were reduced or replaced.  Faults and copies charge
    all they do, page-fault entry included.
    """

    def __init__(self, kernel: MemoryServices) -> None:
        """Make an empty address space.  KernelError(ENOMEM) when the node has no frames left."""
        address = kernel.frames.allocate()
        try:
            self._use(kernel, address, attach=False)
        except KernelError:
            kernel.frames.free(address)
            raise
        self._slab.add(address + ADDRESS_SPACE.size, address + PAGE_BYTES)
        self._set("table_root", self.page_table.root)
        self._set("table_levels", kernel.levels)
        self._set("machine", kernel.isa.machine)
        self._set("node", kernel.node_index)
        self.forget_search()
        self._enter_list()

    def _use(self, kernel: MemoryServices, address: int, *, attach: bool) -> None:
        """Work on the record at `address`, with page tables of this kernel's own.

        attach: the record and its tree of areas are there already, another kernel made them.
        """
        self.memory = memory = kernel.memory
        self.frames = kernel.frames
        self.changed: list[Callable[[int | None], None]] = []
        self._window = kernel.window
        self._sources: dict[int, FileSource] = {}
        self._source_users: dict[int, int] = {}
        self._next_source = 1
        self.address = address
        paging = kernel.isa.paging.FORMATS[kernel.levels]
        self.page_table = PageTable(memory, self.frames, paging, address)
        slab = address + ADDRESS_SPACE.offset("slab")
        self._slab = Slab(memory, self.frames, slab, AREA.size, attach=attach)
        self.tree = VmaTree(memory, self._slab, address)
        commitment = self.frames.commitment
        self.account = Account(memory, commitment, address, self.tree, kernel.levels)
        node = kernel.node_index
        self.lock = Spinlock(
            memory, address + ADDRESS_SPACE.offset("lock"), node, "address space lock"
        )
        self.table_lock = Spinlock(
            memory, address + ADDRESS_SPACE.offset("table_lock"), node, "page table lock"
        )

    # --- the record ---

    def _get(self, name: str) -> int:
        item = ADDRESS_SPACE.by_name[name]
        return self.memory.load(self.address + item.offset, item.size)

    def _set(self, name: str, value: int) -> None:
        item = ADDRESS_SPACE.by_name[name]
        self.memory.store(self.address + item.offset, value, item.size)

    def _enter_list(self) -> None:
        """Become the first of the node's address spaces."""
        head = self.frames.directory + DIRECTORY.offset("spaces")
        first = self.memory.load(head)
        self._set("next", first)
        if first:
            self.memory.store(first + ADDRESS_SPACE.offset("previous"), self.address)
        self.memory.store(head, self.address)

    def _leave_list(self) -> None:
        following, previous = self._get("next"), self._get("previous")
        if following:
            self.memory.store(following + ADDRESS_SPACE.offset("previous"), previous)
        if previous:
            self.memory.store(previous + ADDRESS_SPACE.offset("next"), following)
        else:
            self.memory.store(self.frames.directory + DIRECTORY.offset("spaces"), following)

    # --- sources ---

    def source(self, number: int) -> FileSource:
        """The file behind FILE and SHARED_FILE areas."""
        return self._sources[number]

    def window_page(self, number: int, offset: int) -> int | None:
        """Physical page of a window segment; None behind its end."""
        assert self._window is not None
        return self._window.page(number, offset)

    def retain(self, area: Vma) -> None:
        """One more area uses this one's source."""
        if area.kind == AreaKind.WINDOW:
            assert self._window is not None
            self._window.acquire(area.source)
        elif area.source:
            self._source_users[area.source] = self._source_users.get(area.source, 0) + 1

    def release(self, area: Vma) -> None:
        """An area that used its source is gone."""
        if area.kind == AreaKind.WINDOW:
            assert self._window is not None
            self._window.release(area.source)
        elif area.source:
            self._source_users[area.source] -= 1
            if not self._source_users[area.source]:
                del self._source_users[area.source], self._sources[area.source]

    # --- system calls ---

    def map(
        self,
        address: int,
        length: int,
        protection: int,
        flags: int,
        source: FileSource | WindowSegment | None = None,
        offset: int = 0,
    ) -> int:
        """mmap: the address of a new mapping.  flags: MAP_* bits.  source: None exactly when
        MAP_ANONYMOUS is set.

        Raises KernelError: EINVAL, EACCES (shared, writable, and the file is not), EEXIST, EPERM,
        ENOMEM.
        """
        area, length = self._new_area(length, protection, flags, source, offset)
        fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
        freed = 0
        with self.lock:
            if fixed:
                self._check_fixed(address, length)
                if flags & MAP_FIXED_NOREPLACE:
                    if self.tree.overlapping(address, address + length):
                        raise KernelError(Errno.EEXIST, f"{address:#x} is mapped")
                else:
                    self.account.check(area, length, (address, address + length))
                    freed = self._clear_for(address, address + length)
                start = address
            else:
                self.account.check(area, length)
                start = self.find_space(address & ~OFFSET_MASK, length)
            self._number_source(area, source)
            area.start, area.end = start, start + length
            self.add(area, freed=freed)
        if flags & MAP_POPULATE:
            self.populate(start, length)
        return start

    def _new_area(
        self,
        length: int,
        protection: int,
        flags: int,
        source: FileSource | WindowSegment | None,
        offset: int,
    ) -> tuple[Vma, int]:
        """Check the arguments of mmap; the area without its place and source number, and the length
        in whole pages.
        """
        shared = (flags & MAP_TYPE) != MAP_PRIVATE
        if length <= 0 or offset < 0 or offset & OFFSET_MASK or protection & ~PROT_ALL:
            raise KernelError(Errno.EINVAL, "length, offset or protection")
        if length > USER_END:
            raise KernelError(
                Errno.ENOMEM, f"{length:#x} bytes are more than the user address space"
            )
        if not flags & (MAP_SHARED | MAP_PRIVATE) or (source is None) != bool(
            flags & MAP_ANONYMOUS
        ):
            raise KernelError(Errno.EINVAL, "flags")
        bits = AreaFlag.GROWS_DOWN if flags & MAP_GROWSDOWN else 0
        if flags & MAP_NORESERVE:
            bits |= AreaFlag.NO_RESERVE
        if source is None:
            kind = AreaKind.SHARED_ANONYMOUS if shared else AreaKind.ANONYMOUS
            offset = 0
        elif not shared:
            kind = AreaKind.FILE
        else:
            kind = AreaKind.WINDOW if isinstance(source, WindowSegment) else AreaKind.SHARED_FILE
            if source.writable:
                bits |= AreaFlag.MAY_WRITE
            elif protection & PROT_WRITE:
                raise KernelError(Errno.EACCES, "the file is not open for writing")
        return Vma(0, 0, protection, int(bits), int(kind), offset), align_up(length, PAGE_BYTES)

    def _number_source(self, area: Vma, source: FileSource | WindowSegment | None) -> None:
        """Give the area the number of its source; files are numbered in the order they are
        mapped.
        """
        if source is None:
            return
        if area.kind == AreaKind.WINDOW:
            assert isinstance(source, WindowSegment)
            area.source = source.number
            return
        area.source = self._next_source
        self._next_source += 1
        self._sources[area.source] = source

    def _check_fixed(self, address: int, length: int) -> None:
        if address & OFFSET_MASK:
            raise KernelError(Errno.EINVAL, f"{address:#x} is not page aligned")
        if not 0 <= address <= USER_END - length:
            raise KernelError(
                Errno.ENOMEM, f"{address:#x} + {length:#x} is outside the user address space"
            )
        if address < MINIMUM:
            raise KernelError(Errno.EPERM, f"{address:#x} is below {MINIMUM:#x}")

    def _clear_for(self, start: int, end: int) -> int:
        """Unmap what something else replaces; the promised frames that were given back."""
        before = self.account.total
        self.clear(start, end)
        return before - self.account.total

    def unmap(self, address: int, length: int) -> None:
        """munmap.  KernelError: EINVAL, ENOMEM when cutting an area needs a node and there is
        none.
        """
        start, end = self._range(address, length)
        with self.lock:
            self.clear(start, end)

    def _range(self, address: int, length: int) -> tuple[int, int]:
        """The pages of [address, address + length).  KernelError(EINVAL) unless it is a range of
        user pages.
        """
        if address & OFFSET_MASK or length <= 0 or not 0 <= address <= USER_END - length:
            raise KernelError(Errno.EINVAL, f"{address:#x} + {length:#x} is no range of user pages")
        return address, address + align_up(length, PAGE_BYTES)

    def protect(self, address: int, length: int, protection: int) -> None:
        """mprotect.  KernelError: EINVAL, EACCES, ENOMEM (a hole in the range: what lies before it
        is changed).
        """
        if address & OFFSET_MASK or protection & ~PROT_ALL:
            raise KernelError(Errno.EINVAL, f"{address:#x} or {protection:#x}")
        if length == 0:
            return
        start, end = self._hole_range(address, length)
        with self.lock:
            at = start
            for area in self.cut(start, end):
                if area.start > at:
                    break
                at = area.end
                if area.protection != protection:
                    self._check_protection(area, protection)
                    area.protection = protection
                    self.account.change(area)
                    self.change_protection(area, protection)
            self.merge_around(start, end)
        if at < end:
            raise KernelError(Errno.ENOMEM, f"{at:#x} is not mapped")

    def _hole_range(self, address: int, length: int) -> tuple[int, int]:
        """As _range, with the error of calls that expect mapped memory: ENOMEM outside of user
        space.
        """
        try:
            return self._range(address, length)
        except KernelError:
            raise KernelError(
                Errno.ENOMEM, f"{address:#x} + {length:#x} is not all user memory"
            ) from None

    def _check_protection(self, area: Vma, protection: int) -> None:
        shared = area.kind in (AreaKind.SHARED_FILE, AreaKind.WINDOW)
        if protection & PROT_WRITE and shared and not area.flags & AreaFlag.MAY_WRITE:
            raise KernelError(Errno.EACCES, "the file is not open for writing")

    def remap(
        self, address: int, old_length: int, new_length: int, flags: int, new_address: int = 0
    ) -> int:
        """mremap: the address of the mapping afterwards.

        Raises KernelError: EINVAL, EFAULT (the old range is not one area), ENOMEM.  Doubling a
        shared mapping (old_length 0) and MREMAP_DONTUNMAP are refused with EINVAL.
        """
        if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) or flags == MREMAP_FIXED or new_length <= 0:
            raise KernelError(Errno.EINVAL, "flags or new length")
        start, end = self._range(address, old_length)
        new_length = align_up(new_length, PAGE_BYTES)
        with self.lock:
            area = self.tree.find(start)
            if area is None or area.end < end:
                raise KernelError(Errno.EFAULT, f"{start:#x}..{end:#x} is not one mapping")
            if flags & MREMAP_FIXED:
                self._check_fixed(new_address, new_length)
                if new_address < end and start < new_address + new_length:
                    raise KernelError(Errno.EINVAL, "old and new range overlap")
                target = (new_address, new_address + new_length)
                self.account.check(area, new_length, target, (start, end))
                freed = self._clear_for(*target)
                return self.move(start, end, new_address, new_length, freed)
            if new_length <= end - start:
                if start + new_length < end:
                    self.clear(start + new_length, end)
                return start
            if self._extend(area, end, start + new_length):
                return start
            if not flags & MREMAP_MAYMOVE:
                raise KernelError(Errno.ENOMEM, "no room to grow in place")
            return self.move(start, end, self.find_space(0, new_length), new_length)

    def _extend(self, area: Vma, end: int, new_end: int) -> bool:
        """Grow an area in place when `end` is its end and what follows is free."""
        if area.end != end or new_end > USER_END or self.tree.overlapping(end, new_end):
            return False
        self.account.extend(area, new_end)
        area.end = new_end
        self.tree.update(area)
        self.merge_around(end, new_end)
        return True

    def set_break_start(self, address: int) -> None:
        """Put the (empty) heap behind a program image.  address: page aligned."""
        self._set("break_start", address)
        self._set("break", address)

    def set_break(self, address: int) -> int:
        """brk: the break afterwards, which is the old one when the request cannot be met."""
        start, old = self._get("break_start"), self._get("break")
        if address < start or address > USER_END:
            return old
        old_end, new_end = align_up(old, PAGE_BYTES), align_up(address, PAGE_BYTES)
        with self.lock:
            try:
                if new_end < old_end:
                    self.clear(new_end, old_end)
                elif new_end > old_end:
                    heap = Vma(old_end, new_end, 3, int(AreaFlag.HEAP), int(AreaKind.ANONYMOUS))
                    if self.tree.overlapping(old_end, new_end):
                        return old
                    self.add(heap)
            except KernelError:
                return old
        self._set("break", address)
        return address

    def discard(self, address: int, length: int) -> None:
        """madvise(MADV_DONTNEED): private pages go and come back fresh; shared ones stay.
        KernelError: EINVAL, ENOMEM.
        """
        if length == 0:
            return
        start, end = self._range(address, length)
        at, whole = start, True
        with self.lock:
            for area in self.tree.overlapping(start, end):
                whole = whole and area.start <= at
                at = area.end
                if area.kind in (AreaKind.ANONYMOUS, AreaKind.FILE):
                    self.drop_pages(area, max(start, area.start), min(end, area.end))
        if not whole or at < end:
            raise KernelError(Errno.ENOMEM, "the range has holes")

    def sync(self, address: int, length: int) -> None:
        """msync: write changed pages of shared files back.  KernelError: EINVAL, ENOMEM when a part
        is not mapped.
        """
        start, end = self._range(address, length)
        at = start
        with self.lock:
            for area in self.tree.overlapping(start, end):
                if area.start > at:
                    break
                at = area.end
                if area.kind == AreaKind.SHARED_FILE:
                    self.write_back(area, max(start, area.start), min(end, area.end))
        if at < end:
            raise KernelError(Errno.ENOMEM, f"{at:#x} is not mapped")

    def populate(self, address: int, length: int) -> None:
        """Touch every page, as MAP_POPULATE and MADV_POPULATE_READ do; stops quietly at the first
        that cannot be had.
        """
        for page in range(address, address + length, PAGE_BYTES):
            area = self.tree.find(page)
            if area is None:
                return
            access = Access.WRITE if area.protection & PROT_WRITE else Access.READ
            if self.page_table.lookup(page) is None and self.fault(page, access) is not None:
                return

    # --- faults ---

    def fault(self, address: int, access: int) -> Signal | None:
        """Resolve a page fault; None when the access can be repeated, else the signal for the
        thread.

        Signal SIGKILL means that the node is out of frames.
        """
        return page_faults.resolve(self, address, access)

    def area_at(self, address: int) -> Vma | None:
        """The area that a fault at `address` is in; a stack grows down to it."""
        return self.tree.find(address) or page_faults.grow_stack(self, address)

    def supply(self, area: Vma, page: int, *, write: bool) -> bool:
        """Put the page at `page` in place after a fault; False when its source has none there."""
        return page_faults.supply(self, area, page, write)

    def frame_for(self, area: Vma, page: int, *, zero: bool = True) -> int:
        """A frame for a page of `area` that has none.  KernelError(ENOMEM)."""
        self.account.touch(area)
        try:
            return self.frames.allocate(zero, FrameUse.PAGE, self.address, page)
        except KernelError:
            self.account.drop(area, 1)
            raise

    def out_of_memory(self, address: int) -> Signal:
        """What a fault becomes that found no free frame."""
        return Signal(SIGKILL, SI_KERNEL, address)

    @property
    def generation(self) -> int:
        """Translations that an engine cached under another generation are void (no reference)."""
        return self.memory.peek(self.address + GENERATION)

    def translations_changed(self, pages: list[int]) -> None:
        """Tell everyone who caches translations that those of `pages` were reduced or replaced."""
        if not pages:
            return
        pages = list(dict.fromkeys(pages))  # several kernels' tables may have had it
        few: Iterable[int | None] = pages if len(pages) <= FLUSH_PAGES_MAX else (None,)
        for page in few:
            self.memory.charge("tlb_flush")
            for hook in self.changed:
                hook(page)

    def translation_renewed(self, page: int) -> None:
        """A page's entry grants more than an engine may remember."""
        self.translations_changed([page])

    # --- looking and leaving ---

    def areas(self) -> list[Vma]:
        """Every area, ascending."""
        return self.tree.all()

    @property
    def heap(self) -> tuple[int, int]:
        """(first address, break)."""
        return self._get("break_start"), self._get("break")

    def destroy(self) -> None:
        """Give everything back: pages, tables, areas and the record itself."""
        with self.lock:
            for area in self.tree.all():
                self.drop_pages(area, area.start, area.end)
                self.release(area)
            self.account.close()
        self.page_table.destroy()
        self._slab.release()
        self._leave_list()
        self.frames.free(self.address)
