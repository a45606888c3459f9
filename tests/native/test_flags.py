"""Do flags that are kept as operands come out as Unicorn's, whoever reads them, wherever a block
ends and wherever an instruction is left to Unicorn?

Random sequences of instructions that set and read flags, as one block and as several, with memory
operands that sometimes cross a page (those are left in the middle of a block).
"""

import random

import pytest

from cosim import isa as isas
from cosim.engine.native.examples import integer
from cosim.errors import EnginesDiffer
from isa_x86.instructions.examples import LEFT_OUT as UNDEFINED
from isa_x86.instructions.examples import example
from isa_x86.instructions.layout import BASE, REGISTER
from launch.differential.bench import DATA_MIDDLE, Bench

POINTER, STACK = 6, 4  # rsi points to data and is not written
LENGTH = 10
SEQUENCES = 60
JUMP_TO_NEXT = bytes((0xEB, 0))
LEFT_OUT = {"nop", *UNDEFINED}


def usable(instruction) -> bool:
    fields, constants = instruction.fields, dict(instruction.constants)
    if constants.get("A", REGISTER) == BASE and not constants.get("G"):
        if fields["base"] != POINTER or abs(fields["disp"]) > 512:
            return False
    elif constants.get("A", REGISTER) != REGISTER:
        return False
    return not {POINTER, STACK} & {fields.get(name) for name in ("reg", "rm", "r")}


@pytest.fixture(scope="module")
def bench():
    return Bench("x86_64", block_instructions=64)


@pytest.fixture(scope="module")
def rows():
    table = isas.find("x86_64").instructions
    found = [row for row in table.ROWS if getattr(row, "flags", None) and not row.ends]
    return [row for row in found if row.name not in LEFT_OUT]


def sequence(rows, draw: random.Random) -> list[bytes]:
    decode = isas.find("x86_64").instructions.decode
    codes: list[bytes] = []
    while len(codes) < LENGTH:
        if draw.randrange(6) == 0:
            codes.append(bytes((0x70 | draw.getrandbits(4), 0)))  # jcc to the next instruction
            continue
        code = example(draw.choice(rows), draw)
        if code and usable(decode(code, 0)):
            codes.append(code)
    return [*codes, JUMP_TO_NEXT]


@pytest.mark.parametrize("seed", range(4))
def test_sequences(bench, rows, seed):
    draw = random.Random(f"flags {seed}")
    names = isas.find("x86_64").registers.BY_NUMBER
    bench.fill_data(draw)
    for number in range(SEQUENCES):
        codes = sequence(rows, draw)
        values = {name: integer(draw) for name in names if name != "rsp"}
        values["rsi"] = DATA_MIDDLE + draw.choice((0, 64, 2048, 4090, 4093))
        values["flags"] = 0x202 | draw.getrandbits(12) & 0x8D5
        (start, *_) = bench.place(codes)
        try:
            bench.step(start, values, len(codes))
        except EnginesDiffer as error:
            text = " ".join(code.hex() for code in codes)
            pytest.fail(f"seed {seed}, sequence {number}: {text}: {error}")
