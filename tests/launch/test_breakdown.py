"""Do the parts of a run's time add up to it, exactly?"""

import random

import pytest

from launch import breakdown
from launch.breakdown import GROUPS, NAMES, PARTS, WAITING, Measured
from memsys.statistics import CHARGES
from tests.launch import runs

NODES = [
    {"name": "x86", "cores": 2, "frequency_hz": 2_100_000_000},
    {"name": "arm", "cores": 1, "frequency_hz": 1_999_999_973},
]
ELAPSED_PS = 5_000_000_123


def core(chance, name, most):
    """Statistics of one core, every charge of it."""
    found = {f"{name}.instructions_{kind}": chance.randrange(most) for kind in ("user", "kernel")}
    charged = {f"{name}.memory_cycles.{c.name}": chance.randrange(most) for c in CHARGES}
    return {**found, **charged, f"{name}.cycles": sum(found.values()) + sum(charged.values())}


def invented(seed, most):
    """Statistics of three cores."""
    chance = random.Random(seed)
    names = ("x86.core0", "x86.core1", "arm.core0")
    return {k: v for name in names for k, v in core(chance, name, most).items()}


@pytest.mark.parametrize("most", [3, 1_000, 200_000, 9_000_000])
@pytest.mark.parametrize("seed", range(5))
def test_parts_add_up_to_the_elapsed_time(seed, most):
    found = breakdown.split(Measured("run", ELAPSED_PS, invented(seed, most)), NODES)
    assert tuple(found.machine) == NAMES
    assert sum(found.machine.values()) == ELAPSED_PS
    assert all(value >= 0 for value in found.machine.values())
    assert abs(sum(found.shares().values()) - 1) < 1e-9
    assert (found.overlap > 1) == (found.busy_ps > ELAPSED_PS)
    for node in NODES:
        own = found.nodes[node["name"]]
        assert set(own) == {*PARTS, WAITING}
        available = ELAPSED_PS * node["cores"]
        assert sum(own.values()) == max(available, sum(own.values()) - own[WAITING])
        assert sum(found.node_groups(node["name"]).values()) == sum(own.values())


def test_overlapping_cores_are_scaled_and_nothing_waits():
    statistics = {"x86.core0.cycles": 2_100, "x86.core0.instructions_user": 2_100}
    statistics |= {"x86.core1.cycles": 2_100, "x86.core1.memory_cycles.memory_remote": 2_100}
    found = breakdown.split(Measured("run", 1_000_000, statistics), NODES)
    assert found.overlap == 2
    assert found.machine["instructions"] == found.machine["remote"] == 500_000
    assert found.machine[WAITING] == 0


def test_every_charge_is_in_one_group():
    parts = [part for group in GROUPS for part in group.parts]
    assert len(parts) == len(set(parts)) == len(CHARGES) + 2


def test_instructions_at_another_rate_are_what_charges_leave():
    cycles = breakdown.core_cycles(
        {"c.cycles": 700, "c.instructions_user": 300, "c.instructions_kernel": 100,
         "c.memory_cycles.l1": 500},
        "c",
    )  # fmt: skip
    assert cycles["instructions_user"] == 150
    assert cycles["instructions_kernel"] == 50


def region(begin_ps, end_ps, **more):
    return {"label": 1, "begin_ps": begin_ps, "end_ps": end_ps, **more}


def test_the_timed_region_is_measured_when_there_is_one(tmp_path):
    rows = [
        region(5_000, 9_000, statistics={"x86.core0.cycles": 2}),
        region(1_000, 2_000, statistics={"x86.core0.cycles": 1, "arm.core0.cycles": 1}),
        {**region(0, 10**9, statistics={"x86.core0.cycles": 50}), "label": 7},
    ]
    run = runs.write(tmp_path / "a", regions={"x86": rows})
    measured = breakdown.measured(run)
    assert (measured.what, measured.elapsed_ps) == ("region 1", 5_000)
    assert measured.statistics == {"x86.core0.cycles": 3, "arm.core0.cycles": 1}
    whole = breakdown.measured(runs.write(tmp_path / "b"))
    assert (whole.what, whole.elapsed_ps) == ("run", 1_000_000_999)


@pytest.mark.parametrize(
    "rows, note",
    [
        ([region(0, 9, statistics={}), region(5, 20, statistics={})], "overlap"),
        ([region(0, 9, statistics=None)], "without statistics"),
    ],
)
def test_regions_that_cannot_be_measured_say_so(tmp_path, rows, note):
    measured = breakdown.measured(runs.write(tmp_path, regions={"x86": rows}))
    assert measured.what == "run"
    assert note in measured.note
