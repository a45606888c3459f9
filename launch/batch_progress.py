"""Progress of many runs on stderr: a line for each that is under way, and one that stays for each
that ended.  In a log file only the latter."""

import sys
import threading
import time
from typing import Self, TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from launch.batch import Done, Task
from launch.closing import Closing

STARTING = "starts"


class BatchDisplay(Closing):
    """A context manager; `heard` and `ended` are for launch.batch.Batch.

    total: runs there will be.  output: where to.  quiet: show nothing.
    """

    def __init__(self, total: int, output: TextIO | None = None, quiet: bool = False) -> None:
        self._console = Console(file=output or sys.stderr, highlight=False)
        self._quiet = quiet
        self._total = total
        self._ended = 0
        self._lock = threading.Lock()
        self._lines: dict[str, TaskID] = {}
        self._since_s: dict[str, float] = {}
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._live = not quiet and self._console.is_terminal

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
        return super().__enter__()

    def close(self) -> None:
        """Take the lines of runs under way from the screen."""
        if self._live:
            self._progress.stop()

    def heard(self, task: Task, text: str) -> None:
        """A run tells how it goes."""
        with self._lock:
            self._since_s.setdefault(task.folder_name, time.monotonic())
            if not self._live:
                return
            shown = Text(f"{task.title:<24} {text or STARTING}").markup
            if task.folder_name not in self._lines:
                self._lines[task.folder_name] = self._progress.add_task(shown, total=None)
            self._progress.update(self._lines[task.folder_name], description=shown)

    def ended(self, done: Done) -> None:
        """A run ended, or had ended before."""
        with self._lock:
            self._ended += 1
            if done.task.folder_name in self._lines:
                self._progress.remove_task(self._lines.pop(done.task.folder_name))
            if self._quiet:
                return
            seconds = time.monotonic() - self._since_s.get(done.task.folder_name, time.monotonic())
            how = f"done in {seconds:.0f} s"
            if done.failure:
                how = f"FAILED: {done.failure}"
            elif done.reused:
                how = f"finished before: {done.folder}"
            line = f"[{self._ended}/{self._total}] {done.task.title:<24} {how}"
            self._console.print(Text(line), soft_wrap=True)
