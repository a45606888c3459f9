"""A process's memory as one of several kernels sees it: records, tables and frames of its own.

The home's tree of areas is the one that counts; other kernels have the part of it that they asked
for.  Pages of shared data are where the page protocol (pages) has put them; text and constants
(PER_ISA areas) are each kernel's own.
"""

from cosim.errors import InvariantError
from cosim.kernel import page_faults
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.distributed.own_pages import own_page
from cosim.kernel.layout import ADDRESS_SPACE, AreaFlag, AreaKind
from cosim.kernel.loader import Image
from cosim.kernel.mapping import SI_KERNEL, SIGKILL, Signal
from cosim.kernel.multiple.areas import Change
from cosim.kernel.multiple.ownership import Ownership
from cosim.kernel.page_faults import PAGE_MASK, page_rights
from cosim.kernel.vma import Vma
from cosim.kernel.waiting import PageWait
from cosim.units import PAGE_BYTES, align_up


class MultipleAddressSpace(AddressSpace):
    """See the module.

    home, key: the node whose process it is, and what that node calls it (its record's address).
    contexts: at home, the other nodes that have a part of it.  unconfirmed: changes that these have
    not followed yet.  closing: the process is at its end: no page is fetched for it any more.
    image: this kernel's own program, which fills PER_ISA areas; set by whoever loads it.
    """

    def __init__(self, kernel, home: int | None = None, key: int = 0) -> None:
        """Make an address space, or this kernel's part of another's.  KernelError(ENOMEM)."""
        self.kernel = kernel
        self.home = kernel.node_index if home is None else home
        self.is_home = self.home == kernel.node_index
        self.contexts: set[int] = set()
        self.unconfirmed = 0
        self.closing = False
        self.image: Image | None = None
        super().__init__(kernel)
        self.key = key or self.address
        root_at = self.address + ADDRESS_SPACE.offset("ownership")
        self.memory.store(root_at, 0)
        self.ownership = Ownership(self.memory, self.frames, root_at)

    @property
    def distributed(self) -> bool:
        """May another node have pages of it?"""
        return not self.is_home or bool(self.contexts)

    # --- faults ---

    def area_at(self, address: int) -> Vma | None:
        """See AddressSpace.area_at; what is not known here the home is asked for."""
        if self.is_home:
            return super().area_at(address)
        return self.tree.find(address) or self.kernel.areas.find(self, address)

    def fault(self, address: int, access: int) -> Signal | None:
        """See AddressSpace.fault.  Raises PageWait."""
        if self.closing:
            return Signal(SIGKILL, SI_KERNEL, address)
        if self.distributed:
            refusal = self.kernel.pages.refusal(self, address & PAGE_MASK)
            if refusal is not None:
                return refusal
        return super().fault(address, access)

    def supply(self, area: Vma, page: int, *, write: bool) -> bool:
        """See AddressSpace.supply."""
        return self.kernel.pages.supply(self, area, page, write=write)

    def supply_alone(self, area: Vma, page: int, *, write: bool) -> bool:
        """Put a page in place that no other kernel has to be asked for."""
        return page_faults.supply(self, area, page, write)

    def own_page(self, area: Vma, page: int) -> int:
        """A frame with this kernel's own program's bytes for a page of a PER_ISA area."""
        assert self.image is not None
        return own_page(self, self.image, area, page)

    def entry_rights(self, area: Vma, page: int, *, changed: bool) -> int:
        """See Areas.entry_rights: what this kernel has of the page limits them."""
        rights = page_rights(area, changed=changed)
        if area.flags & AreaFlag.PER_ISA or area.kind == AreaKind.WINDOW:
            return rights
        return self.kernel.pages.rights(self, page, rights)

    def populate(self, address: int, length: int) -> None:
        """See AddressSpace.populate; pages that another kernel would have to supply stay out."""
        try:
            super().populate(address, length)
        except PageWait as wait:
            wait.wait.leave()

    # --- copies ---

    def write(self, address: int, data: bytes) -> None:
        """See UserCopies.write; in a call, what would wait for a page is written at its end."""
        try:
            super().write(address, data)
        except PageWait as wait:
            self._keep(wait, address, data)

    def write_word(self, address: int, value: int, size: int = 8) -> None:
        """See UserCopies.write_word and write."""
        try:
            super().write_word(address, value, size)
        except PageWait as wait:
            self._keep(wait, address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def _keep(self, wait: PageWait, address: int, data: bytes) -> None:
        kept = self.kernel.current_thread().late_writes
        if kept is None:
            raise wait
        wait.wait.leave()
        kept.append((address, data))

    # --- changes, which the home's other contexts follow ---

    def clear(self, start: int, end: int) -> None:
        """See Areas.clear."""
        super().clear(start, end)
        self._tell(Change.UNMAP, start, end)

    def drop_pages(self, area: Vma, start: int, end: int) -> None:
        """See Areas.drop_pages."""
        if self.distributed:
            self.kernel.pages.void(self, start, end)
        super().drop_pages(area, start, end)
        if self.distributed:
            self.ownership.clear(start, end)

    def change_protection(self, area: Vma, protection: int) -> None:
        """See Areas.change_protection."""
        super().change_protection(area, protection)
        self._tell(Change.PROTECT, area.start, area.end, protection)

    def discard(self, address: int, length: int) -> None:
        """See AddressSpace.discard."""
        super().discard(address, length)
        self._tell(Change.DROP, address, address + align_up(length, PAGE_BYTES))

    def _tell(self, change: Change, start: int, end: int, protection: int = 0) -> None:
        if self.contexts:
            self.kernel.areas.tell(self, change, start, end, protection)

    # --- calls that need pages at home ---

    def remap(
        self, address: int, old_length: int, new_length: int, flags: int, new_address: int = 0
    ) -> int:
        """See AddressSpace.remap.  Raises PageWait."""
        self.gather(address, old_length)
        return super().remap(address, old_length, new_length, flags, new_address)

    def move(self, start: int, end: int, target: int, length: int, freed: int = 0) -> int:
        """See Areas.move."""
        self.ownership.clear(start, end)
        return super().move(start, end, target, length, freed)

    def unmap(self, address: int, length: int) -> None:
        """See AddressSpace.unmap.  Raises PageWait."""
        self.gather_files(address, length)
        super().unmap(address, length)

    def protect(self, address: int, length: int, protection: int) -> None:
        """See AddressSpace.protect.  Raises PageWait."""
        self.gather_files(address, length)
        super().protect(address, length, protection)

    def sync(self, address: int, length: int) -> None:
        """See AddressSpace.sync.  Raises PageWait."""
        self.gather_files(address, length)
        super().sync(address, length)

    def gather(self, address: int, length: int) -> None:
        """Have every page of a range at home alone.  Raises PageWait, and is then called again."""
        if self.contexts:
            for page, _ in tuple(self.ownership.pages(address & PAGE_MASK, address + length)):
                self.kernel.pages.directory.acquire(self, page)

    def gather_files(self, address: int, length: int) -> None:
        """As gather, for areas whose changed pages are written to a file."""
        if not self.contexts or length <= 0:
            return
        for area in self.tree.overlapping(address, address + length):
            if area.kind == AreaKind.SHARED_FILE:
                self.gather(area.start, area.end - area.start)

    # --- the end ---

    def destroy(self) -> None:
        """See AddressSpace.destroy."""
        self.contexts = set()
        self.kernel.pages.forget(self)
        self.ownership.destroy()
        super().destroy()

    def detach(self) -> None:
        """Give back this kernel's part of another home's address space."""
        if self.is_home:
            raise InvariantError(f"address space at {self.address:#x} is at home here")
        self.destroy()
