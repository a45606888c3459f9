"""Hits that the native engine leaves out of its records change nothing: the rule of
cosim.engine.native.recency, in plain Python, against the reference that sees every reference.
"""

import numpy as np
import pytest

from cosim.engine.stream import (
    FETCH_HIT,
    HIT,
    KIND_SHIFT,
    MODE_SHIFT,
    STORE_HIT,
    Kind,
    Mode,
    certain_hits,
    decode,
)
from cosim.units import LINE_BYTES
from memsys import replay
from memsys.reference import ReferenceMemory
from memsys.specification import Specification
from tests.coherence.machines import (
    TINY,
    assert_lawful,
    assert_same,
    feed,
    machine,
    random_machine,
    random_records,
)

RECORDS = 2500
TURN = 60  # records of one core between two others', at most
KINDS = {Kind.LOAD: HIT, Kind.STORE: STORE_HIT, Kind.FETCH: FETCH_HIT}


class Recency:
    """What is known of one core's lines, by class."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.forget()

    def forget(self) -> None:
        """Somebody else may have used the caches."""
        self.used: dict[int, int] = {}
        self.modified: dict[int, bool] = {}
        self.fetched: dict[int, int] = {}

    def is_certain(self, kind: int, first: int, last: int) -> bool:
        """Does a reference to these lines hit and change nothing?  If not, note its record."""
        at = first % self.classes
        if first == last and kind == Kind.FETCH and self.fetched.get(at) == first:
            return True
        known = first == last and kind != Kind.FETCH and self.used.get(at) == first
        if known and (kind == Kind.LOAD or (kind == Kind.STORE and self.modified[at])):
            return True
        for line in range(first, last + 1):
            at = line % self.classes
            (self.used if kind == Kind.FETCH else self.fetched).pop(at, None)
            (self.fetched if kind == Kind.FETCH else self.used)[at] = line
            self.modified[at] = kind != Kind.LOAD
        return False


def in_turns(target: Specification, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random records, one core for some time and then another, each with its favourite lines."""
    cores, records = random_records(target, count, seed)
    random = np.random.default_rng([20261128, seed])
    lengths = random.integers(1, TURN, count)
    cores = np.repeat(cores, lengths)[:count]
    again = random.random(count) < 0.5  # the line of a few records before, with another kind
    sources = np.maximum(np.arange(count) - random.integers(1, 4, count), 0)
    address = np.uint64((1 << 52) - 1)
    plain = records >> np.uint64(MODE_SHIFT) & np.uint64(3) != Mode.UNCACHED
    again &= plain & plain[sources]
    records = np.where(again, records & ~address | records[sources] & address, records)
    user = plain & (random.random(count) < 0.95)
    return cores, np.where(user, records & ~(np.uint64(3) << np.uint64(MODE_SHIFT)), records)


def left_out(
    target: Specification, cores: np.ndarray, records: np.ndarray, too_many: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The same with certain hits of user code counted instead, behind each turn of a core.

    too_many: so many times as many classes as are right.
    """
    found: list[tuple[int, int]] = []
    before, hits = -1, 0
    known = [Recency(target.line_classes(core) * too_many) for core in target.cores]
    for core, record in zip(cores.tolist(), records.tolist(), strict=True):
        kind, mode, size, address = decode(record)
        if core != before or mode != Mode.USER:
            known[core].forget()
            if hits:
                found.append((before, Kind.HITS << KIND_SHIFT | hits))
            before, hits = core, 0
        last = address if kind == Kind.FETCH else address + size - 1
        lines = address // LINE_BYTES, last // LINE_BYTES
        if mode == Mode.USER and known[core].is_certain(kind, *lines):
            hits += KINDS[Kind(kind)]
        else:
            found.append((core, record))
    if hits:
        found.append((before, Kind.HITS << KIND_SHIFT | hits))
    by_core, words = zip(*found, strict=True)
    return np.array(by_core, np.uint8), np.array(words, np.uint64)


def compare(target: Specification, count: int, seed: int, too_many: int = 1) -> int:
    """How many records were left out, once everything was found to be equal."""
    cores, records = in_turns(target, count, seed)
    reference, state = ReferenceMemory(target), replay.new_state(target)
    expected = sum(
        reference.record(c, int(r)) for c, r in zip(cores.tolist(), records, strict=True)
    )
    fewer_cores, fewer = left_out(target, cores, records, too_many)
    assert sum(feed(state, fewer_cores, fewer)) == expected
    assert_same(reference, state)
    assert_lawful(target, state)
    again = ReferenceMemory(target)
    assert sum(
        again.record(c, int(r)) for c, r in zip(fewer_cores.tolist(), fewer, strict=True)
    ) == (expected)
    assert_same(again, state)
    return len(records) - len(fewer)


@pytest.mark.parametrize("seed", range(25))
def test_random_machines(seed):
    assert compare(random_machine(seed), RECORDS, seed) > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3000, 3300))
def test_many_random_machines(seed):
    assert compare(random_machine(seed), 20_000, seed) > 0


def test_many_references_are_left_out():
    shape = {name.replace(".", "__"): value for name, value in TINY.items()}
    assert compare(machine(1, 1, **shape), 20_000, 1) > 500


def test_classes_are_the_fewest_sets():
    target = machine(1, 1)
    assert [target.line_classes(core) for core in target.cores] == [64, 64]
    filtered = machine(1, 1, cache__snoop_filter__entries=128, cache__snoop_filter__ways=4)
    assert [filtered.line_classes(core) for core in filtered.cores] == [32, 32]
    alone = machine(1, cache__snoop_filter__entries=128, cache__snoop_filter__ways=4)
    assert [alone.line_classes(core) for core in alone.cores] == [64]


def test_more_classes_than_sets_would_be_wrong():
    """The rule needs its condition."""
    shape = {name.replace(".", "__"): value for name, value in TINY.items()}
    with pytest.raises(AssertionError):
        compare(machine(1, 1, **shape), 20_000, 1, too_many=8)


def test_a_record_of_hits_is_what_it_says():
    word = Kind.HITS << KIND_SHIFT | 5 * HIT + 3 * STORE_HIT + 70_000 * FETCH_HIT
    assert certain_hits(word) == (5, 3, 70_000)
