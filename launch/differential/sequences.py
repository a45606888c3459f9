"""Random sequences of instructions, made while Unicorn executes them.

An instruction that would fault is mostly drawn anew, so that sequences are long and their accesses
hit; a branch that is taken goes on where it leads.  What comes out is data, made again from ISA,
seed and number.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosim.engine.interface import Reason
from cosim.engine.native.examples import Draw, operands, parts
from cosim.engine.native.table import Row
from cosim.errors import InputError
from launch.differential.bench import CODE_AT, CODE_BYTES, DATA_MIDDLE, SPARE_BYTES, Bench, nearness

TRIES = 40  # examples drawn for one place of a sequence
FAULTS_KEPT = 60  # of so many examples that fault, one ends the sequence
OFFSET_MOST = 64
EDGES_ONE_IN = 4  # sequences whose operands are corners only
LEAST_CODE, MOST_CODE = CODE_AT - CODE_BYTES, CODE_AT + CODE_BYTES - SPARE_BYTES


@dataclass(frozen=True)
class Piece:
    """An instruction, with what it needs before it: where, bytes, form, how many instructions."""

    address: int
    code: bytes
    form: str
    instructions: int


@dataclass(frozen=True)
class Sequence:
    """A sequence: pieces in the order of execution, initial registers, seed of the data."""

    pieces: tuple[Piece, ...]
    registers: Mapping[str, int]
    data: str

    @property
    def instructions(self) -> int:
        """That are executed."""
        return sum(piece.instructions for piece in self.pieces)


def rows_of(isa: Any) -> list[Row]:
    """Rows that sequences are made of.  InputError when the ISA has none."""
    if isa.instructions is None:
        raise InputError(
            f"{isa.name} has no rows: only Unicorn executes it, there is nothing to compare"
        )
    return [row for row in isa.instructions.ROWS if row.name not in isa.examples.LEFT_OUT]


def initial(isa: Any, draw: Draw) -> dict[str, int]:
    """Registers: every other one points to data."""
    values = operands(isa, draw, edges=draw.randrange(EDGES_ONE_IN) == 0)
    near = nearness(draw)
    general = {name for name in isa.registers.BASE_BY_NUMBER if name is not None}
    stack = isa.registers.ALIASES.get("sp", "sp")
    for name in sorted(general | {stack}):
        if name == stack or draw.randrange(2):
            values[name] = DATA_MIDDLE + near + 16 * draw.randrange(8)
    for name in sorted(isa.examples.OFFSETS):
        values[name] = 8 * draw.randrange(8)
    return values


class Maker:
    """Makes the sequences of one ISA on a bench of its own."""

    def __init__(self, isa: str) -> None:
        self._bench = Bench(isa, engine="unicorn")
        self._isa = self._bench.isa
        self._rows = rows_of(self._isa)
        self._decode = self._isa.instructions.decode  # type: ignore[union-attr]

    def make(self, seed: int, number: int, length: int) -> Sequence:
        """Sequence `number` of a seed, of up to `length` pieces."""
        name = f"{self._isa.name} {seed} {number}"
        draw = random.Random(name)
        bench, data = self._bench, f"{name} data"
        registers = initial(self._isa, draw)
        bench.fill_data(random.Random(data))
        bench.put([])
        bench.engine.reset()
        for register, value in registers.items():
            bench.engine.write(register, value)
        bench.engine.write("pc", CODE_AT)
        pieces: list[Piece] = []
        address = CODE_AT
        while address and len(pieces) < length:
            piece, address = self._next(pieces, address, draw)
            if piece is not None:
                pieces.append(piece)
        return Sequence(tuple(pieces), registers, data)

    def _next(self, pieces: list[Piece], address: int, draw: Draw) -> tuple[Piece | None, int]:
        """One more piece, and where to go on; 0: nowhere."""
        engine = self._bench.engine
        before = engine.save()
        for _ in range(TRIES):
            row = draw.choice(self._rows)
            code = self._isa.examples.example(row, draw)
            if code is None:
                continue
            end = address + len(code)
            if any(address < p.address + len(p.code) and p.address < end for p in pieces):
                break
            count = len(parts(self._decode, code, address))
            piece = Piece(address, code, row.name, count)
            self._bench.put([(address, code)], more=True)
            stop = engine.run(instruction_limit=engine.instructions + count)
            pc = engine.read("pc")
            if stop.reason == Reason.LIMIT and LEAST_CODE <= pc < MOST_CODE and pc != address:
                return piece, pc
            if draw.randrange(FAULTS_KEPT) == 0:
                return piece, 0
            engine.restore(before)
        return None, 0
