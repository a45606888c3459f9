"""Commands over scenarios and many runs: compare, bench, reproduce, the report of any folder."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cosim.errors import InputError
from launch import options
from launch.consoles import errors_console, output_console

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


def show_run(done: Any, *, quiet: bool, as_json: bool, limit: str | None = None) -> None:
    """The summary of a run, and the report of every program that a signal ended.

    limit: as it was given, when the run had one.
    """
    for program in done.programs:
        if program["report"]:
            print(program["report"].rstrip(), file=sys.stderr)
    if as_json:
        answer = {
            "folder": str(done.folder),
            "exit_status": done.exit_status,
            "programs": done.programs,
        }
        if done.also:
            answer["also"] = [
                {"folder": str(one.folder), "statistics": one.statistics} for one in done.also
            ]
        print(json.dumps({**answer, "statistics": done.statistics}, indent=1))
    elif not quiet:
        errors_console().print(done)
    if (quiet or as_json) and done.manifest["ended"]["reason"] == "limit":  # else in the summary
        print(f"stramash: the time limit of {limit} ended the run", file=sys.stderr)


def guest_output(*, as_json: bool) -> Callable[[str, bytes], None]:
    """Takes what guests write: to stdout, unless JSON goes there."""
    output = sys.stderr.buffer if as_json else sys.stdout.buffer

    def write(_node: str, data: bytes) -> None:
        output.write(data)
        output.flush()

    return write


def run_scenario(
    file: str, given: dict[str, object], declared: Mapping[str, object], out: Path | None,
    quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """`stramash run` of a scenario: its guests' exit status, or 1 when it is not as declared.

    declared: options that a scenario leaves no room for, and what was given for each.
    """
    from launch.scenario import BrokenExpectation
    from launch.scenario_file import load

    if refused := [name for name, value in declared.items() if value]:
        raise InputError(
            f"{file}: a scenario declares {', '.join(refused)} itself; --set changes its parameters"
        )
    declaration = load(file)
    scenario = declaration.declare(given)
    broken: list[str] = []
    try:
        done = scenario.run(
            out, progress=not quiet, console=guest_output(as_json=as_json), command=sys.argv
        )
    except BrokenExpectation as error:
        done, broken = error.run, str(error).split("\n")
    show_run(done, quiet=quiet, as_json=as_json)
    for line in broken:
        print(f"stramash: {line}", file=sys.stderr)
    if broken:
        return 1
    return 0 if scenario.expects_an_ending else done.exit_status


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


def bench(
    scenario: Annotated[str, typer.Argument(help="Python file, or a bundled scenario's name")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE,...",
            help="values of a parameter of the scenario, or of any setting; repeatable",
        ),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="runs of each combination")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="folder for everything (default: runs/bench/NAME)"),
    ] = None,
    jobs: Jobs = 0,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", help="address of a dask.distributed scheduler, as tcp://host:8786"
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="start a dask cluster of so many on this host")
    ] = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Run a scenario for every combination of values, several times, as one table.

    Runs that finished before, with equal settings, programs and simulator, are not run again.
    """
    from launch import sweeps
    from launch.scenario_file import sweep

    def run(where: Any = None) -> sweeps.Bench:
        return sweeps.bench(
            scenario, repeat=repeat, sweep=sweep(setting or []), out=out, jobs=jobs, workers=where,
            progress=not quiet,
        )  # fmt: skip

    if cluster or workers:
        from launch.cluster import Cluster

        with Cluster(cluster, workers) as where:
            made = run(where)
    else:
        made = run()
    if as_json:
        print(json.dumps({"folder": str(made.folder), **made.content}, indent=1))
    else:
        output_console().print(made)
    return made.exit_status


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="folders of runs, comparisons or reproductions")
    ],
) -> None:
    """Show finished runs again; the rest is made again from the run folders it names."""
    from launch import comparison, reproduction, sweeps
    from launch import report as reports
    from launch.results import RunFolder

    for folder in folders:
        if (folder / reproduction.FILE).exists():
            output_console().print(reproduction.regenerate(folder))
        elif (folder / sweeps.FILE).exists():
            output_console().print(sweeps.read(folder))
        elif (folder / comparison.FILE).exists():
            output_console().print(comparison.regenerate(folder))
        else:
            output_console().print(reports.comparison([RunFolder.read(folder)]))
