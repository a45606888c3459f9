"""What does a page by message cost the host, and how does that grow with the nodes?  As JSON.

A thread writes the same pages on one node after the other, so that every write is a fault of the
page protocol: with two nodes a request and a response, with more the home fetches the page first.

    python -m benchmarks.multiple [--pages 400] [--rounds 4] [--os multi-shm]
"""

import argparse
import json
from pathlib import Path

from launch import Machine

TOUCH = Path(__file__).parent / "guests" / "touch.c"
NODES = ("x86", "arm", "x86b", "armb")


def measure(count: int, system: str, pages: int, rounds: int) -> dict[str, object]:
    """One row: faults, messages, and host microseconds a fault with what they consist of."""
    with Machine(nodes=NODES[:count], os=system) as machine:
        run = machine.run(TOUCH, "x86", [pages, rounds])
    assert run.exit_status == 0, run.console
    values = run.statistics
    nodes = NODES[:count]

    def total(name: str) -> int:
        return sum(int(values.get(f"{node}.{name}", 0)) for node in nodes)

    faults = total("pages.transferred")
    host = {
        part: sum(int(values[f"host.{node}.{part}_us"]) for node in nodes) / faults
        for part in ("engine", "kernel", "waiting")
    }
    seconds = float(values["host.seconds"])
    us = seconds * 1e6 / faults
    return {
        "nodes": count,
        "pages_transferred": faults,
        "messages_per_page": round(total("messages.sent") / faults, 2),
        "host_us_per_page": round(us, 1),
        "of_that_kernel_python_us": round(host["kernel"], 1),
        "of_that_engine_us": round(host["engine"], 1),
        "of_that_waiting_us": round(host["waiting"], 1),
        "of_that_turns_and_rest_us": round(us - sum(host.values()), 1),
        "host_us_per_message": round(seconds * 1e6 / total("messages.sent"), 1),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--os", default="multi-shm")
    given = parser.parse_args()
    rows = [measure(count, given.os, given.pages, given.rounds) for count in (2, 3, 4)]
    print(json.dumps({"benchmark": "multiple", "os": given.os, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
