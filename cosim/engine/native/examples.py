"""Random examples of instructions and operands: what differential tests and the fuzzer draw from.

What is peculiar to an ISA is in its `instructions.examples`:

- example(row, draw) -> bytes | None: an encoding of the row; instructions that it needs come first;
- addresses(instruction) -> {register: is it an offset?}: what its accesses are relative to;
- flags(draw) -> {register: value}: flags, sticky ones too;
- KEPT: registers that keep their values; NUMBERS: registers of 64 bits that hold floating-point
  numbers; OFFSETS: registers that are added to every address of some kind;
- LEFT_OUT: form -> why it is not in sequences.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from cosim.engine.native.table import Instruction, Row, WordDecoder

T = TypeVar("T")
TRIES = 200  # words drawn for one example: most fields are free
WORD_BITS = 32

EDGES = (
    0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF,
    0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE,
)  # fmt: skip
# Floating point: zeros, ones, infinities, quiet and signalling NaNs, denormals, limits.
DOUBLES = (
    0x0, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x7FF0000000000000,
    0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000001234, 0x7FF0000000000001,
    0xFFF4000000000000, 0x1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF,
    0x4340000000000000, 0x3CA0000000000000, 0x43E0000000000000, 0xC3E0000000000000,
    0x41DFFFFFFFC00000, 0x3FE0000000000000, 0x4008000000000000,
)  # fmt: skip
SINGLES = (
    0x0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC01234,
    0x7F800001, 0xFFA00000, 0x1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x4B800000, 0x33800000,
    0x5F000000, 0xDF000000, 0x4F000000, 0x3F000000, 0x40400000,
)  # fmt: skip


class Draw(Protocol):
    """A seeded source of choices: random.Random."""

    def getrandbits(self, bits: int, /) -> int: ...
    def randrange(self, start: int, stop: int | None = None, /) -> int: ...
    def choice(self, options: Sequence[T], /) -> T: ...
    def randbytes(self, count: int, /) -> bytes: ...


def edge(draw: Draw, bits: int = 64) -> int:
    """A corner of integers."""
    return draw.choice(EDGES) & (1 << bits) - 1


def integer(draw: Draw, bits: int = 64) -> int:
    """An edge, a small number, or any."""
    kind = draw.randrange(4)
    if kind == 0:
        return edge(draw, bits)
    if kind == 1:
        return draw.getrandbits(draw.randrange(1, bits + 1))
    return draw.getrandbits(bits)


def vector_edge(draw: Draw) -> int:
    """128 bits of corners of floating point."""
    if draw.randrange(2):
        return draw.choice(DOUBLES) | draw.choice(DOUBLES) << 64
    return sum(draw.choice(SINGLES) << 32 * i for i in range(4))


def vector(draw: Draw) -> int:
    """128 bits of numbers of one kind, or any."""
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice(DOUBLES) | draw.choice(DOUBLES) << 64
    if kind == 1:
        return sum(draw.choice(SINGLES) << 32 * i for i in range(4))
    if kind == 2:
        return integer(draw) | integer(draw) << 64
    if kind == 3:  # doubles of ordinary size
        words = [draw.randrange(1000, 1040) << 52 | draw.getrandbits(52) for _ in range(2)]
        return words[0] | words[1] << 64
    return draw.getrandbits(128)


def word_example(decoder: WordDecoder, row: Row, draw: Draw) -> bytes | None:
    """For instruction sets of 32-bit words: fields of the pattern at random."""
    pattern = decoder.patterns[row.name]
    for _ in range(TRIES):
        word = pattern.value | draw.getrandbits(WORD_BITS) & ~pattern.mask
        found = decoder.decode(word)
        if found is not None and found.row is row:
            return word.to_bytes(WORD_BITS // 8, "little")
    return None


def parts(
    decode: Callable[[bytes, int], Instruction | None], code: bytes, pc: int = 0
) -> list[Instruction]:
    """The instructions of an example; the last one is the one that was asked for."""
    found: list[Instruction] = []
    at = 0
    while at < len(code):
        instruction = decode(code[at:], pc + at)
        assert instruction is not None, code.hex()
        found.append(instruction)
        at += instruction.length
    return found


def operands(isa: Any, draw: Draw, *, edges: bool = False) -> dict[str, int]:
    """A value for every register that an example may use; edges: corners only."""
    tables = isa.examples
    whole, wide = (edge, vector_edge) if edges else (integer, vector)
    values = {}
    for row in isa.registers.REGISTERS:
        if row.name not in tables.KEPT:
            is_number = row.bits > 64 or row.name in tables.NUMBERS
            values[row.name] = (
                wide(draw) & (1 << row.bits) - 1 if is_number else whole(draw, row.bits)
            )
    return values | tables.flags(draw)
