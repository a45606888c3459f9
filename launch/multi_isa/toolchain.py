"""The compiler of multi-ISA programs: clang and lld from the `ziglang` package, and how C becomes
an object whose sections can be placed one by one.

clang is used directly, not as `zig cc`: that one links with flags of its own, refuses `-Map`, and
reorders string literals.
"""

import importlib.metadata
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import cosim.isa
from cosim.compiled import cache_root
from cosim.errors import InputError
from launch.build import compiler

# A layout is always made for all that come with the simulator, so a node of any may join a machine
# later.
ISAS: dict[str, ModuleType] = {name: cosim.isa.find(name).linker for name in cosim.isa.BUNDLED}
SECONDS_MAX = 600

# What compiling and generating code must agree on.
CODE_FLAGS = (
    "-fno-pie",
    "-fno-pic",
    "-ftls-model=local-exec",  # RISC-V's general model would call __tls_get_addr
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-ffp-contract=off",  # AArch64 and RISC-V fuse, x86-64 does not
    "-fno-jump-tables",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    # RISC-V would pack static variables into one section, in an order of its own.
    "-mllvm",
    "-enable-global-merge=0",
)
C_FLAGS = (
    "-fsigned-char",
    # Whether an optimiser may shrink, split or drop a variable depends on what it inlined.
    "-fkeep-persistent-storage-variables",
)
# Linkage and visibility words between the name of a variable and the word that lets a linker merge
# it with another: such variables are packed into one section per object and alignment.
MERGEABLE = re.compile(
    r'^(@(?:"[^"]*"|[-\w.$]+) = [\w ()]*?)(?:local_)?unnamed_addr ', re.MULTILINE
)
PACKED_SECTIONS = (b".rodata.str", b".rodata.cst")
SOURCE_NAME = re.compile(r'^source_filename = ".*"$', re.MULTILINE)


def facts(isa: str) -> ModuleType:
    """How programs for an ISA are compiled and linked.  InputError for an unknown one."""
    return ISAS.get(isa) or cosim.isa.find(isa).linker


def words(isa: str) -> dict[str, object]:
    """The facts themselves, by name, to compare and to digest."""
    return {name: value for name, value in sorted(vars(facts(isa)).items()) if name.isupper()}


def families(isas: Sequence[str]) -> dict[str, str]:
    """Each ISA, those asked for behind those always built -> the first whose binaries it runs:
    itself, unless another has the same linker facts.
    """
    found: dict[str, str] = {}
    for isa in dict.fromkeys((*ISAS, *isas)):
        same = [other for other in found if words(other) == words(isa)]
        found[isa] = same[0] if same else isa
    return found


def version() -> str:
    """The compiler's version, as its package has it."""
    compiler()
    return importlib.metadata.version("ziglang")


def library_folder() -> Path:
    """Folder of the compiler's headers and of the sources of its C library."""
    return Path(compiler()).parent / "lib"


def run(
    words: Sequence[str], subject: str, *, folder: Path | None = None, text: str | None = None
) -> str:
    """Run one of the compiler's programs in `folder`, with `text` as its input; its output.

    Raises InputError with the first error it printed; `subject` names what was worked on.
    """
    cache = str(cache_root() / "zig")
    environment = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **os.environ}
    try:
        done = subprocess.run(
            [compiler(), *words],
            cwd=folder,
            env=environment,
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{subject}: {words[0]} not finished after {SECONDS_MAX} s") from error
    if done.returncode != 0:
        raise InputError(_first_error(done.stderr, subject))
    return done.stdout


def _first_error(output: str, subject: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    if errors:
        return errors[0].encode(errors="replace").decode()
    return f"{subject}: the compiler failed: {lines[-1] if lines else 'no message'}"


def system_headers(isa: str) -> list[str]:
    """Flags that make clang see the C library's headers for an ISA and no others."""
    names = facts(isa)
    folders = [
        library_folder() / "include",
        *(
            library_folder() / "libc" / "include" / name
            for name in (names.TARGET, "generic-musl", names.LINUX_FOLDER, "any-linux-any")
        ),
    ]
    return ["-nostdinc", *(word for folder in folders for word in ("-isystem", str(folder)))]


def separable(ir: str, name: str) -> str:
    """LLVM's text of a module, with every variable in a section of its own.

    name: what symbol tables shall call the source.
    """
    return MERGEABLE.sub(r"\1", SOURCE_NAME.sub(f'source_filename = "{name}"', ir, count=1))


def compile_ir(source: Path, isa: str, name: str, flags: Sequence[str]) -> str:
    """C to optimised LLVM text.  flags: includes, language and optimisation."""
    target = [f"--target={facts(isa).TARGET}", *facts(isa).ALIGNED_FLAGS]
    words = ["clang", *target, "-O2", *CODE_FLAGS, *C_FLAGS, *flags]
    ir = run([*words, "-S", "-emit-llvm", str(source), "-o", "-"], str(source))
    return separable(ir, name)


def compile_at_once(source: Path, isa: str, output: Path, flags: Sequence[str]) -> bool:
    """C to an object file in half the time, without the step that separates variables.

    False when that step is needed: the object has variables packed together.
    """
    target = [f"--target={facts(isa).TARGET}", *facts(isa).ALIGNED_FLAGS]
    words = ["clang", *target, "-O2", *CODE_FLAGS, *C_FLAGS, *flags]
    run([*words, "-c", str(source), "-o", str(output)], str(source))
    return not any(name in output.read_bytes() for name in PACKED_SECTIONS)


def assemble_ir(ir: str, isa: str, name: str, output: Path, flags: Sequence[str] = ()) -> None:
    """LLVM text, optimised before, to an object file."""
    target = [f"--target={facts(isa).TARGET}", *facts(isa).ALIGNED_FLAGS]
    words = ["clang", *target, "-O2", *CODE_FLAGS, *flags, "-Wno-unused-command-line-argument"]
    words += ["-x", "ir", "-c", "-Xclang", "-disable-llvm-passes", "-", "-o", str(output)]
    run(words, name, text=ir)
