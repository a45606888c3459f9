"""Many runs side by side on the host's cores, each in a process of its own, none of them twice.

A finished run is found again by what decided its result: `results.configuration_digest` (settings,
nodes, options, the bytes of the programs) and `results.simulator_digest` (the sources that compute
results, the versions of what they use).  Both are in the manifest, and both are compared; the name
of the folder only says where to look.  A run appears under its name when it has finished: an
interrupted batch leaves no halves, and goes on where it was.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cosim.errors import InputError
from launch import results
from launch.actions import Upon, plain
from launch.events import Event
from launch.instantiation import Program, safe_name
from launch.results import RunFolder
from launch.workers import HostProcesses, Workers

KEY_BYTES = 8
FAILED = "failed-"  # prefix of the folder of a run that did not end well


@dataclass(frozen=True)
class Task:
    """One run.

    name: for people, and the front of its folder's name.  machine: arguments of launch.Machine.
    programs, events: of Machine.run_programs.  configuration: its configuration digest.  lasting:
    its result may be used again.  repeat: tells equal runs apart, from 1.  label: more for people
    than the name says, which is part of where a finished run is found.
    """

    name: str
    machine: dict[str, Any]
    programs: Sequence[Program]
    configuration: str
    lasting: bool = True
    repeat: int = 1
    label: str = ""
    events: Sequence[Event | Upon] = ()

    @property
    def title(self) -> str:
        """What it is called in displays."""
        again = f" (run {self.repeat})" if self.repeat > 1 else ""
        return f"{self.name} {self.label}".rstrip() + again

    @property
    def key(self) -> str:
        """Of everything that decides the result."""
        content = f"{self.configuration} {results.simulator_digest()}".encode()
        return blake2b(content, digest_size=KEY_BYTES).hexdigest()

    @property
    def folder_name(self) -> str:
        """Of its run folder."""
        again = f"-{self.repeat}" if self.repeat > 1 else ""
        return f"{safe_name(self.name.replace(' ', '-'))}-{self.key}{again}"


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

    jobs: runs at the same time, 0: as many as the workers like.  heard(task, text): signs of
    progress; called from other threads.  workers: where runs take place.
    """

    folder: Path
    others: Sequence[Path] = ()
    jobs: int = 0
    heard: Callable[[Task, str], None] = lambda task, text: None
    ended: Callable[[Done], None] = lambda done: None
    command: Sequence[str] = ()
    workers: Workers = field(default_factory=HostProcesses)

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
        with ThreadPoolExecutor(max(1, self.jobs or self.workers.jobs)) as pool:
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
        for future in futures:
            future.cancel()
        self.workers.stop()

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
        """Run a task to its end; (failure, the simulator's own)."""
        content = {
            "machine": task.machine,
            "programs": [program.plain() for program in task.programs],
            "events": [plain(event) for event in task.events],
            "command": list(self.command),
        }
        return self.workers.work(content, out, lambda text: self.heard(task, text))


def replace(source: Path, target: Path) -> None:
    """Put a folder in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    os.replace(source, target)
