"""Does a whole machine count what QEMU and its cache plugin count, to the instruction?"""

import json
from pathlib import Path

import pytest

from launch import Machine

PROGRAMS = Path(__file__).parent / "programs"
EXPECTED = json.loads((PROGRAMS / "expected.json").read_text())
NODES = {"x86_64": "x86", "aarch64": "arm"}
L1D_TOLERANCE = 0.002  # the start stack pointer differs
L2_TOLERANCE = 0.02  # theirs is looked up by virtual address


def run(name, **settings):
    node = NODES[name.partition(".")[2]]
    chosen = {"cache.inclusion": "nine", **settings}
    with Machine(settings=chosen, ideal_kernel=True) as machine:
        return machine.run(PROGRAMS / name, on=node), f"{node}.core0"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_counts_of_the_oracle(name):
    found, core = run(name)
    expected, statistics = EXPECTED[name], found.statistics
    assert found.exit_status == expected["exit_status"]
    assert statistics[f"{core}.instructions_user"] == expected["instructions"]
    assert statistics[f"{core}.data_references_user"] == expected["data_references"]
    assert statistics[f"{core}.l1i.misses"] == expected["l1i_misses"]
    assert statistics[f"{core}.l1d.misses"] == pytest.approx(
        expected["l1d_misses"], rel=L1D_TOLERANCE
    )
    assert statistics[f"{core}.l2.misses"] == pytest.approx(expected["l2_misses"], rel=L2_TOLERANCE)


@pytest.mark.parametrize("name", ["chase.aarch64", "triad.x86_64"])
def test_an_odd_quantum_moves_nothing(name):
    usual, core = run(name)
    odd, _ = run(name, **{"time.quantum_ns": 137})
    assert odd.digest == usual.digest
    assert odd.statistics[f"{core}.cycles"] == usual.statistics[f"{core}.cycles"]


@pytest.mark.parametrize("inclusion", ["nine", "inclusive"])
def test_page_tables_of_four_levels_count_the_same(inclusion):
    """Hardware walks are not references, so the depth of the tables shows in kernel work only."""
    five, core = run("buckets.x86_64", **{"cache.inclusion": inclusion})
    four, _ = run("buckets.x86_64", **{"cache.inclusion": inclusion, "kernel.levels": 4})
    for name in ("instructions_user", "data_references_user"):
        assert four.statistics[f"{core}.{name}"] == five.statistics[f"{core}.{name}"]
    assert (
        four.statistics[f"{core}.instructions_kernel"]
        < five.statistics[f"{core}.instructions_kernel"]
    )
