"""Where the runs of a batch take place: in processes of this host, one each (launch.worker).

launch.cluster has the same on the hosts of a dask.distributed cluster.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

END_SECONDS = 15.0


class Workers(Protocol):
    """What a batch needs of them."""

    @property
    def jobs(self) -> int: ...

    def work(
        self, content: Mapping[str, Any], out: Path, heard: Callable[[str], None]
    ) -> tuple[str, bool]: ...

    def stop(self) -> None: ...


class HostProcesses:
    """Processes of this host."""

    def __init__(self) -> None:
        self._live: list[subprocess.Popen] = []
        self._lock = threading.Lock()
        self._stopping = False

    @property
    def jobs(self) -> int:
        """A run a core.  A run alone keeps two busy, one computing and one pricing references, but
        not all the time: on two cores, two runs at once took 0.75 of the time of one after the
        other.
        """
        return len(os.sched_getaffinity(0))

    def work(
        self, content: Mapping[str, Any], out: Path, heard: Callable[[str], None]
    ) -> tuple[str, bool]:
        """Make one run in a process, into the folder `out`; (failure, the simulator's own).

        content: machine, programs and command as plain data.  heard(text): signs of progress.
        """
        process = self._spawn(json.dumps({**content, "out": str(out)}))
        if process is None:
            return "interrupted", True
        failure, ours, ended = "", False, False
        assert process.stdout is not None and process.stderr is not None
        words: list[str] = []
        reader = threading.Thread(target=lambda: words.extend(process.stderr or ()), daemon=True)
        reader.start()
        try:
            for text in process.stdout:
                said = json.loads(text)
                if "progress" in said:
                    heard(said["progress"])
                else:
                    failure, ours, ended = said.get("failed", ""), "failed" in said, True
            status = process.wait()
        finally:
            self._end(process)
        reader.join(END_SECONDS)
        process.stderr.close()
        if ended:
            return failure, ours
        last = words[-1].strip() if words else "no word of it"
        return f"its process ended with status {status}: {last}", True

    def stop(self) -> None:
        """End what is under way, and start nothing more."""
        with self._lock:
            self._stopping = True
            for process in self._live:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)

    def _spawn(self, content: str) -> subprocess.Popen | None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        with self._lock:
            if self._stopping:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "launch.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the batch alone, which ends the others
            )
            self._live.append(process)
        assert process.stdin is not None
        process.stdin.write(content + "\n")
        process.stdin.flush()
        return process

    def _end(self, process: subprocess.Popen) -> None:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with self._lock:
            self._live.remove(process)
