"""What the differential test needs to know of an ISA: encodings of a row, registers it should not
touch, how flags are written.
"""

import random

from cosim import isa as isas
from cosim.engine.native.table import Row

MOST_LEFT = 0.9  # faults, alignment and NaN corners fall back: many of the operands drawn are such


def word_example(isa: str):
    """For instruction sets of 32-bit words: fields of the pattern at random."""

    def example(row: Row, draw: random.Random) -> bytes | None:
        decoder = isas.find(isa).instructions.DECODER
        pattern = decoder.patterns[row.name]
        for _ in range(200):
            word = pattern.value | draw.getrandbits(32) & ~pattern.mask
            found = decoder.decode(word)
            if found is not None and found.row is row:
                return word.to_bytes(4, "little")
        return None

    return example


def arm_addresses(instruction) -> dict[str, bool]:
    """Register names -> is it an offset?  The base, and the offset register of loads and stores."""
    found = {}
    n = instruction.fields.get("n")
    if n is not None:
        found["sp" if n == 31 else f"x{n}"] = False
    m = instruction.fields.get("m")
    if m not in (None, 31, n) and instruction.row in isas.find("aarch64").instructions.MEMORY_ROWS:
        found[f"x{m}"] = True
    return found


def arm_example(row: Row, draw: random.Random) -> bytes | None:
    """A store exclusive comes behind a load exclusive, mostly of the same address."""
    code = word_example("aarch64")(row, draw)
    if row.name != "store_exclusive" or code is None:
        return code
    word = int.from_bytes(code, "little")
    base = word >> 5 & 31 if draw.randrange(4) else draw.randrange(31)
    unused = next(r for r in range(31) if r not in (base, word & 31, word >> 5 & 31))
    load = word & 3 << 30 | 0x085F7C00 | base << 5 | unused
    return load.to_bytes(4, "little") + code


EXAMPLES = {"aarch64": arm_example}
ADDRESSES = {"aarch64": arm_addresses}
KEPT = {"aarch64": {"pc", "fpcr", "tpidr_el0", "nzcv"}}
FLAGS = {"aarch64": lambda draw: draw.getrandbits(4) << 28}
