"""The command line `stramash`: parses, calls the Python interface, and turns every failure into one
line.

Guest output goes to stdout, everything else to stderr.  Exit status: the guest's; 125 when the
simulator or its input failed; 130 after Ctrl-C.  With STRAMASH_DEBUG=1 in the environment a failure
also shows its traceback.
"""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cosim.errors import ExitCode, InputError, MachineError
from launch import commands, live_commands, options
from launch.consoles import output_console
from launch.differential import commands as differential
from launch.failures import one_line

INTERRUPTED = 130  # as a shell reports SIGINT

app = typer.Typer(
    name="stramash",
    help="Co-simulate cores of different instruction sets over one coherent memory.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    program: Annotated[
        str | None, typer.Argument(help="C file, static ELF, or a bundled guest's name")
    ] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="guest arguments, after --")] = None,
    repeat: options.Repeat = None,
    on: options.On = "",
    beside: options.Beside = None,
    system: options.System = "vanilla",
    memory: options.Memory = None,
    preset: options.Preset = None,
    engine: options.Engine = None,
    setting: options.Set = None,
    also: options.Also = None,
    ideal_kernel: options.IdealKernel = False,
    machine: options.Machine = None,
    root: options.Root = None,
    out: options.Out = None,
    stdin: options.Stdin = None,
    seed: options.Seed = 1,
    limit: options.Limit = None,
    isa: options.Isas = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Boot a machine, run a program on it, and write a run folder.

    PROGRAM may be a scenario, a Python file or the name of a bundled one: --set gives its
    parameters and any setting other values.
    """
    from launch.machine import Machine
    from launch.scenario_file import is_scenario

    settings, fed = options.parse_settings(setting, engine), options.parse_also(also, repeat)
    if program is not None and is_scenario(program):
        declared = {
            "arguments": arguments, "--on": on, "--with": beside, "--os": system != "vanilla",
            "--memory": memory, "--preset": preset, "--ideal-kernel": ideal_kernel,
            "--machine": machine, "--root": root, "--stdin": stdin, "--seed": seed != 1,
            "--limit": limit, "--repeat": repeat, "--isa": isa, "--also": also,
        }  # fmt: skip
        return commands.run_scenario(program, settings, declared, out, quiet, as_json)
    console = commands.guest_output(as_json=as_json)
    if (program is None) == (repeat is None):
        raise InputError("run: name a program, or a run folder with --repeat; one of the two")
    if repeat is not None:
        how = {"progress": not quiet, "console": console, "command": sys.argv}
        done = Machine.repeat(repeat, out=out, **how)
    else:
        jobs = [options.job(str(program), on, arguments or [], options.stdin_bytes(stdin))]
        jobs += [options.parse_beside(text) for text in beside or []]
        described = Machine(
            machine=machine, memory=memory, preset=preset, settings=settings,
            os=system, ideal_kernel=ideal_kernel, root=root, out=out, seed=seed, limit=limit,
            isas=isa or (), also=fed, progress=not quiet,
        )  # fmt: skip
        with described:
            done = described.run_together(jobs, console=console, command=sys.argv)
    commands.show_run(done, quiet=quiet, as_json=as_json, limit=limit)
    return done.exit_status


@app.command()
def replay(
    trace: Annotated[
        Path, typer.Argument(help="NPZ file with arrays core, op (0 load, 1 store, ...), paddr")
    ],
    memory: options.Memory = None,
    preset: options.Preset = None,
    setting: options.Set = None,
    machine: options.Machine = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="NPZ file for served_by and cycles of each access")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Drive the memory system alone with a file of accesses; counts per core and level."""
    from launch.replay import replay_file, tables

    overrides = options.with_short(options.parse_settings(setting), memory, preset)
    result = replay_file(trace, overrides, machine, out)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    for table in tables(result):
        output_console().print(table)


@app.command()
def config(
    memory: options.Memory = None,
    preset: options.Preset = None,
    setting: options.Set = None,
    machine: options.Machine = None,
    as_json: options.Json = False,
) -> None:
    """List every setting with value, unit and meaning."""
    from cosim.settings import names
    from launch.simulation import Simulation
    from launch.system import DEFAULT_MACHINE, load

    system = load(str(machine) if machine else DEFAULT_MACHINE)
    overrides = options.with_short(options.parse_settings(setting), memory, preset)
    values = Simulation(system, overrides).settings
    rows = names(system.names)
    if as_json:
        listed = {
            name: {"value": value, "unit": rows[name].unit, "meaning": rows[name].meaning}
            for name, value in values.items()
        }
        print(json.dumps(listed, indent=1))
        return
    for line in options.aligned(
        [(name, options.shown(value, rows[name].unit), rows[name].unit, rows[name].meaning)
         for name, value in values.items()]
    ):  # fmt: skip
        print(line)


@app.command()
def build(
    program: Annotated[str, typer.Argument(help="C file or a bundled guest's name")],
    system: options.System = "fused",
    machine: options.Machine = None,
) -> None:
    """Compile a program for every node of a machine and print the files.

    With --os fused (the default) they are one multi-ISA program: every function and datum has one
    address in all of them, so that threads may migrate.
    """
    from launch.machine import Machine

    for node, path in Machine(machine=machine, os=system).build(program).items():
        print(f"{node}\t{path}")


app.command()(commands.compare)
app.command()(commands.bench)
app.command()(commands.reproduce)
app.command()(commands.report)
app.command()(differential.verify)
app.command()(differential.fuzz)


@app.command()
def diff(
    left: Annotated[Path, typer.Argument(help="a run folder")],
    right: Annotated[Path, typer.Argument(help="another")],
) -> None:
    """Show the settings and simulated statistics in which two runs differ."""
    from launch import report as reports
    from launch.results import RunFolder

    output_console().print(reports.difference_table(RunFolder.read(left), RunFolder.read(right)))


for command in (
    live_commands.attach, live_commands.detach, live_commands.ps, live_commands.inspect,
    live_commands.stop,
):  # fmt: skip
    app.command()(command)


@app.command()
def node(
    connect: Annotated[
        str, typer.Option("--connect", help="where the machine is: tcp://HOST:PORT")
    ],
    key_file: Annotated[
        str, typer.Option("--key-file", help="the file that `stramash run` named; - is stdin")
    ],
    name: Annotated[str, typer.Option("--name", help="the node, as the machine file calls it")],
) -> None:
    """Run a node of a machine that another host runs: one with `host = ...` in its machine file.

    `stramash run` prints the command line and waits.
    """
    from launch.outpost import serve

    serve(connect, key_file, name, lambda text: print(f"stramash: {text}", file=sys.stderr))


@app.command()
def clean() -> None:
    """Remove what machines that died left behind."""
    from launch import running

    for folder in running.clean():
        print(f"removed {folder}")


def fail(error: Exception) -> int:
    """Report a failure in one line, after whatever report the machine made; the exit status."""
    if os.environ.get("STRAMASH_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, MachineError) and error.report:
        print(error.report.rstrip(), file=sys.stderr)
    print(f"stramash: {one_line(error)}", file=sys.stderr)
    return ExitCode.OURS


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    try:
        # Not command.main(): it would turn Ctrl-C into an exit status that a guest may also have.
        with command.make_context("stramash", words) as context:
            status = command.invoke(context)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except typer.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("stramash: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        return 0
    except Exception as error:  # the one place where the command line turns any failure into a line
        return fail(error)


def main() -> None:
    """Entry of the console script."""
    sys.exit(execute())


if __name__ == "__main__":
    main()
