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
# Arm instructions as (mask, value): Arm ARM DDI 0487, C6.2 LDADD and STXR/STLXR.
LDADD = (0x3F20_FC00, 0x3820_0000)
STORE_EXCLUSIVE = (0x3FE0_0000, 0x0800_0000)
FORMS = {"LSE": (("-mcpu=generic+lse",), LDADD), "LL/SC": ((), STORE_EXCLUSIVE)}


def instruction_words(elf: Path) -> np.ndarray:
    with elf.open("rb") as file:
        return np.frombuffer(ELFFile(file).get_section_by_name(".text").data(), "<u4")


@pytest.fixture(scope="module", params=FORMS)
def programs(request):
    """atomic_add for x86 (lock-prefixed) and for Arm in one of its two forms."""
    flags, (mask, value) = FORMS[request.param]
    arm = compile_source(GUEST, "aarch64", flags)
    assert ((instruction_words(arm) & mask) == value).any(), f"no {request.param} in {arm}"
    return compile_source(GUEST, "x86_64", ()), arm


@pytest.mark.parametrize("quantum_ns", [500, 2000])
def test_every_addition_counts(programs, quantum_ns):
    x86, arm = programs
    jobs = [
        {"program": x86, "on": "x86", "arguments": ["2", str(ADDITIONS)]},
        {"program": arm, "on": "arm", "arguments": ["2", str(ADDITIONS)]},
    ]
    with Machine(settings={"time.quantum_ns": quantum_ns}) as machine:
        run = machine.run_together(jobs)
    assert run.exit_status == 0, run.console
    assert f"sum {2 * ADDITIONS} of {2 * ADDITIONS}" in run.console
    assert run.statistics["x86.snoops.invalidate.sent"] > 100
    assert run.statistics["arm.snoops.invalidate.sent"] > 100
