"""Does the same machine always end in the same state, whatever the host does meanwhile?"""

import subprocess
import sys

import pytest

from launch import Machine
from launch.statistics import NOT_SIMULATED

LOAD = "while True: pass"


@pytest.fixture
def loaded_host():
    """Both cores of the host busy while the test runs."""
    hogs = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(2)]
    yield
    for hog in hogs:
        hog.kill()
        hog.wait()


def simulated(run):
    """The statistics that belong to the simulated world."""
    return {n: v for n, v in run.statistics.items() if not n.startswith(NOT_SIMULATED)}


def once(programs):
    with Machine() as machine:
        run = machine.run_together(programs)
    return run.digest, simulated(run), run.console


PROGRAMS = {
    "one program": [("libc_tour", "x86")],
    "two programs at once": [("atomic_add", "x86"), ("atomic_add", "arm")],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_three_runs_one_of_them_on_a_loaded_host_are_the_same(name, request):
    first, second = once(PROGRAMS[name]), once(PROGRAMS[name])
    request.getfixturevalue("loaded_host")
    third = once(PROGRAMS[name])
    assert first[0] == second[0] == third[0]
    assert first == second == third


@pytest.mark.parametrize("quantum_ns", [137, 1999])
@pytest.mark.parametrize("node", ["x86", "arm"])
def test_the_quantum_does_not_move_a_program_that_runs_alone(node, quantum_ns):
    runs = []
    for settings in ({}, {"time.quantum_ns": quantum_ns}):
        with Machine(settings=settings) as machine:
            runs.append(machine.run("libc_tour", on=node))
    assert runs[0].digest == runs[1].digest
    assert simulated(runs[0]) == simulated(runs[1])


def test_the_digest_sees_a_single_different_byte():
    digests = set()
    for argument in ("one", "two"):
        with Machine() as machine:
            digests.add(machine.run("hello", on="x86", arguments=[argument]).digest)
    assert len(digests) == 2


@pytest.mark.parametrize("quantum_ns", [137, 2000])
def test_atomic_additions_from_two_isas_are_all_there(quantum_ns):
    with Machine(settings={"time.quantum_ns": quantum_ns}) as machine:
        run = machine.run_together([("atomic_add", "x86"), ("atomic_add", "arm")])
    assert run.exit_status == 0
    assert "200000" in run.console
