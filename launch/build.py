"""From what a person names (a C file, an ELF, a bundled guest) to the ELF that a node runs.

C is compiled by the `ziglang` package: clang, lld and musl for every ISA, without root and without
a cross compiler. Its cache tracks every header, so it is asked each time (0.1 s when nothing
changed) and the answer is never stale. The flags make both ISAs compute the same: one signedness of
`char`, no fused multiply-add.
"""

import hashlib
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

import cosim.isa
from cosim.compiled import cache_root
from cosim.errors import InputError, suggest

GUESTS = Path(__file__).parent / "guests"
INCLUDE = GUESTS / "include"
FLAGS = ("-static", "-O2", "-g0", "-fsigned-char", "-ffp-contract=off")
# The compiler's own libc has debug information with the folders of whoever filled its cache first:
# it moved e_shoff in the loaded ELF header, and so machine.digest, between a cold cache and a warm.
# (Its --strip-debug would take the symbols as well, which fault reports need.)
WITHOUT_DEBUG = Path(__file__).parent / "guests" / "without_debug.ld"
COMPILE_SECONDS_MAX = 600
ELF_MAGIC = b"\x7fELF"


def bundled() -> dict[str, Path]:
    """The guests that come with Stramash: bare name to C file."""
    return {path.stem: path for path in sorted(GUESTS.glob("*.c"))}


def find(program: str) -> Path:
    """The file that `program` means: a path, or the bare name of a bundled guest.

    Raises InputError when there is no such file.
    """
    path = Path(program)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{program}: is a folder; give a C file or a static ELF")
    guests = bundled()
    if program in guests:
        return guests[program]
    near = [*guests, *(str(path.with_name(other.name)) for other in _siblings(path))]
    hint = suggest(program, near) or f"; bundled guests: {', '.join(guests)}"
    raise InputError(f"{program}: no such program{hint}")


def _siblings(path: Path) -> list[Path]:
    try:
        return sorted(path.parent.iterdir())
    except OSError:
        return []


def is_source(path: Path) -> bool:
    """Is this a C file (by its name)?"""
    return path.suffix == ".c"


def machine_of(path: Path) -> str:
    """The e_machine of an ELF.  Raises InputError when the file is not an ELF."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(ELF_MAGIC))
            if magic != ELF_MAGIC:
                raise InputError(
                    f"{path}: neither a C file (.c) nor an ELF program{_looks_like(magic)}"
                )
            file.seek(0)
            return str(ELFFile(file).header.e_machine)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ELFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: the ELF header is damaged ({error})") from error


def _looks_like(magic: bytes) -> str:
    if magic.startswith(b"#!"):
        return "; it is a script: run its interpreter and pass the script as an argument"
    return "; build a static Linux program or give its source"


def build(program: str, isa: str, flags: Sequence[str] = ()) -> Path:
    """The static ELF of `program` for `isa` ("x86_64", "aarch64"); compiles C when it has to.

    flags: further compiler flags, after ours.  Raises InputError with the compiler's first error.
    """
    path = find(program)
    if is_source(path):
        return compile_source(path, isa, flags)
    linker = cosim.isa.find(isa).linker
    machine = machine_of(path)
    if machine != linker.ELF_MACHINE:
        raise InputError(
            f"{path}: built for {machine}, but a node of {isa} runs {linker.ELF_MACHINE}"
            " programs; choose the node with --on"
        )
    return path


def compile_source(source: Path, isa: str, flags: Sequence[str] = ()) -> Path:
    """Compile one C file into the cache of guests and return the ELF's path."""
    linker = cosim.isa.find(isa).linker
    arguments = ["-target", linker.TARGET, *linker.FLAGS, *FLAGS, *flags]
    arguments += ["-Wl,-T," + str(WITHOUT_DEBUG)]
    output = _output_path(source, isa, arguments)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        fresh = Path(folder) / output.name
        command = [compiler(), "cc", *arguments, "-I", str(INCLUDE)]
        command += [f"-ffile-prefix-map={source.parent}=.", str(source), "-o", str(fresh)]
        _run(command, source)
        os.replace(fresh, output)
    return output


def _output_path(source: Path, isa: str, arguments: Sequence[str]) -> Path:
    digest = hashlib.blake2b(digest_size=12)
    digest.update("\0".join([str(source.resolve()), *arguments]).encode())
    digest.update(source.read_bytes())
    return cache_root() / "guests" / digest.hexdigest() / f"{source.stem}.{isa}"


def compiler() -> str:
    """Path of the zig executable that the `ziglang` package brings."""
    found = importlib.util.find_spec("ziglang")
    if found is None or not found.submodule_search_locations:
        raise InputError("compiling C needs the Python package 'ziglang': pip install ziglang")
    return str(Path(found.submodule_search_locations[0]) / "zig")


def _run(command: Sequence[str], source: Path) -> None:
    """Run the compiler; an error becomes one line, the first that it printed."""
    zig_cache = str(cache_root() / "zig")
    environment = {
        "ZIG_GLOBAL_CACHE_DIR": zig_cache,
        "ZIG_LOCAL_CACHE_DIR": zig_cache,
        **os.environ,
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=COMPILE_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{source}: not compiled after {COMPILE_SECONDS_MAX} s") from error
    if done.returncode != 0:
        raise InputError(_first_error(done.stderr, source))


def _first_error(output: str, source: Path) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (
        errors[0]
        if errors
        else f"{source}: the compiler failed: {lines[-1] if lines else 'no message'}"
    )
