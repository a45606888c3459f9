"""Do three instruction sets form one machine: a program that goes from node to node, and threads
that wander?
"""

import re

import pytest

from launch import Machine

CHECKSUM = re.compile(r"Checksum +(?:= +)?([0-9a-f]+)")
NODES = ("x86", "arm", "riscv")


@pytest.fixture(scope="module")
def sorted_keys():
    """The checksum of IS class S where nothing migrates."""
    with Machine(machine="trio") as machine:
        found = {CHECKSUM.search(machine.run("is:S", node).console)[1] for node in NODES}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("design", ["fused", "multi-shm"])
def test_is_goes_round_the_machine_and_verifies(design, sorted_keys):
    with Machine(machine="trio", os=design) as machine:
        run = machine.run("is:S")
    assert run.exit_status == 0
    assert "SUCCESSFUL" in run.console
    assert CHECKSUM.search(run.console)[1] == sorted_keys
    assert re.search(r"Calls away += +7\n", run.console)  # of ten: three laps end at home
    # To Arm; to Arm and RISC-V; to Arm, RISC-V and x86: and again.
    moves = [
        (run.statistics[f"{n}.migrations.sent"], run.statistics[f"{n}.migrations.received"])
        for n in NODES
    ]
    assert moves == [(10, 3), (6, 10), (3, 6)]
    for node in NODES:
        assert run.statistics[f"{node}.core0.instructions_user"] > 4_000_000


def test_two_nodes_are_no_tour(sorted_keys):
    with Machine(nodes=("x86", "riscv"), os="fused") as machine:
        run, told = machine.run("is:S"), machine.run("is", "x86", ["S", "1"])
    for one in (run, told):
        assert CHECKSUM.search(one.console)[1] == sorted_keys
        assert one.statistics["x86.migrations.sent"] == 10
        assert one.statistics["riscv.migrations.received"] == 10
        assert one.statistics["riscv.migrations.sent"] == 0
    name = "riscv.core0.instructions_user"
    assert run.statistics[name] == told.statistics[name]


@pytest.mark.parametrize("home", NODES)
def test_the_digest_repeats_with_every_home(home):
    runs = []
    for _ in range(2):
        with Machine(machine="trio", os="fused") as machine:
            runs.append(machine.run("torture", home, [7, 4, 12]))
    assert runs[0].exit_status == 0
    assert runs[0].console.splitlines()[-1] == "PASS"
    assert runs[0].digest == runs[1].digest
    for node in NODES:
        assert runs[0].statistics[f"{node}.migrations.received"] > 0


@pytest.mark.parametrize("design", ["multi-shm", "multi-tcp"])
def test_threads_wander_between_three_kernels(design):
    with Machine(machine="trio", os=design) as machine:
        run = machine.run("torture", "riscv", [11, 4, 8])
    assert run.exit_status == 0
    assert run.console.splitlines()[-1] == "PASS"
    for node in NODES:
        assert run.statistics[f"{node}.migrations.received"] > 0


def test_atomics_of_three_instruction_sets_lose_nothing():
    with Machine(machine="trio") as machine:
        run = machine.run_together([("atomic_add", node, ["3", "20000"]) for node in NODES])
    assert [program["status"] for program in run.programs] == [0, 0, 0], run.console
    assert "sum 60000 of 60000" in run.console
