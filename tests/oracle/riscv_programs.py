"""The oracle programs for RISC-V: compiled when they are asked for, with smaller arrays."""

import subprocess
import sys
from pathlib import Path

from cosim import isa as isas

PROGRAMS = Path(__file__).parent / "programs"
SMALLER = {  # text -> text, so that a log of every instruction stays small
    "triad": (("1u << 16", "1u << 9"),),
    "chase": (("1u << 15", "1u << 8"), ("400u * 1024", "3000u")),
    "buckets": (("1u << 17", "1u << 9"), ("1u << 12", "1u << 6"), ("round * 977", "round * 97")),
}


def build(name: str, folder: Path) -> Path:
    """The ELF of the oracle program `name`, made in `folder`."""
    facts = isas.find("riscv64").linker
    text = (PROGRAMS / f"{name}.c").read_text()
    for old, new in SMALLER[name]:
        assert old in text
        text = text.replace(old, new)
    (folder / "program.c").write_text(text)
    zig = (sys.executable, "-m", "ziglang")
    compiler = (*zig, "clang", f"--target={facts.TARGET}", *facts.ALIGNED_FLAGS, "-O2")
    flags = ("-ffreestanding", "-I", str(PROGRAMS), "-c", "program.c", "-o", "program.o")
    linker = (*zig, "ld.lld", "--image-base=0x400000", "-e", "_start", "program.o", "-o", "program")
    for command in ((*compiler, *flags), linker):
        subprocess.run(command, cwd=folder, check=True)
    return folder / "program"
