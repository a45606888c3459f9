"""Where does the host's time go when a program migrates?  NPB IS on the fused kernel, as JSON.

Shares are of the time of the run without boot: engines (with references they price at once), the
Python of the kernels, waiting for the memory system, and the rest (turns, messages between
processes).  Kernel Python per event is given in microseconds.

    python -m benchmarks.fused [--class A] [--memory shared] [--home x86]
"""

import argparse
import json

from launch import Machine

PARTS = ("engine", "kernel", "waiting")


def measure(problem: str, model: str, home: str) -> dict:
    """One run; times in s, shares of the whole."""
    with Machine(os="fused", memory=model) as machine:
        nodes = machine.system.names
        run = machine.run(f"is:{problem}", home)
    values = run.statistics
    seconds = {
        part: sum(values[f"host.{node}.{part}_us"] for node in nodes) / 1e6 for part in PARTS
    }
    seconds["rest"] = values["host.seconds"] - sum(seconds.values())
    events = sum(
        value
        for name, value in values.items()
        if any(mark in name for mark in (".faults.", ".system_calls.", ".ipi.received"))
    )
    return {
        "program": f"is:{problem}", "memory": model, "home": home,
        "verified": run.exit_status == 0, "seconds": values["host.seconds"],
        "mips": values["host.mips"],
        "share": {part: round(s / values["host.seconds"], 4) for part, s in seconds.items()},
        "kernel_events": events,
        "kernel_us_per_event": round(seconds["kernel"] * 1e6 / max(events, 1), 1),
        "messages": sum(values[f"{node}.messages.sent"] for node in nodes),
        "migrations": sum(values[f"{node}.migrations.sent"] for node in nodes),
    }  # fmt: skip


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--class", dest="problem", default="A", choices=("S", "W", "A"))
    parser.add_argument("--memory", default="shared")
    parser.add_argument("--home", default="x86")
    given = parser.parse_args()
    print(json.dumps(measure(given.problem, given.memory, given.home), indent=1))


if __name__ == "__main__":
    main()
