"""The run folder: what a run was, and what came out of it, in files that need no Stramash to be
read.

```text
 manifest.json      resolved configuration, programs, versions, seed, digests, how it ended
 stats.json         every statistic, flat
 stats.txt          the same, a line each, with unit and meaning
 artifact.txt       the layout of the published artifact's plugin, for scripts that read it
 console-NODE.log   what the guests of a node wrote
 console.log        what all guests wrote, in the order of virtual time
 faults.txt         the report of every program that a signal ended, when there was one
 also-N             a run folder for each memory system of --also
```
Every file appears complete or not at all.  `manifest.json` is written last: a folder without one
did not finish.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cosim.isa
from cosim.errors import InputError
from launch import artifact
from launch.statistics import NOT_SIMULATED, Meanings, instructions, runtime_cycles

MANIFEST = "manifest.json"
STATISTICS = "stats.json"
STATISTICS_TEXT = "stats.txt"
CONSOLE = "console.log"
FAULTS = "faults.txt"
FORMAT = 1
DIGEST_BYTES = 16
# Of the run, what says where things are on the host and not what they are.
PLACES = ("token", "program_files", "root", "hosts")
PS_PER_NS = 1000
SIMULATOR = ("cosim", "memsys")  # packages; with those of the instruction sets
EVENTS = ("events.py", "actions.py", "agenda.py", "live.py")  # what is done to it meanwhile
COMPUTING = ("unicorn", "numba", "numpy")
VERSIONED = ("stramash", "unicorn", "numba", "numpy", "pyzmq", "msgpack", "ziglang")
Number = int | float | str


@dataclass
class Outcome:
    """What the machine said at the end of a run, complete or not.

    programs: dicts of program, node, pid, status, signal, report in the order they were given.
    statistics: by dotted name, simulated ones only.  registers: architectural words by node.
    memory_digest: of every allocated frame. laws: violated ones, one line each.  failure: the one
    line that says why the machine did not finish, else "".  undone: planned events that did not
    happen, one line each.  also: what further memory systems made of it.
    """

    programs: list[dict] = field(default_factory=list)
    statistics: dict[str, int] = field(default_factory=dict)
    registers: dict[str, list[int]] = field(default_factory=dict)
    memory_digest: str = ""
    consoles: dict[str, bytes] = field(default_factory=dict)
    transcript: bytes = b""
    virtual_time_ps: int = 0
    laws: list[str] = field(default_factory=list)
    failure: str = ""
    host_seconds: float = 0.0
    reason: str = "exited"
    regions: dict[str, list[dict]] = field(default_factory=dict)
    undone: list[str] = field(default_factory=list)
    also: list["Outcome"] = field(default_factory=list)


def digest(outcome: Outcome, statistics: Mapping[str, Number]) -> str:
    """machine.digest: memory, registers, simulated statistics and consoles, each with its name and
    length in front."""
    total = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def add(name: str, content: bytes) -> None:
        total.update(struct.pack("<QQ", len(name), len(content)) + name.encode() + content)

    add("memory", outcome.memory_digest.encode())
    for node, words in sorted(outcome.registers.items()):
        add(f"registers.{node}", b"".join(int(word).to_bytes(16, "little") for word in words))
    for name, value in sorted(statistics.items()):
        if not name.startswith(NOT_SIMULATED):
            add(name, str(value).encode())
    for node, content in sorted(outcome.consoles.items()):
        add(f"console.{node}", content)
    add("transcript", outcome.transcript)
    return total.hexdigest()


def complete(outcome: Outcome, nodes: Sequence[str]) -> dict[str, Number]:
    """The statistics with the derived ones: runtime, virtual time, digest, and the host's time and
    speed."""
    statistics: dict[str, Number] = dict(sorted(outcome.statistics.items()))
    statistics["machine.runtime_cycles"] = runtime_cycles(outcome.statistics, nodes)
    statistics["machine.virtual_time_ns"] = outcome.virtual_time_ps // PS_PER_NS
    statistics["machine.digest"] = digest(outcome, statistics)
    executed = instructions(outcome.statistics, nodes)
    seconds = max(outcome.host_seconds, 1e-9)
    statistics["host.seconds"] = round(outcome.host_seconds, 3)
    statistics["host.mips"] = round(executed / seconds / 1e6, 3)
    return statistics


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for package in VERSIONED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def write(
    folder: Path,
    configuration: Mapping,
    programs: Sequence[Mapping],
    command: Sequence[str],
    outcome: Outcome,
    recipe: Mapping | None = None,
    asked: str = "",
    also: object = None,
) -> dict[str, Number]:
    """Write the run folder and return the complete statistics.

    configuration: as the processes received it.  programs: name, path, node, argv and the ELF's
    digest each.  recipe: what launch.repetition needs to do the same again.  asked: configuration
    digest of what was asked for, when events that were planned have changed the machine.
    also: what the manifest says about further memory systems, None for nothing.
    """
    nodes = [node["name"] for node in configuration["nodes"]]
    statistics = complete(outcome, nodes)
    put(folder / STATISTICS, json.dumps(statistics, indent=1).encode() + b"\n")
    put(folder / STATISTICS_TEXT, text(statistics, nodes).encode())
    put(folder / "artifact.txt", artifact.render(statistics, nodes).encode())
    put(folder / CONSOLE, outcome.transcript)
    for node in nodes:
        put(folder / f"console-{node}.log", outcome.consoles.get(node, b""))
    faults = [program["report"] for program in outcome.programs if program.get("report")]
    if faults:
        put(folder / FAULTS, "\n\n".join(faults).encode() + b"\n")
    manifest = _manifest(configuration, programs, command, outcome, statistics)
    manifest["recipe"] = dict(recipe or {})
    if asked:
        manifest["configuration_digest"] = asked
    if also is not None:
        manifest["also"] = also
    put(folder / MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
    return statistics


def _manifest(
    configuration: Mapping,
    programs: Sequence[Mapping],
    command: Sequence[str],
    outcome: Outcome,
    statistics: Mapping[str, Number],
) -> dict[str, object]:
    run = {key: value for key, value in configuration["run"].items() if key not in PLACES[:2]}
    return {
        "format": FORMAT,
        "command": list(command),
        "seed": run["seed"],
        "digest": statistics["machine.digest"],
        "configuration_digest": configuration_digest(configuration, programs),
        "simulator_digest": simulator_digest(),
        "ended": {
            "reason": outcome.reason,
            "failure": outcome.failure,
            "laws": {"held": not outcome.laws, "violations": outcome.laws},
            "programs": outcome.programs,
            "undone": outcome.undone,
        },
        "virtual_time_ps": outcome.virtual_time_ps,
        "regions": outcome.regions,
        "programs": [dict(program) for program in programs],
        "nodes": list(configuration["nodes"]),
        "settings": dict(configuration["settings"]),
        "run": run,
        "versions": versions(),
    }


def configuration_digest(configuration: Mapping, programs: Sequence[Mapping]) -> str:
    """Of everything that decides the result: settings, nodes, options of the run, and the programs'
    bytes."""
    run = {key: value for key, value in configuration["run"].items() if key not in PLACES}
    decisive = {
        "settings": dict(configuration["settings"]),
        "nodes": list(configuration["nodes"]),
        "run": run,
        "programs": [
            {k: v for k, v in program.items() if k not in ("path", "files")} for program in programs
        ],
    }
    content = json.dumps(decisive, sort_keys=True, default=str).encode()
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


@cache
def simulator_digest() -> str:
    """Of the sources of everything that computes a result, and of the versions of what it uses.

    Runs of equal configuration and equal simulator have equal results, on every host.
    """
    total = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for package in (*SIMULATOR, *cosim.isa.packages()):
        folder = Path(str(find_spec(package).origin)).parent  # type: ignore[union-attr]
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder.parent).as_posix()
            total.update(f"{name} {file_digest(path)}\n".encode())
    for name in EVENTS:
        total.update(f"{name} {file_digest(Path(__file__).with_name(name))}\n".encode())
    found = versions()
    total.update(repr([found[package] for package in COMPUTING]).encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """Of the bytes of a file."""
    return bytes_digest(path.read_bytes())


def bytes_digest(content: bytes) -> str:
    """Of some bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def text(statistics: Mapping[str, Number], nodes: Sequence[str]) -> str:
    """stats.txt: `name value # unit, meaning`, a line each, in columns."""
    meanings = Meanings(nodes)
    width = max(map(len, statistics), default=0)
    lines = []
    for name, value in statistics.items():
        row = meanings.of(name)
        remark = ", ".join(part for part in (row.unit, row.meaning) if part)
        lines.append(f"{name:<{width}} {value!s:>16}" + (f"  # {remark}" if remark else ""))
    return "\n".join(lines) + "\n"


def put(path: Path, content: bytes) -> None:
    """Write a file so that it appears complete or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


@dataclass(frozen=True)
class RunFolder:
    """A finished run, read back.  path: its folder."""

    path: Path
    manifest: dict
    statistics: dict[str, Number]

    @staticmethod
    def read(path: Path) -> "RunFolder":
        """Raises InputError when the folder holds no finished run."""
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            statistics = json.loads((path / STATISTICS).read_text())
        except FileNotFoundError as error:
            name = Path(error.filename).name
            raise InputError(
                f"{path}: not the folder of a finished run, it has no {name}"
            ) from error
        except NotADirectoryError as error:
            raise InputError(f"{path}: is a file; give the run's folder") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error
        if manifest.get("format") != FORMAT:
            raise InputError(
                f"{path}: format {manifest.get('format')}, this version reads {FORMAT}"
            )
        return RunFolder(path, manifest, statistics)

    @property
    def nodes(self) -> list[str]:
        """Node names in machine order."""
        return [node["name"] for node in self.manifest["nodes"]]

    def console(self, node: str | None = None) -> bytes:
        """What guests wrote, of one node or of all in virtual-time order."""
        return (self.path / (f"console-{node}.log" if node else CONSOLE)).read_bytes()
