"""Does a machine end in the same state on the native engine as on Unicorn, whatever it runs?

Memory, counters and what the programs printed: `machine.digest` holds the first two.
"""

import pytest

from launch import Machine
from tests.fused import scripts
from tests.fused.test_random_programs import GUEST
from tests.oracle.riscv_programs import PROGRAMS, SMALLER, build
from tests.system.test_designs import SYSTEMS

NODES = {"x86_64": "x86", "aarch64": "arm", "riscv64": "riscv"}
ORACLE = [path.name for path in sorted(PROGRAMS.iterdir()) if path.suffix[1:] in NODES]
ORACLE += [f"{name}.riscv64" for name in SMALLER]
DEFAULT_QUANTUM_NS, SHORT_QUANTUM_NS = 2000, 311
# machine, system, memory model, program, node, arguments
TEAMS = {
    "lock": ("quad", "fused", "shared", "threads", "x86", ()),
    "reduce": ("quad", "fused", "shared", "reduce", "x86", (4, 4096, 4)),
    "reduce, messages": ("quad", "multi-shm", "shared", "reduce", "arm", (4, 4096, 4)),
    "torture": ("pair", "fused", "shared", "torture", "x86", (11, 4, 8)),
    "torture, apart": ("pair", "fused", "separated", "torture", "arm", (5, 3, 6)),
    "torture, messages": ("pair", "multi-shm", "separated", "torture", "arm", (5, 3, 6)),
    "torture, network": ("pair", "multi-tcp", "separated", "torture", "x86", (5, 3, 6)),
    "torture, three": ("trio", "fused", "fully-shared", "torture", "riscv", (7, 4, 6)),
    "three messages": ("trio", "multi-shm", "shared", "torture", "riscv", (7, 4, 6)),
}
QUICK = ("torture", "torture, messages")
LONG = pytest.mark.long


def outcome(engine, machine, system, model, program, node, arguments, quantum_ns, **more):
    """All that may not depend on the engine."""
    settings = {"engine": engine, "time.quantum_ns": quantum_ns, **more}
    with Machine(machine=machine, os=system, memory=model, settings=settings) as running:
        run = running.run(program, node, list(arguments))
    assert run.exit_status is not None
    executed = {n: v for n, v in run.statistics.items() if n.endswith("instructions_user")}
    return run.digest, run.console, run.exit_status, executed


def agree(*case, hot_after=1):
    """Both engines, the native one making blocks of all code."""
    wanted = outcome("unicorn", *case)
    assert outcome("native", *case, **{"engine.hot_after": hot_after}) == wanted


@LONG
@pytest.mark.parametrize("quantum_ns", [SHORT_QUANTUM_NS, DEFAULT_QUANTUM_NS])
@pytest.mark.parametrize("name", ORACLE)
def test_oracle_programs(name, quantum_ns, tmp_path):
    program, _, isa = name.partition(".")
    path = build(program, tmp_path) if isa == "riscv64" else PROGRAMS / name
    agree("trio", "vanilla", "shared", path, NODES[isa], (), quantum_ns)


@pytest.mark.parametrize("name", QUICK)
def test_programs_that_share_the_machine(name):
    agree(*TEAMS[name], SHORT_QUANTUM_NS)


@LONG
@pytest.mark.parametrize("quantum_ns", [SHORT_QUANTUM_NS, DEFAULT_QUANTUM_NS])
@pytest.mark.parametrize("name", TEAMS)
def test_all_programs_that_share_the_machine(name, quantum_ns):
    agree(*TEAMS[name], quantum_ns)


@LONG
@pytest.mark.parametrize("hot_after", [1, 16])
@pytest.mark.parametrize(("system", "model"), SYSTEMS)
@pytest.mark.parametrize("program", ["is", "mg", "cg", "ft"])
def test_npb(program, system, model, hot_after):
    quantum_ns = SHORT_QUANTUM_NS if hot_after == 1 else DEFAULT_QUANTUM_NS
    agree("pair", system, model, f"{program}:S", "x86", (), quantum_ns, hot_after=hot_after)


def random_programs(system, seed):
    models = scripts.make(300 + seed, 1 + seed % 3, 100, 3)
    case = ("trio", system, "separated", GUEST, list(NODES.values())[seed % 3])
    quantum_ns = SHORT_QUANTUM_NS if seed % 2 else DEFAULT_QUANTUM_NS
    agree(*case, [model.script for model in models], quantum_ns)


def test_random_programs():
    random_programs("fused", 1)


@LONG
@pytest.mark.parametrize("system", ["fused", "multi-shm", "multi-tcp"])
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_random_programs(system, seed):
    random_programs(system, seed)
