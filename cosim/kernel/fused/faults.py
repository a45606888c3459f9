"""What a page fault does on a fused kernel: the policy of where a page's frame comes from.

The paper, 6.4: the remote kernel walks the home's page table in software.  Three outcomes:

1. the home has an entry: map the same frame; no message, no copy
2. the entry is empty: allocate a frame here, insert it into both tables under the cross-ISA lock
3. an upper level is missing: ask the home by message; it makes the page (counted as replicated,
   as in the paper's Table 3), and the fault is repeated

A policy is a subclass of DirectAccess, or an object with the same methods; Services exchanges it.
"""

from collections import Counter
from typing import TYPE_CHECKING

from cosim.kernel.layout import AreaFlag, AreaKind
from cosim.kernel.mapping import PROT_WRITE
from cosim.kernel.page_faults import page_of, page_rights, renew
from cosim.kernel.vma import Vma

if TYPE_CHECKING:
    from cosim.kernel.fused.address_space import FusedAddressSpace


class DirectAccess:
    """The paper's policy: remote pages are mapped where they are.

    counts: mapped (outcome 1), remote_allocated (2), asked (3), own (a page of a PER_ISA area).
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def is_private(self, area: Vma) -> bool:
        """Does every kernel have frames of its own in this area?"""
        return bool(area.flags & AreaFlag.PER_ISA)

    def unify(self, space: "FusedAddressSpace", start: int, end: int) -> None:
        """Called before pages of [start, end) get other rights or another place: whoever keeps
        more than one frame of a shared page makes it one again.
        """

    def supply(self, space: "FusedAddressSpace", area: Vma, page: int, *, write: bool) -> bool:
        """Put the page in place; False when its source has none there.  May raise PageWait."""
        slot = space.page_table.slot(page, create=True)
        found = space.page_table.read_slot(slot)
        if found is not None and (space.is_home or not self._is_first_write(area, found, write)):
            renew(space, area, page, slot, found, write)
            return True
        if self.is_private(area):
            self.counts["own"] += 1
            self._insert(space, area, slot, space.own_page(area, page), write)
            return True
        if space.is_home:
            physical = page_of(space, area, page)
            if physical is not None:
                self._insert(space, area, slot, physical, write)
            return physical is not None
        return self.supply_remote(space, area, page, slot, write=write)

    def supply_remote(
        self, space: "FusedAddressSpace", area: Vma, page: int, slot: int, *, write: bool
    ) -> bool:
        """A shared page on a node that is not the home."""
        home = space.home_table()
        home_slot = home.slot(page, create=False)
        entry = home.read_slot(home_slot) if home_slot else None
        if entry is not None and not self._is_first_write(area, entry, write):
            self.counts["mapped"] += 1
            rights = page_rights(area, changed=bool(entry.protection & PROT_WRITE))
            with space.table_lock:
                space.page_table.write_slot(slot, entry.physical, rights)
            return True
        if not home_slot or entry is not None or area.kind in (AreaKind.FILE, AreaKind.SHARED_FILE):
            self.counts["asked"] += 1
            raise space.ask_home(page, write=write)
        if area.kind == AreaKind.WINDOW:
            physical = space.window_page(area.source, area.offset + page - area.start)
            if physical is None:
                return False
        else:
            physical = space.frame_for(area, page)
            self.counts["remote_allocated"] += 1
        with space.table_lock:
            home.write_slot(home_slot, physical, page_rights(area, changed=write))
            space.page_table.write_slot(slot, physical, page_rights(area, changed=write))
        return True

    def _insert(self, space, area: Vma, slot: int, physical: int, write: bool) -> None:
        with space.table_lock:
            space.page_table.write_slot(slot, physical, page_rights(area, changed=write))

    def _is_first_write(self, area: Vma, entry, write: bool) -> bool:
        """The first write to a shared file page is the home's to note."""
        return write and area.kind == AreaKind.SHARED_FILE and not entry.protection & PROT_WRITE
