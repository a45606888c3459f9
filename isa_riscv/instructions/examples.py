"""Random examples of RISC-V rows: see cosim.engine.native.examples."""

from cosim.engine.native.examples import TRIES, Draw
from cosim.engine.native.table import Instruction, Row
from isa_riscv import instructions, registers

KEPT = frozenset({"pc", "fcsr"})
NUMBERS = frozenset(f"f{i}" for i in range(32))
OFFSETS: frozenset[str] = frozenset()
LEFT_OUT: dict[str, str] = {}
STORE_CONDITIONAL = "sc_"
LOAD_RESERVED = 0b00010 << 27 | 0b0101111
DOUBLE = 3 << 12
SIZE = 7 << 12


def encoding(row: Row, draw: Draw) -> bytes | None:
    """Fields of a pattern of 32 or 16 bits at random."""
    shape = instructions.DECODER.shapes[row.name]
    ones = (1 << shape.bits) - 1
    for _ in range(2 * TRIES):
        word = shape.pattern.value | draw.getrandbits(shape.bits) & ~shape.pattern.mask & ones
        code = word.to_bytes(shape.bits // 8, "little")
        found = instructions.DECODER.match(code)
        if found is not None and found[0].row is row:
            return code
    return None


def example(row: Row, draw: Draw) -> bytes | None:
    """A store conditional comes behind a load reserved, mostly of the same address and size."""
    code = encoding(row, draw)
    if not row.name.startswith(STORE_CONDITIONAL) or code is None:
        return code
    word = int.from_bytes(code, "little")
    sources = (word >> 15 & 31, word >> 20 & 31)
    base = sources[0] if draw.randrange(4) else draw.randrange(32)
    unused = next(r for r in range(5, 32) if r not in (base, *sources))
    size = word & SIZE if draw.randrange(8) else DOUBLE
    load = LOAD_RESERVED | base << 15 | size | unused << 7
    return load.to_bytes(4, "little") + code


def addresses(instruction: Instruction) -> dict[str, bool]:
    """The base of loads, stores and atomics."""
    if instruction.row not in instructions.MEMORY_ROWS:
        return {}
    name = registers.BY_NUMBER[instruction.fields["n"]]
    return {} if name is None else {name: False}


def flags(draw: Draw) -> dict[str, int]:
    """The sticky ones of floating point, seldom with another rounding mode."""
    return {"fcsr": draw.getrandbits(5) | (draw.randrange(16) == 0) << 5}
