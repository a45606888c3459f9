"""Do the NAS Parallel Benchmarks verify, with the same results, under every operating-system design
and memory model?
"""

import re

import pytest

from launch import Machine, designs

CHECKSUM = re.compile(r"Checksum +(?:= +)?([0-9a-f]+)")
SYSTEMS = [(design.name, model) for design in designs.DESIGNS.values() for model in design.models]
# Calls away in class S: rankings, conjugate gradients, and once for the whole timed part.
CALLS_AWAY = {"is": 10, "cg": 15, "mg": 1, "ft": 1}
QUICK = [(program, *system) for program in ("is", "mg") for system in SYSTEMS]
SLOW = [(program, *system) for program in ("cg", "ft") for system in SYSTEMS]
# Two of them in the quick suite; `make long` runs them all.
QUICK += [row for row in SLOW if row[1:] in (("fused", "separated"), ("multi-shm", "separated"))]


@pytest.fixture(scope="module")
def expected():
    """The checksum of each program where it does not migrate, run once."""
    found: dict[str, str] = {}

    def checksum(program: str) -> str:
        if program not in found:
            with Machine() as machine:
                found[program] = CHECKSUM.search(machine.run(f"{program}:S").console)[1]
        return found[program]

    return checksum


def test_there_are_eight_systems():
    assert len(SYSTEMS) == 8


def verify(program: str, design: str, model: str, expected) -> None:
    with Machine(os=design, memory=model) as machine:
        run = machine.run(f"{program}:S")
    assert run.exit_status == 0, run.console
    assert "SUCCESSFUL" in run.console
    assert CHECKSUM.search(run.console)[1] == expected(program)
    if design != "vanilla":
        assert run.statistics["x86.migrations.sent"] == CALLS_AWAY[program]
    if design.startswith("multi"):
        values = run.statistics
        assert values["x86.messages.sent"] == values["arm.messages.received"] > 100
        assert values["arm.messages.sent"] == values["x86.messages.received"] > 100
        assert values["arm.pages.replicated"] > 50
    if design == "multi-tcp":
        assert run.statistics["x86.memory.remote"] == run.statistics["arm.memory.remote"] == 0


@pytest.mark.parametrize(("program", "design", "model"), QUICK)
def test_the_programs_verify(program, design, model, expected):
    verify(program, design, model, expected)


@pytest.mark.long
@pytest.mark.parametrize(("program", "design", "model"), [row for row in SLOW if row not in QUICK])
def test_the_slow_programs_verify_everywhere(program, design, model, expected):
    verify(program, design, model, expected)


@pytest.mark.parametrize("design", ["multi-shm", "multi-tcp"])
@pytest.mark.parametrize("nodes", [("x86", "arm"), ("arm", "x86"), ("x86", "arm", "x86b")])
def test_threads_wander_between_kernels(nodes, design):
    with Machine(nodes=nodes, os=design) as machine:
        run = machine.run("torture", nodes[0], [11, 4, 8])
    assert run.exit_status == 0
    assert run.console.splitlines()[-1] == "PASS"
    for node in nodes:
        assert run.statistics[f"{node}.migrations.received"] > 0


@pytest.mark.parametrize("design", ["multi-shm", "multi-tcp"])
def test_the_digest_repeats(design):
    runs = []
    for _ in range(2):
        with Machine(os=design) as machine:
            runs.append(machine.run("torture", "arm", [5, 3, 6]))
    assert runs[0].exit_status == 0
    assert runs[0].digest == runs[1].digest
    assert runs[0].console == runs[1].console


def test_several_processes_share_the_machine():
    with Machine(os="multi-shm") as machine:
        run = machine.run_together(
            [("is:S", "x86"), ("is:S", "arm"), ("torture", "arm", [2, 2, 5])]
        )
    assert [program["status"] for program in run.programs] == [0, 0, 0]
    assert run.console.count("SUCCESSFUL") == 2 and "PASS" in run.console
