"""Is the physical map the paper's for the pair, sensible for any other machine, and strict?"""

import pytest

from cosim import physical_map
from cosim.errors import InputError
from cosim.physical_map import RowKind, build
from cosim.units import GiB, MiB
from tests.coherence.machines import nodes_of

PAIR = nodes_of(1, 1)


@pytest.mark.parametrize(
    ("model", "x86", "arm"),
    [
        ("separated", [(0, 1.5), (4, 6)], [(1.5, 3), (6, 8)]),
        ("shared", [(0, 1.5)], [(1.5, 3)]),
        ("fully-shared", [(0, 3), (4, 8)], [(0, 3), (4, 8)]),
    ],
)
def test_what_is_local_to_the_pair(model, x86, arm):
    found = build({"memory.model": model}, PAIR)
    for index, expected in enumerate((x86, arm)):
        assert found.local_ranges(index) == [(int(a * GiB), int(b * GiB)) for a, b in expected]


@pytest.mark.parametrize("model", physical_map.MODELS)
def test_areas_lie_at_the_same_place_in_every_model(model):
    found = build({"memory.model": model}, PAIR)
    assert (found.message_area.start, found.message_area.size_bytes) == (4 * GiB, 128 * MiB)
    assert found.shared_window.start == found.message_area.end
    assert found.is_local(0, 4 * GiB) == (model != "shared")
    assert found.is_local(1, 4 * GiB) == (model == "fully-shared")


def test_kernels_start_with_their_slices_and_nothing_else():
    found = build({}, PAIR)
    assert found.boot_ranges(0) == [(0, 3 * GiB // 2), (4 * GiB + 192 * MiB, 6 * GiB)]
    assert found.boot_ranges(1) == [(3 * GiB // 2, 3 * GiB), (6 * GiB, 8 * GiB)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [256 * MiB, 3 * GiB, 5 * GiB, 8 * GiB])
@pytest.mark.parametrize("model", physical_map.MODELS)
def test_rows_tile_the_memory(count, size, model):
    found = build({"memory.model": model, "memory.size": size, "memory.message_area": MiB,
                   "memory.shared_window": MiB}, nodes_of(*[1] * count))  # fmt: skip
    rows = [row for row in found.rows if row.kind is not RowKind.DEVICE]
    expected = [(0, min(size, 3 * GiB))] + ([(4 * GiB, size)] if size > 4 * GiB else [])
    joined = []
    for row in rows:
        if joined and joined[-1][1] == row.start:
            joined[-1] = (joined[-1][0], row.end)
        else:
            joined.append((row.start, row.end))
    assert joined == expected
    assert all(row.size_bytes > 0 for row in rows)
    booted = sorted(part for index in range(count) for part in found.boot_ranges(index))
    assert booted == sorted((row.start, row.end) for row in rows if row.kind is RowKind.RAM)


def test_each_node_has_a_device_page_in_the_hole():
    found = build({"memory.model": "fully-shared"}, nodes_of(1, 1, 1))
    for index in range(3):
        page = found.device_page(index)
        assert page == 0xC000_0000 + index * 4096
        assert found.device_owner(page + 4095) == index
        assert [found.is_local(node, page) for node in range(3)] == [n == index for n in range(3)]
    assert found.device_owner(0xC000_3000) is None
    assert found.row_of(0xD000_0000) is None
    assert any("device of riscv, local to riscv" in line for line in found.describe())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory.model": "numa"}, "memory.model: 'numa' is none of separated, shared"),
        ({"memory.size": 7 * MiB}, "memory.size: 0x700000 must be a multiple of 0x2000000"),
        ({"memory.size": 3 * GiB + 64 * MiB}, "not end in the device hole"),
        ({"memory.message_area": 5000}, "memory.message_area: 0x1388 must be a positive multiple"),
        ({"memory.size": 256 * MiB}, "do not fit in the .* raise memory.size"),
    ],
)
def test_what_cannot_be_is_one_line(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        build(settings, PAIR)
    assert "\n" not in str(caught.value)
