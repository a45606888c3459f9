"""Which machines run now: found through the private folders of their sockets, which name the
supervisor's process."""

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from cosim.process import FOLDER_PREFIX, remove_folder
from launch.sockets import SUPERVISOR_FILE

RUN_FILE = "run.json"
CLOCK_SLACK_SECONDS = 2.0  # a process may seem a moment younger than the file it wrote
BIRTH_SECONDS = 5.0  # a folder this young may not have its supervisor's pid yet


@dataclass(frozen=True)
class Live:
    """One folder of sockets.  pid: its supervisor, 0 when unknown.  alive: that process still
    runs."""

    folder: Path
    pid: int
    alive: bool
    run: str
    command: str
    seconds: float


def announce(sockets: Path, run: Path, command: list[str]) -> None:
    """Say, beside the sockets, which run they belong to."""
    content = {"run": str(run.resolve()), "command": " ".join(command)}
    (sockets / RUN_FILE).write_text(json.dumps(content))


def bases() -> list[Path]:
    """Where folders of sockets can be."""
    names = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    return [Path(name) for name in dict.fromkeys(names) if name]


def find() -> list[Live]:
    """Every folder of sockets on this host that we may look into, oldest first."""
    folders = {path for base in bases() for path in base.glob(f"{FOLDER_PREFIX}*") if path.is_dir()}
    found = [live for folder in folders if (live := _look(folder)) is not None]
    return sorted(found, key=lambda live: -live.seconds)


def _look(folder: Path) -> Live | None:
    try:
        born_s = folder.stat().st_mtime
        text = (folder / SUPERVISOR_FILE).read_text().strip()
    except OSError:
        return (
            None  # not ours: every folder of sockets names its supervisor from its first moment on
        )
    pid = int(text) if text.isdigit() else 0
    try:
        content = json.loads((folder / RUN_FILE).read_text())
    except (OSError, ValueError):
        content = {}
    seconds = max(0.0, time.time() - born_s)
    alive = _alive(pid, born_s) or (pid == 0 and seconds < BIRTH_SECONDS)
    return Live(folder, pid, alive, content.get("run", ""), content.get("command", ""), seconds)


def _alive(pid: int, born_s: float) -> bool:
    """Does the process still run, and is it old enough to have made the folder (pids are used
    again)?"""
    try:
        process = psutil.Process(pid) if pid else None
        return process is not None and process.create_time() <= born_s + CLOCK_SLACK_SECONDS
    except psutil.Error:
        return False


def is_alive(live: Live) -> bool:
    """Does the supervisor still run?"""
    found = _look(live.folder)
    return found is not None and found.alive


def clean() -> list[Path]:
    """Remove what dead supervisors left; the folders removed."""
    stale = [live.folder for live in find() if not live.alive]
    for folder in stale:
        remove_folder(str(folder))
    return stale
