"""Do threads over 2 x 2 cores on two ISAs give one answer and one digest, and get faster?"""

import pytest

from launch import Machine
from tests.determinism.test_determinism import loaded_host, simulated  # noqa: F401 (a fixture)

CORES = [f"{node}.core{core}" for node in ("x86", "arm") for core in (0, 1)]
FEW = [4, 4096, 4]  # threads, words, rounds
# As NPB's own verification, and as `is` prints it: tests/guests/test_npb.py computes it anew.
CHECKSUM = "86083dc97d536688"


def run(program, arguments, system="fused", **changes):
    with Machine(machine="quad", os=system, settings=changes) as machine:
        ran = machine.run(program, "x86", arguments)
    assert ran.exit_status == 0, ran.console
    return ran


def timed_ps(ran):
    """Virtual time of the region that the guest timed."""
    (row,) = [r for rows in ran.manifest["regions"].values() for r in rows if r["label"] == 1]
    return row["end_ps"] - row["begin_ps"]


def test_a_reduction_uses_all_cores_and_is_faster_than_on_one():
    ran = {threads: run("reduce", [threads]) for threads in (1, 2, 4)}
    for threads, busy in ((1, 1), (2, 2), (4, 4)):
        values = ran[threads].statistics
        assert sum(values[f"{c}.instructions_user"] > 100_000 for c in CORES) == busy
    one, two, four = (timed_ps(ran[threads]) for threads in (1, 2, 4))
    assert one > 1.8 * two
    assert one > 1.8 * four
    assert len({r.console.split(":")[1] for r in ran.values()}) == 1


def test_one_digest_every_time_on_a_busy_host_too(request):
    first = run("reduce", FEW)
    request.getfixturevalue("loaded_host")
    second = run("reduce", FEW)
    assert first.digest == second.digest
    assert simulated(first) == simulated(second)


@pytest.mark.parametrize("quantum_ns", [311, 1000])
def test_the_quantum_does_not_change_results(quantum_ns):
    usual, other = run("reduce", FEW), run("reduce", FEW, **{"time.quantum_ns": quantum_ns})
    assert usual.console == other.console


@pytest.mark.parametrize("system", ["multi-shm", "multi-tcp"])
def test_kernels_without_common_memory_run_a_team_too(system):
    first, second = (run("reduce", FEW, system) for _ in range(2))
    assert first.digest == second.digest
    assert first.console == run("reduce", FEW).console
    for core in CORES:
        assert first.statistics[f"{core}.instructions_user"] > 5_000


def test_is_with_threads_verifies_and_is_faster_than_on_one_core():
    one, four = run("is_threads:S", [1]), run("is_threads:S", [4])
    for ran in (one, four):
        assert "SUCCESSFUL" in ran.console and CHECKSUM in ran.console
    assert timed_ps(one) > 1.2 * timed_ps(four)
    assert all(four.statistics[f"{core}.instructions_user"] > 1_000_000 for core in CORES)


def test_threads_that_wander_over_nodes_and_cores():
    first, second = (run("torture", [7, 4, 10]) for _ in range(2))
    assert first.console.splitlines()[-1] == "PASS"
    assert first.digest == second.digest
