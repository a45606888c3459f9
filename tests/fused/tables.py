"""An independent look at page tables: entries decoded bit by bit from the manuals, none of the
simulator's own code, and what must hold for those of several kernels.

x86-64: Intel SDM vol. 3, 4.5; AArch64: Arm ARM D8.3 (4 KiB granule, stage 1); RISC-V: Privileged
Architecture, Sv48 and Sv57.
"""

import numpy as np

from cosim.kernel.layout import ADDRESS_SPACE, AREA, DIRECTORY, TABLE, AreaFlag, AreaKind, FrameUse

X86, ARM, RISCV = 62, 183, 243  # e_machine
PAGE = 4096
FRAME_X86 = 0x000F_FFFF_FFFF_F000
FRAME_ARM = 0x0000_FFFF_FFFF_F000


class Tables:
    """Reads a machine's physical memory."""

    def __init__(self, physical: np.ndarray) -> None:
        self.bytes = physical
        self.words = physical.view(np.uint64)

    def word(self, address: int, size: int = 8) -> int:
        return int.from_bytes(self.bytes[address : address + size].tobytes(), "little")

    def pages(self, root: int, machine: int, levels: int) -> dict[int, tuple[int, str]]:
        """Virtual page -> (frame, rights as "rwx" letters) of every valid entry."""
        found: dict[int, tuple[int, str]] = {}
        self._walk(root, machine, levels - 1, 0, found)
        return found

    def _walk(self, table: int, machine: int, level: int, base: int, found: dict) -> None:
        entries = self.words[table >> 3 : (table >> 3) + 512]
        for index in np.flatnonzero(entries).tolist():
            entry = int(entries[index])
            virtual = base + (index << 12 + 9 * level)
            if not entry & 1:
                continue  # not valid for hardware
            frame = frame_of(entry, machine)
            if level:
                assert points_at_table(entry, machine), f"block {entry:#x} at level {level}"
                self._walk(frame, machine, level - 1, virtual, found)
            else:
                found[virtual] = (frame, rights(entry, machine))


def frame_of(entry: int, machine: int) -> int:
    """Physical address of the page or table."""
    if machine == RISCV:
        return (entry >> 10 & (1 << 44) - 1) << 12
    return entry & (FRAME_X86 if machine == X86 else FRAME_ARM)


def points_at_table(entry: int, machine: int) -> bool:
    """Of an entry above the last level."""
    if machine == RISCV:
        return not entry & 0b1110
    return not entry & 0x80 if machine == X86 else bool(entry & 2)


def rights(entry: int, machine: int) -> str:
    """What user code may do."""
    if machine == RISCV:
        assert entry & 0b1_0010 == 0b1_0010, f"{entry:#x}: not a user page, or not readable"
        assert entry & 1 << 6, f"{entry:#x}: not accessed"
        write, execute = entry & 0x84 == 0x84, bool(entry & 8)
    elif machine == X86:
        assert entry & 4, f"{entry:#x}: not a user page"
        write, execute = bool(entry & 2), not entry >> 63
    else:
        assert entry >> 6 & 1, f"{entry:#x}: AP[1] clear, not a user page"
        write, execute = not entry >> 7 & 1, not entry >> 54 & 1
    return "r" + "w" * write + "x" * execute


def spaces(tables: Tables, directory: int):
    """Physical addresses of a node's ADDRESS_SPACE records."""
    at = tables.word(directory + DIRECTORY.offset("spaces"))
    while at:
        yield at
        at = tables.word(at + ADDRESS_SPACE.offset("next"))


def areas(tables: Tables, space: int) -> list[dict]:
    """The areas of a space, ascending."""
    found, path = [], []
    node = tables.word(space + ADDRESS_SPACE.offset("area_root"))
    while node or path:
        while node:
            path.append(node)
            node = tables.word(node + AREA.offset("left"))
        node = path.pop()
        found.append(AREA.decode(tables.bytes[node : node + AREA.size].tobytes()))
        node = tables.word(node + AREA.offset("right"))
    return found


def check(machine) -> int:
    """All kernels agree about every shared page; how many pages two or more of them map."""
    tables = Tables(machine.physical)
    used = [set(kernel.frames.in_use()) for kernel in machine.kernels]
    check_counts(machine, tables)
    shared = 0
    for kernel in machine.kernels:
        for space in spaces(tables, kernel.directory_of(kernel.node_index)):
            shared += _check_space(tables, space, len(machine.kernels), set().union(*used))
    return shared


def check_counts(machine, tables: Tables) -> None:
    """What kernels say they promised, and use themselves, is what spaces and frames say."""
    directories = [kernel.directory_of(kernel.node_index) for kernel in machine.kernels]

    def total(field: str) -> int:
        found = [tables.word(at + DIRECTORY.offset(field)) for at in directories]
        return sum(found) & (1 << 64) - 1

    promised = [
        tables.word(space + ADDRESS_SPACE.offset("committed"))
        for directory in directories
        for space in spaces(tables, directory)
    ]
    assert total("committed") == sum(promised)
    uses = [
        kernel.frames.user_of(frame)[0]
        for kernel in machine.kernels
        for frame in kernel.frames.in_use()
    ]
    assert total("kernel_frames") == uses.count(FrameUse.KERNEL) + uses.count(FrameUse.TABLE)


def _check_space(tables: Tables, space: int, nodes: int, used: set[int]) -> int:
    known = areas(tables, space)
    maps = {}
    for node in range(nodes):
        row = space + ADDRESS_SPACE.offset("tables") + node * TABLE.size
        root = tables.word(row)
        if root:
            maps[node] = tables.pages(root, tables.word(row + 8, 4), tables.word(row + 12, 4))
    shared = 0
    for virtual in sorted(set().union(*maps.values())):
        (area,) = (a for a in known if a["start"] <= virtual < a["end"])
        entries = {node: pages[virtual] for node, pages in maps.items() if virtual in pages}
        frames = {frame for frame, _ in entries.values()}
        if area["kind"] != AreaKind.WINDOW:
            assert frames <= used, f"{virtual:#x}: maps a frame that is free: {entries}"
        if area["flags"] & AreaFlag.PER_ISA:
            assert len(frames) == len(entries), f"{virtual:#x}: own pages are shared: {entries}"
        else:
            assert len(frames) == 1, f"{virtual:#x}: different frames: {entries}"
            assert len({right for _, right in entries.values()}) == 1, f"{virtual:#x}: {entries}"
            shared += len(entries) > 1
    return shared
