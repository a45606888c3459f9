"""Bit fields as tables: one BitLayout per architected word, tiled exactly, checked when it is
declared.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class F(NamedTuple):
    """One field: name, lowest bit, width in bits, meaning."""

    name: str
    low: int
    width: int
    meaning: str

    @property
    def mask(self) -> int:
        """Mask in place."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class BitLayout:
    """A word of `width` bits made of `fields` that cover every bit exactly once.

    source: the manual and section the table was written from.
    Raises ValueError when fields overlap or leave a hole.
    """

    name: str
    width: int
    source: str
    fields: tuple[F, ...]
    by_name: dict[str, F] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at = 0
        for item in sorted(self.fields, key=lambda f: f.low):
            if item.low != at:
                raise ValueError(
                    f"{self.name}: field {item.name!r} starts at bit {item.low}, expected {at}"
                )
            at += item.width
        if at != self.width:
            raise ValueError(f"{self.name}: fields cover {at} bits, the word has {self.width}")
        object.__setattr__(self, "by_name", {item.name: item for item in self.fields})

    def encode(self, **values: int) -> int:
        """The word with the named fields set, others zero.  ValueError: a value does not fit."""
        word = 0
        for name, value in values.items():
            item = self.by_name[name]
            if value >> item.width:
                raise ValueError(
                    f"{self.name}.{name}: {value:#x} does not fit in {item.width} bits"
                )
            word |= value << item.low
        return word

    def decode(self, word: int) -> dict[str, int]:
        """Every field of `word` by name."""
        return {f.name: (word & f.mask) >> f.low for f in self.fields}

    def get(self, word: int, name: str) -> int:
        """One field of `word`."""
        item = self.by_name[name]
        return (word & item.mask) >> item.low

    def put(self, word: int, name: str, value: int) -> int:
        """`word` with one field replaced."""
        item = self.by_name[name]
        return (word & ~item.mask) | (value << item.low)
