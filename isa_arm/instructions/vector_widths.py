"""Integer lanes of two widths: long, wide and narrow forms.

Letters: Q the upper half of the narrow side (forms without it: one lane), Z size of the narrow
elements, U and O choose the operation.
"""

from cosim.engine.native.table import Row
from cosim.engine.native.values import splat
from isa_arm.instructions import saturation
from isa_arm.instructions.lanes import (
    even_odd,
    half,
    lanes,
    narrow,
    narrower,
    not_bytes,
    put,
    put_half,
    read,
    twice_as_wide,
    widen,
)
from isa_arm.instructions.vector_arithmetic import carryless, distance, element


def long(e, f, field: str):
    """Half a register with lanes of twice the width; signed unless U."""
    bits = 8 << f.Z
    return widen(e, half(e, f, field, bits), 2 * bits, not unsigned(f))


def unsigned(f) -> int:
    """Forms without the letter U are signed."""
    return getattr(f, "U", 0)


# Sums.


def add_long(e, f):
    """saddl, uaddl, ssubl, usubl; with W saddw, uaddw, ssubw, usubw (O: subtraction)."""
    m = long(e, f, "m")
    n = read(e, "n", m.raw.type) if f.W else long(e, f, "n")
    put(e, "d", n - m if f.O else n + m)


def add_long_pairs(e, f):
    """saddlp, uaddlp, sadalp, uadalp (U, O: accumulating)."""
    bits = 8 << f.Z
    wide = widen(e, read(e, "n", lanes(f, bits)), 2 * bits, not f.U)
    even, odd = even_odd(e, wide)
    result = even + odd
    if f.O:
        result = read(e, "d", result.raw.type) + result
    put(e, "d", result)


def distance_long(e, f):
    """sabal, uabal, sabdl, uabdl (O: not accumulating)."""
    result = distance(e, long(e, f, "n"), long(e, f, "m"), True)
    put(e, "d", result if f.O else read(e, "d", result.raw.type) + result)


def add_narrow(e, f):
    """addhn, subhn (O) and with U raddhn, rsubhn: the upper halves of sums."""
    bits = 8 << f.Z
    n, m = (twice_as_wide(e, f, field, bits) for field in "nm")
    total = n - m if f.O else n + m
    if f.U:
        total = total + (1 << bits - 1)
    put_half(e, f, "d", narrow(e, total >> bits, bits))


# Products.

PLAIN, PLUS, MINUS = 0b10, 0b00, 0b01  # what O makes of a product: smull, smlal, smlsl


def put_product(e, f, product) -> None:
    """As it is, or added to or subtracted from d."""
    if f.O != PLAIN:
        d = read(e, "d", product.raw.type)
        product = d + product if f.O == PLUS else d - product
    put(e, "d", product)


def put_saturating(e, f, n, m) -> None:
    """sqdmull, sqdmlal, sqdmlsl: both steps saturate."""
    product = saturation.double_product(e, n, m)
    if f.O != PLAIN:
        d = read(e, "d", product.raw.type)
        product = saturation.add_sub(e, d, product, True, subtract=f.O == MINUS)
    put(e, "d", product)


def long_element(e, f):
    """The lane of a `by element` form, wide, in all lanes."""
    bits = 8 << f.Z
    count = 64 // bits if hasattr(f, "Q") else 1
    return widen(e, element(e, f, count), 2 * bits, not unsigned(f))


def multiply_long(e, f):
    """smull, umull, smlal, umlal, smlsl, umlsl."""
    put_product(e, f, long(e, f, "n") * long(e, f, "m"))


def multiply_long_by_element(e, f):
    """The same (by element)."""
    put_product(e, f, long(e, f, "n") * long_element(e, f))


def multiply_saturating(e, f):
    """sqdmull, sqdmlal, sqdmlsl."""
    put_saturating(e, f, long(e, f, "n"), long(e, f, "m"))


def multiply_saturating_by_element(e, f):
    """The same (by element)."""
    put_saturating(e, f, long(e, f, "n"), long_element(e, f))


def multiply_carryless_long(e, f):
    """pmull of bytes."""
    n, m = (widen(e, half(e, f, field, 8), 16, False) for field in "nm")
    put(e, "d", carryless(e, n, m, False))


def product_exists(w) -> bool:
    """Three kinds."""
    return w["Z"] < 3 and w["O"] < 3


def product_of_words(w) -> bool:
    """Elements of 16 and 32 bits."""
    return not_bytes(w) and w["O"] < 3


# One register.


def shift_long(e, f):
    """shll: by the whole width."""
    bits = 8 << f.Z
    wide = widen(e, half(e, f, "n", bits), 2 * bits, False)
    put(e, "d", e.value(e.b.shl(wide.raw, splat(wide.raw.type, bits))))


def cut(e, f):
    """xtn, xtn2."""
    bits = 8 << f.Z
    put_half(e, f, "d", narrow(e, twice_as_wide(e, f, "n", bits), bits))


def cut_saturating(e, f):
    """sqxtn, uqxtn (U)."""
    bits, signed = 8 << f.Z, not f.U
    wide = twice_as_wide(e, f, "n", bits)
    put_half(e, f, "d", saturation.saturate(e, wide, bits, signed, from_signed=signed))


def cut_unsigned(e, f):
    """sqxtun: signed numbers as unsigned ones."""
    bits = 8 << f.Z
    put_half(e, f, "d", saturation.saturate(e, twice_as_wide(e, f, "n", bits), bits, False))


# fmt: off
ROWS = (
    Row("v_add_long", "0 Q U 01110 ZZ 1 mmmmm 00 O W 00 nnnnn ddddd", "C7.2.238", add_long, where=narrower),
    Row("v_add_narrow", "0 Q U 01110 ZZ 1 mmmmm 01 O 0 00 nnnnn ddddd", "C7.2.3", add_narrow, where=narrower),
    Row("v_distance_long", "0 Q U 01110 ZZ 1 mmmmm 01 O 1 00 nnnnn ddddd", "C7.2.233", distance_long, where=narrower),
    Row("v_multiply_long", "0 Q U 01110 ZZ 1 mmmmm 1 OO 0 00 nnnnn ddddd", "C7.2.269", multiply_long, where=product_exists),
    Row("v_multiply_saturating", "0 Q 0 01110 ZZ 1 mmmmm 1 OO 1 00 nnnnn ddddd", "C7.2.286", multiply_saturating, where=product_of_words),
    Row("v_multiply_saturating_scalar", "01 0 11110 ZZ 1 mmmmm 1 OO 1 00 nnnnn ddddd", "C7.2.286", multiply_saturating, where=product_of_words),
    Row("v_multiply_carryless_long", "0 Q 0 01110 00 1 mmmmm 1110 00 nnnnn ddddd", "C7.2.217", multiply_carryless_long),
    Row("v_multiply_long_by_element", "0 Q U 01111 ZZ l q mmmm OO 10 h 0 nnnnn ddddd", "C7.2.268", multiply_long_by_element, where=product_of_words),
    Row("v_multiply_saturating_by_element", "0 Q 0 01111 ZZ l q mmmm OO 11 h 0 nnnnn ddddd", "C7.2.285", multiply_saturating_by_element, where=product_of_words),
    Row("v_multiply_saturating_by_element_scalar", "01 0 11111 ZZ l q mmmm OO 11 h 0 nnnnn ddddd", "C7.2.285", multiply_saturating_by_element, where=product_of_words),
    Row("v_add_long_pairs", "0 Q U 01110 ZZ 10000 00 O 10 10 nnnnn ddddd", "C7.2.239", add_long_pairs, where=narrower),
    Row("v_shift_long", "0 Q 1 01110 ZZ 10000 10011 10 nnnnn ddddd", "C7.2.265", shift_long, where=narrower),
    Row("v_cut", "0 Q 0 01110 ZZ 10000 10010 10 nnnnn ddddd", "C7.2.408", cut, where=narrower),
    Row("v_cut_unsigned", "0 Q 1 01110 ZZ 10000 10010 10 nnnnn ddddd", "C7.2.301", cut_unsigned, where=narrower),
    Row("v_cut_unsigned_scalar", "01 1 11110 ZZ 10000 10010 10 nnnnn ddddd", "C7.2.301", cut_unsigned, where=narrower),
    Row("v_cut_saturating", "0 Q U 01110 ZZ 10000 10100 10 nnnnn ddddd", "C7.2.300", cut_saturating, where=narrower),
    Row("v_cut_saturating_scalar", "01 U 11110 ZZ 10000 10100 10 nnnnn ddddd", "C7.2.300", cut_saturating, where=narrower),
)
# fmt: on
