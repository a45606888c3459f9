"""Bytes of x86-64 to forms: patterns, prefixes, ModRM, SIB, immediates.

A pattern is words in the order of the bytes:

- `np`, `66`, `f3`, `f2`: the prefix is part of the opcode (np: none of them); without one of these, 66
  selects the operand size and f2, f3 are not allowed;
- `rep`: f2 and f3 are ignored; `lock`: the lock prefix is allowed;
- `0f`, `0f38`, `0f3a`: the opcode map;
- eight characters: the opcode; a capital letter is a constant field, a small one a hole;
- `/r` or `/0` ... `/7`: ModRM; `/O`: ModRM.reg is the constant field O; with `m` or `r` behind it, only
  memory or only a register;
- `ib`, `iz`, `iw`, `iv`: an immediate of 1 byte, of operand size but at most 4 bytes (both
  sign-extended), of 2 bytes, of operand size; `cb`: 1 byte, the constant I; `jb`, `jz`: a distance of 1 or 4 bytes;
- `d64`: the operand size is 64 without REX.W; `w64`: REX.W must be set; `byte`: it is 8; `rm8`: that of
  ModRM.rm is 8;
- `v`: an XMM register is among the operands; `again`: *taken* is the instruction itself.

Source: Intel SDM volume 2, chapter 2 and 3.1.1, appendix A.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cosim.engine.native.table import Instruction, Row
from isa_x86.instructions.layout import (
    ABSOLUTE,
    BASE,
    HIGH_BYTE,
    INDEX,
    NO_REGISTER,
    REGISTER,
    SMALL,
    WIDE_DISPLACEMENT,
    WIDE_IMMEDIATE,
)

MAPS = ("0f", "0f38", "0f3a")
MANDATORY = {"np": 0, "66": 0x66, "f3": 0xF3, "f2": 0xF2}
IMMEDIATES = ("ib", "iz", "iw", "iv", "cb")
LOCK, FS, SIZE = 0xF0, 0x64, 0x66
REPEATS = (0xF2, 0xF3)
IGNORED_SEGMENTS = (0x2E, 0x36, 0x3E, 0x26)
ESCAPE = 0x0F
MOST_BYTES = 15
WORD = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True)
class Flagged(Row):
    """A form, and what it does with flags.

    flags: see flags.Effect; None: nothing.  leaves: it may be left to Unicorn even with register operands.
    """

    flags: object = None
    leaves: bool = False


class Pattern:
    """One parsed pattern; see the module's text."""

    def __init__(self, text: str) -> None:
        self.words = text.split()
        self.mandatory: int | None = None
        self.map = ""
        self.modrm = ""
        self.only = ""
        self.immediate = ""
        self.distance = ""
        self.opcode = ""
        for word in self.words:
            if word in MANDATORY:
                self.mandatory = MANDATORY[word]
            elif word in MAPS:
                self.map = word
            elif word[0] == "/":
                self.modrm, self.only = word[1], word[2:]
            elif word in IMMEDIATES:
                self.immediate = word
            elif word in ("jb", "jz"):
                self.distance = word
            elif len(word) == 8:
                self.opcode = word
            elif word not in (
                "rep", "lock", "d64", "w64", "v", "byte", "rm8", "again",
            ):  # fmt: skip
                raise ValueError(f"pattern {text!r}: {word!r} is not known")
        self.repeat, self.lock, self.d64, self.w64, self.vector, self.byte, self.rm8, self.again = (
            word in self.words
            for word in ("rep", "lock", "d64", "w64", "v", "byte", "rm8", "again")
        )
        self.mask = int("".join("1" if c in "01" else "0" for c in self.opcode), 2)
        self.value = int("".join("1" if c == "1" else "0" for c in self.opcode), 2)
        self.letters = {
            letter: [7 - at for at, c in enumerate(self.opcode) if c == letter]
            for letter in sorted(set(self.opcode) - {"0", "1"})
        }

    def letter(self, name: str, opcode: int) -> int:
        """A field of the opcode."""
        number = 0
        for place in self.letters[name]:
            number = number << 1 | (opcode >> place & 1)
        return number


class Cursor:
    """Bytes read one after the other.  IndexError at their end."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.at = 0

    def byte(self) -> int:
        """The next byte."""
        self.at += 1
        return self.code[self.at - 1]

    def signed(self, length: int) -> int:
        """The next bytes as a signed number."""
        if self.at + length > len(self.code):
            raise IndexError
        self.at += length
        return int.from_bytes(self.code[self.at - length : self.at], "little", signed=True)


class Head:
    """Prefixes and opcode of an instruction."""

    def __init__(self, cursor: Cursor) -> None:
        self.size = self.repeat = self.rex = self.lock = self.fs = 0
        self.usual = True  # no prefix that has no meaning here
        while True:
            byte = cursor.byte()
            if byte == SIZE:
                self.size = 1
            elif byte in REPEATS:
                self.repeat = byte
            elif byte == LOCK:
                self.lock = 1
            elif byte == FS:
                self.fs = 1
            elif byte in (0x65, 0x67):
                self.usual = False
            elif byte not in IGNORED_SEGMENTS:
                break
        if byte & 0xF0 == 0x40:
            self.rex = byte
            byte = cursor.byte()
            self.usual &= byte & 0xF0 != 0x40
        self.map = ""
        if byte == ESCAPE:
            byte = cursor.byte()
            self.map = "0f"
            if byte in (0x38, 0x3A):
                self.map = f"0f{byte:x}"
                byte = cursor.byte()
        self.opcode = byte

    def allows(self, pattern: Pattern) -> bool:
        """The prefixes fit."""
        if self.lock and not pattern.lock or pattern.w64 and not self.rex & 8:
            return False
        if pattern.mandatory is None:
            return not self.repeat or pattern.repeat
        if pattern.mandatory in REPEATS:
            return self.repeat == pattern.mandatory
        return not self.repeat and self.size == (pattern.mandatory == SIZE)


class Decoder:
    """Finds the row of an instruction.  The first row that matches wins."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        names = [row.name for row in self.rows]
        assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
        self.patterns = {row.name: Pattern(row.pattern) for row in self.rows}
        self._by_opcode: dict[tuple[str, int], list[tuple[Row, Pattern]]] = {}
        for row in self.rows:
            pattern = self.patterns[row.name]
            for opcode in range(256):
                if opcode & pattern.mask == pattern.value:
                    self._by_opcode.setdefault((pattern.map, opcode), []).append((row, pattern))

    def decode(self, code: bytes, pc: int) -> Instruction | None:
        """The instruction at the start of `code`; None: no row, or its end is not there."""
        cursor = Cursor(code[:MOST_BYTES])
        try:
            head = Head(cursor)
            if not head.usual:
                return None
            for row, pattern in self._by_opcode.get((head.map, head.opcode), ()):
                if head.allows(pattern):
                    start = cursor.at
                    found = _operands(row, pattern, head, cursor, pc)
                    if found is not None:
                        return found
                    cursor.at = start
        except IndexError:
            pass
        return None

    def name_of(self, code: bytes) -> str:
        """Prefix, map, opcode and ModRM.reg of a form without a row."""
        cursor = Cursor(code[:MOST_BYTES])
        try:
            head = Head(cursor)
            names = [f"{head.repeat:02x}"] if head.repeat else []
            names += ["66"] * head.size + ["lock"] * head.lock + [head.map] * bool(head.map)
            names += [f"{head.opcode:02x}", f"/{cursor.byte() >> 3 & 7}"]
            return " ".join(names)
        except IndexError:
            return "end of page"


def _operands(
    row: Row, pattern: Pattern, head: Head, cursor: Cursor, pc: int
) -> Instruction | None:
    constants: dict[str, int] = {}
    fields: dict[str, int] = {}
    for letter in pattern.letters:
        (constants if letter.isupper() else fields)[letter] = pattern.letter(letter, head.opcode)
    # Z: the bit of the opcode that means bytes.
    size = constants["S"] = _operand_size(pattern, head, constants.pop("Z", 1) == 0)
    relative = False
    if "r" in fields:
        fields["r"] = _register(fields["r"], head.rex & 1, size, head.rex, pattern.vector)
    if pattern.modrm:
        modrm = cursor.byte()
        number, memory = modrm >> 3 & 7, modrm < 0xC0
        if pattern.only and (pattern.only == "m") != memory:
            return None
        if pattern.modrm == "O":
            constants["O"] = number
        elif pattern.modrm != "r" and int(pattern.modrm) != number:
            return None
        else:
            fields["reg"] = _register(number, head.rex >> 2 & 1, size, head.rex, pattern.vector)
        if memory:
            relative = _memory(modrm, head, cursor, constants, fields)
        else:
            constants["A"] = REGISTER
            rm_size = 8 if pattern.rm8 else size
            fields["rm"] = _register(modrm & 7, head.rex & 1, rm_size, head.rex, pattern.vector)
        constants["L"] = head.lock
    if head.fs and not pattern.modrm or head.lock and constants.get("A", REGISTER) == REGISTER:
        return None
    if pattern.immediate:
        _immediate(pattern, size, cursor, constants, fields)
    if row.where is not None and not row.where({**constants, **fields}):
        return None
    distance = cursor.signed(1 if pattern.distance == "jb" else 4) if pattern.distance else None
    if relative:
        fields["disp"] = fields["disp"] + pc + cursor.at & WORD
    constants["W"] = sum(
        wide
        for name, wide in (("disp", WIDE_DISPLACEMENT), ("imm", WIDE_IMMEDIATE))
        if not -SMALL <= fields.get(name, 0) < SMALL
    )
    found = Instruction(row, tuple(constants.items()), fields, pc, cursor.at)
    if distance is not None:
        found.target = pc + cursor.at + distance & WORD
    if pattern.again:
        found.target = pc
    return found


def _operand_size(pattern: Pattern, head: Head, of_bytes: bool) -> int:
    """In bits."""
    if of_bytes or pattern.byte:
        return 8
    if head.rex & 8 or pattern.d64 and not head.size:
        return 64
    return 16 if head.size and not pattern.vector else 32


def _immediate(
    pattern: Pattern, size: int, cursor: Cursor, constants: dict[str, int], fields: dict[str, int]
) -> None:
    """The number behind the operands: a hole, or a constant for forms that differ by it ("cb")."""
    length = {"ib": 1, "cb": 1, "iw": 2}.get(pattern.immediate, min(size // 8, 4))
    if pattern.immediate == "iv":
        length = size // 8
    number = cursor.signed(length)
    if pattern.immediate == "cb":
        constants["I"] = number & 0xFF
    else:
        fields["imm"] = number


def _register(number: int, extension: int, size: int, rex: int, vector: bool) -> int:
    if size == 8 and not rex and number >= 4 and not vector:
        return number - 4 + HIGH_BYTE
    return number | extension << 3


def _memory(
    modrm: int, head: Head, cursor: Cursor, constants: dict[str, int], fields: dict[str, int]
) -> bool:
    """The operand in memory; True when its displacement is relative to the next instruction."""
    mode, low = modrm >> 6, modrm & 7
    base, kind = low | (head.rex & 1) << 3, BASE
    constants["G"] = head.fs
    if low == 4:
        sib = cursor.byte()
        index = sib >> 3 & 7 | (head.rex & 2) << 2
        low = sib & 7
        base = low | (head.rex & 1) << 3
        if index != 4:
            kind, fields["index"] = INDEX + (sib >> 6), index
        if low == 5 and mode == 0:
            base = NO_REGISTER
            if kind == BASE:
                kind = ABSOLUTE
            mode = 2
    elif low == 5 and mode == 0:
        constants["A"] = ABSOLUTE
        fields["disp"] = cursor.signed(4)
        return True
    fields["disp"] = cursor.signed((0, 1, 4)[mode]) if mode else 0
    constants["A"] = kind
    if kind != ABSOLUTE:
        fields["base"] = base
    return False
