"""Is a hierarchy that grew what it would be had the new cores been there from the start, and one
that shrank what its laws demand?"""

import numpy as np
import pytest

from cosim import settings
from cosim.errors import InputError
from cosim.shared import Segment
from cosim.units import MiB
from memsys import departure, growth, specification, state
from memsys.reference import ReferenceMemory
from tests.coherence.machines import (
    PRICES,
    TINY,
    assert_lawful,
    assert_same,
    feed,
    nodes_of,
    random_records,
)

SEEDS = 24
RECORDS = 1500


def machines(seed):
    """A random machine without and with its last node."""
    random = np.random.default_rng([20261127, seed])

    def pick(*choices):
        return choices[int(random.integers(len(choices)))]

    nodes = nodes_of(*(int(random.integers(1, 3)) for _ in range(int(random.integers(2, 5)))))
    nodes[-1]["memory"] = [[0, 32 * MiB]]
    entries = pick(0, 0, 32, 128) if len(nodes) > 2 else 0
    given = TINY | PRICES | {
        "memory.model": pick("separated", "shared", "fully-shared"),
        "cache.inclusion": pick("inclusive", "nine"),
        "cache.remote_load_drops_owner_l1": pick(True, False),
        "cache.silent_shared_eviction": pick(True, False),
        "cache.snoop_filter.entries": 0,
        "cache.snoop_filter.ways": 4,
    }  # fmt: skip
    if given["memory.model"] != "fully-shared":
        given["cache.snoop_filter.entries"] = entries
    return [
        specification.build(settings.resolve(given, rows), rows) for rows in (nodes[:-1], nodes)
    ]


@pytest.fixture
def segment():
    made = Segment.create("hierarchy", 1 << 30)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_growing_changes_nothing_that_is_cached_or_counted(seed, segment):
    before, after = machines(seed)
    if len(before.cores) == 1 and after.model == "fully-shared":
        pytest.skip("a core alone under its L3 is looked at directly: the test below")
    reference = ReferenceMemory(after)
    arrays = state.build(before, segment.array)
    first = random_records(before, RECORDS, seed)
    expected = [reference.record(core, int(record)) for core, record in zip(*first, strict=True)]
    assert feed(arrays, *first) == expected
    arrays = growth.grow(before, arrays, after, segment)
    assert_same(reference, arrays)
    second = random_records(after, RECORDS, seed + SEEDS)
    expected = [reference.record(core, int(record)) for core, record in zip(*second, strict=True)]
    assert feed(arrays, *second) == expected
    assert_same(reference, arrays)
    assert_lawful(after, arrays)


@pytest.mark.parametrize("seed", range(4))
def test_a_core_that_was_alone_is_in_the_directory_of_the_L3_that_it_shares_now(seed, segment):
    rows = nodes_of(1, 2)
    given = TINY | {"memory.model": "fully-shared"}
    before, after = (
        specification.build(settings.resolve(given, some), some) for some in (rows[:1], rows)
    )
    arrays = state.build(before, segment.array)
    feed(arrays, *random_records(before, RECORDS, seed))
    arrays = growth.grow(before, arrays, after, segment)
    assert_lawful(after, arrays)
    feed(arrays, *random_records(after, RECORDS, seed + SEEDS))
    assert_lawful(after, arrays)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_node_that_left_is_in_no_directory(seed, segment):
    before, after = machines(seed)
    arrays = state.build(after, segment.array)
    feed(arrays, *random_records(after, RECORDS, seed))
    gone = len(after.nodes) - 1
    departure.empty(after, arrays, gone)
    assert_lawful(after, arrays)
    cores = [core for core in after.cores if core.node == gone]
    for core in cores:
        for level in ("l1i", "l1d", "l2"):
            assert not arrays.caches[f"{core.name}.{level}"].any()
    snoops = arrays.counters[[core.index for core in cores]].copy()
    feed(arrays, *random_records(before, RECORDS, seed + SEEDS))
    assert_lawful(after, arrays)
    assert np.array_equal(arrays.counters[[core.index for core in cores]], snoops)


def test_a_limited_snoop_filter_cannot_be_filled_later():
    given = {"memory.model": "separated", "cache.snoop_filter.entries": 32}
    nodes = nodes_of(1, 1)
    before, after = (
        specification.build(settings.resolve(TINY | given, some), some)
        for some in (nodes[:1], nodes)
    )
    with pytest.raises(InputError, match="start with two nodes"):
        growth.check(before, after, 1 << 30)
    with pytest.raises(InputError, match="were set aside when it started"):
        growth.check(after, after, 1 << 10)
