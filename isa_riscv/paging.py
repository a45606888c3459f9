"""Page tables of RISC-V: Sv48 and Sv57.

Source: RISC-V Privileged Architecture, chapter "Supervisor-Level ISA", sections "Sv39: Page-Based
39-bit Virtual-Memory System" (which defines the bits of all entries), "Sv48" and "Sv57".

An entry with R = W = X = 0 points at a table, so a page without any right cannot be written that
way.  The kernels here set R in every page and take U away instead, as x86-64 does with its user
bit: a page that user code may not read is one of the supervisor's.
"""

from cosim.bits import BitLayout, F
from cosim.paging import EntryForm, Level, PagingFormat, Protection

SOURCE = "RISC-V Privileged Architecture, Sv48 and Sv57: "


def _layout(name: str, low: int, meaning: str) -> BitLayout:
    """Layout of an entry whose frame number begins with address bit `low`."""
    hole = () if low == 12 else (F("misaligned", 10, low - 12, "zero: a large page is aligned"),)
    return BitLayout(name, 64, SOURCE + f"{name} that {meaning}", (
        # name             low width meaning
        F("valid",           0,  1, "V: 1: the entry is valid"),
        F("read",            1,  1, "R"),
        F("write",           2,  1, "W (with R = 0: reserved)"),
        F("execute",         3,  1, "X"),
        F("user",            4,  1, "U: 1: user code may access the page; zero in tables"),
        F("global_page",     5,  1, "G: in all address spaces"),
        F("accessed",        6,  1, "A: 0 faults; written as 1 by the kernels here"),
        F("dirty",           7,  1, "D: 0: a store faults; zero in tables"),
        F("software",        8,  2, "RSW: for the operating system"),
        *hole,
        F("frame",      low - 2, 56 - low, "PPN: physical address bits"),
        F("reserved",       54,  7, "zero"),
        F("memory_type",    61,  2, "PBMT (Svpbmt): 0: main memory"),
        F("contiguous",     63,  1, "N (Svnapot)"),
    ))


POINTER = {"read": 0, "write": 0, "execute": 0}
TABLE_RIGHTS: dict[Protection, dict[str, int]] = {  # tables grant everything
    Protection.READ: {},
    Protection.WRITE: {},
    Protection.EXECUTE: {},
}
PAGE_RIGHTS = {
    Protection.READ: {"user": 1},
    Protection.WRITE: {"write": 1, "dirty": 1},
    Protection.EXECUTE: {"execute": 1},
}
VALID = {"valid": 1}


def _table(name: str) -> EntryForm:
    layout = _layout(name, 12, "points at a table")
    return EntryForm(layout, {"valid": 1}, POINTER, (("frame", 12),), TABLE_RIGHTS)


def _page(name: str, low: int) -> EntryForm:
    """A page (low = 12) or large page; both must be accessed, and readable by the supervisor."""
    test = {"read": 1, "accessed": 1}
    if low > 12:
        test["misaligned"] = 0
    layout = _layout(name, low, "maps memory")
    return EntryForm(layout, {"valid": 1, **test}, test, (("frame", low),), PAGE_RIGHTS)


def _level(number: int) -> Level:
    """Level `number` as the manual counts them: 0 is the last."""
    name, low = f"level {number}", 12 + 9 * number
    return Level(name, low, 9, VALID, _table(name) if number else None, _page(name, low))


# Number of levels -> format.  user_bits: the lower half of the sign-extended addresses.
FORMATS = {
    4: PagingFormat("Sv48", tuple(_level(number) for number in (3, 2, 1, 0)), 47),
    5: PagingFormat("Sv57", tuple(_level(number) for number in (4, 3, 2, 1, 0)), 56),
}
