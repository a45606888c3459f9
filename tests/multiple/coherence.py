"""What must hold of the memory of multiple kernels at any moment, looked up with an independent
page-table decoder: one writer or many readers, copies that are equal, frames of one's own.
"""

from cosim.kernel.layout import AreaFlag, AreaKind
from tests.fused.machine import Machine
from tests.fused.tables import Tables

PAGE = 4096


def check(machine: Machine) -> int:
    """Check every distributed process; how many pages were shared by at least two kernels."""
    tables = Tables(machine.physical)
    shared = 0
    for kernel in machine.kernels:
        for process in kernel.tasks.processes.values():
            # What the home has just unmapped others may still have, until they have followed.
            settled = process.space.contexts and not process.space.unconfirmed
            if settled and not process.borrowed:
                shared += _check_process(machine, tables, kernel, process.space)
    _check_frames(machine, tables)
    return shared


def _parts(machine: Machine, home, space) -> dict[int, object]:
    """Each kernel's part of an address space, by node."""
    found = {}
    for kernel in machine.kernels:
        part = kernel.processes.space_of(home.node_index, space.key)
        if part is not None:
            found[kernel.node_index] = part
    return found


def _entries(machine: Machine, tables: Tables, node: int, part) -> dict[int, tuple[int, str]]:
    kernel = machine.kernels[node]
    return tables.pages(part.page_table.root, kernel.isa.machine, kernel.levels)


def _own(part, page: int) -> bool:
    """Is it a page that every kernel has for itself, or that nobody moves?"""
    with part.memory.uncharged():
        area = part.tree.find(page)
    return area is None or bool(area.flags & AreaFlag.PER_ISA) or area.kind == AreaKind.WINDOW


def _check_process(machine: Machine, tables: Tables, home, space) -> int:
    parts = _parts(machine, home, space)
    entries = {node: _entries(machine, tables, node, part) for node, part in parts.items()}
    with space.memory.uncharged():
        directory = dict(space.ownership.pages(0, 1 << 47))
    shared = 0
    for page in sorted({page for found in entries.values() for page in found}):
        holders = {node: found[page] for node, found in entries.items() if page in found}
        if any(_own(parts[node], page) for node in holders):
            continue
        writers = [node for node, (_, rights) in holders.items() if "w" in rights]
        assert not writers or len(holders) == 1, f"{page:#x}: {writers} write, {holders} have it"
        owners = directory.get(page, 1 << home.node_index)
        # Who has just been told to give a page up, or has not heard yet that it got one, differs
        # from the directory; who has an entry is always one of the owners or about to lose it.
        contents = {
            machine.physical[frame : frame + PAGE].tobytes() for frame, _ in holders.values()
        }
        assert len(contents) == 1, f"{page:#x}: copies of nodes {sorted(holders)} differ"
        frames = [frame for frame, _ in holders.values()]
        assert len(set(frames)) == len(frames), f"{page:#x}: one frame for two kernels"
        if len(holders) > 1:
            shared += 1
            for node in holders:
                assert owners >> node & 1, f"{page:#x}: node {node} is not in {owners:b}"
    return shared


def _check_frames(machine: Machine, tables: Tables) -> None:
    """No kernel maps a free frame, or another kernel's."""
    for kernel in machine.kernels:
        used = set(kernel.frames.in_use())
        parts = {process.space for process in kernel.tasks.processes.values()}
        parts |= {process.space for process in kernel.processes.away.values()}
        for part in parts:
            for page, (frame, _) in _entries(machine, tables, kernel.node_index, part).items():
                with part.memory.uncharged():
                    area = part.tree.find(page)
                if area is not None and area.kind == AreaKind.WINDOW:
                    continue
                assert frame in used, f"{page:#x}: node {kernel.node_index} maps {frame:#x}"
