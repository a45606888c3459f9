"""Loads and stores of A64 (general registers)."""

from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions.layout import base, hole, set_x, x


@hole
def scaled(i: Instruction, field: str) -> int:
    """Unsigned offset in units of the access."""
    return i.fields[field] << dict(i.constants)["Z"]


def extended_load(e, f, value):
    """What O (0 store, 1 load, 2 and 3 signed load) makes of a loaded value."""
    if f.O == 1:
        return value.zext(64)
    return value.sext(64 if f.O == 2 else 32).zext(64)


def access(e, f, address) -> None:
    """Load or store register t: size 1 << Z."""
    size = 1 << f.Z
    if f.O == 0:
        e.store(address, size, x(e, "t", 8 * size))
    else:
        set_x(e, "t", extended_load(e, f, e.load(address, size)))


def unsigned_offset(e, f):
    """ldr, str, ldrb, ldrsw, ... (immediate, unsigned offset)."""
    access(e, f, base(e, "n") + e.immediate("scaled", "i"))


def not_prefetch(fields) -> bool:
    """prfm and unallocated forms are others."""
    return not (fields["Z"] == 3 and fields["O"] > 1 or fields["Z"] == 2 and fields["O"] == 3)


# fmt: off
ROWS = (
    Row("load_store_unsigned", "ZZ 111001 OO iiiiiiiiiiii nnnnn ttttt", "C6.2.166", unsigned_offset, where=not_prefetch),
)
# fmt: on
