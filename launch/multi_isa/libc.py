"""The C library of multi-ISA programs: built for all ISAs, once per compiler version, and cached.

It has three parts: musl in C; the part of musl that the compiler's authors rewrote in Zig (malloc,
strings, sorting, some of libm), which becomes one object; and the compiler's run-time routines.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from cosim.compiled import cache_root
from launch.multi_isa import musl, toolchain
from launch.multi_isa.store import folder_made_once
from launch.multi_isa.toolchain import facts

START_OBJECT = "crt1.o"
ARCHIVES = ("libc.a", "libzigc.a", "libcompiler_rt.a")
INCLUDE = "include"
OVERLAY = "overlay"
MUSL_FLAGS = (
    "-std=c99",
    "-ffreestanding",
    "-frounding-math",
    "-fno-strict-aliasing",
    "-D_XOPEN_SOURCE=700",
    "-w",
)
ZIG_FLAGS = ("-O", "ReleaseFast", "-fstrip", "-fno-unwind-tables")
# A source with string literals is certain to need two steps.
LITERAL = re.compile(r'^(?!\s*#\s*include).*"', re.MULTILINE)
PROGRESS_STEP = 100  # objects

Progress = Callable[[str], None]


class Task(NamedTuple):
    """One object to make.  cost: bytes of source, to start the largest first."""

    cost: int
    isa: str
    source: Path
    make: Callable[[Path, str, Path, Path], None]
    output: Path


def folder(isas: Sequence[str], progress: Progress | None = None) -> Path:
    """The folder of the library for `isas`, which is built when it is not there.

    It has `include/` with the headers that differ from stock ones, and a folder per ISA.
    """
    return folder_made_once(
        cache_root() / "multi-isa" / f"libc-{_digest(isas)}",
        lambda fresh: _build(fresh, isas, progress),
    )


def _digest(isas: Sequence[str]) -> str:
    """Names all that the library is made from."""
    digest = hashlib.blake2b(toolchain.version().encode(), digest_size=12)
    for isa in isas:
        digest.update(repr((isa, toolchain.words(isa))).encode())
    for module in (musl, toolchain):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def _build(fresh: Path, isas: Sequence[str], progress: Progress | None) -> None:
    tasks = [task for isa in isas for task in _tasks(fresh, isa)]
    tasks.sort(key=lambda task: task.cost, reverse=True)
    say = progress or (lambda text: None)
    say(f"building the C library for {', '.join(isas)}: {len(tasks)} objects, once")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        running = [
            pool.submit(task.make, fresh, task.isa, task.source, task.output) for task in tasks
        ]
        try:
            for count, done in enumerate(as_completed(running), 1):
                done.result()
                if count % PROGRESS_STEP == 0:
                    say(f"building the C library: {count} of {len(tasks)} objects")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for isa in isas:
        _archive(fresh / isa)
    for name in musl.PUBLIC:
        public = fresh / INCLUDE / Path(name).name
        public.parent.mkdir(exist_ok=True)
        shutil.copy(fresh / isas[0] / OVERLAY / public.name, public)
    for isa in isas:
        shutil.rmtree(fresh / isa / OVERLAY)


def _tasks(fresh: Path, isa: str) -> list[Task]:
    """Write the edited files of an ISA and list its objects."""
    overlay = fresh / isa / OVERLAY
    overlay.mkdir(parents=True)
    replaced = {}
    for path, text in musl.changed(isa).items():
        replaced[musl.folder() / path] = overlay / Path(path).name
        replaced[musl.folder() / path].write_text(text)
    tasks = []
    for name, source in musl.sources(isa).items():
        part = fresh / isa / "libc.a.parts"
        found = replaced.get(source, source)
        tasks.append(Task(found.stat().st_size, isa, found, _from_c, part / name))
    start = musl.folder() / "crt" / "crt1.c"
    tasks.append(Task(start.stat().st_size, isa, start, _from_c, fresh / isa / START_OBJECT))
    library = toolchain.library_folder()
    for archive, zig in (("libzigc.a", "c.zig"), ("libcompiler_rt.a", "compiler_rt.zig")):
        output = fresh / isa / f"{archive}.parts" / f"{Path(zig).stem}.o"
        tasks.append(Task(1 << 40, isa, library / zig, _from_zig, output))
    for task in tasks:
        task.output.parent.mkdir(exist_ok=True)
    return tasks


def _from_c(fresh: Path, isa: str, source: Path, output: Path) -> None:
    """Compile a source of musl, in C or assembly."""
    root = musl.folder()
    inside = ("arch/" + facts(isa).MUSL_FOLDER, "arch/generic", "src/include", "include")
    places = [fresh / isa / OVERLAY, *(root / name for name in inside)]
    flags = [*MUSL_FLAGS, *(word for place in places for word in ("-I", str(place)))]
    flags += toolchain.system_headers(isa)
    if source.suffix == ".c":
        flags += ["-DCRT"] if source.name == "crt1.c" else []
        if LITERAL.search(source.read_text()) or not toolchain.compile_at_once(
            source, isa, output, flags
        ):
            ir = toolchain.compile_ir(source, isa, source.name, flags)
            toolchain.assemble_ir(ir, isa, source.name, output)
        return
    target = [f"--target={facts(isa).TARGET}", *facts(isa).ALIGNED_FLAGS]
    words = ["clang", *target, *flags, "-Wa,--noexecstack", "-c", str(source), "-o", str(output)]
    toolchain.run(words, str(source))


def _from_zig(fresh: Path, isa: str, source: Path, output: Path) -> None:
    """Compile a Zig source of the library: the front end by zig, the code by clang, as for C."""
    target = facts(isa).TARGET
    scratch = output.parent
    words = ["build-obj", str(source), "-target", target, *facts(isa).FLAGS[:1], *ZIG_FLAGS]
    words += ["-lc"] if source.stem == "c" else []
    words += ["-fno-emit-bin", f"-femit-llvm-bc={output.stem}.bc"]
    toolchain.run(words, str(source), folder=scratch)
    bitcode = scratch / f"{output.stem}.bc"
    words = ["clang", f"--target={target}", "-S", "-emit-llvm", "-Xclang", "-disable-llvm-passes"]
    ir = toolchain.run([*words, str(bitcode), "-o", "-"], str(source))
    toolchain.assemble_ir(toolchain.separable(ir, source.name), isa, source.name, output)
    bitcode.unlink()


def _archive(folder: Path) -> None:
    """Pack the objects of each archive, in the order of their names, without dates or owners."""
    for archive in ARCHIVES:
        parts = folder / f"{archive}.parts"
        members = sorted(path.name for path in parts.iterdir())
        toolchain.run(["ar", "rcsD", f"../{archive}", *members], archive, folder=parts)
        shutil.rmtree(parts)
