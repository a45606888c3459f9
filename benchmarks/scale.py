"""Does the cost of simulating grow with the nodes that are there?  2, 4, 8 and 16 nodes, as JSON.

- `turn`: two nodes hammer one lock, all others are idle; what a turn costs.
- `interrupt`: nodes 0 and 1 send each other interrupts, all others are idle; what one costs.
- `busy`: every node adds to numbers of its own, all at once; what a simulated instruction costs.
- memory (with `busy`): of the processes of a node, the memory system and the timebase, less what
  they share with others.

Hosts are shared with other work, so costs are processor time of all processes together, from when
they were ready.  The memory system's stands apart: where cores price their references themselves it
only looks now and then, by the clock on the wall.  Each size is measured `--repeat` times, by turns
with the others, and the smallest is taken; ratios are to the smallest size of the same call.

    python -m benchmarks.scale [--nodes 2,4,8,16] [--repeat 2] [--times 100000]
"""

import argparse
import json
import os
from pathlib import Path

from launch import Machine, statistics

LOCK = Path(__file__).parent / "guests" / "lock.c"
ROUNDS = 300  # of pingpong
BUSY_ROUNDS = 6  # of compute over 256 KiB, on each node: 3 million instructions


def names(count: int) -> list[str]:
    """x86-64 and AArch64 by turns."""
    return [f"{'arm' if i % 2 else 'x86'}{i // 2 or ''}" for i in range(count)]


def run(count: int, programs: list[tuple]) -> dict[str, float]:
    """The statistics of programs that run together on so many nodes."""
    with Machine(nodes=names(count), os="vanilla") as machine:
        done = machine.run_together(programs)
    assert done.exit_status == 0, done.console
    return done.statistics


def processor_us(values: dict[str, float], *without: str) -> float:
    """Processor time of all processes but those named."""
    return sum(
        value
        for name, value in values.items()
        if name.endswith(".cpu_us") and name.split(".")[1] not in without
    )


def instructions(values: dict[str, float], count: int) -> float:
    """Simulated, user and kernel, of all nodes."""
    return statistics.instructions(values, names(count))


def turn(count: int, times: int) -> dict[str, float]:
    """A bounded turn, with all nodes but two idle."""
    values = run(count, [(LOCK, node, [2, times]) for node in names(count)[:2]])
    turns = values["lockstep.turns"]
    return {
        "processor_us": processor_us(values, "memsys") / turns,
        "timebase_us": values["host.timebase.cpu_us"] / turns,
        "p10_us": values["host.turn_ns.p10"] / 1000,
        "memsys_us_per_second": values["host.memsys.cpu_us"] / values["host.seconds"],
    }


def interrupt(count: int) -> dict[str, float]:
    """An interrupt, with all nodes but two idle."""
    values = run(count, [("pingpong", node, [ROUNDS]) for node in names(count)[:2]])
    sent = sum(values[f"{node}.ipi.sent"] for node in names(count))
    return {
        "processor_us": processor_us(values, "memsys") / sent,
        "p10_us": values["host.turn_ns.p10"] / 1000,
    }


def busy(count: int) -> dict[str, float]:
    """An instruction, with all nodes busy."""
    values = run(count, [("compute", node, [BUSY_ROUNDS]) for node in names(count)])
    done = instructions(values, count)
    node = names(count)[-1]
    return {
        "processor_ns": processor_us(values, "memsys") * 1000 / done,
        "processor_us_per_turn": processor_us(values, "memsys") / values["lockstep.turns"],
        "seconds": values["host.seconds"],
        "instructions": done,
        "turns_per_million_instructions": values["lockstep.turns"] / done * 1e6,
        "node_mib": values[f"host.{node}.memory_kib"] / 1024,
        "memsys_mib": values["host.memsys.memory_kib"] / 1024,
        "timebase_mib": values["host.timebase.memory_kib"] / 1024,
    }


def lookahead_turns(count: int) -> float:
    """Turns per quantum of virtual time of one core, when all of `count` cores are busy.

    A turn ends a quantum behind the next core; when the clocks stand evenly apart, it goes
    quantum * count / (count - 1) ahead: 2 quanta with two nodes, 1 with many.
    """
    return (count - 1) / count


def smallest(rows: list[dict[str, float]]) -> dict[str, float]:
    """The smallest of each number."""
    return {name: round(min(row[name] for row in rows), 2) for name in rows[0]}


def ratios(table: dict[int, dict[str, float]], name: str) -> dict[int, float]:
    """A number of every size over that of the smallest size."""
    first = table[min(table)][name]
    return {count: round(row[name] / first, 2) for count, row in table.items()}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", default="2,4,8,16")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--times", type=int, default=100_000, help="each takes the lock")
    given = parser.parse_args()
    counts = [int(text) for text in given.nodes.split(",")]
    kinds = {"turn": lambda n: turn(n, given.times), "interrupt": interrupt, "busy": busy}
    run(2, [("compute", node, [1]) for node in names(2)])  # compiles what is not compiled yet
    rows: dict[str, dict[int, list]] = {kind: {n: [] for n in counts} for kind in kinds}
    for _ in range(given.repeat):
        for count in counts:
            for kind, measure in kinds.items():
                rows[kind][count].append(measure(count))
    best = {
        kind: {count: smallest(found) for count, found in table.items()}
        for kind, table in rows.items()
    }
    print(json.dumps({
        "benchmark": "scale", "repeat": given.repeat, "host_cores": os.cpu_count(),
        "host_load": round(os.getloadavg()[0], 1), **best,
        "ratios": {
            "turn": ratios(best["turn"], "processor_us"),
            "turn_timebase": ratios(best["turn"], "timebase_us"),
            "interrupt": ratios(best["interrupt"], "processor_us"),
            "instruction_busy": ratios(best["busy"], "processor_ns"),
            "turn_busy": ratios(best["busy"], "processor_us_per_turn"),
            "turns_per_instruction_busy": ratios(best["busy"], "turns_per_million_instructions"),
            "turns_per_instruction_of_the_lookahead": {
                n: round(lookahead_turns(n) / lookahead_turns(min(counts)), 2) for n in counts
            },
            "node_memory": ratios(best["busy"], "node_mib"),
        },
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
