"""Is our protocol, with two switches on, gem5's MESI_Three_Level, access by access and count by
count?

The traces and counts are an independent simulator's (tests/golden/gem5); see its README for what
they hold.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from cosim import settings
from memsys import gem5_counts, laws, replay, specification
from memsys.coherence import Served
from memsys.statistics import Counter

FOLDER = Path(__file__).parent / "gem5"
TRACES = sorted(path.stem for path in FOLDER.glob("*.npz"))
SWITCHES = {"cache.remote_load_drops_owner_l1": True, "cache.silent_shared_eviction": True}
# (L0 hits, L1 hits, L2 hits, memory reads) against gem5 when one of its rules is changed.
WITHOUT = {
    "cache.remote_load_drops_owner_l1": {
        "pingpong2": (3390, -3390, 0, 0),
        "pressure4": (305, -305, 0, 0),
        "readmostly2": (-2, 2, 0, 0),
    },
    "cache.silent_shared_eviction": {
        "readmostly2": (6, 82, -4158, 0),
        "pressure4": (1, 1, -28, 0),
    },
}


def run(name, **switches):
    """(trace arrays, Replay, specification) of a golden trace on a fully-shared machine."""
    with np.load(FOLDER / f"{name}.npz") as content:
        trace = {key: content[key] for key in content.files}
    isas = ("x86_64", "aarch64")
    nodes = [
        {"name": f"n{i}", "isa": isas[i % 2], "cores": 1, "index": i, "frequency_hz": 10**9}
        for i in range(int(trace["core"].max()) + 1)
    ]
    chosen = {"memory.model": "fully-shared", **SWITCHES, **switches}
    target = specification.build(settings.resolve(chosen, nodes), nodes)
    return trace, replay.replay(target, trace["core"], trace["op"], trace["paddr"]), target


def compared(ours, theirs, path=""):
    """(path, ours, theirs) of every count that both sides keep."""
    if isinstance(ours, dict):
        for name in ours:
            if name in theirs:
                yield from compared(ours[name], theirs[name], f"{path}.{name}")
    elif isinstance(ours, list):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from compared(one, other, f"{path}[{index}]")
    else:
        yield path, ours, theirs


def totals(counters):
    """L0, L1 and L2 hits (upgrades included, forwards not) and memory reads."""
    sums = {key: int(counters[:, Counter[key]].sum()) for key in Counter.__members__}
    third = ("SHARED_LOAD", "SHARED_STORE", "UPGRADES", "VALID_LOAD", "VALID_STORE")
    return np.array(
        [
            sums["L1D_LOAD_HITS"] + sums["L1D_STORE_HITS"],
            sums["L2_LOAD_HITS"] + sums["L2_STORE_HITS"],
            sum(sums[f"L3_{name}"] for name in third),
            sums["MEMORY_LOCAL"] + sums["MEMORY_REMOTE"],
        ]
    )


@pytest.mark.parametrize("name", TRACES)
def test_every_access_and_every_count_is_equal(name):
    trace, found, target = run(name)
    served = np.minimum(found.served, Served.MEMORY_LOCAL)
    different = np.flatnonzero(served != trace["served_by"])
    assert not len(different), f"{len(different)} accesses differ, the first is {different[0]}"
    expected = json.loads((FOLDER / f"{name}.stats.json").read_text())
    cores = range(len(expected["per_core"]))
    ours = gem5_counts.counts(found.state.counters, list(cores))
    pairs = list(compared(ours, expected))
    assert len(pairs) > 60
    assert [pair for pair in pairs if pair[1] != pair[2]] == []
    assert laws.violations(target, found.state, booked=False) == []


@pytest.mark.parametrize("switch", WITHOUT)
@pytest.mark.parametrize("name", TRACES)
def test_one_rule_changed_differs_as_documented(name, switch):
    _, equal, _ = run(name)
    _, found, _ = run(name, **{switch: False})
    moved = totals(found.state.counters) - totals(equal.state.counters)
    assert tuple(moved.tolist()) == WITHOUT[switch].get(name, (0, 0, 0, 0))
