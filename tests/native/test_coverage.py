"""Has the table a row for what a compiler makes of C, and of its library?"""

from collections import Counter

from elftools.elf.elffile import ELFFile

from cosim import isa as isas
from launch import Machine

EXECUTABLE = 4  # section flag
# Never translated: svc, brk, and words between functions.
OTHERS = {"0xd4000000", "0xd4200000", "0x00000000"}


def test_all_of_a_musl_program_has_rows():
    instructions = isas.find("aarch64").instructions
    missing: Counter[str] = Counter()
    words = 0
    with Machine(nodes=["arm"]) as machine, machine.build("libc_tour")["arm"].open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if section["sh_flags"] & EXECUTABLE:
                data = section.data()
                codes = [data[at : at + 4] for at in range(0, len(data) - 3, 4)]
                words += len(codes)
                missing.update(
                    instructions.name_of(code) for code in codes if not instructions.decode(code, 0)
                )
    assert words > 10_000
    assert set(missing) <= OTHERS, missing
