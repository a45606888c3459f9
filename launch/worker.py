"""One run of a batch in a process of its own: reads what to run from stdin, tells how it goes.

stdin is one line, what launch.workers was told as JSON; at its end of file the run ends.  stdout
has a JSON line for every sign of progress and a last one for the end: {"progress": text}, then
{"folder": path} or {"failed": line, "ours": bool}.  The guest's output is in the run folder.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cosim.errors import StramashError
from launch.actions import of_plain
from launch.failures import one_line
from launch.instantiation import Program
from launch.machine import Machine
from launch.progress import Display, line
from launch.supervisor import Progress

EVERY_SECONDS = 0.5


def say(**fields: Any) -> None:
    """One line to the batch."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


class Lines(Display):
    """Progress as lines of JSON."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self._next_s = 0.0

    def __call__(self, state: Progress) -> None:
        """Take the latest state of the run."""
        super().__call__(state)
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + EVERY_SECONDS
            say(progress=line(state, self._mips(state)))


def first_line() -> bytes:
    """The line of stdin, and not a byte more: the lifeline reads the rest."""
    found = b""
    while not found.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        found += byte
    return found


def end_with_the_batch() -> None:
    """Wait for the end of stdin in the background; then interrupt this process."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def main() -> int:
    """Entry of the process."""
    task = json.loads(first_line())
    end_with_the_batch()
    try:
        with Machine(**task["machine"], out=Path(task["out"]), progress=Lines()) as machine:
            programs = [Program.of_plain(plain) for plain in task["programs"]]
            events = [of_plain(row) for row in task["events"]]
            run = machine.run_programs(programs, command=task["command"], events=events)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        say(failed=one_line(error), ours=isinstance(error, StramashError))
        return 0
    say(folder=str(run.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
