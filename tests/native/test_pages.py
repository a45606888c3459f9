"""Instructions that go over to the next page: run as blocks, and always with the page of now."""

import pytest

from cosim.engine.interface import Reason
from tests.engine.assembly import assemble
from tests.engine.bare import ALL, Bare

REPEATS = 50
SECOND = 0x40_1000
# Where the program begins (its first instruction ends in the second page), another number that
# differs there only; registers that count and that add.
AT = {"x86_64": 0x40_0FFD, "riscv64": 0x40_0FFE}
OTHER = {"x86_64": 0x0500_0003, "riscv64": 0x503}
COUNTER = {"x86_64": "rcx", "riscv64": "a1"}
TOTAL = {"x86_64": "rax", "riscv64": "a0"}
SOURCES = {
    "x86_64": "1: .byte 0x48, 0x05; .int {}; dec ecx; jnz 1b; syscall",  # add rax, imm32
    "riscv64": ".option norelax; .option norvc; "
    "1: addi a0, a0, {}; addi a1, a1, -1; bnez a1, 1b; ecall",
}


def code(isa: str, number: int) -> bytes:
    """Add `number` so often, then stop."""
    source = SOURCES[isa].format(number).replace("; ", "\n")
    return assemble(isa, {"add": source})["add"]


def run(bare: Bare) -> tuple:
    """From the start to the system call: what both engines must agree on."""
    bare.start(AT[bare.isa.name], 0x40_0000)
    bare.engine.write(COUNTER[bare.isa.name], REPEATS)
    stop = bare.engine.run()
    bare.writer.settle()
    return stop, bare.engine.register_words(), bare.engine.instructions, bare.memory.stream_hash


def both(isa: str, change) -> list[tuple]:
    """Outcomes of the first run and of the one after `change`, by engine."""
    found = []
    for engine in ("unicorn", "native"):
        bare = Bare(isa, engine=engine)
        bare.writer.inline = True
        bare.map_range(0x40_0000, 0x2000, ALL)
        bare.write(AT[isa], code(isa, 3))
        with bare.memory:
            first = run(bare)
            assert first[0].reason == Reason.SYSTEM_CALL
            assert bare.engine.read(TOTAL[isa]) == 3 * REPEATS
            if engine == "native":
                assert bare.engine.host_statistics()["native.unicorn_instructions"] < 5
            change(bare)
            bare.engine.flush_tlb()
            found.append((first, run(bare), bare.engine.read(TOTAL[isa])))
    return found


def other_number(bare: Bare) -> None:
    """The second page, where the number ends, is another frame."""
    isa = bare.isa.name
    bare.map(SECOND)
    bare.write(SECOND, code(isa, OTHER[isa])[SECOND - AT[isa] :])


def same_number(isa: str) -> int:
    """What is added when nothing changes."""
    return 3


@pytest.mark.parametrize("isa", AT)
@pytest.mark.parametrize(
    ("change", "reason", "number"),
    [
        (lambda bare: None, Reason.SYSTEM_CALL, same_number),
        (other_number, Reason.SYSTEM_CALL, OTHER.get),
        (lambda bare: bare.unmap(SECOND), Reason.PAGE_FAULT, lambda isa: 0),
    ],
    ids=["the same", "another frame", "not mapped"],
)
def test_code_of_two_pages(isa, change, reason, number):
    reference, native = both(isa, change)
    assert native == reference
    assert native[1][0].reason == reason
    assert native[2] == number(isa) * REPEATS
