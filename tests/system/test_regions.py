"""Do timed regions count what happened in them, on every core of the machine, and nothing else?"""

from pathlib import Path

import pytest

from launch import Machine
from launch.statistics import NOT_SIMULATED
from memsys.statistics import CHARGES

PROGRAM = Path(__file__).parent / "guests" / "regions.c"
PARTS, WHOLE = 1, 2
CALL_INSTRUCTIONS_MAX = 2_000  # of one region call and what is around it
LEVELS = ("l1d", "l2")


def regions(**options):
    """Rows of the parts and the whole, and all statistics of the run."""
    with Machine(os="fused", **options) as machine:
        run = machine.run(PROGRAM, "x86", [2])
    assert run.exit_status == 0
    rows = run.manifest["regions"]["x86"]
    labelled = {label: [r for r in rows if r["label"] == label] for label in (PARTS, WHOLE)}
    return labelled[PARTS], labelled[WHOLE][0], run


@pytest.fixture(scope="module")
def shared():
    return regions(memory="shared")


def check_laws(row):
    """What is true of a whole run is true of a region."""

    def get(name):
        return row["statistics"].get(name, 0)

    for core in ("x86.core0", "arm.core0"):
        instructions = get(f"{core}.instructions_user") + get(f"{core}.instructions_kernel")
        assert get(f"{core}.cycles") == instructions + get(f"{core}.memory_cycles")
        charged = sum(get(f"{core}.memory_cycles.{charge.name}") for charge in CHARGES)
        assert charged == get(f"{core}.memory_cycles")
        for level in LEVELS:
            both = get(f"{core}.{level}.hits") + get(f"{core}.{level}.misses")
            assert both == get(f"{core}.{level}.accesses")
    assert row["cycles"] == get("x86.core0.cycles") + get("x86.core0.idle_cycles")
    assert row["instructions_user"] == get("x86.core0.instructions_user")


def test_each_region_obeys_the_laws(shared):
    parts, whole, _ = shared
    assert len(parts) == 2
    for row in (*parts, whole):
        check_laws(row)


def test_parts_and_the_whole_differ_by_two_calls(shared):
    parts, whole, run = shared
    assert parts[0]["end_ps"] == parts[1]["begin_ps"]
    for name in {*whole["statistics"], *parts[0]["statistics"], *parts[1]["statistics"]}:
        within = sum(row["statistics"].get(name, 0) for row in parts)
        rest = whole["statistics"].get(name, 0) - within
        assert rest >= 0
        assert whole["statistics"].get(name, 0) <= run.statistics[name]
        if "instructions" in name:
            assert rest <= CALL_INSTRUCTIONS_MAX
    work = [row["statistics"].get("arm.core0.instructions_user", 0) for row in parts]
    assert work[0] == 0
    assert work[1] == run.statistics["arm.core0.instructions_user"]
    home = "x86.core0.instructions_user"
    before = run.statistics[home] - whole["statistics"][home]
    assert before > parts[0]["statistics"][home] - CALL_INSTRUCTIONS_MAX  # the same work, untimed


def test_regions_repeat_and_the_quantum_does_not_move_them(shared):
    again = regions(memory="shared")
    slower = regions(memory="shared", settings={"time.quantum_ns": 137})
    for other in (again, slower):
        assert other[:2] == shared[:2]
        assert {
            n: v for n, v in other[2].statistics.items() if not n.startswith(NOT_SIMULATED)
        } == {n: v for n, v in shared[2].statistics.items() if not n.startswith(NOT_SIMULATED)}


def test_cores_that_run_at_the_same_time_are_counted_exactly():
    """Contended turns, where a core prices its own references."""
    found = []
    for _ in range(2):
        with Machine(os="fused") as machine:
            run = machine.run_together([(PROGRAM, "x86", [1]), ("compute", "arm", [2, 16])])
        assert run.exit_status == 0
        rows = run.manifest["regions"]["x86"]
        assert len(rows) == 3
        for row in rows:
            check_laws(row)
        found.append(rows)
    assert found[0] == found[1]
    assert any(row["statistics"].get("arm.core0.cycles") for row in found[0])
