"""What does a node on another host cost, by turn and by page, beside the same run on one?  As JSON.

Both hosts are this one, with tcp between and no memory shared: a cable adds its round trip to every
fetch, and two to every turn.

    python -m benchmarks.remote [--rounds 2000]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile

from launch import Machine
from launch.machine import Run
from launch.progress import Display

COMMAND = re.compile(r"stramash (node .*)")
MACHINE = """
[[node]]
name = "x86"
isa = "x86_64"

[[node]]
name = "arm"
isa = "aarch64"
"""
AWAY = 'host = "127.0.0.1"\n'


class Starter(Display):
    """Does at once what the machine asks a person to do."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.started: list[subprocess.Popen] = []

    def notice(self, text: str) -> None:
        """See Display."""
        for words in COMMAND.findall(text):
            command = [sys.executable, "-m", "launch.cli", *words.split()]
            self.started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    def close(self) -> None:
        """See Display."""
        super().close()
        for process in self.started:
            process.wait()


def run(host: str, system: str, program: str, on: list[str], arguments: list[int]) -> Run:
    """The run, with arm on this host ("") or on another."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(MACHINE + host)
        file.flush()
        progress: Starter | bool = Starter() if host else False
        with Machine(machine=file.name, os=system, progress=progress) as machine:
            done = machine.run(program, on, arguments)
    assert done.exit_status == 0, done.console
    return done


def measure(system: str, program: str, on: list[str], arguments: list[int]) -> dict[str, object]:
    """One row."""
    near = run("", system, program, on, arguments)
    far = run(AWAY, system, program, on, arguments)
    assert near.digest == far.digest, (near.folder, far.folder)
    prefix = "host.arm.pager."
    pager = {n.removeprefix(prefix): v for n, v in far.statistics.items() if n.startswith(prefix)}
    seconds = [float(one.statistics["host.seconds"]) for one in (near, far)]
    return {
        "program": program,
        "os": system,
        "turns_of_the_node": pager["turns"],
        "seconds_one_host": seconds[0],
        "seconds_two_hosts": seconds[1],
        "ratio": round(seconds[1] / seconds[0], 2),
        "extra_us_per_turn": round((seconds[1] - seconds[0]) * 1e6 / pager["turns"], 1),
        "refresh_us_per_turn": round(pager["refresh_us"] / pager["turns"], 1),
        "commit_us_per_turn": round(pager["commit_us"] / pager["turns"], 1),
        "fetch_us_per_request": round(pager["fetch_us"] / pager["fetches"], 1),
        "fetch_us_per_page": round(pager["fetch_us"] / pager["pages_fetched"], 1),
        "pages_fetched": pager["pages_fetched"],
        "pages_refreshed_per_turn": round(pager["pages_refreshed"] / pager["turns"], 1),
        "pages_committed_per_turn": round(pager["pages_committed"] / pager["turns"], 1),
        "bytes_per_turn": round(pager["bytes"] / pager["turns"]),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2000)
    given = parser.parse_args()
    rows = [
        measure("vanilla", "pingpong", ["x86", "arm"], [given.rounds]),
        measure("fused", "is:S", ["x86"], []),
        measure("multi-shm", "is:S", ["x86"], []),
    ]
    print(json.dumps({"benchmark": "remote", "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
