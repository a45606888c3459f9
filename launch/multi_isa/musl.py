"""The compiler's copy of musl: which sources make the C library of an ISA, and the small edits that
give every ISA the same `struct pthread`, the same thread-local storage and the same `jmp_buf`.

Per thread, with S the bytes of its variables rounded up to 64 and td 64-aligned:

    td - S    64 bytes of padding, whose second word is td
    td - S + 64    thread-local variables
    td    struct pthread, in the layout that stock musl has on x86-64

The thread pointer is a constant away from td (THREAD_POINTER_OFFSET of an ISA's linker facts), so a
thread that changes its ISA needs another constant and nothing is copied.
"""

from pathlib import Path
from typing import NamedTuple

from cosim.errors import InputError
from launch.multi_isa.toolchain import facts, library_folder, version

SOURCE_SUFFIXES = (".c", ".s", ".S")
JMP_BUF_WORDS = 27  # one more than the largest, RISC-V's


class Edit(NamedTuple):
    """One replacement below musl's folder; `old` occurs exactly once."""

    path: str
    old: str
    new: str


# For every ISA.  What only its own copy needs is in an ISA's linker facts, as MUSL_EDITS.
EDITS = (
    Edit("src/env/__init_tls.c",
         "\ttd->dtv = dtv;\n",
         "\ttd->dtv = dtv;\n"
         "\tif (libc.tls_head) ((void **)((char *)td - libc.tls_head->offset))[1] = td;\n"),
    # At the end: assembly knows the offsets of the other fields.
    Edit("include/setjmp.h",
         "\tunsigned long __ss[128/sizeof(long)];\n",
         "\tunsigned long __ss[128/sizeof(long)];\n"
         f"\tunsigned long __pad[{JMP_BUF_WORDS} - sizeof(__jmp_buf)/sizeof(long)];\n"),
    # Threads get the stack that they have in a plain program, whose ELF header asks for it.
    Edit("src/internal/pthread_impl.h",
         "#define DEFAULT_STACK_SIZE 131072", "#define DEFAULT_STACK_SIZE (8<<20)"),
)  # fmt: skip
# Where the thread pointer is not td (stock: struct pthread below it, variables above).
APART = Edit(
    "src/internal/pthread_impl.h",
    "#define TP_ADJ(p) (p)\n#define __pthread_self() ((pthread_t)__get_tp())\n",
    "#define TP_ADJ(p) ((void *)((char *)(p) - {gap}"
    " - (libc.tls_head ? libc.tls_head->offset : 0)))\n"
    "#define __pthread_self() (*(pthread_t *)(__get_tp() + {gap} + 8))\n",
)
INTERNAL = "src/internal"
PUBLIC = ("include/setjmp.h",)  # edited headers that programs must see too


def folder() -> Path:
    """Where musl's sources are."""
    return library_folder() / "libc" / "musl"


def changed(isa: str) -> dict[str, str]:
    """Path below musl's folder -> text, of what an ISA's library does not take from there.

    That is what is edited, and all internal headers: they include each other from their own folder,
    before any that the compiler is told of.

    Raises InputError when the compiler's copy is not the one that the edits were made for.
    """
    texts = {
        path.relative_to(folder()).as_posix(): path.read_text()
        for path in sorted((folder() / INTERNAL).iterdir())
        if path.is_file()
    }
    blocks, gap = facts(isa).THREAD_POINTER_OFFSET
    apart = (APART,) if blocks or gap else ()
    for path, old, new in (*EDITS, *apart, *facts(isa).MUSL_EDITS):
        text = texts.get(path) or (folder() / path).read_text()
        if text.count(old) != 1:
            raise InputError(
                f"ziglang {version()}: its musl {path} is not as expected;"
                " install the version that pyproject.toml names"
            )
        texts[path] = text.replace(old, new.replace("{gap}", str(gap)))
    return texts


def sources(isa: str) -> dict[str, Path]:
    """Object name -> source of every member of the library, as musl's own build selects them.

    A file in a folder named like the ISA replaces the one beside that folder.  Object names hold
    the folder: `clone.o` would occur twice.
    """
    musl = folder()
    architectures = {path.name for path in (musl / "arch").iterdir()}
    own = facts(isa).MUSL_FOLDER
    generic: dict[str, Path] = {}
    special: dict[str, Path] = {}
    for path in sorted((musl / "src").rglob("*")):
        if path.suffix not in SOURCE_SUFFIXES:
            continue
        if path.parent.name == own:
            special[f"{path.parent.parent.name}_{path.stem}.o"] = path
        elif path.parent.name not in architectures:
            generic[f"{path.parent.name}_{path.stem}.o"] = path
    return generic | special
