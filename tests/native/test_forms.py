"""Does every row of the tables do what Unicorn does, with random and edge operands?

One instruction on both engines at a time: registers, flags, memory, records, counts and stops must
be equal, and most of them must have run as blocks.  A new row is tested by being there.
"""

import random

import pytest

from cosim import isa as isas
from cosim.engine.native.examples import operands, parts
from cosim.errors import EnginesDiffer
from launch.differential.bench import DATA_MIDDLE, Bench, nearness

TRIALS = 10  # encodings of a row
TRIALS_LONG = 40
STEPS = 3  # of each encoding, with other registers; the first is made of edges
# Faults, alignment and NaN corners fall back: many of the operands drawn are such.
MOST_LEFT = 0.9
ISAS = list(isas.BUNDLED)
ROWS = [(name, row) for name in ISAS for row in isas.find(name).instructions.ROWS]
NAMES = [f"{name}-{row.name}" for name, row in ROWS]


@pytest.fixture(scope="module")
def benches():
    return {name: Bench(name, block_instructions=1) for name in ISAS}


def registers(draw, bench: Bench, instruction, near: int, edges: bool) -> dict[str, int]:
    """Values for all registers; what an example uses as address mostly points to data."""
    values = operands(bench.isa, draw, edges=edges)
    for name, small in bench.isa.examples.addresses(instruction).items():
        if draw.randrange(8):
            values[name] = draw.randrange(64) if small else DATA_MIDDLE + near
    return values


def check(bench: Bench, row, trials: int, *, share: float) -> None:
    """share: less than this part of the steps may be left to Unicorn."""
    draw = random.Random(f"{bench.isa.name} {row.name}")
    engine, instructions = bench.engine, bench.isa.instructions
    examples = [bench.isa.examples.example(row, draw) for _ in range(trials)]
    examples = [code for code in examples if code is not None]
    assert examples, "no encoding of this row was found"
    before = sum(engine.fallbacks.values())
    # Compiled in one go: a module costs most.
    plan = getattr(instructions, "plan", lambda block, decode: block)
    blocks = [plan(parts(instructions.decode, code), lambda at: None) for code in examples]
    engine.library.build(part for block in blocks for part in block)
    bench.fill_data(draw)
    for pc, code in zip(bench.place(examples), examples, strict=True):
        found = parts(instructions.decode, code, pc)
        near = nearness(draw)
        for step in range(STEPS):
            values = registers(draw, bench, found[-1], near, step == 0)
            try:
                bench.step(pc, values, len(found))
            except EnginesDiffer as error:
                pytest.fail(f"{row.name} {code.hex()} {found[-1].fields}: {error}")
    left = sum(engine.fallbacks.values()) - before
    steps = STEPS * len(examples)
    assert left < steps * share, f"{left} of {steps} were left to Unicorn"


@pytest.mark.parametrize(("name", "row"), ROWS, ids=NAMES)
def test_row(benches, name, row):
    check(benches[name], row, TRIALS, share=1)


@pytest.mark.long
@pytest.mark.parametrize(("name", "row"), ROWS, ids=NAMES)
def test_row_with_many_operands(benches, name, row):
    check(benches[name], row, TRIALS_LONG, share=MOST_LEFT)
