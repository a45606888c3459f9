"""Words of 32 and of 16 bits to forms.

A pattern has a character per bit, blanks aside: 0 and 1 are fixed; a capital letter is a constant
field, a small one a hole.  In patterns of 16 bits a register of three bits is one of x8 to x15.
`immediate` says which bits the letters i are, as the manual writes it: imm[...] has a sign, uimm[...]
has none, and with nz in front zero is another instruction or none.

A compressed instruction *is* the one it expands to (20191213, 16.8), with its own length: only the
decoder knows about it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cosim.engine.native.table import WORD_BITS, Instruction, Pattern, Row

SHORT_BITS = 16
LONG = 3  # the two lowest bits of an instruction of 32 bits
LONG_KEY, SHORT_KEY = 0x707F, 0xE003  # bits that rows are looked for by
POPULAR = 8  # the first register that three bits can name
POPULAR_BITS = 3
IMMEDIATE = "i"


@dataclass(frozen=True)
class Form(Row):
    """A row of RISC-V.

    immediate: see above.  expands: what a compressed form is.  implied: further fields: a number,
    or the letter of a field that is the same.
    """

    immediate: str = ""
    expands: "Form | None" = None
    implied: Mapping[str, int | str] = field(default_factory=dict)


def compressed(
    name: str,
    pattern: str,
    section: str,
    expands: Form,
    immediate: str = "",
    where: Callable[[Mapping[str, int]], bool] | None = None,
    **implied: int | str,
) -> Form:
    """A row of 16 bits."""
    return Form(
        name, pattern, section, expands.semantics, expands.ends, where, immediate, expands, implied
    )


class Immediate:
    """How the bits of an immediate become a number, from the manual's text."""

    def __init__(self, text: str) -> None:
        """text: for example "nzuimm[5:4|9:6|2|3]"."""
        head, _, rest = text.rstrip("]").partition("[")
        self.nonzero = head.startswith("nz")
        self.has_sign = not head.endswith("uimm")
        self.places: list[int] = []
        for part in rest.split("|"):
            first, _, last = part.partition(":")
            self.places += range(int(first), int(last or first) - 1, -1)

    def number(self, bits: int) -> int:
        """The number of the encoding's bits, the first of the pattern highest."""
        found = 0
        for at, place in enumerate(reversed(self.places)):
            found |= (bits >> at & 1) << place
        top = 1 << max(self.places)
        return found - 2 * top if self.has_sign and found & top else found


class Shape:
    """One form, prepared."""

    def __init__(self, row: Form) -> None:
        text = row.pattern.replace(" ", "")
        self.row = row
        self.base = row.expands or row
        self.bits = len(text)
        self.pattern = Pattern(text.rjust(WORD_BITS, "."))
        self.immediate = Immediate(row.immediate) if row.immediate else None
        letters = self.pattern.fields
        count = len(letters.get(IMMEDIATE, ()))
        assert count == (len(self.immediate.places) if self.immediate else 0), row.name
        self.popular = [
            letter
            for letter in "dnm"
            if self.bits == SHORT_BITS and len(letters.get(letter, ())) == POPULAR_BITS
        ]

    def fields(self, word: int) -> dict[str, int] | None:
        """Of a word; None: it is another instruction."""
        if word & self.pattern.mask != self.pattern.value:
            return None
        found = self.pattern.extract(word)
        found.pop(".", None)
        for letter in self.popular:
            found[letter] += POPULAR
        if self.immediate:
            found[IMMEDIATE] = self.immediate.number(found[IMMEDIATE])
            if self.immediate.nonzero and found[IMMEDIATE] == 0:
                return None
        if self.row.where is not None and not self.row.where(found):
            return None
        for letter, value in self.row.implied.items():
            found[letter] = found[value] if isinstance(value, str) else value
        return found


class Decoder:
    """Finds the form of an instruction.  The first row that matches wins.

    shapes: by the row's name.
    """

    def __init__(self, rows: Iterable[Form]) -> None:
        self.shapes = {row.name: Shape(row) for row in rows}
        self._by_key: dict[int, list[Shape]] = {}

    def _candidates(self, key: int, mask: int, bits: int) -> list[Shape]:
        found = self._by_key.get(key)
        if found is None:
            found = [
                shape
                for shape in self.shapes.values()
                if shape.bits == bits
                and (shape.pattern.value ^ key) & shape.pattern.mask & mask == 0
            ]
            self._by_key[key] = found
        return found

    def match(self, code: bytes) -> tuple[Shape, dict[str, int]] | None:
        """The form at the start of `code`, and its fields."""
        word = int.from_bytes(code[:4], "little")
        if word & LONG == LONG:
            bits, mask = WORD_BITS, LONG_KEY
        else:
            bits, mask = SHORT_BITS, SHORT_KEY
        if 8 * len(code) < bits:
            return None
        for shape in self._candidates(word & mask, mask, bits):
            fields = shape.fields(word)
            if fields is not None:
                return shape, fields
        return None

    def decode(self, code: bytes) -> Instruction | None:
        """The instruction, without pc and target."""
        found = self.match(code)
        if found is None:
            return None
        shape, fields = found
        constants = tuple((k, v) for k, v in fields.items() if k.isupper())
        return Instruction(shape.base, constants, fields, length=shape.bits // 8)
