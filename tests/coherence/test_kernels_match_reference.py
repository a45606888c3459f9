"""Do the compiled kernels do, access for access, what the reference defines?"""

import numpy as np
import pytest

from memsys import header, replay
from memsys.coherence import ROWS, Event, State
from memsys.reference import ReferenceMemory
from memsys.rows import LANES
from memsys.state import ALONE, CORE_BLOCK, CoreWord
from tests.coherence.machines import (
    TINY,
    assert_lawful,
    assert_same,
    compare,
    feed,
    machine,
    random_accesses,
    random_machine,
    random_records,
)

SEEDS = 40
ACCESSES = 2500


def core_blocks(target):
    """(cores, CORE_BLOCK) i64: the describing words of the cores of a machine just built."""
    words = replay.new_state(target).words
    first, cores = int(words[header.CORE_BLOCKS]), len(target.cores)
    return words[first : first + cores * CORE_BLOCK].reshape(cores, CORE_BLOCK)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_machines_and_accesses(seed):
    target = random_machine(seed)
    _, state = compare(target, *random_accesses(target, ACCESSES, seed))
    assert_lawful(target, state, charged=False)


@pytest.mark.parametrize("seed", range(SEEDS, SEEDS + 30))
def test_random_records(seed):
    target = random_machine(seed)
    cores, records = random_records(target, ACCESSES, seed)
    reference, state = ReferenceMemory(target), replay.new_state(target)
    expected = [reference.record(c, int(r)) for c, r in zip(cores.tolist(), records, strict=True)]
    found = feed(state, cores, records)
    assert found == expected
    assert max(found) <= target.worst_reference_cycles
    assert_same(reference, state)
    assert_lawful(target, state)


def test_the_random_machines_reach_every_shape():
    targets = [random_machine(seed) for seed in range(SEEDS)]
    assert {target.model for target in targets} == {"separated", "shared", "fully-shared"}
    for shape in (
        lambda t: t.inclusive,
        lambda t: t.silent_shared,
        lambda t: t.drops_owner_l1,
        lambda t: t.has_filter and bool(t.filter_entries),
        lambda t: any(domain.l3 is None for domain in t.domains),
        lambda t: any(domain.has_directory for domain in t.domains),
        lambda t: len(t.nodes) == 4,
        lambda t: t.cores[0].l2.ways > LANES,
        lambda t: ALONE in core_blocks(t)[:, CoreWord.NEAR],
    ):
        assert {bool(shape(target)) for target in targets} == {True, False}


@pytest.mark.parametrize("inclusion", ["inclusive", "nine"])
def test_full_size_machine(inclusion):
    target = machine(1, 2, cache__inclusion=inclusion)
    random = np.random.default_rng(5)
    count = 60_000
    cores = random.integers(0, 3, count).astype(np.uint8)
    kinds = random.choice([0, 0, 0, 1, 3], count).astype(np.uint8)
    addresses = random.integers(0, 6 << 20, count).astype(np.uint64)
    addresses += (random.random(count) < 0.3).astype(np.uint64) << np.uint64(32)
    _, state = compare(target, cores, kinds, addresses)
    assert_lawful(target, state, charged=False)


@pytest.mark.parametrize("inclusion", ["inclusive", "nine"])
def test_full_size_machine_by_records(inclusion):
    """The same in a ring: L1 and L2 hits are served by shorter ways than a replay's."""
    target = machine(1, 1, cache__inclusion=inclusion, cache__l1d__ways=4)
    random = np.random.default_rng(6)
    count = 60_000
    cores = random.choice([0, 0, 0, 0, 1], count).astype(np.uint8)
    kinds = random.choice([0, 0, 0, 1, 2, 3], count).astype(np.uint64)
    lines = random.integers(0, 1 << 11, count) + (random.random(count) < 0.1) * (1 << 14)
    lines[kinds == 3] %= 700
    words = kinds << np.uint64(60) | np.uint64(7 << 52) | lines.astype(np.uint64) << np.uint64(6)
    reference, state = ReferenceMemory(target), replay.new_state(target)
    expected = [reference.record(c, int(r)) for c, r in zip(cores.tolist(), words, strict=True)]
    assert feed(state, cores, words) == expected
    assert_same(reference, state)
    assert_lawful(target, state)


@pytest.mark.parametrize("model", ["separated", "shared"])
@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("l1d_ways", [1, 2, 4])
def test_misses_of_cores_alone(model, silent, l1d_ways):
    """What memsys.beyond serves: every kind of victim, next to cores that share the lines."""
    shape = {name.replace(".", "__"): value for name, value in TINY.items()}
    shape |= {"cache__l1d__ways": l1d_ways, "cache__l1d__size": 256, "memory__model": model}
    target = machine(1, 1, 1, cache__silent_shared_eviction=silent, **shape)
    assert {int(words[CoreWord.NEAR]) for words in core_blocks(target)} == {ALONE}
    random = np.random.default_rng([20261127, l1d_ways])
    count = 30_000
    cores = random.choice([0, 0, 0, 0, 0, 0, 1, 2], count).astype(np.uint8)
    kinds = random.choice([0, 0, 0, 1, 1, 2, 3], count, p=[0.2, 0.2, 0.2, 0.15, 0.15, 0.05, 0.05])
    lines = random.integers(0, 90, count) + (random.random(count) < 0.3) * (1 << 20)
    words = kinds.astype(np.uint64) << np.uint64(60) | np.uint64(7 << 52)
    words |= lines.astype(np.uint64) << np.uint64(6)
    reference, state = ReferenceMemory(target), replay.new_state(target)
    expected = [reference.record(c, int(r)) for c, r in zip(cores.tolist(), words, strict=True)]
    assert feed(state, cores, words) == expected
    assert_same(reference, state)
    assert_lawful(target, state)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1400))
def test_many_random_machines(seed):
    target = random_machine(seed)
    _, state = compare(target, *random_accesses(target, 20_000, seed))
    assert_lawful(target, state, charged=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2000, 2100))
def test_many_random_records(seed):
    target = random_machine(seed)
    cores, records = random_records(target, 20_000, seed)
    reference, state = ReferenceMemory(target), replay.new_state(target)
    expected = [reference.record(c, int(r)) for c, r in zip(cores.tolist(), records, strict=True)]
    assert feed(state, cores, records) == expected
    assert_same(reference, state)
    assert_lawful(target, state)


def holds(reference: ReferenceMemory, core: int, line: int) -> State:
    """What a domain of one core holds, in its private caches or in its L3 alone."""
    return max(reference._state(core, line), reference.l3[core].get(line))


def own_events(reference: ReferenceMemory, core: int, store: bool, line: int) -> Event:
    """What the coherence table calls this access: by what the others hold."""
    others = [holds(reference, other, line) for other in range(len(reference.l2)) if other != core]
    strongest = max(others, default=State.I)
    first = Event.STORE_ALONE if store else Event.LOAD_ALONE
    return Event(first + (0 if strongest == State.I else 1 if strongest == State.S else 2))


def test_what_happens_is_what_the_table_says():
    """Private caches of two single-core nodes, exact directories: every own and remote row."""
    target = machine(1, 1, cache__l2__size=1024, cache__l2__ways=4, cache__l1d__size=256,
                     cache__l1d__ways=2, cache__l1i__size=256, cache__l1i__ways=2,
                     cache__l3__size=4096, cache__l3__ways=8)  # fmt: skip
    reference = ReferenceMemory(target)
    table = {(row.state, row.event): row.target for row in ROWS}
    seen = set()
    random = np.random.default_rng(11)
    for _ in range(6000):
        core, store, line = (int(random.integers(n)) for n in (2, 2, 24))
        if line >= 3:
            line *= 8  # one set of every cache: evictions
        before = [holds(reference, c, line) for c in (0, 1)]
        event = own_events(reference, core, store, line)
        reference.access(core, int(store), line)
        after = [holds(reference, c, line) for c in (0, 1)]
        assert after[core] == table[before[core], event], (before[core], event)
        seen.add((before[core], event))
        other = 1 - core
        if before[other] != State.I:
            remote = Event.REMOTE_STORE if store else Event.REMOTE_LOAD
            if before[core] == State.I or store:
                assert after[other] == table[before[other], remote], (before[other], remote)
                seen.add((before[other], remote))
    outside = {Event.EVICT, Event.BACK_INVALIDATE}
    assert seen == {pair for pair in table if pair[1] not in outside}
