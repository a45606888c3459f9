"""Has the table a row for what a compiler makes of C, and of its library?"""

from collections import Counter

import pytest
from elftools.elf.elffile import ELFFile

from cosim import isa as isas
from launch import Machine

EXECUTABLE = 4  # section flag
# Never translated: system calls, breakpoints, and words between functions.
OTHERS = {
    "arm": {"0xd4000000", "0xd4200000", "0x00000000"},
    "riscv": {"0x00000073", "0x9002", "0x0000"},
}
ISAS = {"arm": "aarch64", "riscv": "riscv64"}
SHORTEST = {"arm": 4, "riscv": 2}  # bytes: where nothing is decoded, the next try is so far


@pytest.mark.parametrize("node", ISAS)
def test_all_of_a_musl_program_has_rows(node):
    instructions = isas.find(ISAS[node]).instructions
    missing: Counter[str] = Counter()
    found = 0
    with Machine(nodes=[node]) as machine, machine.build("libc_tour")[node].open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if section["sh_flags"] & EXECUTABLE:
                data = section.data()
                at = 0
                while at < len(data) - 3:
                    instruction = instructions.decode(data[at : at + 4], 0)
                    if instruction is None:
                        missing[instructions.name_of(data[at : at + 4])] += 1
                    else:
                        found += 1
                    at += instruction.length if instruction else SHORTEST[node]
    assert found > 10_000
    assert set(missing) <= OTHERS[node], missing
