"""Many runs side by side on the host's cores, each in a process of its own, none of them twice.

A finished run is found again by what decided its result: `results.configuration_digest` (settings,
nodes, options, the bytes of the programs) and `results.simulator_digest` (the sources that compute
results, the versions of what they use).  Both are in the manifest, and both are compared; the name
of the folder only says where to look.  A run appears under its name when it has finished: an
interrupted batch leaves no halves, and goes on where it was.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cosim.errors import InputError
from launch import results
from launch.results import RunFolder

KEY_BYTES = 8
END_SECONDS = 15.0
FAILED = "failed-"  # prefix of the folder of a run that did not end well


@dataclass(frozen=True)
class Task:
    """One run.

    name: for people, and the front of its folder's name.  machine: arguments of launch.Machine.
    job: of Machine.run_together.  configuration: its configuration digest.  lasting: its result may
    be used again.
    """

    name: str
    machine: dict[str, Any]
    job: dict[str, Any]
    configuration: str
    lasting: bool = True

    @property
    def key(self) -> str:
        """Of everything that decides the result."""
        content = f"{self.configuration} {results.simulator_digest()}".encode()
        return blake2b(content, digest_size=KEY_BYTES).hexdigest()

    @property
    def folder_name(self) -> str:
        """Of its run folder."""
        return f"{self.name.replace(' ', '-')}-{self.key}"


@dataclass
class Done:
    """What became of a task.  folder: its run folder, None when there is none.  reused: it had
    finished before.  failure: why there is no result, one line.  ours: not the guest's fault.
    """

    task: Task
    folder: Path | None
    reused: bool = False
    failure: str = ""
    ours: bool = False


def failure_of(run: RunFolder) -> str:
    """Why a run is no result, "" when it is one."""
    ended = run.manifest["ended"]
    if ended["failure"]:
        return str(ended["failure"])
    if ended["laws"]["violations"]:
        return f"a law does not hold: {ended['laws']['violations'][0]}"
    if ended["reason"] != "exited":
        return f"ended by {ended['reason']}"
    for program in ended["programs"]:
        if program.get("signal"):
            return f"{program['program']}: signal {program['signal']}"
        if program["status"]:
            return f"{program['program']}: exit status {program['status']}"
    return ""


def finished(task: Task, places: Sequence[Path]) -> Path | None:
    """The folder of an equal run that has finished well, in the first of `places` that has one."""
    for place in places if task.lasting else ():
        folder = place / task.folder_name
        try:
            run = RunFolder.read(folder)
        except InputError:
            continue
        same = (
            run.manifest.get("configuration_digest") == task.configuration
            and run.manifest.get("simulator_digest") == results.simulator_digest()
        )
        if same and not failure_of(run):
            return folder
    return None


@dataclass
class Batch:
    """Runs tasks into `folder`; looks for finished ones there and in `others`.

    jobs: runs at the same time.  heard(task, text): signs of progress; called from other threads.
    """

    folder: Path
    others: Sequence[Path] = ()
    jobs: int = 0
    heard: Callable[[Task, str], None] = lambda task, text: None
    ended: Callable[[Done], None] = lambda done: None
    command: Sequence[str] = ()
    _live: list[subprocess.Popen] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False

    def run(self, tasks: Sequence[Task]) -> list[Done]:
        """Run what has not finished before; the results in the order of `tasks`.  After Ctrl-C the
        runs under way end, and what had finished stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        found = {task.folder_name: self._find(task) for task in tasks}
        for done in found.values():
            if done is not None:
                self.ended(done)
        missing = {t.folder_name: t for t in tasks if found[t.folder_name] is None}
        with ThreadPoolExecutor(max(1, self.jobs or jobs_by_default())) as pool:
            futures = {pool.submit(self._run, task) for task in missing.values()}
            try:
                self._collect(futures, found)
            except BaseException:
                self._stop(futures)
                raise
        answers = [found[task.folder_name] for task in tasks]
        return [done for done in answers if done is not None]

    def _collect(self, futures: set[Future], found: dict[str, Done | None]) -> None:
        while futures:
            # With a limit, so that Ctrl-C is noticed while all runs are long.
            ready, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in ready:
                done = future.result()
                found[done.task.folder_name] = done
                self.ended(done)

    def _stop(self, futures: set[Future]) -> None:
        with self._lock:
            self._stopping = True
            for future in futures:
                future.cancel()
            for process in self._live:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)

    def _find(self, task: Task) -> Done | None:
        folder = finished(task, [self.folder, *self.others])
        if folder is None:
            return None
        own = self.folder / task.folder_name
        if folder.parent != self.folder:
            temporary = self.folder / f".{task.folder_name}.{os.getpid()}"
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
            replace(temporary, own)
        return Done(task, own, reused=True)

    def _run(self, task: Task) -> Done:
        temporary = self.folder / f".{task.folder_name}.{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        self.heard(task, "")
        try:
            failure, ours = self._work(task, temporary)
            if not (temporary / results.MANIFEST).exists():
                return Done(task, None, failure=failure or "it left no run folder", ours=True)
            run = RunFolder.read(temporary)
            failure = failure or failure_of(run)
            own = self.folder / f"{FAILED * bool(failure)}{task.folder_name}"
            replace(temporary, own)
            return Done(task, own, failure=failure, ours=ours)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _work(self, task: Task, out: Path) -> tuple[str, bool]:
        """Run a task's process to its end; (failure, the simulator's own)."""
        content = {"machine": task.machine, "job": task.job, "out": str(out)}
        process = self._spawn(json.dumps({**content, "command": list(self.command)}))
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
                    self.heard(task, said["progress"])
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

    def _spawn(self, task: str) -> subprocess.Popen | None:
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
        process.stdin.write(task + "\n")
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


def jobs_by_default() -> int:
    """A run a core.  A run alone keeps two busy, one computing and one pricing references, but not
    all the time: on two cores, two runs at once took 0.75 of the time of one after the other.
    """
    return len(os.sched_getaffinity(0))


def replace(source: Path, target: Path) -> None:
    """Put a folder in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    os.replace(source, target)
