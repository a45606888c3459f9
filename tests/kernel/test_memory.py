"""Does every kernel access leave exactly the records it should, and the right bytes?"""

import numpy as np
import pytest

from cosim.engine.stream import Kind, Mode
from cosim.errors import InvariantError
from cosim.kernel import costs
from cosim.kernel.memory import KernelMemory
from tests.kernel.fakes import FakeCore

BASE = 0x10000


@pytest.fixture
def machine():
    memory = KernelMemory(np.zeros(1 << 20, np.uint8), costs.resolve({"kernel.costs.vma_step": 11}))
    memory.core = FakeCore()
    return memory, memory.core.writer


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("shift", [0, 1, 4])
def test_a_store_and_a_load_are_one_record_each(machine, size, shift):
    memory, writer = machine
    value = 0xF1E2_D3C4_B5A6_9788 & (1 << 8 * size) - 1
    memory.store(BASE + shift, value, size)
    assert memory.load(BASE + shift, size) == value
    assert memory.peek(BASE + shift, size) == value
    assert writer.take() == [
        (Kind.STORE, Mode.KERNEL, size, BASE + shift), (Kind.LOAD, Mode.KERNEL, size, BASE + shift),
    ]  # fmt: skip


def test_values_are_little_endian_and_cut_to_size(machine):
    memory, _ = machine
    memory.store(BASE, -1)
    memory.store(BASE, 0x1_0203, 2)
    assert memory.read(BASE, 8) == bytes.fromhex("0302ffffffffffff")


def test_compare_and_swap_takes_the_line_for_writing_even_when_it_fails(machine):
    memory, writer = machine
    assert memory.compare_and_swap(BASE, 0, 7) == 0
    assert memory.compare_and_swap(BASE, 0, 9) == 7
    assert memory.peek(BASE) == 7
    assert [kind for kind, *_ in writer.take()] == [Kind.ATOMIC_LOAD, Kind.STORE] * 2


def test_bulk_operations_touch_each_line_once(machine):
    memory, writer = machine
    data = bytes(range(256)) * 40
    memory.write(BASE + 60, data[: 4 + 64 + 10])
    assert writer.take() == [
        (Kind.STORE, Mode.KERNEL, 4, BASE + 60), (Kind.STORE, Mode.KERNEL, 64, BASE + 64),
        (Kind.STORE, Mode.KERNEL, 10, BASE + 128),
    ]  # fmt: skip
    assert memory.read(BASE + 60, 78) == data[:78]
    writer.take()
    memory.zero(BASE, 4096)
    assert writer.take() == [(Kind.STORE, Mode.KERNEL, 64, BASE + 64 * i) for i in range(64)]
    memory.write(BASE, data)
    writer.take()
    memory.copy(BASE + 0x8000, BASE, len(data))
    records = writer.take()
    assert [r[0] for r in records] == [Kind.LOAD] * 160 + [Kind.STORE] * 160
    assert memory.read(BASE + 0x8000, len(data)) == data


def test_very_long_operations_are_cut_into_pieces_for_the_ring(machine):
    memory, writer = machine
    memory.zero(0, 1 << 20)
    assert [r[3] for r in writer.take()] == list(range(0, 1 << 20, 64))
    memory.poke(24, 5)
    assert memory.load_words(16, 2000)[1] == 5
    assert writer.take() == [(Kind.LOAD, Mode.KERNEL, 8, 16 + 8 * i) for i in range(2000)]


def test_parts_inside_one_line_are_one_record(machine):
    memory, writer = machine
    memory.read(BASE + 3, 5)
    memory.read(BASE, 0)
    assert writer.take() == [(Kind.LOAD, Mode.KERNEL, 5, BASE + 3)]


def test_ideal_kernels_are_marked(machine):
    memory = KernelMemory(np.zeros(4096, np.uint8), {}, ideal=True)
    memory.core = core = FakeCore()
    memory.load(0)
    memory.zero(0, 4096)
    assert {mode for _, mode, _, _ in core.writer.take()} == {Mode.KERNEL_IDEAL}


def test_nothing_is_recorded_without_a_core_and_uncharged_restores_it(machine):
    memory, writer = machine
    core = memory.core
    with memory.uncharged():
        memory.store(BASE, 3)
        memory.zero(BASE + 64, 640)
        memory.charge("vma_step")
    memory.poke(BASE + 8, 4)
    assert memory.core is core
    assert writer.take() == []
    assert core.instructions_kernel == 0
    memory.charge("vma_step", 3)
    assert core.instructions_kernel == 33, "kernel.costs.vma_step of the settings"


@pytest.mark.parametrize("address", [-64, (1 << 20) - 8])
def test_leaving_physical_memory_is_a_broken_invariant(machine, address):
    memory, writer = machine
    with pytest.raises(InvariantError, match="outside the 0x100000 bytes of physical memory"):
        memory.zero(address, 64)
    assert writer.take() == []


def test_every_cost_is_positive_and_says_where_it_is_from():
    assert len(costs.COSTS) > 20
    for name, row in costs.COSTS.items():
        assert row.instructions > 0, name
        assert row.source, name
        assert row.meaning, name
