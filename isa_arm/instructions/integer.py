"""Integer instructions of A64: arithmetic, logic, moves, bit fields, conditional selection."""

from cosim.engine.native.table import Row
from isa_arm.instructions.flags import set_flags_add, set_flags_sub
from isa_arm.instructions.layout import base, set_base, set_x


def width(f) -> int:
    """32 or 64."""
    return 64 if f.S else 32


def add_sub_immediate(e, f):
    """add, sub; adds, subs, cmp, cmn (immediate).  O: subtract, F: set flags, H: shift by 12."""
    bits = width(f)
    a = base(e, "n", bits)
    b = e.immediate("unsigned", "i", bits) << (12 if f.H else 0)
    result = a - b if f.O else a + b
    if f.F:
        (set_flags_sub if f.O else set_flags_add)(e, a, b)
        set_x(e, "d", result)
    else:
        set_base(e, "d", result)


# fmt: off
ROWS = (
    Row("add_sub_immediate", "S O F 100010 H iiiiiiiiiiii nnnnn ddddd", "C6.2.4", add_sub_immediate
    ),
)
# fmt: on
