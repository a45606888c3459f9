"""The child processes of a machine: how one is spawned, what is known of it, how its end reads."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cosim.process import DEBUG_VARIABLE, SERVER_KEY_VARIABLE, TOKEN_VARIABLE
from launch.sockets import Sockets

HOST_LOST = -256  # instead of an exit code: nothing can be known of a process on a lost host


@dataclass
class Child:
    """One process of the machine.

    watch: a descriptor that can be read when it has ended.  heard_s: host time of its last message.
    held: it is not part of the machine yet, or no longer: its end is no failure.  lost: why it
    cannot join, if so.
    last: its last `progress` message.  dumped: its answer to the current `dump`, None before.
    needs: components that must be ready before it is welcomed.  place: the host it runs on, "" for
    this one.
    """

    name: str
    role: str
    process: subprocess.Popen
    watch: int
    stderr: Path
    state: str = "spawned"  # awaited (on another host), spawned, hello, welcomed, ready, gone
    phase: str = "start"
    doing: str = "starting"
    heard_s: float = 0.0
    facts: dict[str, int] = field(default_factory=dict)
    last: dict = field(default_factory=dict)
    dumped: dict | None = None
    held: bool = False
    lost: str = ""
    needs: tuple[str, ...] = ()
    place: str = ""

    def said(self) -> str:
        """What it does, honest about silence."""
        if self.state == "gone":
            return f"{death(self.process.returncode)}; it was {self.doing}"
        if self.state in ("welcomed", "ready") and self.dumped is None:
            return f"does not answer; it was {self.doing}"
        return self.doing


def spawn(
    name: str, role: str, entry: str, endpoint: str, sockets: Sockets, lifeline: int
) -> Child:
    """Start the process of a component; see cosim/process.py.

    Call it from a thread that lives as long as the machine: the kernel's PR_SET_PDEATHSIG, which
    ends roles of native code with their parent, means the thread that spawned them.
    Its own session: Ctrl-C in a terminal reaches the supervisor alone, which ends the others in
    order.
    """
    environment = {
        **os.environ,
        TOKEN_VARIABLE: sockets.token,
        SERVER_KEY_VARIABLE: sockets.keys.public if sockets.keys else "",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    stderr = sockets.folder / f"{name}.stderr"
    command = [sys.executable, "-m", "cosim.process"]
    command += ["--role", role, "--name", name, "--entry", entry, "--control", endpoint]
    command += ["--lifeline", str(lifeline), "--folder", str(sockets.folder)]
    with open(stderr, "wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if os.environ.get(DEBUG_VARIABLE) == "1" else output,
            pass_fds=(lifeline,),
            start_new_session=True,
        )
    watch = os.pidfd_open(process.pid)
    return Child(name, role, process, watch, stderr, heard_s=time.monotonic())


def death(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    if code == HOST_LOST:
        return "its host is lost"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def last_words(path: Path) -> str:
    """The last line a process printed, or nothing."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""


def obituary(child: Child, phase: str) -> str:
    """One line about a process that ended although nobody had asked it to.

    phase: of the machine.
    """
    how = f"died in phase {phase}: {death(child.process.returncode)}; it was {child.doing}"
    place = f" on {child.place}" if child.place else ""
    said = last_words(child.stderr)
    quoted = f"; it said: {said}" if said else ""
    return f"process {child.name!r} (pid {child.process.pid}{place}) {how}{quoted}"
