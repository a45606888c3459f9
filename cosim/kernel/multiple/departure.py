"""How one of several kernels leaves: pages that only it has go back to their homes.

Its memory goes with it.  While the machine stands still, each home copies what it lacks out of it,
as an answer to PAGE_REQUEST would have brought it, and forgets that the node had a page.
"""

from typing import Any

from cosim import isa as isas
from cosim.errors import InvariantError
from cosim.kernel.layout import ADDRESS_SPACE
from cosim.kernel.mapping import USER_END
from cosim.kernel.page_tables import PageTable
from cosim.units import PAGE_BYTES

FIELDS = ("table_root", "table_levels", "machine")


def vacate(kernel) -> dict[str, Any]:
    """See Services.vacate; legacy: home, key and ADDRESS_SPACE of each part of a process's
    memory.
    """
    reason = kernel.processes.keeps()
    return {"reason": reason, "legacy": {"spaces": [] if reason else kernel.processes.contexts()}}


def node_left(kernel, row: dict[str, Any]) -> None:
    """Another node is gone: have at home what was there."""
    kernel.processes.node_left(row["index"])
    for home, key, address in row["legacy"]["spaces"]:
        space = kernel.processes.space_at(key) if home == kernel.node_index else None
        if space is not None:
            _come_home(kernel, space, row["index"], _table(kernel, address))
            space.contexts.discard(row["index"])


def _table(kernel, address: int) -> PageTable:
    """The page table of the ADDRESS_SPACE at `address`, of another kernel."""
    root, levels, machine = (
        kernel.memory.load(address + item.offset, item.size)
        for item in (ADDRESS_SPACE.by_name[name] for name in FIELDS)
    )
    paging = isas.of_machine(machine).paging.FORMATS[levels]
    return PageTable(kernel.memory, kernel.frames, paging, address, root)


def _come_home(kernel, space, node: int, table: PageTable) -> None:
    own, gone = 1 << kernel.node_index, 1 << node
    for page, owners in tuple(space.ownership.pages(0, USER_END)):
        if not owners & gone:
            continue
        area = space.tree.find(page)
        if not owners & own:
            there = table.lookup(page)
            if area is None or there is None:
                raise InvariantError(f"page {page:#x} is on node {node} only, and not to be found")
            frame = kernel.pages.present(space, area, page)
            kernel.memory.copy(frame, there.physical, PAGE_BYTES)
        space.ownership.write(page, owners & ~gone | own)
        if area is not None:
            kernel.pages.renew(space, area, page)
