"""Speed of the engine alone: oracle programs run again and again, records thrown away by a consumer
thread.

Prints JSON: millions of instructions per second for each program, engine and their geometric mean,
by the clock on the wall and by the processor time of the engine's own thread (which a busy host
disturbs less). `python -m benchmarks.engine [--instructions N] [--inline] [--only .aarch64]`
"""

import argparse
import json
import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from cosim.engine.interface import UNLIMITED, Reason
from tests.engine.bare import STACK_TOP, Bare

ENGINES = ("unicorn", "native")

PROGRAMS = Path(__file__).parent.parent / "tests" / "oracle" / "programs"
INSTRUCTIONS = 50_000_000


def speed(path: Path, instructions: int, kind: str, *, inline: bool) -> tuple[float, float]:
    """Repeat the program until at least `instructions` ran: MIPS by wall time and by thread time,
    start excluded.
    """
    bare = Bare(path.suffix.removeprefix("."), engine=kind)
    bare.load(path)
    bare.writer.inline = inline
    engine = bare.engine
    wall = thread = 0.0
    with nullcontext() if inline else bare.memory:
        bare.start(bare.entry, STACK_TOP - 256)
        bare.run()  # once for what is compiled at first use
        begun = engine.instructions
        while engine.instructions - begun < instructions:
            bare.start(bare.entry, STACK_TOP - 256)
            since, thread_since = time.perf_counter(), time.thread_time()
            stop = engine.run(
                instruction_limit=UNLIMITED, record_limit=UNLIMITED, cycle_limit=UNLIMITED
            )
            bare.writer.settle()
            wall += time.perf_counter() - since
            thread += time.thread_time() - thread_since
            assert stop.reason == Reason.SYSTEM_CALL
    done = engine.instructions - begun
    return done / wall / 1e6, done / thread / 1e6


def mean(values: list[float]) -> float:
    """Geometric mean."""
    return round(math.exp(sum(math.log(value) for value in values) / len(values)), 1)


def main() -> None:
    """Measure all programs with each engine and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", type=int, default=INSTRUCTIONS)
    parser.add_argument("--inline", action="store_true", help="price at every instruction boundary")
    parser.add_argument("--only", default="", help="programs whose name ends so, such as .aarch64")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: all")
    options = parser.parse_args()
    paths = sorted(p for p in PROGRAMS.iterdir() if p.suffix in (".x86_64", ".aarch64"))
    paths = [path for path in paths if path.name.endswith(options.only)]
    report: dict[str, object] = {}
    means = {}
    for name in options.engine or ENGINES:
        result = {
            p.name: speed(p, options.instructions, name, inline=options.inline) for p in paths
        }
        report[f"{name}.mips"] = {name: round(wall, 1) for name, (wall, _) in result.items()}
        report[f"{name}.mips_thread"] = {name: round(t, 1) for name, (_, t) in result.items()}
        means[name] = mean([thread for _, thread in result.values()])
        report[f"{name}.mips_geometric_mean"] = mean([wall for wall, _ in result.values()])
        report[f"{name}.mips_thread_geometric_mean"] = means[name]
    if len(means) == 2:
        report["ratio_native_to_unicorn"] = round(means["native"] / means["unicorn"], 1)
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
