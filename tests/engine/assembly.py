"""Machine code of small test programs, made by the compiler that also builds guests."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile

from cosim import isa as isas

MARCH = {
    "x86_64": "-march=x86-64-v3",
    "aarch64": "-march=armv8.5-a+lse+rng",
    "riscv64": "-march=rv64gc",
}
INTEL = {"x86_64": ".intel_syntax noprefix\n"}


def assemble(isa: str, sources: Mapping[str, str]) -> dict[str, bytes]:
    """Bytes of each assembly source (Intel syntax on x86-64), all assembled at once."""
    text = INTEL.get(isa, "") + "".join(
        f'.section .text.s{place},"ax"\n{source}\n' for place, source in enumerate(sources.values())
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.s"
        path.write_text(text)
        target = isas.find(isa).linker.TARGET
        command = [sys.executable, "-m", "ziglang", "clang", "-target", target, MARCH[isa]]
        subprocess.run([*command, "-c", str(path), "-o", f"{path}.o"], check=True)
        with open(f"{path}.o", "rb") as file:
            elf = ELFFile(file)
            return {
                name: elf.get_section_by_name(f".text.s{place}").data()
                for place, name in enumerate(sources)
            }
