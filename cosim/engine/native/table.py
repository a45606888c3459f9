"""What an ISA supplies to the native engine, and one decoder for instruction sets of 32-bit words.

An ISA's module `instructions` has

- LAYOUT: the register file, see Layout;
- HOLES: kind -> function(instruction, field) -> int: what is patched into a stencil;
- decode(code, pc) -> Instruction | None: the instruction at the start of `code` (16 bytes, or fewer
  at the end of the page); None: no row, it falls back to Unicorn;
- plan(instructions, decode) -> instructions, optional: a second look at a whole block before it is
  translated: constants may be added (Instruction.with_constants), nothing may be left out; decode:
  the instruction at an address near the block, or None: what follows can only be a guess;
- exclusive(words) -> (address, value) | None, optional: the exclusive monitor if blocks changed it;
- HELPER_ADDRESS, optional: host address of what Emitter.help_if calls: (state, u64, u64) -> 1;
- usable(words) -> bool: False: this thread runs on Unicorn (its floating-point control is unusual);
- MEMORY_ROWS: rows whose field m is an offset, for the differential test;
- unpack(words), pack(words): after registers came from Unicorn and before they go back (flags);
- name_of(code) -> str: what a form without a row is called in the statistics.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from cosim.engine.native.state import REGISTERS_WORD, REGISTERS_WORDS

WORD_BITS = 32
Constant = Any  # hashable: part of the key


class Slot(NamedTuple):
    """A register's place: byte offset in the state, and how many bits blocks see."""

    offset: int
    bits: int


class Layout:
    """The register file: names to slots.

    shared: names of the ISA's register table (they go to and from Unicorn).  own: further slots
    that only blocks use.  16-byte registers are aligned to 16 bytes.
    """

    def __init__(self, shared: Sequence[tuple[str, int]], own: Sequence[tuple[str, int]]) -> None:
        """Both: (name, bits)."""
        self.slots: dict[str, Slot] = {}
        self.shared = tuple(name for name, _ in shared)
        at = 8 * REGISTERS_WORD
        for name, bits in sorted((*shared, *own), key=lambda row: row[1] <= 64):
            self.slots[name] = Slot(at, bits)
            at += 16 if bits > 64 else 8
        assert at <= 8 * (REGISTERS_WORD + REGISTERS_WORDS), f"register file of {at} bytes"

    def word(self, name: str) -> int:
        """Number of the slot's first word in the state."""
        return self.slots[name].offset // 8

    def __getitem__(self, name: str) -> int:
        """Byte offset."""
        return self.slots[name].offset


@dataclass(frozen=True)
class Row:
    """One form of instruction.

    name: unique in the ISA.  section: of the manual.  semantics: see emitter.  ends: it ends a
    block.  pattern: of the decoder below; an ISA with its own decoder leaves it empty.
    """

    name: str
    pattern: str
    section: str
    semantics: Callable[[Any, Any], None]
    ends: bool = False
    where: Callable[[Mapping[str, int]], bool] | None = None  # further condition on its fields


@dataclass
class Instruction:
    """One decoded instruction.

    constants: fields that are part of the stencil's key.  fields: the others.  pc: its address.
    length: in bytes.  target: guest address of *taken*, for rows that end a block by it.  careful:
    its accesses may go over the end of a page.
    """

    row: Row
    constants: tuple[tuple[str, Constant], ...]
    fields: dict[str, int]
    pc: int = 0
    length: int = 4
    target: int | None = None
    careful: bool = False
    key: tuple = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.row.name, self.constants, self.careful)

    def with_constants(self, **more: Constant) -> "Instruction":
        """The same with further constants."""
        constants = (*self.constants, *more.items())
        return replace(self, constants=constants)

    def made_careful(self) -> "Instruction":
        """The same for accesses over the end of a page."""
        return replace(self, careful=True)

    def constant_fields(self) -> SimpleNamespace:
        """The constants, for the semantics function."""
        return SimpleNamespace(**dict(self.constants))


class Pattern:
    """Mask, value and fields of a pattern of 32 characters, blanks aside.

    0, 1: fixed bits.  A capital letter: a constant field, part of the key.  A small letter: a hole.
    """

    def __init__(self, text: str) -> None:
        bits = text.replace(" ", "")
        if len(bits) != WORD_BITS:
            raise ValueError(f"pattern {text!r} has {len(bits)} characters, need {WORD_BITS}")
        self.mask = int("".join("1" if c in "01" else "0" for c in bits), 2)
        self.value = int("".join("1" if c == "1" else "0" for c in bits), 2)
        self.fields: dict[str, list[int]] = {}
        for place, letter in enumerate(bits):
            if letter not in "01":
                self.fields.setdefault(letter, []).append(WORD_BITS - 1 - place)

    def extract(self, word: int) -> dict[str, int]:
        """Fields of a word that matches."""
        found = {}
        for letter, places in self.fields.items():
            number = 0
            for place in places:
                number = number << 1 | (word >> place & 1)
            found[letter] = number
        return found


class WordDecoder:
    """Finds the row of a 32-bit word.  The first row that matches wins."""

    TOP_SHIFT = 21  # rows are looked for by the bits from here up

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        names = [row.name for row in self.rows]
        assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
        self.patterns = {row.name: Pattern(row.pattern) for row in self.rows}
        self._by_top: dict[int, list[tuple[Row, Pattern]]] = {}

    def _candidates(self, top: int) -> list[tuple[Row, Pattern]]:
        found = self._by_top.get(top)
        if found is None:
            found = []
            for row in self.rows:
                pattern = self.patterns[row.name]
                if (pattern.value ^ top << self.TOP_SHIFT) & pattern.mask >> self.TOP_SHIFT << (
                    self.TOP_SHIFT
                ) == 0:
                    found.append((row, pattern))
            self._by_top[top] = found
        return found

    def decode(self, word: int) -> Instruction | None:
        """The instruction, without pc and target."""
        for row, pattern in self._candidates(word >> self.TOP_SHIFT):
            if word & pattern.mask == pattern.value:
                fields = pattern.extract(word)
                if row.where is None or row.where(fields):
                    constants = tuple((k, v) for k, v in fields.items() if k.isupper())
                    return Instruction(row, constants, fields)
        return None
