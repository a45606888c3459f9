"""From one C file to one static ELF per instruction set, by two links: the first says which
sections are live and how large they are, the second puts each at its address in the layout.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cosim.isa
from cosim import multi_isa
from cosim.compiled import cache_root
from cosim.errors import InputError, suggest
from launch.build import GUESTS, INCLUDE, is_source
from launch.multi_isa import checks, layout, libc, link_map, toolchain
from launch.multi_isa.layout import TLS_PAD, Plan
from launch.multi_isa.link_map import Section
from launch.multi_isa.store import folder_made_once, scratch_folder
from launch.multi_isa.toolchain import ISAS, facts, families

RUNTIME = GUESTS / "runtime" / "migration.c"
USER_OBJECT = "program.o"
RUNTIME_OBJECT = "migration.o"
OBJECTS = (USER_OBJECT, RUNTIME_OBJECT)
HEADERS = "headers.json"
UNESCAPED_SPACE = re.compile(r"(?<!\\)\s+")  # between the files of a rule for make
LINK_FLAGS = (
    "-static",
    "-no-pie",
    "--gc-sections",
    "-O0",  # leaves mergeable sections alone
    "--no-relax",  # RISC-V's code would change its size
    "-z", "norelro",
    "-z", "max-page-size=4096",
    "--build-id=none",
    "--strip-debug",
    "--discard-locals",
    "-u", "mig_entry",
    "-u", TLS_PAD.rpartition(".")[2],
)  # fmt: skip


def build(
    source: Path,
    isas: Sequence[str] = tuple(ISAS),
    flags: Sequence[str] = (),
    progress: libc.Progress | None = None,
) -> dict[str, Path]:
    """The ELFs of one C file: ISA -> path, for those that are asked for.

    All ISAs that come with the simulator are built too, so that another can join later.  One whose
    linker facts are those of another runs the other's ELF.  flags: further compiler flags.
    progress: called with a line of text while the C library is built, once per compiler version.
    Raises InputError with the compiler's first error, or with what differs between the ISAs.
    """
    source = Path(source)
    known = cosim.isa.known()
    for isa in isas:
        if isa not in known:
            raise InputError(
                f"programs cannot be built for {isa!r}: known are {', '.join(known)}"
                f"{suggest(isa, known)}"
            )
    if not is_source(source):
        raise InputError(f"{source}: only a C file (.c) can be built for several instruction sets")
    family = families(isas)
    built = tuple(dict.fromkeys(family.values()))
    folder = _ready(source, built, flags)
    if folder is None:
        folder = _make(source, built, flags, progress)
    return {isa: folder / f"{source.stem}.{family[isa]}" for isa in isas}


def _ready(source: Path, isas: Sequence[str], flags: Sequence[str]) -> Path | None:
    """The folder of the finished ELFs, if source, headers, flags and tools are as they were."""
    folder = _folder(source, isas, flags)
    try:
        headers = json.loads((folder / HEADERS).read_text())
        ready = folder / _headers_digest(headers)
    except (OSError, ValueError):
        return None
    return ready if ready.is_dir() else None


def _folder(source: Path, isas: Sequence[str], flags: Sequence[str]) -> Path:
    """Cache folder of a source: named by its place, its bytes, the flags and everything of ours."""
    digest = hashlib.blake2b(digest_size=12)
    try:
        parts = [str(source.resolve()).encode(), source.read_bytes(), repr(tuple(flags)).encode()]
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}") from error
    for part in (*parts, _generator(tuple(isas)).encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    return cache_root() / "guests" / f"multi-{digest.hexdigest()}"


@cache
def _generator(isas: tuple[str, ...]) -> str:
    """Names the compiler and our own part in a build for `isas`."""
    digest = hashlib.blake2b(toolchain.version().encode(), digest_size=16)
    ours = [Path(__file__).parent, RUNTIME.parent]
    files = [path for folder in ours for path in sorted(folder.iterdir()) if path.is_file()]
    for isa in isas:
        digest.update(repr((isa, toolchain.words(isa))).encode())
    for path in [*files, Path(multi_isa.__file__)]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _headers_digest(headers: Iterable[str]) -> str:
    """Names the content of the headers.  OSError when one is not there any more."""
    digest = hashlib.blake2b(digest_size=12)
    for name in headers:
        data = Path(name).read_bytes()
        digest.update(name.encode() + len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _make(
    source: Path, isas: Sequence[str], flags: Sequence[str], progress: libc.Progress | None
) -> Path:
    """Compile and link in a fresh folder; its final name is known when the headers are."""
    library = libc.folder(isas, progress)
    folder = _folder(source, isas, flags)
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder) as scratch:
        headers = _compile(source, isas, flags, library, scratch)
        digest = _headers_digest(headers)
        ready = folder_made_once(
            folder / digest, lambda fresh: _link(source, isas, library, scratch, fresh)
        )
        listed = scratch / HEADERS
        listed.write_text(json.dumps(headers))
        os.replace(listed, folder / HEADERS)
    return ready


def _compile(
    source: Path, isas: Sequence[str], flags: Sequence[str], library: Path, scratch: Path
) -> list[str]:
    """Make the objects of every ISA, in a folder per ISA; the headers that the source includes."""

    def one(isa: str, path: Path, name: str, own: Sequence[str]) -> None:
        output = scratch / isa / name
        shown = path.name
        # What the program says of its source (`assert`) must not depend on where it was built.
        place = [f"-ffile-prefix-map={path.resolve().parent}=.", "-I", str(INCLUDE)]
        headers = ["-isystem", str(library / libc.INCLUDE), *toolchain.system_headers(isa)]
        notes = ["-MD", "-MF", str(output.with_suffix(".d"))]
        ir = toolchain.compile_ir(path.resolve(), isa, shown, [*own, *place, *headers, *notes])
        level = [flag for flag in own if flag.startswith("-O")]
        toolchain.assemble_ir(ir, isa, shown, output, level)

    for isa in isas:
        (scratch / isa).mkdir()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        waiting = [pool.submit(one, isa, source, USER_OBJECT, flags) for isa in isas]
        waiting += [pool.submit(one, isa, RUNTIME, RUNTIME_OBJECT, ()) for isa in isas]
        for done in waiting:
            done.result()
    return _headers(scratch, source, library)


def _headers(scratch: Path, source: Path, library: Path) -> list[str]:
    """The headers that are not the compiler's own, from the notes that it made."""
    ours = (f"{library}/", f"{toolchain.library_folder()}/")
    found: set[str] = set()
    for path in scratch.glob("*/*.d"):
        rule = path.read_text(errors="surrogateescape").partition(": ")[2].replace("\\\n", " ")
        found |= {name.replace("\\ ", " ") for name in UNESCAPED_SPACE.split(rule.strip())}
    return sorted(
        name for name in found
        if not name.startswith(ours) and name not in (str(source.resolve()), str(RUNTIME))
    )  # fmt: skip


def _link(source: Path, isas: Sequence[str], library: Path, scratch: Path, fresh: Path) -> None:
    """Both links of every ISA, and the checks; the ELFs go to `fresh`."""
    subject = source.name
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        links = dict(
            zip(
                isas,
                pool.map(lambda isa: _first_link(isa, library, scratch / isa, subject), isas),
                strict=True,
            )
        )
        checks.variables_exist_everywhere(links, subject, USER_OBJECT)
        checks.addresses_mean_the_same(links, subject, USER_OBJECT, scratch)
        identity = hashlib.blake2b(library.name.encode())
        for isa in isas:
            for name in OBJECTS:
                identity.update((scratch / isa / name).read_bytes())
        planned = layout.plan(links, subject, identity.digest())
        paths = {isa: fresh / f"{source.stem}.{isa}" for isa in isas}

        def finish(isa: str) -> None:
            _second_link(isa, scratch / isa, links[isa], planned, paths[isa], subject)

        list(pool.map(finish, isas))
    checks.programs_agree(paths, links, planned, subject)


def _first_link(isa: str, library: Path, folder: Path, subject: str) -> list[Section]:
    """Link without a script; the live sections."""
    for name in (libc.START_OBJECT, *libc.ARCHIVES):
        (folder / name).symlink_to(library / isa / name)
    _run_linker(isa, folder, ["-Map=first.map", "-o", "first.elf"], subject)
    return link_map.read(folder / "first.map", folder / "first.elf")


def _second_link(
    isa: str, folder: Path, sections: Sequence[Section], planned: Plan, output: Path, subject: str
) -> None:
    """Link with everything at its planned address."""
    (folder / "layout.ld").write_text(layout.script(sections, planned))
    words = ["-T", "layout.ld", "--orphan-handling=warn", "-o", str(output)]
    _run_linker(isa, folder, words, subject)


def _run_linker(isa: str, folder: Path, words: Sequence[str], subject: str) -> None:
    """All inputs have names relative to `folder`: linker scripts match files by these names."""
    inputs = [libc.START_OBJECT, *OBJECTS, "--start-group", *libc.ARCHIVES, "--end-group"]
    command = ["ld.lld", "-m", facts(isa).EMULATION, *LINK_FLAGS, *words, *inputs]
    toolchain.run(command, subject, folder=folder)
