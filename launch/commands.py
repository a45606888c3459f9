"""Commands over many runs: compare, reproduce, and the report of any folder."""

import json
from pathlib import Path
from typing import Annotated

import typer

from launch import options
from launch.consoles import output_console

Program = Annotated[str, typer.Argument(help="C file, static ELF, or a bundled guest's name")]
Arguments = Annotated[list[str] | None, typer.Argument(help="guest arguments, after --")]
Folder = Annotated[
    Path | None, typer.Option("--out", help="folder for everything (default: runs/compare/NAME)")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=0, help="runs at the same time; 0: as the cores allow")
]


def words(text: str | None) -> list[str] | None:
    """A list of names separated by commas."""
    return None if text is None else [word for word in text.split(",") if word]


def compare(
    program: Program,
    arguments: Arguments = None,
    on: options.On = "",
    designs: Annotated[
        str | None, typer.Option("--designs", help="some, with commas (default: all)")
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="memory models, with commas (default: all)")
    ] = None,
    preset: options.Preset = None,
    setting: options.Set = None,
    machine: options.Machine = None,
    out: Folder = None,
    jobs: Jobs = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Run a program under every OS design and memory model, side by side, normalised to vanilla.

    Runs that finished before, with equal settings, programs and simulator, are not run again.
    """
    from launch import comparison

    made = comparison.compare(
        program, words(on) or (), arguments or [], designs=words(designs), models=words(models),
        preset=preset, settings=options.parse_settings(setting), machine=machine, out=out,
        jobs=jobs, progress=not quiet,
    )  # fmt: skip
    if as_json:
        print(json.dumps({"folder": str(made.folder), **made.content}, indent=1))
    else:
        output_console().print(made)
    return made.exit_status


def reproduce(
    experiment: Annotated[str, typer.Argument(help="fig9, fig10 or table3")],
    letter: Annotated[str, typer.Option("--class", help="NPB class: S, W, A or B")] = "S",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder for everything (default: runs/reproduce/NAME-CLASS)"),
    ] = None,
    jobs: Jobs = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Run a figure or table of the paper: our number, the paper's, the difference, a plot.

    A difference of more than 15 % is listed with its reason, or as unexplained.
    """
    from launch import reproduction

    made = reproduction.reproduce(experiment, letter, out=out, jobs=jobs, progress=not quiet)
    if as_json:
        print(json.dumps({"folder": str(made.folder), "claims": made.rows}, indent=1))
    else:
        output_console().print(made)
    return made.exit_status


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="folders of runs, comparisons or reproductions")
    ],
) -> None:
    """Show finished runs again; the rest is made again from the run folders it names."""
    from launch import comparison, reproduction
    from launch import report as reports
    from launch.results import RunFolder

    for folder in folders:
        if (folder / reproduction.FILE).exists():
            output_console().print(reproduction.regenerate(folder))
        elif (folder / comparison.FILE).exists():
            output_console().print(comparison.regenerate(folder))
        else:
            output_console().print(reports.comparison([RunFolder.read(folder)]))
