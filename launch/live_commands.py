"""Commands to machines that run: ps, inspect, attach, detach, stop."""

from typing import Annotated

import typer

from cosim.errors import StramashError
from launch import options

PS_PER_MS = 10**9
DESCRIBE_SECONDS = 5.0

Run = Annotated[
    str, typer.Argument(help="run folder, its name, or the pid of `ps` (default: the only one)")
]
To = Annotated[str, typer.Option("--to", help="run folder, its name, or the pid of `ps`")]
From = Annotated[str, typer.Option("--from", help="run folder, its name, or the pid of `ps`")]


def _ms(time_ps: int) -> str:
    return f"{time_ps / PS_PER_MS:.6f} ms"


def ps() -> None:
    """List the machines that run now, and their nodes."""
    from launch import running

    rows = [("pid", "seconds", "state", "virtual time", "nodes", "run", "command")]
    for live in running.find():
        state, time, nodes = "dead: `stramash clean` removes it", "", ""
        if live.alive:
            state, time, nodes = _described(live)
        seconds = f"{live.seconds:.0f}"
        rows.append((str(live.pid), seconds, state, time, nodes, live.run, live.command))
    for line in options.aligned(rows):
        print(line)


def _described(live) -> tuple[str, str, str]:
    """State, virtual time and nodes of a machine, as far as it says."""
    from launch.caller import Caller

    try:
        with Caller(live) as caller:
            found = caller.ask({"kind": "describe"}, DESCRIBE_SECONDS)
    except StramashError:
        return "running", "", ""
    nodes = ", ".join(
        f"{row['name']} ({row['isa']} x {row['cores']}{', leaving' if row['leaving'] else ''})"
        for row in found["nodes"]
    )
    state = "running" if found["phase"] == "run" else f"running: {found['phase']}"
    return state, _ms(found["virtual_time_ps"]), nodes


def inspect(run: Run = "") -> None:
    """Say who waits for whom in a machine that runs; it goes on, and ends in the same digest."""
    from launch.caller import Caller, find

    with Caller(find(run)) as caller:
        print(caller.ask({"kind": "inspect"})["text"])


def attach(
    isa: Annotated[str, typer.Option("--isa", help="x86_64, aarch64, riscv64")],
    cores: Annotated[int, typer.Option("--cores", min=1)] = 1,
    name: Annotated[str, typer.Option("--name", help="default: after the instruction set")] = "",
    to: To = "",
) -> None:
    """Have a node join a machine that runs; its manifest says when, so that it can be repeated."""
    from launch.caller import Caller, find

    with Caller(find(to)) as caller:
        made = caller.ask({"kind": "attach", "isa": isa, "cores": cores, "name": name})
    print(f"node {made['index']}, {made['name']}, joined at {_ms(made['at_ps'])}")


def detach(name: Annotated[str, typer.Argument(help="a node that joined")], run: From = "") -> None:
    """Have a node leave a machine that runs, when the threads there have gone home."""
    from launch.caller import Caller, find

    with Caller(find(run)) as caller:
        done = caller.ask({"kind": "detach", "name": name})
    end = "has left" if done["left"] else "takes no more threads, and leaves after its last one"
    print(f"{name} {end}, at {_ms(done['at_ps'])}")


def stop(run: Run = "") -> None:
    """End a machine that runs, in order: its folder holds the statistics so far."""
    from launch.caller import Caller, find

    with Caller(find(run)) as caller:
        done = caller.ask({"kind": "halt"})
    print(f"stopped at {_ms(done['at_ps'])}")
