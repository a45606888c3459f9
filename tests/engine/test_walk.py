"""Does the compiled walk agree with the formats' own decoding, at both depths, for every kind of
entry?
"""

import mmap

import numpy as np
import pytest

from cosim import isa as isas
from cosim.engine.walk import Walk, walk, walk_table
from cosim.errors import InputError
from cosim.paging import EntryKind, Protection
from cosim.units import PAGE_BYTES, MiB

SIZE = 16 * MiB
FORMATS = [(name, levels) for name in ("x86_64", "aarch64", "riscv64") for levels in (4, 5)]
READ_WRITE = Protection.READ | Protection.WRITE


class Tables:
    """Page tables in a little memory, written with the format itself."""

    def __init__(self, name: str, levels: int) -> None:
        self.format = isas.find(name).paging.FORMATS[levels]
        self.memory = np.frombuffer(mmap.mmap(-1, SIZE), dtype=np.uint8)
        self.words = self.memory.view(np.uint64)
        self.table = walk_table(self.format)
        self.next = PAGE_BYTES

    def enter(self, virtual: int, entry: int, depth: int | None = None) -> None:
        """Put `entry` at level number `depth` (default: last), making tables down to it."""
        at = 0
        depth = len(self.format.levels) - 1 if depth is None else depth
        for number, level in enumerate(self.format.levels[:depth]):
            slot = at // 8 + level.index(virtual)
            if not self.words[slot]:
                self.words[slot] = self.format.encode_table(number, self.next)
                self.next += PAGE_BYTES
            kind, at, _ = level.decode(int(self.words[slot]))
            assert kind == EntryKind.TABLE
        self.words[at // 8 + self.format.levels[depth].index(virtual)] = entry

    def walk(self, virtual: int) -> tuple[Walk, int, Protection]:
        numbers = (self.table.ctypes.data, self.memory.ctypes.data, SIZE, 0, virtual)
        outcome, physical, rights = walk(*(np.uint64(number) for number in numbers))
        return Walk(int(outcome)), int(physical), Protection(int(rights))


@pytest.mark.parametrize(("name", "levels"), FORMATS)
@pytest.mark.parametrize(
    "protection", [Protection.READ, READ_WRITE, Protection.READ | Protection.EXECUTE]
)
def test_pages(name, levels, protection):
    tables = Tables(name, levels)
    for virtual in (0, 0x40_0123, 0x7FFF_FFFF_EFF8, 0x1234_5678_9000):
        tables.enter(virtual, tables.format.encode_page(0xABC000, protection))
        found = tables.walk(virtual)
        assert found == (Walk.MAPPED, 0xABC000 | virtual % PAGE_BYTES, protection)
    assert tables.walk(0x5000_0000)[0] == Walk.ABSENT


@pytest.mark.parametrize(("name", "levels"), FORMATS)
def test_addresses_no_table_holds(name, levels):
    tables = Tables(name, levels)
    for virtual in (1 << 63, (1 << 64) - 8, 1 << tables.format.user_bits, 0xFFFF_8000_0000_0000):
        assert tables.walk(virtual)[0] == Walk.ABSENT


@pytest.mark.parametrize(("name", "levels"), FORMATS)
def test_entries_that_lead_outside_memory(name, levels):
    tables = Tables(name, levels)
    tables.enter(0x1000, tables.format.encode_page(SIZE, READ_WRITE))
    assert tables.walk(0x1008) == (Walk.OUTSIDE, SIZE + 8, Protection.NONE)
    tables.enter(1 << 40, tables.format.encode_table(0, 1 << 35), depth=0)
    outcome, physical, _ = tables.walk(1 << 40)
    if levels == 4:
        assert (outcome, physical >= 1 << 35) == (Walk.OUTSIDE, True)


@pytest.mark.parametrize(("name", "levels"), FORMATS)
def test_large_pages_and_rights_of_tables(name, levels):
    tables = Tables(name, levels)
    depth = levels - 2
    form = tables.format.levels[depth].page
    tables.enter(0x4000_0000, form.encode(2 * MiB, READ_WRITE), depth)
    assert tables.walk(0x4000_0000 + 0x12345) == (Walk.MAPPED, 2 * MiB + 0x12345, READ_WRITE)
    tables.enter(0x8000_0000, tables.format.encode_page(0x5000, READ_WRITE))
    table = tables.format.levels[depth].table
    tables.enter(0x8000_0000, table.encode(tables.next - PAGE_BYTES, Protection.READ), depth)
    least = READ_WRITE if name == "riscv64" else Protection.READ  # its tables grant everything
    assert tables.walk(0x8000_0000) == (Walk.MAPPED, 0x5000, least)


@pytest.mark.parametrize(("name", "levels"), FORMATS)
def test_encode_and_decode_agree(name, levels):
    form = isas.find(name).paging.FORMATS[levels]
    last = len(form.levels) - 1
    for bits in (1, 3, 5, 7):
        entry = form.encode_page(0x3_FFFF_F000, Protection(bits))
        assert form.decode(last, entry) == (EntryKind.PAGE, 0x3_FFFF_F000, Protection(bits))
    for number in range(last):
        assert form.decode(number, 0)[0] == EntryKind.INVALID
        entry = form.encode_table(number, 0x7000)
        assert form.decode(number, entry)[:2] == (EntryKind.TABLE, 0x7000)
    with pytest.raises(ValueError, match="cannot be encoded"):
        form.encode_page(0x1001, READ_WRITE)


def test_riscv_pages_and_pointers_are_told_apart_by_their_rights():
    form = isas.find("riscv64").paging.FORMATS[5]
    entry = form.encode_page(0x5000, Protection.NONE)
    assert entry & 0b11110 == 0b00010  # R but not U: the supervisor's, and no pointer
    assert form.decode(4, entry) == (EntryKind.PAGE, 0x5000, Protection.NONE)
    assert form.encode_table(0, 0x5000) == 0x5 << 10 | 1
    assert form.decode(3, form.encode_table(3, 0x5000))[0] == EntryKind.TABLE
    assert form.decode(4, form.encode_table(3, 0x5000))[0] == EntryKind.INVALID
    for bit in (1, 6):  # R, A
        assert form.decode(4, form.encode_page(0x5000, READ_WRITE) & ~(1 << bit))[0] == 0
    assert not form.decode(4, form.encode_page(0x5000, READ_WRITE) & ~(1 << 7))[2] & 2  # D


def test_wide_arm_addresses_use_the_split_field():
    form = isas.find("aarch64").paging.FORMATS[5]
    physical = 0xF_0000_0000_5000
    entry = form.encode_page(physical, READ_WRITE)
    assert entry >> 8 & 3 == 3
    assert form.decode(4, entry)[1] == physical


def test_unknown_isa_is_one_line_with_a_suggestion():
    with pytest.raises(
        InputError, match="unknown instruction set 'aarch46'.*did you mean 'aarch64'"
    ):
        isas.find("aarch46")
