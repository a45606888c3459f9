"""Does a whole machine end in the same digest on both engines, whatever runs on it, under every
operating-system design and memory model, for any quantum?
"""

import pytest

from launch import Machine
from tests.determinism.test_determinism import simulated
from tests.system.engine_cases import CASES, Case

QUANTA_NS = (2000, 331)
ENGINES = {
    "unicorn": {"engine": "unicorn"},
    "native": {"engine": "native", "engine.hot_after": 1},
    "native, hot code only": {"engine": "native"},
}
MOST_LEFT = 0.05  # of the instructions, where blocks are made at once and something repeats
QUICK = (
    ("oracle chase.riscv64", 331),
    ("is fused separated", 331),
    ("torture multi-shm arm", 2000),
    ("lock arm-riscv", 331),
    ("random 3 fused trio", 2000),
)
ROWS = [(name, quantum) for name in CASES for quantum in QUANTA_NS]


def run(case: Case, engine: str, quantum_ns: int, folder):
    settings = ENGINES[engine] | {"time.quantum_ns": quantum_ns}
    jobs = case.jobs(folder) if callable(case.jobs) else case.jobs
    with Machine(**case.machine, settings=settings) as machine:
        return machine.run_together(jobs)


def total(found, ending: str) -> int:
    return sum(value for name, value in found.statistics.items() if name.endswith(ending))


def agree(name: str, quantum_ns: int, engines, folder) -> None:
    """Run on Unicorn and on `engines`; AssertionError names the statistics that differ."""
    case = CASES[name]
    wanted = run(case, "unicorn", quantum_ns, folder)
    assert wanted.exit_status == 0 or not case.checks, wanted.console
    assert total(wanted, "native.unicorn_instructions") == 0
    for engine in engines:
        found = run(case, engine, quantum_ns, folder)
        assert (found.exit_status, found.console) == (wanted.exit_status, wanted.console)
        assert simulated(found) == simulated(wanted)
        assert found.digest == wanted.digest
        executed = total(found, ".instructions_user")
        left = total(found, "native.unicorn_instructions")
        print(f"{name}, quantum {quantum_ns}, {engine}: {left} of {executed} left, {found.digest}")
        if engine == "native":
            assert left < executed * MOST_LEFT, f"{left} of {executed} were Unicorn's"


@pytest.mark.parametrize(("name", "quantum_ns"), QUICK)
def test_both_engines_end_in_one_digest(name, quantum_ns, tmp_path):
    agree(name, quantum_ns, ("native",), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("name", "quantum_ns"), ROWS)
def test_both_engines_end_in_one_digest_everywhere(name, quantum_ns, tmp_path):
    usual = quantum_ns == QUANTA_NS[0]
    agree(name, quantum_ns, list(ENGINES)[1:] if usual else ("native",), tmp_path)
