"""Reproductions of the paper's figures and tables: run what an experiment names, put our numbers
beside the paper's.

```text
 runs/reproduce/fig9-S/   or the folder of --out
   experiment.json        which experiment, which class, which comparison is where
   is-S/, cg-S/, ...      a comparison each, with its run folders (launch.comparison)
   report.json, report.md, fig9.png
```
Reports and pictures are functions of the run folders: `regenerate` makes them again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cosim.errors import InputError
from launch import charts, comparison, designs, experiments, quantities, results
from launch.experiments.declaration import CLASSES, Count, Experiment, Subject
from launch.instantiation import runs_folder, safe_name

FILE = "experiment.json"
REPORT = "report.json"
REPORT_TEXT = "report.md"
FOLDER = comparison.REPRODUCTIONS
KIND = "reproduction"
FORMAT = comparison.FORMAT
HEADS = ("name", "ours", "", "paper", "difference", "status")


def reproduce(
    name: str,
    letter: str = "S",
    *,
    out: str | Path | None = None,
    jobs: int = 0,
    progress: bool = False,
) -> "Reproduction":
    """Run an experiment and compare it with the paper.

    letter: problem class.  out: the folder (default: runs/reproduce/NAME-CLASS).  jobs: runs at the
    same time.  Programs and designs that are not there leave their numbers out.  Raises InputError
    for unknown experiments and classes.
    """
    experiment = experiments.find(name)
    if letter not in CLASSES:
        raise InputError(f"--class {letter}: the classes are {', '.join(CLASSES)}")
    title = f"{name}-{letter}"
    folder = Path(out) if out is not None else runs_folder() / FOLDER / title
    comparison.check_folder(folder, FILE)
    folder.mkdir(parents=True, exist_ok=True)
    subjects: list[dict[str, Any]] = []
    for subject in experiment.subjects:
        subjects.append(
            _compare(experiment, subject, letter, folder, jobs=jobs, quiet=not progress)
        )
        content = {
            "format": FORMAT,
            "kind": KIND,
            "experiment": name,
            "question": experiment.question,
            "class": letter,
            "subjects": subjects,
        }
        results.put(folder / FILE, json.dumps(content, indent=1).encode() + b"\n")
    return regenerate(folder)


def _compare(
    experiment: Experiment, subject: Subject, letter: str, folder: Path, **how: Any
) -> dict[str, Any]:
    """Run one subject; where it is, and why it could not be run."""
    program = f"{subject.benchmark}:{letter}"
    title = comparison.name_of(program)
    name = safe_name("-".join([title, *subject.variant.split()]))
    wanted = dict.fromkeys([(comparison.BASE, base_model()), *experiment.systems])
    systems = [(design, model) for design, model in wanted if design in designs.DESIGNS]
    found = {"name": subject.name, "program": program, "folder": name, "failure": ""}
    try:
        planned = comparison.plan(program, systems=systems, settings=subject.settings)
    except InputError as error:
        return {**found, "folder": None, "failure": str(error)}
    comparison.run(planned, folder / name, title, **how)
    return found


def base_model() -> str:
    """The memory model of the base."""
    return designs.find(comparison.BASE).models[0]


class Reproduction:
    """Our numbers beside the paper's.

    rows: a dict for each claim, as in report.json.  comparisons: subject -> its comparison.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self.folder = folder
        self.content = content
        self.comparisons = {
            subject["name"]: comparison.regenerate(folder / subject["folder"])
            for subject in content["subjects"]
            if subject["folder"] is not None
        }
        cells = {
            (subject, row["name"]): row
            for subject, made in self.comparisons.items()
            for row in made.rows
        }
        self.experiment = experiments.find(content["experiment"])
        self.rows = [
            quantities.judge(claim, cells, content["class"]) for claim in self.experiment.claims
        ]

    @property
    def title(self) -> str:
        """What was reproduced."""
        return f"{self.content['experiment']}, class {self.content['class']}"

    @property
    def picture(self) -> Path:
        """The plot."""
        return self.folder / f"{self.content['experiment']}.png"

    @property
    def exit_status(self) -> int:
        """0 when every run gave a result; else that of the worst comparison."""
        missing = any(subject["failure"] for subject in self.content["subjects"])
        return max([int(missing), *(made.exit_status for made in self.comparisons.values())])

    def plot(self) -> Any:
        """A panel of stacked bars for each subject, or counts beside the paper's."""
        if self.experiment.counts:
            pairs = [
                charts.Pair(row["statement"], row["ours"], row["paper"])
                for row, claim in zip(self.rows, self.experiment.claims, strict=True)
                if isinstance(claim.quantity, Count)
            ]
            return charts.counts(pairs, self.title)
        panels = [comparison.panel(name, made.rows) for name, made in self.comparisons.items()]
        return charts.stacked(panels, f"{self.title}: time by vanilla")

    def write(self) -> None:
        """Write the reports and the picture."""
        report = {
            "format": FORMAT,
            "experiment": self.content["experiment"],
            "class": self.content["class"],
            "claims": self.rows,
        }
        results.put(self.folder / REPORT, json.dumps(report, indent=1).encode() + b"\n")
        results.put(self.folder / REPORT_TEXT, self.text().encode())
        if self.comparisons:
            results.put(self.picture, charts.png(self.plot()))

    def text(self) -> str:
        """report.md."""
        lines = [f"# {self.title}", "", self.content["question"], ""]
        if self.comparisons:
            lines += [f"![{self.title}]({self.picture.name})", ""]
        lines += ["| what | ours | | paper | difference | status | source |"]
        lines += ["|---|---:|---|---:|---:|---|---|"]
        for row in self.rows:
            cells = (row["statement"], *cells_of(row)[1:], row["source"])
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *(f"- {line}" for line in self.remarks())]
        return "\n".join(lines) + "\n"

    def remarks(self) -> list[str]:
        """A line for every number that differs or is missing."""
        lines = [
            f"{subject['name']}: not run: {subject['failure']}"
            for subject in self.content["subjects"]
            if subject["failure"]
        ]
        for row in self.rows:
            if row["status"] in ("explained", "unexplained"):
                reason = row["reason"] or "UNEXPLAINED"
                lines.append(f"{row['name']}: {reason}{measured_text(row['measured'])}")
        whys: dict[str, list[str]] = {}
        for row in self.rows:
            if "why" in row:
                whys.setdefault(row["why"], []).append(row["name"])
        lines += [f"{', '.join(names)}: {why}" for why, names in whys.items()]
        return lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
        for head in HEADS:
            plain = head in ("name", "status", "")
            table.add_column(head, justify="left" if plain else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*cells_of(row))
        yield table
        yield Text()
        for line in self.remarks():
            yield Text(f"  {line}")
        yield Text()
        yield Text(f"report         {self.folder / REPORT_TEXT}")
        if self.comparisons:
            yield Text(f"picture        {self.picture}")

    def __repr__(self) -> str:
        return f"<Reproduction {self.title}: {len(self.rows)} claims, {self.folder}>"


def cells_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Name, ours, relation, paper, difference, status as text."""
    difference = row["difference"]
    return (
        row["name"],
        number(row["ours"], row["name"]),
        row["relation"],
        number(row["paper"], row["name"]),
        "-" if difference is None else f"{100 * difference:+.1f} %",
        row["status"],
    )


def number(value: float | None, name: str) -> str:
    """A value as one would write it."""
    if value is None:
        return "-"
    if name.endswith(".reduction"):
        return f"{100 * value:.2f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def measured_text(component: Mapping[str, Any]) -> str:
    """The measured component in words."""
    if "difference_ms" in component:
        return (
            f" (measured: {component['component']} differs most between {component['of']} and"
            f" {component['by']}: {component['difference_ms']:+,.3f} ms,"
            f" {100 * component['share_of_difference']:.0f} % of all differences)"
        )
    if component:
        share = 100 * component["share"]
        return (
            f" (measured: mostly {component['component']}, {component['count']:,}, {share:.0f} %)"
        )
    return ""


def regenerate(folder: Path) -> Reproduction:
    """Make reports and pictures again from the run folders."""
    made = Reproduction(folder, comparison.read(folder, KIND, FILE))
    made.write()
    return made
