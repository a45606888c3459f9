"""What a page fault does: find the area, check the right, supply the page, or name the signal.

Pages appear when they are first touched, whatever stands behind an area.  A shared file page is
mapped without the right to write until it is written, so that a writable entry means "changed".
"""

from typing import TYPE_CHECKING

from cosim.engine.interface import Access
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import AreaFlag, AreaKind
from cosim.kernel.mapping import (
    BUS_ADRERR,
    PROT_EXEC,
    PROT_NONE,
    PROT_WRITE,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SIGBUS,
    SIGSEGV,
    STACK_BYTES_MAX,
    STACK_GUARD_BYTES,
    Signal,
)
from cosim.kernel.page_tables import Mapping
from cosim.kernel.vma import Vma
from cosim.units import LINE_BYTES, PAGE_BYTES

if TYPE_CHECKING:
    from cosim.kernel.address_space import AddressSpace

PAGE_MASK = ~(PAGE_BYTES - 1)


def resolve(space: "AddressSpace", address: int, access: int) -> Signal | None:
    """Make the access possible, or the signal it deserves.  Charges the whole fault, exception
    entry included.
    """
    space.memory.charge("page_fault")
    area = space.area_at(address)
    if area is None:
        return Signal(SIGSEGV, SEGV_MAPERR, address)
    if not permits(area.protection, access):
        return Signal(SIGSEGV, SEGV_ACCERR, address)
    try:
        if space.supply(area, address & PAGE_MASK, write=access == Access.WRITE):
            return None
    except KernelError as error:
        if error.errno != Errno.ENOMEM:
            raise
        return space.out_of_memory(address)
    return Signal(SIGBUS, BUS_ADRERR, address)


def permits(protection: int, access: int) -> bool:
    """Does an area with these rights allow the access?  Any right includes reading, as on the ISAs
    here.
    """
    if access == Access.WRITE:
        return bool(protection & PROT_WRITE)
    if access == Access.EXECUTE:
        return bool(protection & PROT_EXEC)
    return protection != PROT_NONE


def page_rights(area: Vma, *, changed: bool) -> int:
    """Rights the entry of one page of `area` gets.  changed: the page was written, or is about to
    be.
    """
    if area.kind == AreaKind.SHARED_FILE and not changed:
        return area.protection & ~PROT_WRITE
    return area.protection


def grow_stack(space: "AddressSpace", address: int) -> Vma | None:
    """Extend the stack above `address` down to it, within the limit and off its neighbour; None
    when it may not.
    """
    area = space.tree.at_or_after(address)
    if area is None or not area.flags & AreaFlag.GROWS_DOWN:
        return None
    start = address & PAGE_MASK
    if area.end - start > STACK_BYTES_MAX:
        return None
    below = space.tree.before(area.start)
    if (
        below is not None
        and below.protection != PROT_NONE
        and below.end + STACK_GUARD_BYTES > start
    ):
        return None
    if below is not None and below.end > start:
        return None
    with space.lock:
        area.start = start
        space.tree.update(area)
    return area


def supply(space: "AddressSpace", area: Vma, page: int, write: bool) -> bool:
    """Put the page in place; False when the source has no such page."""
    table = space.page_table
    slot = table.slot(page, create=True)
    found = table.read_slot(slot)
    if found is not None:
        renew(space, area, page, slot, found, write)
        return True
    physical = page_of(space, area, page)
    if physical is None:
        return False
    with space.table_lock:
        table.write_slot(slot, physical, space.entry_rights(area, page, changed=write))
    return True


def renew(
    space: "AddressSpace", area: Vma, page: int, slot: int, found: Mapping, write: bool
) -> None:
    """The entry is there: the translation was older, or a shared file page is written first."""
    with space.table_lock:
        changed = write or bool(found.protection & PROT_WRITE)
        rights = space.entry_rights(area, page, changed=changed)
        space.page_table.write_slot(slot, found.physical, rights)
    space.translation_renewed(page)


def page_of(space: "AddressSpace", area: Vma, page: int) -> int | None:
    """The frame with the contents of a page that was never touched; None behind the end of its
    source.
    """
    if area.kind in (AreaKind.ANONYMOUS, AreaKind.SHARED_ANONYMOUS):
        return space.frame_for(area, page)
    offset = area.offset + page - area.start
    if area.kind == AreaKind.WINDOW:
        return space.window_page(area.source, offset)
    data = space.source(area.source).read_at(offset, PAGE_BYTES)
    if not data:
        return None
    memory = space.memory
    memory.charge("file_page")
    frame = space.frame_for(area, page, zero=False)
    memory.charge("copy_line", PAGE_BYTES // LINE_BYTES)
    memory.write(frame, bytes(data).ljust(PAGE_BYTES, b"\0"))
    return frame
