"""One program under every operating-system design and memory model, side by side.

```text
 runs/compare/NAME/     or the folder of --out
   comparison.json      which run folders, and a row for each system, made of them
   comparison.png       stacked bars, normalised to vanilla
   fused-shared-KEY/    a run folder each
```
Everything here is a function of the run folders: `regenerate` makes it again from them.
"""

import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult

from cosim.errors import ExitCode, InputError, suggest
from cosim.physical_map import MODELS
from launch import breakdown, charts, designs, results
from launch.batch import Batch, Done, Task, failure_of
from launch.batch_progress import BatchDisplay
from launch.comparison_tables import tables
from launch.instantiation import Program, runs_folder, safe_name, split_class
from launch.machine import Machine
from launch.results import RunFolder
from launch.simulation import MODEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "comparison.json"
PICTURE = "comparison.png"
FOLDER = "compare"  # below runs/
REPRODUCTIONS = "reproduce"  # below runs/: comparisons of launch.reproduction
KIND = "comparison"
FORMAT = 1
BASE = "vanilla"  # what everything is normalised to
PS_PER_MS = 10**9


@dataclass(frozen=True)
class System:
    """A design with a memory model, and its run.  name: for people."""

    name: str
    design: str
    model: str
    task: Task


def chosen(
    wanted: Sequence[str] | None = None, models: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """(design, memory model) of every system to compare, the base first.

    wanted: names of designs, None for all.  models: leaves out the others of designs that are
    compared with several.  Raises InputError for unknown names.
    """
    for model in models or ():
        if model not in MODELS:
            hint = suggest(model, MODELS) or f"; known are {', '.join(MODELS)}"
            raise InputError(f"--models {model}: no such memory model{hint}")
    names = dict.fromkeys([BASE, *(designs.DESIGNS if wanted is None else wanted)])
    found = []
    for name in names:
        design = designs.find(name)
        several = len(design.models) > 1
        found += [
            (name, model)
            for model in design.models
            if not several or models is None or model in models
        ]
    return found


def label(design: str, model: str) -> str:
    """What a system is called."""
    return design if len(designs.find(design).models) == 1 else f"{design} {model}"


def plan(
    program: str,
    on: str | Sequence[str] = (),
    arguments: Iterable[object] = (),
    *,
    systems: Sequence[tuple[str, str]],
    preset: str | None = None,
    settings: Mapping[str, object] | None = None,
    machine: str | Path | None = None,
) -> list[System]:
    """The runs of a comparison; programs are built.  Raises InputError for what cannot run."""
    if MODEL in (settings or {}):
        raise InputError(f"--set {MODEL}: a comparison chooses it itself; see --models")
    job = {
        "program": str(program),
        "on": [on] if isinstance(on, str) and on else list(on),
        "arguments": [str(argument) for argument in arguments],
    }
    built: dict[bool, list[Program]] = {}
    found = []
    for design, model in systems:
        options = {
            "machine": None if machine is None else str(machine),
            "memory": model,
            "preset": preset,
            "settings": dict(settings or {}),
            "os": design,
        }
        described = Machine(**options)  # type: ignore[arg-type]
        migrates = described.simulation.design.migrates
        if migrates not in built:
            built[migrates] = described.place([job])
        digest = described.configuration_digest(built[migrates])
        name = label(design, model)
        # A design of the user's lies in files that no digest covers.
        task = Task(name, options, built[migrates], digest, lasting=":" not in design)
        found.append(System(name, design, model, task))
    return found


def name_of(program: str, arguments: Iterable[object] = ()) -> str:
    """Short name of what is compared: is-S."""
    name, first = split_class(str(program))
    return safe_name("-".join([Path(name).stem, *first, *(str(a) for a in arguments)]))


def run(
    systems: Sequence[System], folder: Path, title: str, *, jobs: int = 0, quiet: bool = True
) -> "Comparison":
    """Run what has not finished before and write the comparison's folder."""
    with BatchDisplay(len(systems), quiet=quiet) as display:
        batch = Batch(folder, known_places(title), jobs, display.heard, display.ended, sys.argv)
        done = batch.run([system.task for system in systems])
    content = content_of(folder, title, named(systems, done))
    comparison = Comparison(folder, content, reused=[d.folder for d in done if d.reused])
    comparison.write()
    return comparison


def known_places(title: str) -> list[Path]:
    """Where finished runs of this title may be."""
    reproduced = (runs_folder() / REPRODUCTIONS).glob(f"*/{title}*")
    return [runs_folder() / FOLDER / title, *sorted(reproduced)]


def named(systems: Sequence[System], done: Sequence[Done]) -> list[dict[str, Any]]:
    """What a comparison's file says about which run is which."""
    return [
        {
            "name": system.name,
            "design": system.design,
            "model": system.model,
            "run": None if one.folder is None else one.folder.name,
            "failure": one.failure if one.ours else "",
        }
        for system, one in zip(systems, done, strict=True)
    ]


def content_of(folder: Path, title: str, systems: Sequence[Mapping]) -> dict[str, Any]:
    """The comparison's file.  systems: dicts of name, design, model, run, failure."""
    return {
        "format": FORMAT,
        "kind": KIND,
        "title": title,
        "systems": [dict(system) for system in systems],
        "rows": rows(folder, systems),
    }


def rows(folder: Path, systems: Sequence[Mapping]) -> list[dict[str, Any]]:
    """A row for each system, from its run folder."""
    found = [row(folder, system) for system in systems]
    base = next((r["elapsed_ps"] for r in found if r["name"] == BASE and not r["failure"]), None)
    for one in found:
        known = base and not one["failure"]
        one["normalised"] = round(one["elapsed_ps"] / base, 6) if known else None
    return found


def row(folder: Path, system: Mapping) -> dict[str, Any]:
    """What a system's run says: time, its parts, and counts of the whole run."""
    start = {key: system[key] for key in ("name", "design", "model", "run")}
    if system["run"] is None:
        return {**start, "failure": system["failure"]}
    found = RunFolder.read(folder / system["run"])
    failure = system["failure"] or failure_of(found)
    values = found.statistics
    split = breakdown.breakdown(found)

    def over_nodes(suffix: str) -> int:
        return sum(int(values.get(f"{node}.{suffix}", 0)) for node in found.nodes)

    return {
        **start,
        "failure": failure,
        "exit_status": next((p["status"] for p in found.manifest["ended"]["programs"]), None),
        "measured": split.measured.what,
        "note": split.measured.note,
        "elapsed_ps": split.elapsed_ps,
        "parts_ps": dict(split.machine),
        "shares": {name: round(share, 6) for name, share in split.shares().items()},
        "nodes_ps": {node: dict(parts) for node, parts in split.nodes.items()},
        "overlap": round(split.overlap, 6),
        "messages": over_nodes("messages.sent"),
        "pages_replicated": over_nodes("pages.replicated"),
        "migrations": over_nodes("migrations.sent"),
        "kinds": {
            "messages": kinds(found, "messages.sent."),
            "pages_replicated": kinds(found, "pages.replicated."),
        },
        "digest": found.manifest["digest"],
    }


def kinds(run: RunFolder, prefix: str) -> dict[str, int]:
    """Counters below a name, over all nodes, by their last part; those that counted something."""
    found: dict[str, int] = {}
    for node in run.nodes:
        front = f"{node}.{prefix}"
        for name, value in run.statistics.items():
            if name.startswith(front) and value:
                kind = name.removeprefix(front)
                found[kind] = found.get(kind, 0) + int(value)
    return dict(sorted(found.items()))


class Comparison:
    """The systems side by side.

    rows: a dict each, as in comparison.json.  folder: where everything is.  reused: run folders
    that had finished before.
    """

    def __init__(
        self, folder: Path, content: dict[str, Any], reused: Sequence[Path | None] = ()
    ) -> None:
        self.folder = folder
        self.content = content
        self.reused = [path for path in reused if path is not None]

    @property
    def title(self) -> str:
        """What was compared."""
        return self.content["title"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dict for each system."""
        return self.content["rows"]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return next(row for row in self.rows if row["name"] == name)

    @property
    def picture(self) -> Path:
        """The stacked bars."""
        return self.folder / PICTURE

    @property
    def exit_status(self) -> int:
        """0; 1 when a guest failed; 125 when the simulator did."""
        if any(system["failure"] for system in self.content["systems"]):
            return ExitCode.OURS
        return int(any(row["failure"] for row in self.rows))

    def plot(self) -> "Figure":
        """Stacked bars, normalised to the base."""
        measured = next((row["measured"] for row in self.rows if not row["failure"]), "run")
        what = "timed region" if measured != "run" else "whole run"
        return charts.stacked([panel("", self.rows)], f"{self.title}: {what}")

    def write(self) -> None:
        """Write the file and the picture."""
        results.put(self.folder / FILE, json.dumps(self.content, indent=1).encode() + b"\n")
        results.put(self.picture, charts.png(self.plot()))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from tables(self.rows, options.max_width)
        yield f"comparison     {self.folder}"
        yield f"picture        {self.picture}"

    def __repr__(self) -> str:
        return f"<Comparison {self.title}: {len(self.rows)} systems, {self.folder}>"

    def _repr_html_(self) -> str:
        """For notebooks: the table."""
        console = Console(record=True, file=io.StringIO(), width=120)
        console.print(*tables(self.rows, 120))
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def panel(title: str, found: Sequence[Mapping]) -> charts.Panel:
    """The bars of one program."""
    return charts.Panel(title, [charts.Bar(row["name"], heights(row)) for row in found])


def heights(row: Mapping) -> dict[str, float] | None:
    """Each part of a row's time, by the base's time."""
    if row["failure"] or row.get("normalised") is None:
        return None
    return {name: share * row["normalised"] for name, share in row["shares"].items()}


def read(folder: Path, kind: str = KIND, file: str = FILE) -> dict[str, Any]:
    """The file of a comparison or a reproduction.  Raises InputError when it is none."""
    try:
        content = json.loads((folder / file).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / file}: cannot be read ({error})") from error
    if content.get("kind") != kind or content.get("format") != FORMAT:
        raise InputError(f"{folder / file}: not a {kind} of format {FORMAT}")
    return content


def regenerate(folder: Path) -> Comparison:
    """Make a comparison again from its run folders."""
    content = read(folder)
    again = Comparison(folder, content_of(folder, content["title"], content["systems"]))
    again.write()
    return again


def compare(
    program: str,
    on: str | Sequence[str] = (),
    arguments: Iterable[object] = (),
    *,
    designs: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    preset: str | None = None,
    settings: Mapping[str, object] | None = None,
    machine: str | Path | None = None,
    out: str | Path | None = None,
    jobs: int = 0,
    progress: bool = False,
) -> Comparison:
    """Run a program under every operating-system design and memory model.

    designs, models: a choice of them; vanilla, to which times are normalised, is always there.
    out: the folder (default: runs/compare/NAME).  jobs: runs at the same time (default: as many as
    the host has cores for).  Other arguments as in Machine.  Runs that fail are rows too.  Raises
    InputError when nothing can run.
    """
    extra = list(arguments)
    title = name_of(program, extra)
    folder = Path(out) if out is not None else runs_folder() / FOLDER / title
    check_folder(folder, FILE)
    systems = plan(
        program, on, extra, systems=chosen(designs, models), preset=preset, settings=settings,
        machine=machine,
    )  # fmt: skip
    return run(systems, folder, title, jobs=jobs, quiet=not progress)


def check_folder(folder: Path, file: str) -> None:
    """Raises InputError when results must not go there: it holds something else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: must be a folder")
    visible = [p for p in folder.glob("*") if not (p / results.MANIFEST).exists()]
    if visible and not (folder / file).exists():
        raise InputError(f"{folder}: holds other things than runs; choose another --out")
