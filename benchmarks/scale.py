"""Does the cost of simulating grow with the nodes that are there?  2, 4, 8 and 16 nodes, as JSON.

- `turn`: two nodes hammer one lock, all others are idle; what a turn costs: the difference between
  a long run and a short one, because each node that is there costs 5 ms once, at its first turn.
- `interrupt`: nodes 0 and 1 send each other interrupts, all others are idle; what one costs.
- `busy`: every node adds to numbers of its own, all at once; what a simulated instruction costs, as
  the difference between a long run and a short one, which is nearly all start.
  How many turns it takes is the schedule's: a core may go one quantum beyond the next, which is up
  to two quanta a turn with two busy cores and one with many.  `turns_of_the_schedule` counts the
  turns of cores that do nothing but compute for as long, with the timebase alone.
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

from cosim import conductor
from cosim.core_time import End, Halt
from cosim.units import ps_of_cycles
from launch import Machine, Run, statistics

LOCK = Path(__file__).parent / "guests" / "lock.c"
ROUNDS = 300  # of pingpong
LONGER = 5  # the long run of two takes the lock so many times as often
BUSY_ROUNDS = (6, 42)  # of compute over 256 KiB, on each node: 3 and 19 million instructions


def names(count: int) -> list[str]:
    """x86-64 and AArch64 by turns."""
    return [f"{'arm' if i % 2 else 'x86'}{i // 2 or ''}" for i in range(count)]


def run(count: int, programs: list[tuple]) -> Run:
    """Programs that run together on so many nodes."""
    with Machine(nodes=names(count), os="vanilla") as machine:
        done = machine.run_together(programs)
    assert done.exit_status == 0, done.console
    return done


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
    short, long = (
        run(count, [(LOCK, node, [2, taken]) for node in names(count)[:2]]).statistics
        for taken in (times, LONGER * times)
    )
    turns = long["lockstep.turns"] - short["lockstep.turns"]
    timebase_us = long["host.timebase.cpu_us"] - short["host.timebase.cpu_us"]
    return {
        "processor_us": (processor_us(long, "memsys") - processor_us(short, "memsys")) / turns,
        "timebase_us": timebase_us / turns,
        "p10_us": long["host.turn_ns.p10"] / 1000,
        "memsys_us_per_second": long["host.memsys.cpu_us"] / long["host.seconds"],
    }


def interrupt(count: int) -> dict[str, float]:
    """An interrupt, with all nodes but two idle."""
    values = run(count, [("pingpong", node, [ROUNDS]) for node in names(count)[:2]]).statistics
    sent = sum(values[f"{node}.ipi.sent"] for node in names(count))
    return {
        "processor_us": processor_us(values, "memsys") / sent,
        "p10_us": values["host.turn_ns.p10"] / 1000,
    }


def busy(count: int) -> dict[str, float]:
    """An instruction, with all nodes busy."""
    short, finished = (
        run(count, [("compute", node, [rounds]) for node in names(count)]) for rounds in BUSY_ROUNDS
    )
    values, node = finished.statistics, names(count)[-1]
    done = instructions(values, count) - instructions(short.statistics, count)
    processor = processor_us(values, "memsys") - processor_us(short.statistics, "memsys")
    seconds = values["host.seconds"] - short.statistics["host.seconds"]
    turns = values["lockstep.turns"] - short.statistics["lockstep.turns"]
    schedule = turns_of_the_schedule(finished) - turns_of_the_schedule(short)
    return {
        "processor_ns": processor * 1000 / done,
        "elapsed_ns": seconds * 1e9 / done,
        "processor_us_per_turn": processor / turns,
        "elapsed_us_per_turn": seconds * 1e6 / turns,
        "instructions": done,
        "turns_per_million_instructions": turns / done * 1e6,
        "turns_of_the_schedule": schedule / done * 1e6,
        "node_mib": values[f"host.{node}.memory_kib"] / 1024,
        "memsys_mib": values["host.memsys.memory_kib"] / 1024,
        "timebase_mib": values["host.timebase.memory_kib"] / 1024,
    }


def turns_of_the_schedule(finished: Run) -> int:
    """Turns of cores that only compute, each for the virtual time that its program computed."""
    values, nodes = finished.statistics, finished.manifest["nodes"]
    ends_ps = [
        ps_of_cycles(
            int(values[f"{row['name']}.core0.instructions_user"])
            + int(values[f"{row['name']}.core0.memory_cycles_user"]),
            row["frequency_hz"],
        )
        for row in nodes
    ]
    timebase = conductor.build({**finished.manifest, "run": {}})
    timebase.programs_live = len(nodes)
    for core, row in enumerate(nodes):
        timebase.join(core, row["name"])
    while not isinstance(turn := timebase.next_turn(), Halt | End):
        end_ps = ends_ps[turn.core]
        done = turn.until_ps < 0 or turn.until_ps >= end_ps
        timebase.turned({
            "core": turn.core, "sequence": turn.sequence, "wake_ps": -1, "ended": int(done),
            "now_ps": end_ps if done else turn.until_ps, "state": "off" if done else "runnable",
            "sends": [], "acknowledges": [],
        })  # fmt: skip
    return timebase.turns


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
            "instruction_busy_elapsed": ratios(best["busy"], "elapsed_ns"),
            "turn_busy": ratios(best["busy"], "processor_us_per_turn"),
            "turns_per_instruction_busy": ratios(best["busy"], "turns_per_million_instructions"),
            "turns_of_the_schedule": ratios(best["busy"], "turns_of_the_schedule"),
            "node_memory": ratios(best["busy"], "node_mib"),
        },
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
