"""What does it gain to feed several memory systems by one execution?  As JSON.

An oracle program, its work repeated (benchmarks.speed), runs once with three further memory systems
and four times by itself, once with each, in turns on the same host; the results are compared.
seconds are those of the runs without boot, processor_seconds those that all processes of a machine
used, which are steadier on a host with other work.  ratio: of the one run to the four; the best of
`--repeat` rounds for both.

    python -m benchmarks.also [--instructions 100e6] [--repeat 3] [--only NAME] [--engine native]
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.speed import EXPECTED, NODES, repeated
from launch import Machine
from launch.statistics import NOT_SIMULATED

VARIANTS = (
    {"cache.l3.size": "32MiB"},
    {"cache.l3.size": "64MiB", "memory.model": "separated"},
    {"cache.l2.size": "256KiB", "cache.inclusion": "nine"},
)
PROGRAMS = ("buckets.x86_64", "chase.x86_64", "triad.aarch64")


def times(run) -> dict[str, float]:
    """Host time of a run."""
    used_us = sum(
        value
        for name, value in run.statistics.items()
        if name.startswith("host.") and name.endswith(".cpu_us")
    )
    return {"seconds": run.statistics["host.seconds"], "processor_seconds": used_us / 1e6}


def simulated(run) -> dict[str, object]:
    """What must be equal."""
    return {k: v for k, v in run.statistics.items() if not k.startswith(NOT_SIMULATED)}


def round_of(program: Path, node: str, engine: str) -> tuple[dict[str, float], dict[str, float]]:
    """Host time of the one run, and of the four together."""

    def run(settings, also=()):
        with Machine(settings={"engine": engine, **settings}, also=also) as machine:
            return machine.run(program, node)

    fed = run({}, VARIANTS)
    apart = [run(settings) for settings in ({}, *VARIANTS)]
    for one, other in zip((fed, *fed.also), apart, strict=True):
        assert simulated(one) == simulated(other), one.manifest["also"]
    separate = [times(one) for one in apart]
    return times(fed), {name: sum(one[name] for one in separate) for name in separate[0]}


def measure(name: str, instructions: float, repeat: int, engine: str) -> dict[str, object]:
    """Best times of one program, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        program = repeated(name, instructions, Path(folder))
        node = NODES[name.partition(".")[2]]
        rounds = [round_of(program, node, engine) for _ in range(repeat)]
    best = [
        {kind: round(min(one[side][kind] for one in rounds), 3) for kind in rounds[0][side]}
        for side in (0, 1)
    ]
    ratios = {kind: round(best[0][kind] / best[1][kind], 3) for kind in best[0]}
    return {"one_run": best[0], "four_runs": best[1], "ratio": ratios}


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--instructions", type=float, default=100e6)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--only", choices=sorted(n for n in EXPECTED if n.partition(".")[2] in NODES)
    )
    parser.add_argument("--engine", default="unicorn", choices=("unicorn", "native"))
    given = parser.parse_args()
    names = [given.only] if given.only else PROGRAMS
    rows = {name: measure(name, given.instructions, given.repeat, given.engine) for name in names}
    report = {"benchmark": "also", "engine": given.engine, "variants": VARIANTS, "programs": rows}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
