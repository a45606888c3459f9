"""Is the area tree always a valid AA tree that agrees with a sorted list, and can another kernel
read it?
"""

import bisect
import random

import pytest

from cosim.kernel.layout import ADDRESS_SPACE, AREA
from cosim.kernel.memory import KernelMemory
from cosim.kernel.slab import Slab
from cosim.kernel.vma import Vma, VmaTree
from tests.kernel.fakes import FakeKernel

STEP = 0x1000


@pytest.fixture
def setting():
    kernel = FakeKernel()
    space = kernel.frames.allocate()
    slab = Slab(kernel.memory, kernel.frames, space + ADDRESS_SPACE.offset("slab"), AREA.size)
    return kernel, space, VmaTree(kernel.memory, slab, space)


def check(kernel, space):
    """The AA rules, read from physical memory alone; the areas in order."""
    memory = KernelMemory(kernel.physical, {})
    root = memory.load(space + ADDRESS_SPACE.offset("area_root"))

    def level(node):
        return AREA.decode(memory.read(node, AREA.size))["level"] if node else 0

    def visit(node):
        if not node:
            return []
        area = AREA.decode(memory.read(node, AREA.size))
        left, right = area["left"], area["right"]
        assert level(left) == area["level"] - 1, "a left child is one level down"
        assert level(right) in (area["level"], area["level"] - 1)
        outer = AREA.decode(memory.read(right, AREA.size))["right"] if right else 0
        assert not outer or level(outer) < area["level"], "no two right steps on one level"
        if area["level"] > 1:
            assert left and right
        return [*visit(left), (area["start"], area["end"]), *visit(right)]

    found = visit(root)
    assert found == sorted(found)
    assert memory.load(space + ADDRESS_SPACE.offset("area_count")) == len(found)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_random_changes_match_a_sorted_list(setting, seed):
    kernel, space, tree = setting
    rng = random.Random(seed)
    model: list[tuple[int, int]] = []
    for turn in range(700):
        at = rng.randrange(400) * STEP
        if rng.random() < (0.6 if turn < 400 else 0.3):
            end = at + rng.randrange(1, 4) * STEP
            if not any(start < end and at < stop for start, stop in model):
                bisect.insort(model, (at, end))
                tree.insert(Vma(at, end, 3))
        elif model:
            gone = model.pop(rng.randrange(len(model)))
            found = tree.find(gone[0])
            assert (found.start, found.end) == gone
            tree.remove(found)
        here = [m for m in model if m[0] <= at < m[1]]
        after = [m for m in model if m[1] > at]
        before = [m for m in model if m[0] < at]
        for got, wanted in (
            (tree.find(at), here),
            (tree.at_or_after(at), after),
            (tree.before(at), before[-1:]),
        ):
            assert (got and (got.start, got.end)) == (wanted[0] if wanted else None)
        if turn % 20 == 0:
            assert check(kernel, space) == model
            assert [(a.start, a.end) for a in tree.all()] == model
    for area in tree.all():
        tree.remove(area)
    assert check(kernel, space) == []


def test_ascending_and_descending_insertions_stay_shallow(setting):
    kernel, space, tree = setting
    for number in [*range(300), *range(900, 600, -1)]:
        tree.insert(Vma(number * STEP, (number + 1) * STEP, 1))
    check(kernel, space)
    kernel.core.writer.take()
    assert tree.find(150 * STEP).start == 150 * STEP
    assert len(kernel.core.writer.take()) <= 3 * 2 * 10 + 4, (
        "depth is at most twice log2 of the count"
    )


def test_every_field_survives_and_a_split_moves_the_offset(setting):
    _, _, tree = setting
    tree.insert(Vma(0x1000, 0x9000, 5, 8, 3, 0x4000, 17))
    area = tree.find(0x8FFF)
    upper = tree.split(area, 0x3000)
    assert (upper.start, upper.end, upper.offset) == (0x3000, 0x9000, 0x6000)
    low, high = tree.find(0x2FFF), tree.find(0x3000)
    assert (low.start, low.end, low.offset, low.same_but_place(high)) == (
        0x1000,
        0x3000,
        0x4000,
        True,
    )
    assert (high.protection, high.flags, high.kind, high.source) == (5, 8, 3, 17)


def test_a_repeated_lookup_costs_three_references_until_anybody_changes_the_tree(setting):
    kernel, space, tree = setting
    for number in range(40):
        tree.insert(Vma(number * STEP, (number + 1) * STEP, 1))
    first = tree.find(7 * STEP)
    kernel.core.writer.take()
    assert tree.find(7 * STEP + 5) == first
    assert len(kernel.core.writer.take()) == 3
    # Another kernel edits the node and moves the sequence number.
    other = KernelMemory(kernel.physical, {})
    other.store(first.node + AREA.offset("protection"), 7, 4)
    sequence = space + ADDRESS_SPACE.offset("sequence")
    other.store(sequence, other.load(sequence) + 1)
    assert tree.find(7 * STEP).protection == 7
