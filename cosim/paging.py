"""Page-table formats as data: levels, entry layouts and protection rules, shared by kernels and the
page walker.

A format is a tuple of levels, root first.  Each level says how an entry that points at another
table and an entry that maps memory look: the layout, which field values tell them apart, where the
frame address sits, and which fields grant which right.  Rights are granted only when every level on
the way grants them.  A zero entry is never valid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from cosim.bits import BitLayout


class Protection(IntFlag):
    """Rights of user code on a page; the first three have the values of Linux' PROT_*."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4


class EntryKind(IntEnum):
    """What one table entry is."""

    INVALID = 0
    TABLE = 1
    PAGE = 2


@dataclass(frozen=True)
class EntryForm:
    """One shape of an entry.

    fixed: fields every entry of this shape has, written by encode.  test: those of them (or others)
    that identify the shape among valid entries.  frame: (field, lowest physical address bit it
    holds) pairs.  rights: right -> field values that grant it; each named field is one bit wide.
    """

    layout: BitLayout
    fixed: Mapping[str, int]
    test: Mapping[str, int]
    frame: tuple[tuple[str, int], ...]
    rights: Mapping[Protection, Mapping[str, int]]

    def encode(self, physical: int, protection: Protection) -> int:
        """Entry for the table or page at `physical`.  ValueError when the address does not fit."""
        values = dict(self.fixed)
        for right, fields in self.rights.items():
            for name, granting in fields.items():
                values[name] = granting if protection & right else 1 - granting
        rest = physical
        for name, low in self.frame:
            part = (physical >> low) & ((1 << self.layout.by_name[name].width) - 1)
            values[name] = part
            rest &= ~(part << low)
        if rest:
            raise ValueError(
                f"{self.layout.name}: {physical:#x} cannot be encoded, bits {rest:#x} are left"
            )
        return self.layout.encode(**values)

    def matches(self, entry: int) -> bool:
        """True when `entry` has this form."""
        return all(self.layout.get(entry, name) == value for name, value in self.test.items())

    def physical(self, entry: int) -> int:
        """Byte address of the frame the entry points at."""
        return sum(self.layout.get(entry, name) << low for name, low in self.frame)

    def protection(self, entry: int) -> Protection:
        """Rights this entry alone grants."""
        granted = Protection.NONE
        for right, fields in self.rights.items():
            if all(self.layout.get(entry, name) == value for name, value in fields.items()):
                granted |= right
        return granted


@dataclass(frozen=True)
class Level:
    """One level: index = (virtual >> shift) & (2**bits - 1).

    valid: field values of any valid entry, looked up in the layout of `page` or, where no page can
    be mapped, of `table`.  table: None at the last level.  page: None where the level cannot map
    memory.
    """

    name: str
    shift: int
    bits: int
    valid: Mapping[str, int]
    table: EntryForm | None
    page: EntryForm | None

    @property
    def entries(self) -> int:
        """Entries of a table of this level."""
        return 1 << self.bits

    def index(self, virtual: int) -> int:
        """Entry number for a virtual byte address."""
        return (virtual >> self.shift) & (self.entries - 1)

    def decode(self, entry: int) -> tuple[EntryKind, int, Protection]:
        """(kind, physical byte address, rights granted here) of an entry."""
        form = self.table or self.page
        assert form is not None
        if any(form.layout.get(entry, name) != value for name, value in self.valid.items()):
            return EntryKind.INVALID, 0, Protection.NONE
        for kind, shape in ((EntryKind.TABLE, self.table), (EntryKind.PAGE, self.page)):
            if shape is not None and shape.matches(entry):
                return kind, shape.physical(entry), shape.protection(entry)
        return EntryKind.INVALID, 0, Protection.NONE


@dataclass(frozen=True)
class PagingFormat:
    """A whole page-table format.

    name: as in the manual.  levels: root first.  user_bits: width of a user virtual address; higher
    bits must be zero.
    """

    name: str
    levels: tuple[Level, ...]
    user_bits: int

    def encode_table(self, level: int, physical: int) -> int:
        """Entry of level number `level` (0 = root) for the next table, granting everything."""
        form = self.levels[level].table
        assert form is not None, f"{self.name}: {self.levels[level].name} entries point at no table"
        return form.encode(physical, Protection.READ | Protection.WRITE | Protection.EXECUTE)

    def encode_page(self, physical: int, protection: Protection) -> int:
        """Last-level entry for the page at `physical`, user, already accessed and dirty."""
        form = self.levels[-1].page
        assert form is not None
        return form.encode(physical, Protection(protection))

    def decode(self, level: int, entry: int) -> tuple[EntryKind, int, Protection]:
        """(kind, physical byte address, rights) of an entry of level number `level`."""
        return self.levels[level].decode(entry)
