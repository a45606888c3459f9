"""Are atomic additions from two instruction sets to one word all there, whatever instruction does
them?
"""

from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from launch import Machine
from launch.build import compile_source

GUEST = Path(__file__).parents[2] / "launch" / "guests" / "atomic_add.c"
ADDITIONS = 100_000
# Instructions as (mask, value): Arm ARM DDI 0487, C6.2 LDADD and STXR/STLXR; RISC-V Unprivileged
# ISA, "A", amoadd and sc.
LDADD = (0x3F20_FC00, 0x3820_0000)
STORE_EXCLUSIVE = (0x3FE0_0000, 0x0800_0000)
AMOADD = (0xF800_607F, 0x0000_202F)
STORE_CONDITIONAL = (0xF800_607F, 0x1800_202F)
# RISC-V has an instruction to add, and needs a pair for compare and swap.
COMPARE_AND_SWAP = (
    "-D__atomic_fetch_add(at, by, order)=({ unsigned long old = *(at); while (!"
    "__atomic_compare_exchange_n(at, &old, old + (by), 0, order, order)); old; })"
)
FORMS = {
    "LSE": ("arm", "aarch64", ("-mcpu=generic+lse",), LDADD),
    "LL/SC": ("arm", "aarch64", (), STORE_EXCLUSIVE),
    "AMO": ("riscv", "riscv64", (), AMOADD),
    "LR/SC": ("riscv", "riscv64", (COMPARE_AND_SWAP,), STORE_CONDITIONAL),
}


def instruction_words(elf: Path) -> np.ndarray:
    """The 32-bit words at every even address: a superset of RISC-V's and Arm's instructions."""
    with elf.open("rb") as file:
        halves = np.frombuffer(ELFFile(file).get_section_by_name(".text").data(), "<u2")
    return halves[:-1].astype("<u4") | halves[1:].astype("<u4") << 16


@pytest.fixture(scope="module", params=FORMS)
def programs(request):
    """atomic_add for x86 (lock-prefixed), and for another node in one of its two forms."""
    node, isa, flags, (mask, value) = FORMS[request.param]
    other = compile_source(GUEST, isa, flags)
    assert ((instruction_words(other) & mask) == value).any(), f"no {request.param} in {other}"
    return compile_source(GUEST, "x86_64", ()), node, other


@pytest.mark.parametrize("quantum_ns", [500, 2000])
def test_every_addition_counts(programs, quantum_ns):
    x86, node, other = programs
    jobs = [
        {"program": x86, "on": "x86", "arguments": ["2", str(ADDITIONS)]},
        {"program": other, "on": node, "arguments": ["2", str(ADDITIONS)]},
    ]
    settings = {"time.quantum_ns": quantum_ns}
    with Machine(nodes=("x86", node), settings=settings) as machine:
        run = machine.run_together(jobs)
    assert run.exit_status == 0, run.console
    assert f"sum {2 * ADDITIONS} of {2 * ADDITIONS}" in run.console
    assert run.statistics["x86.snoops.invalidate.sent"] > 100
    assert run.statistics[f"{node}.snoops.invalidate.sent"] > 100
