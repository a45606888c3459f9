"""Does a program with threads get faster with more cores?  As a table.

The timed region of a guest on the machine `quad` (2 nodes of 2 cores), for 1, 2, 3 and 4 threads:
with up to two threads they are on the cores of one node, beyond on both.  It is virtual time, and
so the same on every host.

    python -m benchmarks.cores [--program reduce] [--os fused,multi-shm] [--memory shared] [--json]
"""

import argparse
import json

from launch import Machine

THREADS = (1, 2, 3, 4)
TIMED = 1


def region_us(run) -> float:
    """How long the timed region of the program took, in virtual time."""
    regions = [r for rows in run.manifest["regions"].values() for r in rows if r["label"] == TIMED]
    return sum(row["end_ps"] - row["begin_ps"] for row in regions) / 1e6


def measure(program: str, system: str, model: str, threads: int) -> dict[str, object]:
    """One run."""
    with Machine(machine="quad", os=system, memory=model) as machine:
        run = machine.run(program, "x86", [threads])
    assert run.exit_status == 0, run.console
    return {"threads": threads, "us": round(region_us(run), 3), "digest": run.digest}


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="reduce")
    parser.add_argument("--os", default="fused")
    parser.add_argument("--memory", default="shared")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tables = {
        system: [measure(given.program, system, given.memory, count) for count in THREADS]
        for system in given.os.split(",")
    }
    if given.json:
        print(
            json.dumps({"benchmark": "cores", "program": given.program, "rows": tables}, indent=1)
        )
        return
    print(f"{given.program}, {given.memory} memory, virtual time of the timed region")
    for system, rows in tables.items():
        for row in rows:
            speed = rows[0]["us"] / row["us"]
            print(f"{system:>10}  {row['threads']} threads  {row['us']:>12,.1f} us  {speed:5.2f} x")


if __name__ == "__main__":
    main()
