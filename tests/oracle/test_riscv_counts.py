"""Are RISC-V instructions and references counted like QEMU executes them?

QEMU in user mode logs the address of every instruction of the oracle programs, with smaller arrays.
How many of them load or store follows from their encodings, decoded here from the manual:
Unprivileged ISA, "RV32/64G Instruction Set Listings" and "Compressed", table "RVC opcode map".
"""

import re
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from cosim import isa as isas
from cosim.engine.interface import Reason
from tests.engine.bare import Bare
from tests.oracle.riscv_programs import SMALLER, build

EXECUTED = re.compile(r"^Trace .*\[[0-9a-f]+/([0-9a-f]+)/", re.MULTILINE)
MEMORY_OPCODES = (0x03, 0x07, 0x23, 0x27)  # LOAD, LOAD-FP, STORE, STORE-FP
# Quadrants 0 and 2: c.fld c.lw c.ld c.fsd c.sw c.sd, and the same relative to sp.
COMPRESSED = {(quadrant, function) for quadrant in (0, 2) for function in (1, 2, 3, 5, 6, 7)}


def refers(word: int) -> bool:
    """Does the instruction load or store (once; there are no atomics in the programs)?"""
    if word & 3 == 3:
        return word & 0x7F in MEMORY_OPCODES
    return (word & 3, word >> 13 & 7) in COMPRESSED


@pytest.fixture(scope="module", params=SMALLER)
def program(request, tmp_path_factory):
    """(ELF, QEMU's exit status, addresses in order of execution)."""
    facts = isas.find("riscv64").linker
    emulator = shutil.which(facts.QEMU)
    if emulator is None:
        pytest.skip(f"{facts.QEMU} is missing: install qemu-user")
    folder = tmp_path_factory.mktemp(request.param)
    build(request.param, folder)
    done = subprocess.run(
        [emulator, "-singlestep", "-d", "nochain,exec", "-D", "log", "program"], cwd=folder
    )
    addresses = [int(found, 16) for found in EXECUTED.findall((folder / "log").read_text())]
    return folder / "program", done.returncode, addresses


@pytest.mark.needs_qemu
@pytest.mark.parametrize(("levels", "budget"), [(4, None), (5, None), (5, 137)])
@pytest.mark.parametrize("engine", ["unicorn", "native"])
def test_counts_equal_qemus(program, levels, budget, engine):
    path, status, addresses = program
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".text")
        code, start = section.data() + bytes(2), section["sh_addr"]
    words = (int.from_bytes(code[at - start : at - start + 4], "little") for at in addresses)
    references = sum(refers(word) for word in words)
    assert len(addresses) > 10_000 and references > 1000
    bare = Bare("riscv64", levels=levels, engine=engine)
    bare.load(path)
    with bare.memory:
        stop = bare.run(budget) if budget else bare.run()
        bare.writer.settle()
    assert (stop.reason, bare.arguments()) == (Reason.SYSTEM_CALL, (94, status))
    assert bare.engine.instructions == len(addresses)
    assert bare.memory.data_references == references
