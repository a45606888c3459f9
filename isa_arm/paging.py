"""Page tables of AArch64: VMSAv8-64, 4 KiB granule, stage 1 of EL1&0, TTBR0.

Source: Arm Architecture Reference Manual DDI 0487 (issue J), chapter D8 "The AArch64 Virtual Memory
System Architecture", section D8.3 "Translation table descriptor formats".  4 levels: levels 0 to 3,
48-bit addresses.  5 levels: levels -1 to 3 with FEAT_LPA2 (TCR_EL1.DS = 1): 52-bit addresses, where
output address bits 51:50 sit in descriptor bits 9:8 instead of the shareability field.
"""

from cosim.bits import BitLayout, F
from cosim.paging import EntryForm, Level, PagingFormat, Protection

SOURCE = "Arm ARM DDI 0487J, D8.3: "


def _table_layout(name: str, wide: bool) -> BitLayout:
    """Table descriptor; wide: DS = 1 (LPA2)."""
    address = (
        F("ignored_low",     2,  6, "ignored"),
        F("frame_high",      8,  2, "address bits 51:50 of the next table"),
        F("ignored_middle", 10,  2, "ignored (bit 10: access flag when HAFT is used)"),
        F("frame",          12, 38, "address bits 49:12 of the next table"),
        F("ignored_high",   50,  9, "ignored"),
    ) if wide else (
        F("ignored_low",     2, 10, "ignored (bit 10: access flag when HAFT is used)"),
        F("frame",          12, 36, "address bits 47:12 of the next table"),
        F("reserved",       48,  3, "zero"),
        F("ignored_high",   51,  8, "ignored"),
    )
    return BitLayout(name, 64, SOURCE + "table descriptor" + (", DS = 1" if wide else ""), (
        # name             low width meaning
        F("valid",           0,  1, "0: translation fault"),
        F("table",           1,  1, "1: references a table"),
        *address,
        F("pxn_table",      59,  1, "1: EL1 may not execute what is below"),
        F("uxn_table",      60,  1, "1: EL0 may not execute what is below"),
        F("no_el0_table",   61,  1, "APTable[0]: 1: no EL0 access below"),
        F("read_only_table", 62, 1, "APTable[1]: 1: no stores below"),
        F("ns_table",       63,  1, "secure state only"),
    ))


def _page_layout(name: str, low: int, wide: bool) -> BitLayout:
    """Page or block descriptor with lowest address bit `low`; wide: DS = 1 (LPA2)."""
    hole = () if low == 12 else (F("block_zero", 12, low - 12, "zero (bit 16: nT)"),)
    share = (
        F("frame_high",      8,  2, "output address bits 51:50"),
    ) if wide else (
        F("shareability",    8,  2, "0b11: inner shareable"),
    )
    top = 50 if wide else 48
    reserved = () if wide else (F("reserved", 48, 2, "zero"),)
    kind = "page" if low == 12 else "block"
    return BitLayout(name, 64, SOURCE + f"{kind} descriptor" + (", DS = 1" if wide else ""), (
        F("valid",           0,  1, "0: translation fault"),
        F("table",           1,  1, "1: page (level 3), 0: block (levels above)"),
        F("attribute_index", 2,  3, "index into MAIR_EL1; 0: normal write-back memory"),
        F("non_secure",      5,  1, "secure state only"),
        F("el0_access",      6,  1, "AP[1]: 1: EL0 may access"),
        F("read_only",       7,  1, "AP[2]: 1: stores fault"),
        *share,
        F("accessed",       10,  1, "access flag; 0 faults; written as 1 by the kernels here"),
        F("not_global",     11,  1, "1: belongs to one ASID"),
        *hole,
        F("frame",         low, top - low, "output address"),
        *reserved,
        F("guarded",        50,  1, "branch target identification"),
        F("dirty_managed",  51,  1, "DBM"),
        F("contiguous",     52,  1, "hint"),
        F("pxn",            53,  1, "1: EL1 may not execute"),
        F("uxn",            54,  1, "1: EL0 may not execute"),
        F("software",       55,  4, "for the operating system"),
        F("attributes",     59,  4, "hardware attributes (PBHA)"),
        F("ignored",        63,  1, "ignored"),
    ))


TABLE_RIGHTS = {
    Protection.READ: {"no_el0_table": 0},
    Protection.WRITE: {"read_only_table": 0},
    Protection.EXECUTE: {"uxn_table": 0},
}
PAGE_RIGHTS = {
    Protection.READ: {"el0_access": 1},
    Protection.WRITE: {"read_only": 0},
    Protection.EXECUTE: {"uxn": 0},
}
VALID = {"valid": 1}


def _table(name: str, wide: bool) -> EntryForm:
    frame = (("frame", 12), ("frame_high", 50)) if wide else (("frame", 12),)
    fixed = {"valid": 1, "table": 1}
    return EntryForm(_table_layout(name, wide), fixed, {"table": 1}, frame, TABLE_RIGHTS)


def _page(name: str, low: int, wide: bool) -> EntryForm:
    """A page (low = 12) or block; the access flag must be set, so it is part of the test."""
    frame = (("frame", low), ("frame_high", 50)) if wide else (("frame", low),)
    test = {"table": 1 if low == 12 else 0, "accessed": 1}
    share = {} if wide else {"shareability": 3}
    fixed = {"valid": 1, "not_global": 1, "pxn": 1, **test, **share}
    return EntryForm(_page_layout(name, low, wide), fixed, test, frame, PAGE_RIGHTS)


def _levels(wide: bool) -> tuple[Level, ...]:
    """Levels 0 to 3, and -1 before them when `wide`."""
    lower = (
        Level("level 0", 39, 9, VALID, _table("level 0", wide),
              _page("level 0", 39, wide) if wide else None),
        Level("level 1", 30, 9, VALID, _table("level 1", wide), _page("level 1", 30, wide)),
        Level("level 2", 21, 9, VALID, _table("level 2", wide), _page("level 2", 21, wide)),
        Level("level 3", 12, 9, VALID, None, _page("level 3", 12, wide)),
    )
    if not wide:
        return lower
    return (Level("level -1", 48, 4, VALID, _table("level -1", wide), None), *lower)


# Number of levels -> format.  user_bits: the range of TTBR0 (T0SZ = 16 or 12).
FORMATS = {
    4: PagingFormat("VMSAv8-64, 4 KiB granule, 48 bits", _levels(wide=False), 48),
    5: PagingFormat("VMSAv8-64, 4 KiB granule, 52 bits (LPA2)", _levels(wide=True), 52),
}
