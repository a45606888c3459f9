"""The options that several commands share, and how their text becomes values."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cosim.errors import InputError, suggest
from cosim.units import GiB, KiB, MiB

STDIN_BYTES_MAX = 32 * MiB  # it travels in one message
On = Annotated[
    str, typer.Option("--on", help="node, or nodes separated by commas: a copy runs on each")
]
Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--with", help="'PROGRAM [--on NODE] [-- args]' to run at the same time; repeatable"
    ),
]
System = Annotated[
    str,
    typer.Option(
        "--os", help="operating-system design: vanilla, fused, multi-shm, multi-tcp, or MODULE:NAME"
    ),
]
Memory = Annotated[str | None, typer.Option("--memory", help="separated, shared or fully-shared")]
Preset = Annotated[
    str | None, typer.Option("--preset", help="costs and clocks: paper, paper-small or artifact")
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="what executes guest code: native, unicorn or checked"),
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="NAME=VALUE,...",
        help="settings of one more memory system that this execution feeds; repeatable",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="any setting; repeatable; see `config`"),
]
IdealKernel = Annotated[
    bool, typer.Option("--ideal-kernel", help="leave kernel references out of the caches")
]
Machine = Annotated[
    str | None, typer.Option("--machine", help="TOML file, or a bundled machine's name")
]
Root = Annotated[Path | None, typer.Option("--root", help="folder that guests see as /")]
Out = Annotated[Path | None, typer.Option("--out", help="run folder (default: runs/NAME-TIME)")]
Stdin = Annotated[
    str | None, typer.Option("--stdin", help="file that the program reads as stdin; - is ours")
]
Seed = Annotated[int, typer.Option("--seed", help="what guests see as random")]
Limit = Annotated[
    str | None, typer.Option("--limit", help="virtual time at which the run ends, as 5ms")
]
Repeat = Annotated[
    Path | None,
    typer.Option("--repeat", help="run folder: the same again, with all that was done to it"),
]
Isas = Annotated[
    list[str] | None,
    typer.Option("--isa", help="build for this one too: of a node that will attach; repeatable"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress, no summary")]
Json = Annotated[bool, typer.Option("--json", help="results as JSON on stdout")]


def parse_settings(
    given: Sequence[str] | None, engine: str | None = None, option: str = "--set"
) -> dict[str, object]:
    """`name=value` texts as a dictionary.  engine: short for the setting of that name.  option:
    where they were given.  Raises InputError for text without `=` or a name given twice."""
    settings: dict[str, object] = {} if engine is None else {"engine": engine}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(
                f"{option} {text}: write name=value, for example {option} cache.l2.size=2MiB"
            )
        if name in settings:
            raise InputError(f"{option} {name}: given twice, as {settings[name]} and {value}")
        settings[name.strip()] = value.strip()
    return settings


def parse_also(given: Sequence[str] | None, repeat: Path | None = None) -> list[dict[str, object]]:
    """The settings of each --also.  Raises InputError as parse_settings does, and when the run is
    one that is repeated.
    """
    if given and repeat is not None:
        raise InputError("--also: goes with a program, not with --repeat; name the program")
    found = []
    for text in given or ():
        parts = [part for part in text.split(",") if part.strip()]
        found.append(parse_settings(parts, option="--also"))
    return found


def with_short(
    settings: dict[str, object], memory: str | None, preset: str | None
) -> dict[str, object]:
    """Settings with what --memory and --preset stand for; --set is stronger."""
    short = {"memory.model": memory, "memory.preset": preset}
    return {**{name: value for name, value in short.items() if value is not None}, **settings}


def job(program: str, on: str, arguments: Sequence[str], stdin: bytes = b"") -> dict:
    """A job for Machine.run_together."""
    nodes = [name for name in on.split(",") if name]
    return {"program": program, "on": nodes, "arguments": list(arguments), "stdin": stdin}


def parse_beside(text: str) -> dict:
    """The job of one --with: `PROGRAM [--on NODE] [-- args]`.  Raises InputError when it is not of
    that form."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--with {text!r}: {error}") from error
    split = words.index("--") if "--" in words else len(words)
    ours, arguments = words[:split], words[split + 1 :]
    on, programs = "", []
    rest = iter(ours)
    for word in rest:
        if word == "--on" or word.startswith("--on="):
            on = word.partition("=")[2] or next(rest, "")
            if not on:
                raise InputError(f"--with {text!r}: --on needs a node")
        elif word.startswith("-"):
            raise InputError(f"--with {text!r}: unknown option {word}{suggest(word, ['--on'])}")
        else:
            programs.append(word)
    if len(programs) != 1:
        raise InputError(f"--with {text!r}: name one program, and put its arguments behind --")
    return job(programs[0], on, arguments)


def stdin_bytes(name: str | None) -> bytes:
    """What the program reads as stdin.  Raises InputError when the file cannot be read."""
    if name is None:
        return b""
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"--stdin {name}: {error.strerror}") from error
    if len(content) > STDIN_BYTES_MAX:
        raise InputError(
            f"--stdin {name}: {len(content)} bytes, at most {STDIN_BYTES_MAX}; put the file below"
            " --root and have the program open it"
        )
    return content


def shown(value: object, unit: str) -> str:
    """A setting's value as one would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if unit == "byte" and isinstance(value, int) and value:
        for size, name in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
            if value % size == 0:
                return f"{value // size}{name}"
    return str(value)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns as wide as their widest cell; the last one is left as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
