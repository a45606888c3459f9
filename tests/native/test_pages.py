"""Instructions that go over to the next page: run as blocks, and always with the page of now."""

import pytest

from cosim.engine.interface import Reason
from tests.engine.bare import ALL, Bare

ADD = bytes.fromhex("4805")  # add rax, imm32
AT = 0x40_0FFD  # three bytes of the add lie in the first page
END = bytes.fromhex("0f05")  # syscall
REPEATS = 50


def code(number: int) -> bytes:
    """Add `number` so often, then stop."""
    body = ADD + number.to_bytes(4, "little") + bytes.fromhex("ffc9")  # dec ecx
    jump = bytes([0x75, 256 - len(body) - 2])
    return body + jump + END


def run(bare: Bare) -> tuple:
    """From the start to the system call: what both engines must agree on."""
    bare.start(AT, 0x40_0000)
    bare.engine.write("rcx", REPEATS)
    stop = bare.engine.run()
    bare.writer.settle()
    return stop, bare.engine.register_words(), bare.engine.instructions, bare.memory.stream_hash


def both(change) -> list[tuple]:
    """Outcomes of the first run and of the one after `change`, by engine."""
    found = []
    for engine in ("unicorn", "native"):
        bare = Bare("x86_64", engine=engine)
        bare.writer.inline = True
        bare.map_range(0x40_0000, 0x2000, ALL)
        bare.write(AT, code(3))
        with bare.memory:
            first = run(bare)
            assert first[0].reason == Reason.SYSTEM_CALL
            assert bare.engine.read("rax") == 3 * REPEATS
            if engine == "native":
                assert bare.engine.host_statistics()["native.unicorn_instructions"] < 5
            change(bare)
            bare.engine.flush_tlb()
            found.append((first, run(bare), bare.engine.read("rax")))
    return found


def other_number(bare: Bare) -> None:
    """The second page, where the number ends, is another frame."""
    new = code(0x0500_0003)
    bare.map(0x40_1000)
    bare.write(AT + 3, new[3:])


@pytest.mark.parametrize(
    ("change", "reason", "rax"),
    [
        (lambda bare: None, Reason.SYSTEM_CALL, 3 * REPEATS),
        (other_number, Reason.SYSTEM_CALL, 0x0500_0003 * REPEATS),
        (lambda bare: bare.unmap(0x40_1000), Reason.PAGE_FAULT, 0),
    ],
    ids=["the same", "another frame", "not mapped"],
)
def test_code_of_two_pages(change, reason, rax):
    reference, native = both(change)
    assert native == reference
    assert native[1][0].reason == reason
    assert native[2] == rax
