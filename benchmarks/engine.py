"""Speed of the engine alone: oracle programs run again and again, records thrown away by a consumer
thread.

Prints JSON: millions of instructions per second for each program and their geometric mean, by the
clock on the wall and by the processor time of the engine's own thread (which a busy host disturbs
less). `python -m benchmarks.engine [--instructions N] [--inline]`
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

PROGRAMS = Path(__file__).parent.parent / "tests" / "oracle" / "programs"
INSTRUCTIONS = 50_000_000


def speed(path: Path, instructions: int, *, inline: bool) -> tuple[float, float]:
    """Repeat the program until at least `instructions` ran: MIPS by wall time and by thread time,
    start excluded.
    """
    bare = Bare(path.suffix.removeprefix("."))
    bare.load(path)
    bare.writer.inline = inline
    engine = bare.engine
    wall = thread = 0.0
    with nullcontext() if inline else bare.memory:
        while engine.instructions < instructions:
            bare.start(bare.entry, STACK_TOP - 256)
            since, thread_since = time.perf_counter(), time.thread_time()
            stop = engine.run(
                instruction_limit=UNLIMITED, record_limit=UNLIMITED, cycle_limit=UNLIMITED
            )
            bare.writer.settle()
            wall += time.perf_counter() - since
            thread += time.thread_time() - thread_since
            assert stop.reason == Reason.SYSTEM_CALL
    return engine.instructions / wall / 1e6, engine.instructions / thread / 1e6


def mean(values: list[float]) -> float:
    """Geometric mean."""
    return round(math.exp(sum(math.log(value) for value in values) / len(values)), 1)


def main() -> None:
    """Measure all programs and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", type=int, default=INSTRUCTIONS)
    parser.add_argument("--inline", action="store_true", help="price at every instruction boundary")
    options = parser.parse_args()
    paths = sorted(p for p in PROGRAMS.iterdir() if p.suffix in (".x86_64", ".aarch64"))
    result = {p.name: speed(p, options.instructions, inline=options.inline) for p in paths}
    report = {
        "engine.mips": {name: round(wall, 1) for name, (wall, _) in result.items()},
        "engine.mips_geometric_mean": mean([wall for wall, _ in result.values()]),
        "engine.mips_thread": {name: round(thread, 1) for name, (_, thread) in result.items()},
        "engine.mips_thread_geometric_mean": mean([thread for _, thread in result.values()]),
    }
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
