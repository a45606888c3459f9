"""Doing a finished run again, exactly: from its manifest, the same machine, programs and events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim.errors import InputError
from launch import events, results
from launch.events import Event
from launch.instantiation import Program
from launch.simulation import PS_PER_NS, Simulation
from launch.system import Node, System


def stdin_name(number: int) -> str:
    """File of a run folder with what program `number` could read."""
    return f"stdin-{number}"


def keep_stdin(folder: Path, programs: Sequence[Program]) -> None:
    """Put what the programs can read into a run folder."""
    for number, program in enumerate(programs):
        if program.stdin:
            results.put(folder / stdin_name(number), program.stdin)


def recipe(simulation: Simulation, isas: Sequence[str]) -> dict[str, Any]:
    """What a manifest must say beyond what it resolves: the machine as it was asked for."""
    nodes = [{k: row[k] for k in ("name", "isa", "cores")} for row in simulation.system.rows()]
    return {
        "nodes": nodes,
        "settings": dict(simulation.system.settings),
        "overrides": dict(simulation.overrides),
        "os": simulation.os,
        "isas": list(isas),
    }


@dataclass(frozen=True)
class Repetition:
    """What is to be done again.  root: folder that guests saw as /, or None."""

    simulation: Simulation
    programs: list[Program]
    events: list[Event]
    root: Path | None


def of_run(path: Path) -> Repetition:
    """What the run in a folder did.

    InputError when there is none, or its programs are not what they were.
    """
    folder = results.RunFolder.read(path)
    manifest = folder.manifest
    given = manifest.get("recipe")
    if not given:
        raise InputError(f"{path}: its manifest has no recipe; run it again to have one")
    run = manifest["run"]
    limit_ps = run["limit_ps"]
    simulation = Simulation(
        System(
            tuple(Node(**row) for row in given["nodes"]),
            given["settings"],
            str(path / results.MANIFEST),
        ),
        given["overrides"],
        run["ideal_kernel"],
        run["seed"],
        None if limit_ps < 0 else limit_ps // PS_PER_NS,
        given["os"],
    )
    programs = [_program(path, number, row) for number, row in enumerate(manifest["programs"])]
    root = Path(run["root"]) if run.get("root") else None
    return Repetition(simulation, programs, events.of_rows(run.get("events", [])), root)


def _program(folder: Path, number: int, row: Mapping[str, Any]) -> Program:
    files = {isa: Path(place) for isa, place in row.get("files", {}).items()}
    _check(folder, Path(row["path"]), row["digest"])
    for isa, place in files.items():
        _check(folder, place, row["images"][isa])
    stdin = folder / stdin_name(number)
    content = stdin.read_bytes() if stdin.exists() else b""
    if results.bytes_digest(content) != row["stdin_digest"]:
        raise InputError(f"{stdin}: is not what the program could read in that run")
    arguments = tuple(row["arguments"])
    return Program(row["name"], Path(row["path"]), row["node"], arguments, content, images=files)


def _check(folder: Path, file: Path, digest: str) -> None:
    if not file.is_file() or results.file_digest(file) != digest:
        raise InputError(f"{file}: not the program of {folder} any more; build and run it anew")
