"""Doubles for what the memory half of a kernel stands on, and independent page-table decoders."""

import numpy as np

from cosim import isa as isa_registry
from cosim.engine.stream import decode
from cosim.kernel import costs
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.memory import KernelMemory
from cosim.kernel.shared_window import SharedWindow
from cosim.units import MiB

MEMORY_BYTES = 64 * MiB
WINDOW = (60 * MiB, 64 * MiB)
RANGES = ((0, 24 * MiB), (32 * MiB, 56 * MiB))
BLOCK_BYTES = 8 * MiB


class FakeWriter:
    """Keeps the records it is given."""

    def __init__(self) -> None:
        self.records: list[int] = []

    def append(self, record: int) -> None:
        self.records.append(record)

    def append_many(self, records: np.ndarray) -> None:
        assert records.dtype == np.uint64
        assert len(records) <= 2048, "a primitive may not outrun the ring"
        self.records.extend(records.tolist())

    def take(self) -> list[tuple[int, int, int, int]]:
        """The decoded records since the last call."""
        found, self.records = self.records, []
        return [decode(record) for record in found]


class FakeCore:
    """A core that only counts."""

    def __init__(self) -> None:
        self.writer = FakeWriter()
        self.instructions_kernel = 0

    def charge(self, instructions: int) -> None:
        assert instructions >= 0
        self.instructions_kernel += instructions


class FakeKernel:
    """MemoryServices over a small private memory."""

    def __init__(
        self, isa: str = "x86_64", levels: int = 4, *, ranges=RANGES, physical=None, node: int = 0
    ) -> None:
        self.physical = np.zeros(MEMORY_BYTES, np.uint8) if physical is None else physical
        self.memory = KernelMemory(self.physical, costs.resolve({}))
        self.isa = isa_registry.find(isa)
        self.levels = levels
        self.node_index = node
        self.frames = FrameAllocator(self.memory, ranges, BLOCK_BYTES, node)
        self.window = SharedWindow(self.memory, *WINDOW, node)
        self.core = FakeCore()
        self.memory.core = self.core


class FakeFile:
    """A file in a bytearray."""

    def __init__(self, data: bytes, *, writable: bool = False) -> None:
        self.data = bytearray(data)
        self.writable = writable

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write_at(self, offset: int, data: bytes) -> None:
        assert offset + len(data) <= len(self.data), "write_at behind the end"
        self.data[offset : offset + len(data)] = data


# --- page tables, read the way the manuals say, without the code under test ---


def _word(physical: np.ndarray, address: int) -> int:
    return int.from_bytes(physical[address : address + 8].tobytes(), "little")


def walk_x86(physical: np.ndarray, root: int, virtual: int, levels: int):
    """(frame, rights) or None.  Intel SDM vol. 3A, 4.5: P, R/W, U/S in bits 0-2, XD in 63, address
    in 51:12.
    """
    table, writable, executable = root, True, True
    for level in range(levels - 1, -1, -1):
        entry = _word(physical, table + (virtual >> 12 + 9 * level & 511) * 8)
        if not entry & 1:
            return None
        assert entry & 4, "kernel page in a user table"
        if level:
            assert not entry & 0x80, "large page"
        writable &= bool(entry & 2)
        executable &= not entry >> 63
        table = entry & 0x000F_FFFF_FFFF_F000
    return table, 1 | writable << 1 | executable << 2


def walk_arm(physical: np.ndarray, root: int, virtual: int, levels: int):
    """(frame, rights) or None.  Arm ARM D8.3: descriptor type in bits 1:0, AP[2:1] in 7:6, UXN in
    54.
    """
    table, index_mask = root, 15 if levels == 5 else 511
    for level in range(levels - 1, -1, -1):
        entry = _word(physical, table + (virtual >> 12 + 9 * level & index_mask) * 8)
        index_mask = 511
        if not entry & 1:
            return None
        assert entry & 2, "block descriptor or reserved"
        table = entry & (0x0003_FFFF_FFFF_F000 if levels == 5 else 0x0000_FFFF_FFFF_F000)
    assert entry >> 10 & 1, "access flag"
    assert entry >> 6 & 1, "EL0 may not access"
    return table, 1 | (not entry >> 7 & 1) << 1 | (not entry >> 54 & 1) << 2


def walk_riscv(physical: np.ndarray, root: int, virtual: int, levels: int):
    """(frame, rights) or None.  Privileged Architecture, Sv39: V R W X U in bits 0-4, A and D in 6
    and 7, PPN in 53:10; a pointer has R = W = X = 0, and U, A and D are reserved there.
    """
    table = root
    for level in range(levels - 1, -1, -1):
        entry = _word(physical, table + (virtual >> 12 + 9 * level & 511) * 8)
        if not entry & 1:
            return None
        assert not entry >> 54, "reserved, Svpbmt or Svnapot"
        assert bool(entry & 0b1110) == (level == 0), "large page, or a pointer at the last level"
        assert level == 0 or not entry & 0b1101_0000, "U, A or D in a pointer"
        table = (entry >> 10 & (1 << 44) - 1) << 12
    assert entry & 1 << 6, "not accessed"
    assert entry & 1 << 4, "the supervisor's page"
    assert entry & 2, "W without R is reserved, X alone is not what kernels here write"
    assert bool(entry & 4) == bool(entry & 1 << 7), "a store would fault on D"
    return table, 1 | (entry >> 2 & 1) << 1 | (entry >> 3 & 1) << 2


WALKS = {"x86_64": walk_x86, "aarch64": walk_arm, "riscv64": walk_riscv}
FORMATS = [(isa, levels) for isa in WALKS for levels in (4, 5)]
