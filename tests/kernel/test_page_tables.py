"""Would the hardware of each ISA read our page tables the way we mean them?"""

import random

import pytest

from cosim.errors import InvariantError
from cosim.kernel.errno import KernelError
from cosim.kernel.layout import FrameUse
from cosim.kernel.page_tables import Mapping, PageTable
from cosim.units import PAGE_BYTES
from tests.kernel.fakes import FORMATS, WALKS, FakeKernel

TOP = (1 << 47) - PAGE_BYTES
PLACES = (
    0,
    0x1000,
    0x1FF000,
    0x200000,
    0x3FFFF000,
    0x40000000,
    0x5555_5555_4000,
    0x7FFF_0000_0000,
    TOP,
)


def table_of(isa, levels):
    kernel = FakeKernel(isa, levels)
    table = PageTable(kernel.memory, kernel.frames, kernel.isa.paging.FORMATS[levels], 0x40)
    return kernel, table, lambda at: WALKS[isa](kernel.physical, table.root, at, levels)


@pytest.mark.parametrize(("isa", "levels"), FORMATS)
def test_hardware_reads_what_was_mapped(isa, levels):
    kernel, table, hardware = table_of(isa, levels)
    for number, at in enumerate(PLACES):
        for protection in range(1, 8):
            table.map(at, (number + 1) * PAGE_BYTES, protection)
            expected = ((number + 1) * PAGE_BYTES, protection | 1)
            assert hardware(at) == expected
            assert table.find(at) == expected
            assert table.lookup(at) == expected
    for at in PLACES:
        assert table.unmap(at) is not None
        assert hardware(at) is None
        assert table.find(at) is table.lookup(at) is table.unmap(at) is None
    assert table.lookup(0x6666_0000_0000) is None
    table.destroy()
    assert kernel.frames.used == 0


@pytest.mark.parametrize(("isa", "levels"), FORMATS)
def test_a_page_without_rights_keeps_its_frame(isa, levels):
    _, table, hardware = table_of(isa, levels)
    table.map(0x1000, 0x5000, 3)
    assert table.protect(0x1000, 0)
    assert hardware(0x1000) is None
    assert table.find(0x1000) == Mapping(0x5000, 0)
    assert table.protect(0x1000, 5)
    assert hardware(0x1000) == (0x5000, 5)
    assert not table.protect(0x2000, 5)


@pytest.mark.parametrize(("isa", "levels"), FORMATS)
def test_random_pages_match_a_dictionary(isa, levels):
    rng = random.Random(levels)
    kernel, table, hardware = table_of(isa, levels)
    model = {}
    bases = [rng.randrange(1 << 35) << 12 for _ in range(6)]
    for _ in range(1500):
        at = rng.choice(bases) + rng.randrange(700) * PAGE_BYTES
        if at >= 1 << 47:
            continue
        match rng.randrange(4):
            case 0 | 1:
                model[at] = (rng.randrange(1 << 20) << 12, rng.choice((1, 3, 5, 7)))
                table.map(at, *model[at])
            case 2:
                assert table.unmap(at) == model.pop(at, (None,))[0]
            case 3:
                assert hardware(at) == model.get(at)
    found = [(at, tuple(page)) for at, _, page in table.pages(0, 1 << 47)]
    assert found == sorted(model.items())
    low, high = sorted(rng.sample(sorted(model), 2))
    assert [at for at, _, _ in table.pages(low, high)] == [
        at for at in sorted(model) if low <= at < high
    ]
    table.destroy()
    assert kernel.frames.used == 0


def test_walks_are_charged_but_hardware_walks_are_not():
    kernel, table, _ = table_of("x86_64", 5)
    table.map(0x1000, 0x5000, 3)
    kernel.core.writer.take()
    table.find(0x1000)
    assert kernel.core.writer.take() == []
    table.lookup(0x1000)
    assert len(kernel.core.writer.take()) == 5


def test_trim_frees_only_tables_that_lie_wholly_inside():
    kernel, table, _ = table_of("x86_64", 4)
    empty = kernel.frames.used
    for at in (0x1000, 0x200000, 0x400000):
        table.map(at, 0x5000, 3)
        table.unmap(at)
    assert kernel.frames.used == empty + 5
    table.trim(0x1000, 0x600000)
    assert kernel.frames.used == empty + 3
    table.map(0x200000, 0x5000, 1)
    assert table.lookup(0x200000) == (0x5000, 1)


def test_table_frames_name_their_address_space():
    kernel, table, _ = table_of("x86_64", 4)
    assert kernel.frames.user_of(table.root) == (FrameUse.TABLE, 0x40, 0)


def test_a_damaged_upper_entry_is_reported():
    kernel, table, _ = table_of("x86_64", 4)
    kernel.memory.poke(table.root, 0x1234_0000)
    with pytest.raises(InvariantError, match="entry 0x12340000 .* points at no table"):
        table.lookup(0)


def test_running_out_of_frames_leaves_no_half_made_path():
    kernel, table, _ = table_of("x86_64", 4)
    held = [
        kernel.frames.allocate(zero=False) for _ in range(kernel.frames.total - kernel.frames.used)
    ]
    with pytest.raises(KernelError, match="ENOMEM"):
        table.map(0x1000, 0x5000, 3)
    for frame in held:
        kernel.frames.free(frame)
    table.map(0x1000, 0x5000, 3)
    assert table.find(0x1000) == (0x5000, 3)
