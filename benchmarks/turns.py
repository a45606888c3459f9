"""What does a contended turn cost the host, and what does it consist of?  As JSON.

Two programs, one on each node of the pair, take one spin lock again and again.  Each turn is
bounded by the other node's time plus the quantum of 2 us (so it covers up to 4 us of virtual time),
and all its references are priced inline.  Times are microseconds of the host, by percentile over
the turns of the quickest of `--repeat` runs: the 10th is the nearest to a host with nothing else to
do.

- us_per_turn: from the grant to the answer, as the timebase sees it; of turns that were handed from
  node to node, the mean of each stretch.  node: of that, in the node.
- turns_granted: by a message of the timebase.  All others were handed over (cosim/relay.py).
- us_per_turn_mean: elapsed time per turn, less the start: what a run of 100 takes is subtracted.
- of_the_node_mean: the engine (with pricing, estimated from the references of a turn and the price
  of one that hits L1D), and the kernel's Python.
- wire_and_waking: the rest: handing over, and the host waking the other process.
- processor: time of all processes of the machine per turn, whatever the host did meanwhile.

    python -m benchmarks.turns [--times 300000] [--repeat 3]
"""

import argparse
import json
import os
from pathlib import Path

from benchmarks.memory import streams, through_ring
from launch import Machine

LOCK = Path(__file__).parent / "guests" / "lock.c"
NODES = ("x86", "arm")
TARGET_US = 250
PERCENTILES = ("p10", "p50", "p90")


def run(times: int) -> dict[str, float]:
    """The statistics of one run."""
    with Machine(nodes=NODES, os="vanilla") as machine:
        done = machine.run_together([(LOCK, node, [len(NODES), times]) for node in NODES])
    assert done.exit_status == 0, done.console
    return done.statistics


def total(values: dict[str, float], name: str) -> float:
    """A statistic of all cores together."""
    return sum(values[f"{node}.core0.{name}"] for node in NODES)


def row(
    values: dict[str, float], short: dict[str, float], reference_ns: float
) -> dict[str, object]:
    """Microseconds per turn of one run.  short: the statistics of a run of 100."""
    seconds, more = (values[name] - short[name] for name in ("host.seconds", "lockstep.turns"))
    turns = values["lockstep.turns"]
    bounded = {p: values[f"host.turn_ns.{p}"] / 1000 for p in PERCENTILES}
    inside = {
        p: sum(values[f"host.{n}.turn_ns.{p}"] for n in NODES) / len(NODES) / 1000
        for p in PERCENTILES
    }
    parts = {
        part: sum(values[f"host.{node}.{part}_us"] for node in NODES) / turns
        for part in ("engine", "kernel", "waiting")
    }
    references = total(values, "data_references_user") / turns
    processes = [name for name in values if name.endswith(".cpu_us")]
    processor = {name.split(".")[1]: round(values[name] / turns, 1) for name in processes}
    return {
        "turns": turns,
        "turns_granted": values["host.turns_granted"],
        "turns_bounded": turns - values["lockstep.turns_extended"],
        "us_per_turn": {p: round(us, 1) for p, us in bounded.items()},
        "us_per_turn_mean": round(seconds * 1e6 / more, 1),
        "below_target": bounded["p10"] < TARGET_US,
        "node": {p: round(us, 1) for p, us in inside.items()},
        "wire_and_waking": {p: round(bounded[p] - inside[p], 1) for p in PERCENTILES},
        "of_the_node_mean": {
            "engine": round(parts["engine"], 1),
            "of_that_pricing": round(references * reference_ns / 1000, 1),
            "kernel_python": round(parts["kernel"], 1),
            "waiting_for_memsys": round(parts["waiting"], 1),
        },
        "processor": {**processor, "all": round(sum(processor.values()), 1)},
        "instructions_per_turn": round(total(values, "instructions_user") / turns),
        "references_per_turn": round(references),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=300_000, help="each takes the lock")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    run(100)  # compiles what the host has not compiled yet
    hits = streams()["hits in L1D"]
    reference_ns = round(through_ring(hits, 2_000_000) * 1e9, 1)
    load = os.getloadavg()[0]
    short = run(100)
    runs = [row(run(given.times), short, reference_ns) for _ in range(given.repeat)]
    best = min(runs, key=lambda found: found["us_per_turn"]["p10"])
    print(json.dumps({
        "benchmark": "turns", "target_us": TARGET_US, "host_load_before": round(load, 1),
        "host_cores": os.cpu_count(), "reference_ns": reference_ns,
        "p10_of_each_run": [found["us_per_turn"]["p10"] for found in runs], **best,
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
