"""Programs of these tests, and machines that run them."""

import re
from pathlib import Path

from launch import Machine
from launch.machine import Run

GUESTS = Path(__file__).parent / "guests"
WANDER = GUESTS / "wander.c"
SORT = GUESTS / "is_newest.c"
SUMS = re.compile(r"sum \d+, bytes \d+")
CHECKSUM = re.compile(r"Checksum +(?:= +)?([0-9a-f]+)")
FAR = re.compile(r"(\d+) rounds on nodes that joined")
SETTINGS = {
    "vanilla": {"memory.attach_shares": 1},
    "multi-shm": {"memory.attach_shares": 1},
    "multi-tcp": {"memory.attach_shares": 1},
    "fused": {},
}


def machine(design: str, folder: Path, model: str | None = None) -> Machine:
    """A pair on which nodes may join; its run goes to `folder`."""
    return Machine(os=design, memory=model, settings=SETTINGS[design], out=folder)


def happened(run: Run) -> list[tuple[str, int]]:
    """Kind and time in ps of every event of a run."""
    return [(row["kind"], row["at_ps"]) for row in run.manifest["run"].get("events", [])]


def frames_used(run: Run) -> dict[str, int]:
    """Frames in use at the end, of the pair's nodes."""
    return {node: run.statistics[f"{node}.frames.used"] for node in ("x86", "arm")}
