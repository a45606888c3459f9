"""Bundled guests on an ordinary Linux: run by the host where it can, else by qemu-user."""

import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import cosim.isa
from launch import build

ISAS = ("x86_64", "aarch64", "riscv64")
PRETEND = Path(__file__).parent / "pretend"  # a stramash.h with three nodes in name only


@dataclass(frozen=True)
class Ran:
    """How a guest ended, and what it said."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.output.splitlines()


def run(program, *arguments, isa=None, flags=()):
    """Build a guest (or a C file) for one instruction set, by default the host's, and run it."""
    here = platform.machine()
    isa = isa or (here if here in ISAS else ISAS[0])
    command = [str(build.build(str(program), isa, flags)), *map(str, arguments)]
    if isa != here:
        emulator = shutil.which(cosim.isa.find(isa).linker.QEMU)
        if emulator is None:
            pytest.skip(f"{isa} needs qemu-user")
        command.insert(0, emulator)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return Ran(done.returncode, done.stdout, done.stderr)


def spoiled(folder, guest, old, new):
    """A copy of a bundled guest with one piece of text, which must be there, replaced.

    A header of the guest's own name is part of it.
    """
    source = build.find(guest)
    text = source.read_text()
    header = source.parent / "include" / f"{guest}.h"
    if header.exists():
        text = text.replace(f"#include <{guest}.h>\n", header.read_text())
    assert text.count(old) == 1
    path = folder / f"{guest}.c"
    path.write_text(text.replace(old, new))
    return path
