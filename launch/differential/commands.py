"""Commands that compare the native engine with Unicorn: verify, fuzz.

Exit status 1 when they differ, 125 when the comparison could not be made.
"""

import json
import sys
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from launch import options
from launch.commands import Arguments, Program, guest_output
from launch.consoles import errors_console, output_console

DIFFERENT = 1  # exit status
SEQUENCES, LENGTH = 200, 24


def verify(
    program: Program,
    arguments: Arguments = None,
    on: options.On = "",
    system: options.System = "vanilla",
    memory: options.Memory = None,
    preset: options.Preset = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every", min=1, help="instructions between comparisons (engine.check_every)"
        ),
    ] = None,
    setting: options.Set = None,
    machine: options.Machine = None,
    root: options.Root = None,
    out: options.Out = None,
    stdin: options.Stdin = None,
    seed: options.Seed = 1,
    limit: options.Limit = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Run a program with every instruction compared with Unicorn; name the first that differs.

    Exit status: 0 when all were equal, whatever the program's own is; 1 when one was not.
    """
    from launch.differential import verification
    from launch.machine import Machine

    described = Machine(
        machine=machine, memory=memory, preset=preset, os=system, root=root, out=out, seed=seed,
        settings=verification.settings(options.parse_settings(setting), every), limit=limit,
        progress=not quiet,
    )  # fmt: skip
    jobs = [options.job(program, on, arguments or [], options.stdin_bytes(stdin))]
    console = guest_output(as_json=as_json)
    made = verification.verify(described, jobs, console=console, command=sys.argv)
    if as_json:
        print(json.dumps(made.as_dict(), indent=1))
    elif not made.difference and not quiet:
        errors_console().print(_table(made))
    if made.difference:
        print(f"stramash: {made.difference}", file=sys.stderr)
    return DIFFERENT if made.difference else 0


def _table(made: Any) -> Table:
    table = Table(title="instructions, compared with Unicorn", title_justify="left")
    for name in ("core", "executed", "compared", "unchecked", "left to Unicorn"):
        table.add_column(name, justify="left" if name == "core" else "right")
    for row in made.cores:
        numbers = (row.executed, row.compared, row.unchecked, row.by_unicorn)
        table.add_row(row.core, *(f"{number:,}" for number in numbers))
    return table


def fuzz(
    isa: Annotated[str, typer.Option("--isa", help="instruction set, see `stramash config`")],
    sequences: Annotated[
        int, typer.Option("--sequences", "-n", min=1, help="how many are made and executed")
    ] = SEQUENCES,
    length: Annotated[
        int, typer.Option("--length", min=1, max=1000, help="most instructions of one")
    ] = LENGTH,
    seed: Annotated[int, typer.Option("--seed", help="what they are made from")] = 1,
    only: Annotated[
        int | None, typer.Option("--only", min=0, help="this sequence of the seed alone")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Execute random sequences of instructions on both engines; make what differs small.

    A seed gives the same sequences everywhere.  Exit status: 1 when something differed.
    """
    from launch.differential.fuzzing import Fuzzer

    fuzzer = Fuzzer(isa, seed, length)
    numbers = range(sequences) if only is None else range(only, only + 1)
    findings = []
    executed = 0
    with _progress(quiet) as progress:
        task = progress.add_task(isa, total=len(numbers))
        for tried in fuzzer.run(numbers):
            executed += tried.instructions
            progress.update(task, advance=1)
            if tried.finding is not None:
                findings.append(tried.finding)
                if not as_json:
                    progress.console.print(_shown(tried.finding), soft_wrap=True, markup=False)
    answer = {
        "isa": isa,
        "seed": seed,
        "sequences": len(numbers),
        "instructions": executed,
        "compared": fuzzer.compared,
        "findings": [finding.as_dict() for finding in findings],
    }
    if as_json:
        print(json.dumps(answer, indent=1))
    elif not quiet:
        different = f"{len(findings)} differ" if findings else "all equal"
        output_console().print(
            f"{isa}: {len(numbers)} sequences of seed {seed}, {executed:,} instructions,"
            f" {fuzzer.compared:,} compared: {different}"
        )
    return DIFFERENT if findings else 0


def _progress(quiet: bool) -> Progress:
    """A bar on a terminal, nothing in a log."""
    console = errors_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = quiet or not console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=hidden)


def _shown(finding: Any) -> str:
    """Registers, instructions and differences, and how to have them again."""
    registers = ", ".join(f"{k}={v:#x}" for k, v in finding.sequence.registers.items())
    lines = [f"sequence {finding.number} of seed {finding.seed}: {finding.form} differs"]
    lines.append(f"  registers {registers or 'of a new process'}")
    lines += [f"  {p.address:#x}  {p.code.hex():<24} {p.form}" for p in finding.sequence.pieces]
    lines += [f"  {difference}" for difference in finding.differences]
    return "\n".join([*lines, f"  again: {finding.command}"])
