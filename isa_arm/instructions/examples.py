"""Random examples of A64 rows: see cosim.engine.native.examples."""

from cosim.engine.native.examples import Draw, word_example
from cosim.engine.native.table import Instruction, Row
from isa_arm import instructions
from isa_arm.instructions.floats import ROUNDING_SHIFT

KEPT = frozenset({"pc", "fpcr", "tpidr_el0", "nzcv"})
NUMBERS: frozenset[str] = frozenset()
OFFSETS: frozenset[str] = frozenset()
LEFT_OUT: dict[str, str] = {}
LOAD_EXCLUSIVE = 0x085F7C00
SIZE = 3 << 30


def example(row: Row, draw: Draw) -> bytes | None:
    """A store exclusive comes behind a load exclusive, mostly of the same address."""
    code = word_example(instructions.DECODER, row, draw)
    if row.name != "store_exclusive" or code is None:
        return code
    word = int.from_bytes(code, "little")
    base = word >> 5 & 31 if draw.randrange(4) else draw.randrange(31)
    unused = next(r for r in range(31) if r not in (base, word & 31, word >> 5 & 31))
    load = word & SIZE | LOAD_EXCLUSIVE | base << 5 | unused
    return load.to_bytes(4, "little") + code


def addresses(instruction: Instruction) -> dict[str, bool]:
    """The base, and the offset register of loads and stores."""
    found = {}
    n = instruction.fields.get("n")
    if n is not None:
        found["sp" if n == 31 else f"x{n}"] = False
    m = instruction.fields.get("m")
    if m not in (None, 31, n) and instruction.row in instructions.MEMORY_ROWS:
        found[f"x{m}"] = True
    return found


def flags(draw: Draw) -> dict[str, int]:
    """N, Z, C and V, and seldom another rounding mode."""
    mode = draw.getrandbits(2) if draw.randrange(4) == 0 else 0
    return {
        "nzcv": draw.getrandbits(4) << 28,
        "fpcr": mode << ROUNDING_SHIFT,
    }
