"""The page walk as compiled code: one walker for every page-table format, driven by words made from
the format.

Entries are read straight from physical memory, each address being checked against its size first.
The walk has no effect on simulated state: it charges nothing and sets no accessed or dirty bits
(kernels write those as already set).
"""

from enum import IntEnum

import numpy as np

from cosim.compiled import kernel, load_word
from cosim.paging import EntryForm, Level, PagingFormat, Protection


class Walk(IntEnum):
    """Outcome of a walk."""

    MAPPED = 0
    ABSENT = 1  # no valid entry, or an address no table can hold
    OUTSIDE = 2  # an entry points outside physical memory


class LevelWord(IntEnum):
    """Words of one level in the walk table; two forms (table, page) follow, see FormWord."""

    SHIFT = 0
    INDEX_MASK = 1
    VALID_MASK = 2
    VALID_VALUE = 3
    TABLE_FORM = 4
    PAGE_FORM = 18


class FormWord(IntEnum):
    """Words of one entry form.  A MASK and VALUE pair is the condition (entry & mask) == value.

    The physical address is made of two parts, each ((entry & mask) >> right) << left.
    """

    TEST_MASK = 0
    TEST_VALUE = 1
    PART0_MASK = 2
    PART0_RIGHT = 3
    PART0_LEFT = 4
    PART1_MASK = 5
    PART1_RIGHT = 6
    PART1_LEFT = 7
    READ_MASK = 8
    READ_VALUE = 9
    WRITE_MASK = 10
    WRITE_VALUE = 11
    EXECUTE_MASK = 12
    EXECUTE_VALUE = 13


HEADER_WORDS = 2  # number of levels; width of a user address in bits
LEVEL_WORDS = 32
FORM_WORDS = 14
RIGHTS = (Protection.READ, Protection.WRITE, Protection.EXECUTE)


def _form_words(form: EntryForm | None) -> list[int]:
    """FORM_WORDS words; an absent form gets a condition that never holds."""
    if form is None:
        return [0, 1] + [0] * (FORM_WORDS - 2)
    words = list(_condition(form, form.test))
    parts = [*form.frame, None][:2]
    for part in parts:
        field = form.layout.by_name[part[0]] if part else None
        words += [field.mask, field.low, part[1]] if field and part else [0, 0, 0]
    for right in RIGHTS:
        words += _condition(form, form.rights[right])
    return words


def _condition(form: EntryForm, fields) -> tuple[int, int]:
    """(mask, value) of a mapping field name -> required value."""
    mask = value = 0
    for name, wanted in fields.items():
        field = form.layout.by_name[name]
        mask |= field.mask
        value |= wanted << field.low
    return mask, value


def _level_words(level: Level) -> list[int]:
    form = level.table or level.page
    assert form is not None
    valid = _condition(form, level.valid)
    head = [level.shift, level.entries - 1, *valid]
    return head + _form_words(level.table) + _form_words(level.page)


def walk_table(paging: PagingFormat) -> np.ndarray:
    """The format as (HEADER_WORDS + levels * LEVEL_WORDS,) u64, for `walk`."""
    words = [len(paging.levels), paging.user_bits]
    for level in paging.levels:
        words += _level_words(level)
    return np.array(words, dtype=np.uint64)


# Constants of the compiled code, all u64 so that no address is ever typed as signed.
ZERO = np.uint64(0)
ONE = np.uint64(1)
EIGHT = np.uint64(8)
TABLE_AT = np.uint64(LevelWord.TABLE_FORM * 8)
PAGE_AT = np.uint64(LevelWord.PAGE_FORM * 8)
LEVELS_AT = np.uint64(HEADER_WORDS * 8)
LEVEL_BYTES = np.uint64(LEVEL_WORDS * 8)
ALL_RIGHTS = np.uint64(7)
READ = np.uint64(Protection.READ)
WRITE = np.uint64(Protection.WRITE)
EXECUTE = np.uint64(Protection.EXECUTE)
MAPPED = np.uint64(Walk.MAPPED)
ABSENT = np.uint64(Walk.ABSENT)
OUTSIDE = np.uint64(Walk.OUTSIDE)


@kernel
def word(address, index):
    """The u64 number `index` of the table at host `address`."""
    return load_word(address + np.uint64(index) * EIGHT)


@kernel
def holds(form, index, entry):
    """True when the condition with its mask in word `index` of the form at `form` holds."""
    return (entry & word(form, index)) == word(form, index + 1)


@kernel
def form_physical(form, entry):
    """Physical byte address in `entry`, u64."""
    low = ((entry & word(form, 2)) >> word(form, 3)) << word(form, 4)
    high = ((entry & word(form, 5)) >> word(form, 6)) << word(form, 7)
    return low | high


@kernel
def form_rights(form, entry):
    """Rights (Protection bits, u64) that `entry` grants."""
    rights = ZERO
    if holds(form, 8, entry):
        rights |= READ
    if holds(form, 10, entry):
        rights |= WRITE
    if holds(form, 12, entry):
        rights |= EXECUTE
    return rights


@kernel
def walk(table, base, size, root, address):
    """Translate the user virtual byte `address`: (Walk, physical byte address, Protection bits).

    All u64.  table: host address of a `walk_table`.  base, size: host address and bytes of physical
    memory.  root: physical byte address of the root table.  Writes nothing.  OUTSIDE: physical =
    the offending address.
    """
    if address >> word(table, 1) != ZERO:
        return ABSENT, ZERO, ZERO
    rights = ALL_RIGHTS
    frame = root
    level = table + LEVELS_AT
    for _ in range(word(table, 0)):
        at = frame + ((address >> word(level, 0)) & word(level, 1)) * EIGHT
        if at >= size:
            return OUTSIDE, at, ZERO
        entry = load_word(base + at)
        if not holds(level, 2, entry):
            return ABSENT, ZERO, ZERO
        if holds(level + TABLE_AT, 0, entry):
            rights &= form_rights(level + TABLE_AT, entry)
            frame = form_physical(level + TABLE_AT, entry)
        elif holds(level + PAGE_AT, 0, entry):
            rights &= form_rights(level + PAGE_AT, entry)
            offset = address & ((ONE << word(level, 0)) - ONE)
            physical = form_physical(level + PAGE_AT, entry) | offset
            if physical >= size:
                return OUTSIDE, physical, ZERO
            return MAPPED, physical, rights
        else:
            return ABSENT, ZERO, ZERO
        level += LEVEL_BYTES
    return ABSENT, ZERO, ZERO
