"""Progress of a run on stderr: nothing for the first two seconds, then instructions, speed and
virtual time.

On a terminal a line that is rewritten; elsewhere (a log file) a plain line every ten seconds.
"""

import sys
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.status import Status

from launch.supervisor import Progress

SILENT_SECONDS = 2.0
PLAIN_EVERY_SECONDS = 10.0
PS_PER_MS = 10**9


def line(state: Progress, mips: float) -> str:
    """One line of progress."""
    if state.phase != "run":
        awaited = {n: what for n, what in state.doing.items() if what.startswith("waiting for `")}
        busy = next((f"{n}: {what}" for n, what in (awaited or state.doing).items() if what), "")
        return f"{state.phase} … {busy}"
    return (
        f"{state.instructions / 1e6:,.1f} M instructions · {mips:.1f} MIPS"
        f" · {state.virtual_time_ps / PS_PER_MS:,.3f} ms virtual · {state.host_seconds:.0f} s"
    )


class Display:
    """Shows progress; call it with every state, and write guest output through `around`.

    output: where to; a terminal gets the rewritten line.  quiet: show nothing.
    """

    def __init__(self, output: TextIO | None = None, quiet: bool = False) -> None:
        self._console = Console(file=output or sys.stderr, highlight=False)
        self._quiet = quiet
        self._status: Status | None = None
        self._plain_at_s = PLAIN_EVERY_SECONDS
        self._run_since_s: float | None = None

    def __call__(self, state: Progress) -> None:
        """Take the latest state of the run."""
        if state.phase == "run" and self._run_since_s is None:
            self._run_since_s = state.host_seconds
        if self._quiet or state.host_seconds < SILENT_SECONDS:
            return
        text = line(state, self._mips(state))
        if not self._console.is_terminal:
            if state.host_seconds >= self._plain_at_s:
                self._plain_at_s = state.host_seconds + PLAIN_EVERY_SECONDS
                self._console.print(text, soft_wrap=True, markup=False)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def _mips(self, state: Progress) -> float:
        seconds = state.host_seconds - (self._run_since_s or 0.0)
        return state.instructions / seconds / 1e6 if seconds > 0 else 0.0

    def around(self, write: Callable[[], None]) -> None:
        """Take the line away while `write` prints something of its own."""
        if self._status is None:
            write()
            return
        self._status.stop()
        write()
        self._status.start()

    def notice(self, text: str) -> None:
        """Say what somebody must do now: also when nothing else is shown."""
        self.around(lambda: self._console.print(text, soft_wrap=True, markup=False))

    def close(self) -> None:
        """Take the line away for good."""
        if self._status is not None:
            self._status.stop()
            self._status = None
