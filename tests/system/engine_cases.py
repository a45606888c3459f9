"""The runs that both engines are compared on: what is run, on which machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from launch.machine import Job
from tests.attach import programs as attached
from tests.fused import scripts
from tests.fused.test_random_programs import GUEST as SCRIPT
from tests.oracle import riscv_programs
from tests.system.test_designs import SYSTEMS

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "benchmarks" / "guests" / "lock.c"
CALLS = ROOT / "tests" / "calls" / "programs"
GUESTS = Path(__file__).parent / "guests"
NODES = {"x86_64": "x86", "aarch64": "arm", "riscv64": "riscv"}
MACHINES = {  # of the random programs
    "pair": ("x86", "arm"),
    "back": ("arm", "x86"),
    "twins": ("x86", "arm", "x86b"),
    "trio": ("riscv", "x86", "arm"),
}
RANDOM_STEPS = 120


class Case(NamedTuple):
    """machine: arguments of launch.Machine.  jobs: as for Machine.run_together, or what makes them
    in a folder.  checks: its exit status is 0 when the program found its results right.
    """

    machine: dict[str, Any]
    jobs: list[Job] | Callable[[Path], list[Job]]
    checks: bool = True


def oracle() -> dict[str, Case]:
    """The oracle programs of all ISAs, each on a machine of one node."""
    found = {}
    for path in sorted(riscv_programs.PROGRAMS.iterdir()):
        name, _, isa = path.name.partition(".")
        if isa in NODES:
            node = NODES[isa]
            found[f"oracle {path.name}"] = Case({"nodes": [node]}, [(path, node)], checks=False)
    for name in riscv_programs.SMALLER:
        found[f"oracle {name}.riscv64"] = Case(
            {"nodes": ["riscv"]},
            lambda folder, name=name: [(riscv_programs.build(name, folder), "riscv")],
            checks=False,
        )
    return found


def benchmarks() -> dict[str, Case]:
    """NPB, class S, under the eight systems; and on three ISAs."""
    found = {}
    for program in ("is", "mg", "cg", "ft"):
        for design, model in SYSTEMS:
            machine = {"os": design, "memory": model}
            found[f"{program} {design} {model}"] = Case(machine, [(f"{program}:S", "x86")])
        for design in ("fused", "multi-shm"):
            machine = {"os": design, "machine": "trio"}
            found[f"{program} {design} trio"] = Case(machine, [(f"{program}:S", "x86")])
        for node in ("arm", "riscv"):
            found[f"{program} on {node}"] = Case({"nodes": [node]}, [(f"{program}:S", node)])
    return found


def threads() -> dict[str, Case]:
    """Threads that wander, teams over several cores, locks between instruction sets."""
    found = {}
    for design in ("fused", "multi-shm", "multi-tcp"):
        for home, seed in (("x86", 7), ("arm", 5), ("riscv", 3)):
            machine = {"os": design, "machine": "trio"}
            found[f"torture {design} {home}"] = Case(machine, [("torture", home, [seed, 3, 8])])
        machine = {"os": design, "machine": "quad"}
        found[f"reduce {design} quad"] = Case(machine, [("reduce", "x86", [4, 4096, 4])])
        found[f"torture {design} quad"] = Case(machine, [("torture", "x86", [9, 4, 10])])
    found["is_threads fused quad"] = Case(
        {"os": "fused", "machine": "quad"}, [("is_threads:S", "x86", [4])]
    )
    for pair in (("x86", "arm"), ("x86", "riscv"), ("arm", "riscv"), ("x86", "arm", "riscv")):
        count = len(pair)
        machine = {"nodes": pair}
        taken = [(LOCK, node, [count, 400]) for node in pair]
        added = [("atomic_add", node, [count, 3000]) for node in pair]
        found[f"lock {'-'.join(pair)}"] = Case(machine, taken)
        found[f"atomic_add {'-'.join(pair)}"] = Case(machine, added)
    for node in NODES.values():
        for program in ("threads", "libc_tour", "compute"):
            found[f"{program} on {node}"] = Case({"nodes": [node]}, [(program, node)])
        for path in sorted(CALLS.glob("*.c")):
            found[f"calls {path.stem} on {node}"] = Case(
                {"nodes": [node]}, [(path, node)], checks=False
            )
    return found


def scenarios() -> dict[str, Case]:
    """Programs that read clocks, print at random times, send interrupts, run beside others."""
    found = {}
    for node in NODES.values():
        found[f"clocks on {node}"] = Case({"nodes": [node]}, [(GUESTS / "clocks.c", node)])
        wander = [(GUESTS / "wander.c", node, [4, 300])]
        found[f"wander on {node}"] = Case({"nodes": [node]}, wander)
    both = [("pingpong", node, [20]) for node in ("x86", "arm")]
    found["pingpong"] = Case({}, both)
    beside = [("is:S", "x86"), ("is:S", "arm"), ("torture", "arm", [2, 2, 5])]
    found["several programs multi-shm"] = Case({"os": "multi-shm"}, beside)
    found["wander of attach"] = Case({"os": "fused"}, [(attached.WANDER, "x86")])
    return found


def random_programs(seeds: range) -> dict[str, Case]:
    """Scripts that map, protect, lock and migrate at random, under every migrating design."""
    found = {}
    kinds = list(MACHINES)
    for seed in seeds:
        name = kinds[seed % len(kinds)]
        nodes = MACHINES[name]
        design = ("fused", "multi-shm", "multi-tcp")[seed // len(kinds) % 3]
        models = scripts.make(seed, 1 + seed % 3, RANDOM_STEPS, len(nodes))
        job = (SCRIPT, nodes[seed % len(nodes)], [model.script for model in models])
        found[f"random {seed} {design} {name}"] = Case({"os": design, "nodes": nodes}, [job])
    return found


CASES = oracle() | threads() | scenarios() | random_programs(range(24)) | benchmarks()
