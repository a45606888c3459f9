"""Fuzzing: sequences on a checked engine; what differs is made as small as it gets."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosim.engine.interface import Reason
from cosim.engine.native.difference import Difference
from cosim.errors import EnginesDiffer
from launch.differential.bench import CODE_AT, Bench
from launch.differential.sequences import Maker, Piece, Sequence

# Instructions at once, of each run of a sequence: blocks are linked after the first, and paced
# blocks are those of the last.
SLICES = (1 << 20, 1 << 20, 3)


@dataclass(frozen=True)
class Finding:
    """A sequence in which the engines differ.

    sequence: its smallest form that was found.  form: of the instruction that differs.
    """

    isa: str
    seed: int
    number: int
    length: int
    form: str
    sequence: Sequence
    differences: tuple[Difference, ...]

    @property
    def command(self) -> str:
        """What repeats it exactly."""
        return (
            f"stramash fuzz --isa {self.isa} --seed {self.seed} --length {self.length}"
            f" --only {self.number}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "isa": self.isa,
            "seed": self.seed,
            "sequence": self.number,
            "repeat": self.command,
            "form": self.form,
            "instructions": [
                {"address": f"{piece.address:#x}", "code": piece.code.hex(), "form": piece.form}
                for piece in self.sequence.pieces
            ],
            "registers": {name: f"{value:#x}" for name, value in self.sequence.registers.items()},
            "differences": [
                {"name": one.name, "unicorn": one.unicorn, "native": one.native}
                for one in self.differences
            ],
        }


@dataclass(frozen=True)
class Tried:
    """One sequence was executed."""

    number: int
    instructions: int
    compared: int
    finding: Finding | None


class Fuzzer:
    """Tries the sequences of one ISA and seed.  compared: instructions so far, of all runs."""

    def __init__(self, isa: str, seed: int, length: int) -> None:
        self._isa, self._seed, self._length = isa, seed, length
        self._maker = Maker(isa)
        self._bench = Bench(isa)
        self.compared = 0

    def run(self, numbers: range) -> Iterator[Tried]:
        """Try these sequences in order."""
        for number in numbers:
            yield self.attempt(number)

    def attempt(self, number: int) -> Tried:
        """Try one sequence."""
        sequence = self._maker.make(self._seed, number, self._length)
        before = self._bench.engine.compared
        error = self._differs(sequence)
        compared = self._bench.engine.compared - before
        self.compared += compared
        finding = None if error is None else self._finding(number, sequence, error)
        return Tried(number, sequence.instructions, compared, finding)

    def _differs(self, sequence: Sequence) -> EnginesDiffer | None:
        """Execute it in every way that SLICES says; how the engines differ."""
        bench = self._bench
        bench.fill_data(random.Random(sequence.data))
        bench.put([(piece.address, piece.code) for piece in sequence.pieces])
        for most in SLICES:
            bench.engine.reset()
            address, registers = CODE_AT, sequence.registers
            left = sequence.instructions
            try:
                while left > 0:
                    stop = bench.step(address, registers, min(left, most))
                    if stop.reason != Reason.LIMIT:
                        break
                    address, registers, left = bench.engine.read("pc"), {}, left - most
            except EnginesDiffer as error:
                return error
        return None

    def _finding(self, number: int, sequence: Sequence, error: EnginesDiffer) -> Finding:
        """Make it smaller as long as the same form differs."""
        found = {"error": error}

        def still(candidate: Sequence) -> bool:
            again = self._differs(candidate)
            if again is None or again.form != error.form:
                return False
            found["error"] = again
            return True

        smaller = minimised(sequence, still)
        last = found["error"]
        return Finding(
            self._isa, self._seed, number, self._length, last.form, smaller, last.differences
        )


def contiguous(pieces: list[Piece]) -> tuple[Piece, ...]:
    """The same instructions behind each other."""
    address, placed = CODE_AT, []
    for piece in pieces:
        placed.append(Piece(address, piece.code, piece.form, piece.instructions))
        address += len(piece.code)
    return tuple(placed)


def minimised(sequence: Sequence, still: Callable[[Sequence], bool]) -> Sequence:
    """Fewer instructions, fewer registers: whatever `still` accepts.

    Instructions are left out as long as those that stay may stand behind each other.
    """
    best = sequence
    for count in range(1, len(sequence.pieces)):
        candidate = Sequence(sequence.pieces[:count], sequence.registers, sequence.data)
        if still(candidate):
            best = candidate
            break
    size = max(len(best.pieces) // 2, 1)
    while size:
        at = 0
        while at < len(best.pieces) > 1:
            kept = [*best.pieces[:at], *best.pieces[at + size :]]
            candidate = Sequence(contiguous(kept), best.registers, best.data)
            if kept and still(candidate):
                best = candidate
            else:
                at += size
        size //= 2
    for name in best.registers:
        candidate = Sequence(best.pieces, _without(best.registers, name), best.data)
        if still(candidate):
            best = candidate
    still(best)  # what is reported is what the smallest one does
    return best


def _without(registers: Mapping[str, int], name: str) -> dict[str, int]:
    """The registers but one, which has its value of a new process."""
    return {key: value for key, value in registers.items() if key != name}
