"""Does every row of the tables do what Unicorn does, with random and edge operands?

One instruction on both engines at a time: registers, flags, memory, records, counts and stops must
be equal, and most of them must have run as blocks.  A new row is tested by being there.
"""

import random

import pytest

from cosim import isa as isas
from tests.native import forms
from tests.native.pair import DATA_MIDDLE, Pair, integer, vector

TRIALS = 40
STEPS = 3  # of each encoding, with other registers
ISAS = list(forms.EXAMPLES)
ROWS = [(name, row) for name in ISAS for row in isas.find(name).instructions.ROWS]


@pytest.fixture(scope="module")
def pairs():
    return {name: Pair(name) for name in ISAS}


def nearness(draw: random.Random) -> int:
    """Where in the data the accesses of an example go: some over the end of a page."""
    return draw.choice((0, 0, 8, 16, 1, draw.randrange(4096), 4096 - draw.randrange(1, 32)))


def registers(draw: random.Random, pair: Pair, instruction, near: int) -> dict[str, int]:
    """Values for all registers; what an example uses as address mostly points to data."""
    values = {}
    for row in pair.isa.registers.REGISTERS:
        if row.name in forms.KEPT[pair.isa.name]:
            continue
        is_number = row.bits > 64 or row.name in forms.NUMBERS.get(pair.isa.name, ())
        values[row.name] = vector(draw) if is_number else integer(draw, row.bits)
    values |= forms.FLAGS[pair.isa.name](draw)
    for name, small in forms.ADDRESSES[pair.isa.name](instruction).items():
        if draw.randrange(8):
            values[name] = draw.randrange(64) if small else DATA_MIDDLE + near
    return values


def instructions(decode, code: bytes, pc: int) -> list:
    """The instructions of an example; the last one is the one that is tested."""
    found, at = [], 0
    while at < len(code):
        found.append(decode(code[at:], pc + at))
        at += found[-1].length
    return found


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{n}-{row.name}" for n, row in ROWS])
def test_row(pairs, name, row):
    pair = pairs[name]
    draw = random.Random(f"{name} {row.name}")
    engine = pair.native.engine
    examples = [forms.EXAMPLES[name](row, draw) for _ in range(TRIALS)]
    examples = [code for code in examples if code is not None]
    assert examples, "no encoding of this row was found"
    before = sum(engine.fallbacks.values())
    steps = 0
    decode = pair.isa.instructions.decode
    # Compiled in one go: a module costs most.
    plan = getattr(pair.isa.instructions, "plan", lambda block, decode: block)
    blocks = [plan(instructions(decode, code, 0), lambda at: None) for code in examples]
    engine.library.build(part for block in blocks for part in block)
    pair.fill_data(draw)
    for pc, code in zip(pair.place(examples), examples, strict=True):
        parts = instructions(decode, code, pc)
        near = nearness(draw)
        for _ in range(STEPS):
            steps += 1
            try:
                pair.step(pc, registers(draw, pair, parts[-1], near), len(parts))
            except AssertionError as error:
                pytest.fail(f"{row.name} {code.hex()} {parts[-1].fields}: {error}")
    left = sum(engine.fallbacks.values()) - before
    assert left <= forms.MOST_LEFT * steps, f"{left} of {steps} were left to Unicorn"
