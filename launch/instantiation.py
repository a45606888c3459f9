"""Where a run takes place: its folder, the guest's file system, and which programs start on which
node."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cosim.isa
from cosim.errors import InputError
from launch import multi_isa
from launch.build import build, bundled, find, is_source, machine_of
from launch.designs import Design
from launch.simulation import Simulation
from launch.system import System

RUNS_VARIABLE = "STRAMASH_RUNS"  # environment: where run folders go instead of ./runs
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/",
    "LANG": "C",
}  # what guests see, whatever the host has
NAME_LENGTH_MAX = 60


@dataclass(frozen=True)
class Program:
    """One guest program on one node.

    path: the ELF.  arguments: without argv[0].  stdin: bytes that it can read, then end of file.
    """

    name: str
    path: Path
    node: str
    arguments: tuple[str, ...] = ()
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    cwd: str = "/"
    images: Mapping[str, Path] = field(default_factory=dict)  # of a multi-ISA program, by ISA

    def row(self) -> dict[str, object]:
        """As the node's kernel receives it."""
        return {
            "name": self.name,
            "path": str(self.path),
            "argv": [self.name, *self.arguments],
            "envp": [f"{key}={value}" for key, value in self.environment.items()],
            "cwd": self.cwd,
            "stdin": self.stdin,
            "images": {isa: str(path) for isa, path in self.images.items()},
        }

    def plain(self) -> dict[str, Any]:
        """As JSON can carry it to another process."""
        return {
            **vars(self),
            "path": str(self.path),
            "stdin": self.stdin.decode("latin-1"),
            "images": {isa: str(path) for isa, path in self.images.items()},
        }

    @staticmethod
    def of_plain(plain: Mapping[str, Any]) -> "Program":
        """The program that `plain` describes."""
        return Program(
            **{
                **plain,
                "path": Path(plain["path"]),
                "arguments": tuple(plain["arguments"]),
                "stdin": plain["stdin"].encode("latin-1"),
                "images": {isa: Path(path) for isa, path in plain["images"].items()},
            }
        )


def split_class(program: str) -> tuple[str, list[str]]:
    """The name and first argument in `is:S`: a bundled guest and its problem class."""
    name, colon, rest = program.partition(":")
    if colon and name in bundled() and not Path(program).exists():
        return name, [rest]
    return program, []


def place(
    system: System,
    design: Design,
    program: str,
    on: Sequence[str] = (),
    arguments: Sequence[str] = (),
    stdin: bytes = b"",
    isas: Sequence[str] = (),
) -> list[Program]:
    """The program, built for and placed on each of the nodes `on`.

    With a design that migrates, C is built for all instruction sets of the machine at once, and for
    `isas`.
    Without `on`: C goes to the first node, an ELF to the first node of its instruction set.
    Raises InputError for unknown nodes, programs that do not exist, compile or fit the node.
    """
    named = [system.node(name) for name in on]
    path = find(program)
    nodes = named or [_default_node(system, path)]
    targets = list(dict.fromkeys((*system.isas, *isas)))
    images = _images(targets, path) if design.migrates else {}
    return [
        Program(
            path.stem,
            images.get(node.isa) or build(program, node.isa),
            node.name,
            tuple(arguments),
            stdin,
            images=images,
        )
        for node in nodes
    ]


def _images(isas: list[str], path: Path) -> dict[str, Path]:
    """The ELFs of a program that may migrate, by instruction set; none when it cannot.

    An ELF of a multi-ISA program brings its siblings: the files beside it that are called the same
    but for the instruction set.
    """
    if is_source(path):
        return multi_isa.build(path, isas)
    if multi_isa.layout_of(path) is None:
        return {}
    images = {isa: path.with_name(f"{path.stem}.{isa}") for isa in isas}
    for isa, image in images.items():
        if not image.is_file():
            raise InputError(
                f"{path}: a multi-ISA program, but {image.name} for {isa} is not beside it; build "
                "it again with `stramash build`"
            )
    multi_isa.check_pair(images)
    return images


def _default_node(system: System, path: Path):
    if is_source(path):
        return system.nodes[0]
    machine = machine_of(path)
    for node in system.nodes:
        if machine == cosim.isa.find(node.isa).linker.ELF_MACHINE:
            return node
    isas = ", ".join(node.isa for node in system.nodes)
    raise InputError(f"{path}: built for {machine}, but this machine has {isas}; see --machine")


@dataclass(frozen=True)
class Instantiation:
    """A simulation with its places.

    root: the folder that guests see as `/`, or None for an empty one.  planned: what launch.actions
    says of events.
    """

    simulation: Simulation
    folder: Path
    root: Path | None = None
    planned: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.root is not None and not self.root.is_dir():
            raise InputError(f"{self.root}: --root must be a folder; guests see it as /")

    def configuration(self, programs: Sequence[Program] = ()) -> dict[str, object]:
        """What every process of the machine receives; the supervisor adds endpoints and
        segments."""
        return {
            "settings": self.simulation.settings,
            "nodes": self.simulation.nodes(),
            "endpoints": {},
            "segments": {},
            "run": self.run_options(programs),
        }

    def run_options(self, programs: Sequence[Program]) -> dict[str, object]:
        """What the run as a whole is told."""
        return {
            **self.simulation.run_options(),
            **self.planned,
            "root": str(self.root.resolve()) if self.root else "",
            "program_files": program_files(programs),
            "hosts": self.simulation.system.hosts,
        }


def program_files(programs: Sequence[Program]) -> dict[str, dict[str, str]]:
    """The ELFs of each multi-ISA program, by the digest of its layout and by instruction set."""
    found = {}
    for program in programs:
        layout = multi_isa.layout_of(program.path) if program.images else None
        if layout is not None:
            files = {isa: str(path) for isa, path in program.images.items()}
            found[layout.digest.hex()] = files
    return found


def new_folder(name: str, given: Path | None = None) -> Path:
    """Make the run folder: `given`, or runs/NAME-TIME.  Raises InputError when it holds something
    else already."""
    if given is None:
        return _fresh_folder(safe_name(name))
    if given.exists() and not given.is_dir():
        raise InputError(f"{given}: --out must be a folder")
    if given.is_dir() and any(given.iterdir()) and not (given / "manifest.json").exists():
        raise InputError(f"{given}: not empty and not a run folder; choose another --out")
    try:
        given.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{given}: {error.strerror}") from error
    return given


def safe_name(name: str) -> str:
    """A name that can be that of a folder everywhere."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:NAME_LENGTH_MAX]


def runs_folder() -> Path:
    """Where runs go that name no folder."""
    return Path(os.environ.get(RUNS_VARIABLE, "runs"))


def _fresh_folder(name: str) -> Path:
    runs = runs_folder()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        suffix = "" if attempt == 1 else f"-{attempt}"
        folder = runs / f"{name}-{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"{folder}: {error.strerror}; choose a folder with --out") from error
    raise InputError(
        f"{runs}: a thousand runs are named {name}-{stamp}; choose a folder with --out"
    )
