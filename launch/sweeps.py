"""Sweeps: a scenario run for every combination of values, several times, as one table.

```text
 runs/bench/NAME/       or the folder of --out
   bench.json           what was swept, and the rows
   table.csv, table.parquet
   NAME-KEY[-REPEAT]/   a run folder each
```
A row of the table is a run: values, repeat, measurements, status, digest, folder.  Runs are made
by launch.batch, so what has finished is not made again, and a sweep that was interrupted goes on
where it was.  Equal runs must end in equal digests: where repeats differ, the sweep has failed.
"""

import io
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult

from cosim.errors import ExitCode, InputError
from launch import comparison, result_table, results
from launch.batch import Batch, Done, Task, finished
from launch.batch_progress import BatchDisplay
from launch.instantiation import runs_folder
from launch.machine import Run
from launch.results import RunFolder
from launch.scenario import Scenario
from launch.scenario_file import Declaration, load, of_function
from launch.workers import HostProcesses, Workers

FILE = "bench.json"
FOLDER = "bench"  # below runs/
KIND = "bench"
FORMAT = comparison.FORMAT
OK = "ok"
DIGEST_CHARACTERS = 8
REPEATS_MAX = 10_000


@dataclass
class Point:
    """One combination of values.  tasks: a repeat each, none when `problem` says why there can be
    none.  references: by id of the scenario that an expectation refers to.
    """

    values: dict[str, Any]
    scenario: Scenario | None = None
    tasks: list[Task] = field(default_factory=list)
    references: dict[int, Task] = field(default_factory=dict)
    problem: str = ""


def plan(
    declaration: Declaration, swept: Mapping[str, Sequence[Any]], repeat: int = 1
) -> list[Point]:
    """Every combination, in the order in which the values were given, the last name fastest."""
    if not 1 <= repeat <= REPEATS_MAX:
        raise InputError(f"--repeat {repeat}: a whole number from 1 to {REPEATS_MAX}")
    points = []
    for combination in itertools.product(*swept.values()):
        given = dict(zip(swept, combination, strict=True))
        points.append(_point(declaration, given, repeat))
    if all(point.problem for point in points):
        raise InputError(points[0].problem)
    return points


def _point(declaration: Declaration, given: dict[str, Any], repeat: int) -> Point:
    try:
        scenario = declaration.declare(given)
        point = Point(declaration.values(given), scenario)
        name, label = declaration.name, " ".join(f"{k}={v}" for k, v in given.items())
        point.tasks = [_task(name, scenario, number, label) for number in range(1, repeat + 1)]
        for other in scenario.references:
            point.references[id(other)] = _task(f"{name}-reference", other, 1, label)
    except InputError as error:
        return Point(given, problem=str(error))
    return point


def _task(name: str, scenario: Scenario, repeat: int, label: str) -> Task:
    arguments = scenario.machine_arguments()
    machine = scenario.machine()
    programs = machine.place(scenario.jobs, scenario.events)
    digest = machine.configuration_digest(programs, scenario.events)
    # A design of the user's, and what guests see as /, lie in files that no digest covers.
    lasting = ":" not in arguments.get("os", "") and not arguments.get("root")
    return Task(name, arguments, programs, digest, lasting, repeat, label, scenario.events)


class Ended:
    """What became of tasks, by folder name, as they end."""

    def __init__(self, tell: Callable[[Done], None]) -> None:
        self.by_name: dict[str, Done] = {}
        self._tell = tell

    def __call__(self, done: Done) -> None:
        """Take one more."""
        self.by_name[done.task.folder_name] = done
        self._tell(done)

    def look(self, tasks: Sequence[Task], folder: Path) -> None:
        """Take runs that have finished unnoticed, while an interrupt was on its way."""
        for task in tasks:
            if task.folder_name not in self.by_name:
                found = finished(task, [folder])
                if found is not None:
                    self.by_name[task.folder_name] = Done(task, found)

    def run(self, task: Task) -> Run | None:
        """The run of a task, None when there is none."""
        done = self.by_name.get(task.folder_name)
        return None if done is None or done.folder is None else Run(RunFolder.read(done.folder))


def rows(points: Sequence[Point], ended: Ended) -> tuple[list[dict[str, Any]], int]:
    """A row for every run that has ended, and the exit status of them all."""
    found, status = [], 0
    for point in points:
        if point.problem:
            found.append({**point.values, "repeat": None, "status": point.problem})
            status = ExitCode.OURS
            continue
        own = []
        for task in point.tasks:
            if task.folder_name in ended.by_name:
                row, worst = _row(point, task, ended)
                own.append(row)
                status = max(status, worst)
        digests = list(dict.fromkeys(row["digest"] for row in own if row["digest"]))
        if len(digests) > 1:
            status = max(status, 1)
            for row in own:
                row["status"] = "not deterministic: equal runs end in " + " and ".join(digests)
        found += own
    return found, status


def _row(point: Point, task: Task, ended: Ended) -> tuple[dict[str, Any], int]:
    assert point.scenario is not None
    done = ended.by_name[task.folder_name]
    row: dict[str, Any] = {**point.values, "repeat": task.repeat}
    measured = point.scenario.measured
    row |= dict.fromkeys((measurement.name for measurement in measured), None)
    # A machine that failed stopped at some moment of the host's: its digest says nothing.
    run = ended.run(task)
    end = {"digest": "" if run is None or run.manifest["ended"]["failure"] else run.digest,
           "folder": "" if done.folder is None else done.folder.name}  # fmt: skip
    problem, status = "", 0
    try:
        if run is not None and not (done.failure and not point.scenario.expects_an_ending):
            row |= {measurement.name: measurement.of(run) for measurement in measured}
        problem, status = _judge(point, done, run, ended)
    except InputError as error:
        problem, status = str(error), ExitCode.OURS
    return {**row, "status": problem or OK, **end}, status


def _judge(point: Point, done: Done, run: Run | None, ended: Ended) -> tuple[str, int]:
    """(what is wrong with a run, exit status); ("", 0) when nothing is."""
    scenario = point.scenario
    assert scenario is not None
    if run is None or (done.failure and not scenario.expects_an_ending):
        return done.failure, ExitCode.OURS if done.ours or run is None else 1
    references = {}
    for key, task in point.references.items():
        reference = ended.run(task)
        if reference is None:
            return f"the run of {task.name} that it refers to has not ended", ExitCode.OURS
        references[key] = reference
    broken = scenario.broken(run, references)
    return "; ".join(broken), int(bool(broken))


class Bench:
    """A sweep's table.

    rows: a dictionary for each run.  folder: where everything is.  exit_status: 0; 1 when a guest,
    an expectation or determinism failed; 125 when the simulator or its input did.
    """

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder = folder
        self.content = content

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each run."""
        return self.content["rows"]

    @property
    def exit_status(self) -> int:
        """Of the whole sweep."""
        return self.content["exit_status"]

    def arrow(self) -> Any:
        """The rows as a pyarrow.Table; `.to_pandas()` of it is a data frame."""
        return result_table.arrow(self.rows)

    def write(self) -> None:
        """Write the file and the tables."""
        results.put(self.folder / FILE, json.dumps(self.content, indent=1).encode() + b"\n")
        result_table.write(self.folder, self.rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.content["question"]:
            yield self.content["question"]
        yield result_table.shown(self.rows, {"digest": DIGEST_CHARACTERS}, ("folder",))
        yield f"table          {self.folder / result_table.CSV}, {result_table.PARQUET}"

    def __repr__(self) -> str:
        return f"<Bench {self.content['title']}: {len(self.rows)} runs, {self.folder}>"

    def _repr_html_(self) -> str:
        """For notebooks: the table."""
        console = Console(record=True, file=io.StringIO(), width=120)
        console.print(result_table.shown(self.rows, {"digest": DIGEST_CHARACTERS}, ("folder",)))
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def read(folder: Path) -> Bench:
    """A sweep again, from its folder."""
    return Bench(folder, comparison.read(folder, KIND, FILE))


def bench(
    scenario: str | Path | Callable[..., Scenario],
    *,
    repeat: int = 1,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path | None = None,
    jobs: int = 0,
    workers: Workers | None = None,
    progress: bool = False,
) -> Bench:
    """Run a scenario for every combination of values.

    scenario: a file, the name of a bundled one, or a function that makes a Scenario.  sweep:
    parameter or setting -> values.  out: the folder (default: runs/bench/NAME).  jobs: runs at the
    same time (default: as many as the host has cores for).  workers: where runs take place, a
    launch.cluster.Cluster for example.  Raises InputError when nothing can run.
    """
    declaration = of_function(scenario) if callable(scenario) else load(scenario)
    folder = Path(out) if out is not None else runs_folder() / FOLDER / declaration.name
    comparison.check_folder(folder, FILE)
    points = plan(declaration, sweep or {}, repeat)
    tasks = [task for point in points for task in (*point.references.values(), *point.tasks)]
    with BatchDisplay(len({task.folder_name for task in tasks}), quiet=not progress) as display:
        ended = Ended(display.ended)
        batch = Batch(
            folder, (), jobs, display.heard, ended, sys.argv, workers or HostProcesses()
        )  # fmt: skip
        try:
            batch.run(tasks)
        finally:
            ended.look(tasks, folder)
            made = _made(folder, declaration, points, ended)
    return made


def _made(folder: Path, declaration: Declaration, points: list[Point], ended: Ended) -> Bench:
    """The table of what has ended until now, written."""
    found, status = rows(points, ended)
    content = {
        "format": FORMAT,
        "kind": KIND,
        "title": declaration.name,
        "question": declaration.question,
        "exit_status": int(status),
        "rows": found,
    }
    made = Bench(folder, content)
    made.write()
    return made
