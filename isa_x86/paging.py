"""Page tables of x86-64: 4-level paging, and 5-level paging (LA57).

Source: Intel SDM volume 3A, chapter "Paging", section "4-Level Paging and 5-Level Paging" (edition
2023), tables of the formats of PML5E, PML4E, PDPTE, PDE and PTE.  Control registers that go with
it: CR0.WP, EFER.NXE, CR4.LA57.
"""

from cosim.bits import BitLayout, F
from cosim.paging import EntryForm, Level, PagingFormat, Protection

SOURCE = "Intel SDM vol. 3A, 4-Level Paging and 5-Level Paging: "


def _table_layout(name: str) -> BitLayout:
    return BitLayout(name, 64, SOURCE + f"format of a {name} that references a table", (
        # name             low width meaning
        F("present",         0,  1, "1: the entry is valid"),
        F("writable",        1,  1, "0: no stores below"),
        F("user",            2,  1, "1: user code may use what is below"),
        F("write_through",   3,  1, "PWT"),
        F("cache_disable",   4,  1, "PCD"),
        F("accessed",        5,  1, "set by hardware; written as 1 by the kernels here"),
        F("ignored_low",     6,  1, "ignored"),
        F("page_size",       7,  1, "0: references a table (reserved in PML5E and PML4E)"),
        F("ignored_high",    8,  4, "ignored (bit 11: HLAT restart)"),
        F("frame",          12, 40, "physical address bits 51:12 of the table"),
        F("available",      52, 11, "ignored"),
        F("execute_disable", 63, 1, "1: no instruction fetches below (EFER.NXE = 1)"),
    ))


def _page_layout(name: str, low: int) -> BitLayout:
    """Layout of an entry that maps memory; `low` is its lowest frame bit (30, 21 or 12)."""
    hole = () if low == 12 else (
        F("pat",            12,  1, "PAT"),
        F("reserved",       13, low - 13, "must be zero"),
    )
    seventh = "pat" if low == 12 else "page_size"
    return BitLayout(name, 64, SOURCE + f"format of a {name} that maps a page", (
        F("present",         0,  1, "1: the entry is valid"),
        F("writable",        1,  1, "0: stores fault, in ring 0 too when CR0.WP = 1"),
        F("user",            2,  1, "1: user code may access the page"),
        F("write_through",   3,  1, "PWT"),
        F("cache_disable",   4,  1, "PCD"),
        F("accessed",        5,  1, "set by hardware; written as 1 by the kernels here"),
        F("dirty",           6,  1, "set by hardware; written as 1 by the kernels here"),
        F(seventh,           7,  1, "PAT in a PTE, page size (1: maps memory) above"),
        F("global_page",     8,  1, "kept over address-space switches when CR4.PGE = 1"),
        F("ignored",         9,  3, "ignored"),
        *hole,
        F("frame",         low, 52 - low, "physical address bits of the page"),
        F("available",      52,  7, "ignored"),
        F("protection_key", 59,  4, "key, when CR4.PKE = 1"),
        F("execute_disable", 63, 1, "1: no instruction fetches (EFER.NXE = 1)"),
    ))


RIGHTS = {
    Protection.READ: {"user": 1},
    Protection.WRITE: {"writable": 1},
    Protection.EXECUTE: {"execute_disable": 0},
}
VALID = {"present": 1}
TABLE_FIXED = {"present": 1, "accessed": 1}
PAGE_FIXED = {"present": 1, "accessed": 1, "dirty": 1}

PML5E = _table_layout("PML5E")
PML4E = _table_layout("PML4E")
PDPTE = _table_layout("PDPTE")
PDE = _table_layout("PDE")
PDPTE_1G = _page_layout("PDPTE", 30)
PDE_2M = _page_layout("PDE", 21)
PTE = _page_layout("PTE", 12)


def _table(layout: BitLayout) -> EntryForm:
    return EntryForm(layout, TABLE_FIXED, {"page_size": 0}, (("frame", 12),), RIGHTS)


def _large(layout: BitLayout, low: int) -> EntryForm:
    fixed = {**PAGE_FIXED, "page_size": 1}
    return EntryForm(layout, fixed, {"page_size": 1}, (("frame", low),), RIGHTS)


LEVELS_4 = (
    Level("PML4", 39, 9, VALID, _table(PML4E), None),
    Level("PDPT", 30, 9, VALID, _table(PDPTE), _large(PDPTE_1G, 30)),
    Level("PD", 21, 9, VALID, _table(PDE), _large(PDE_2M, 21)),
    Level("PT", 12, 9, VALID, None, EntryForm(PTE, PAGE_FIXED, {}, (("frame", 12),), RIGHTS)),
)
LEVELS_5 = (Level("PML5", 48, 9, VALID, _table(PML5E), None), *LEVELS_4)

# Number of levels -> format.  user_bits: the lower canonical half.
FORMATS = {
    4: PagingFormat("x86-64 4-level paging", LEVELS_4, 47),
    5: PagingFormat("x86-64 5-level paging", LEVELS_5, 56),
}
