"""Integer lanes of one width: sums, products, extremes, saturating forms, pairs, across, by element.

Letters: Q 128 bits (forms without it: one lane), Z element size 8 << Z, U and O choose the
operation.
"""

from cosim.engine.native.table import Instruction, Row
from cosim.engine.native.values import splat, suffix
from isa_arm.instructions import saturation
from isa_arm.instructions.lanes import (
    broadcast,
    extreme,
    full,
    lanes,
    narrow,
    narrower,
    neighbours,
    not_bytes,
    put,
    read,
    scalar,
    widen,
)
from isa_arm.instructions.layout import VECTOR, hole


def halved(e, n, m, signed: bool, *, subtract: bool = False, rounding: bool = False):
    """shadd, uhadd, srhadd, urhadd, shsub, uhsub: of one bit more."""
    bits = n.raw.type.element.width
    n, m = (widen(e, value, 2 * bits, signed) for value in (n, m))
    total = n - m if subtract else n + m
    return narrow(e, total + 1 >> 1 if rounding else total >> 1, bits)


def distance(e, n, m, signed: bool):
    """sabd, uabd."""
    kind = "s" if signed else "u"
    return extreme(e, n, m, f"{kind}max") - extreme(e, n, m, f"{kind}min")


def carryless(e, n, m, signed: bool):
    """pmul: product of polynomials over {0, 1}."""
    shape = n.raw.type
    zero = e.value(splat(shape, 0))
    result = zero
    for bit in range(8):
        result = result ^ ((n << bit) & (zero - ((m >> bit) & 1)))
    return result


SIMPLE = {
    # opcode: function of (e, n, m, signed), 8 to 32 bits
    0b00000: halved,
    0b00010: lambda e, n, m, signed: halved(e, n, m, signed, rounding=True),
    0b00100: lambda e, n, m, signed: halved(e, n, m, signed, subtract=True),
    0b01100: lambda e, n, m, signed: extreme(e, n, m, "smax" if signed else "umax"),
    0b01101: lambda e, n, m, signed: extreme(e, n, m, "smin" if signed else "umin"),
    0b01110: distance,
}


def simple(e, f):
    """shadd, srhadd, shsub, smax, smin, sabd and with U uhadd, ..."""
    shape = lanes(f, 8 << f.Z)
    put(e, "d", SIMPLE[f.O](e, read(e, "n", shape), read(e, "m", shape), not f.U))


def add_sub(e, f):
    """add, sub (U)."""
    shape = lanes(f, 8 << f.Z)
    n, m = read(e, "n", shape), read(e, "m", shape)
    put(e, "d", n - m if f.U else n + m)


def multiply(e, f):
    """mul."""
    shape = lanes(f, 8 << f.Z)
    put(e, "d", read(e, "n", shape) * read(e, "m", shape))


def multiply_carryless(e, f):
    """pmul."""
    shape = lanes(f, 8)
    put(e, "d", carryless(e, read(e, "n", shape), read(e, "m", shape), False))


def accumulate_product(e, f):
    """mla, mls (U)."""
    shape = lanes(f, 8 << f.Z)
    n, m, d = (read(e, field, shape) for field in "nmd")
    put(e, "d", d - n * m if f.U else d + n * m)


def accumulate_distance(e, f):
    """saba, uaba."""
    shape = lanes(f, 8 << f.Z)
    n, m, d = (read(e, field, shape) for field in "nmd")
    put(e, "d", d + distance(e, n, m, not f.U))


# Saturating.


def add_sub_saturating(e, f):
    """sqadd, uqadd, sqsub, uqsub (O)."""
    shape = lanes(f, 8 << f.Z)
    n, m = read(e, "n", shape), read(e, "m", shape)
    put(e, "d", saturation.add_sub(e, n, m, not f.U, subtract=bool(f.O)))


def multiply_high(e, f):
    """sqdmulh, sqrdmulh (U)."""
    bits = 8 << f.Z
    n, m = (read(e, field, lanes(f, bits)) for field in "nm")
    put(e, "d", saturation.high_half(e, n, m, bits, rounding=bool(f.U)))


def add_other_sign(e, f):
    """suqadd, usqadd (U)."""
    bits = 8 << f.Z
    n, d = (read(e, field, lanes(f, bits)) for field in "nd")
    put(e, "d", saturation.of_other_sign(e, n, d, bits, not f.U))


def sign_saturating(e, f):
    """sqabs, sqneg (U)."""
    shape = lanes(f, 8 << f.Z)
    n, zero = read(e, "n", shape), e.value(splat(shape, 0))
    other = n if f.U else extreme(e, n, zero - n, "smin")
    put(e, "d", saturation.add_sub(e, zero, other, True, subtract=True))


# One register.


def sign(e, f):
    """abs, neg (U)."""
    shape = lanes(f, 8 << f.Z)
    n = read(e, "n", shape)
    minus = e.value(splat(shape, 0)) - n
    if not f.U:
        minus = e.value(e.b.select(e.b.icmp_signed("<", n.raw, splat(shape, 0)), minus.raw, n.raw))
    put(e, "d", minus)


# Neighbours, and across all lanes.

PAIRED = {
    # (U, opcode): function of (e, even, odd)
    (0, 0b10111): lambda e, a, b: a + b,
    (0, 0b10100): lambda e, a, b: extreme(e, a, b, "smax"),
    (0, 0b10101): lambda e, a, b: extreme(e, a, b, "smin"),
    (1, 0b10100): lambda e, a, b: extreme(e, a, b, "umax"),
    (1, 0b10101): lambda e, a, b: extreme(e, a, b, "umin"),
}


def pairs(e, f):
    """addp, smaxp, sminp, umaxp, uminp."""
    shape = lanes(f, 8 << f.Z)
    put(e, "d", PAIRED[f.U, f.O](e, *neighbours(e, read(e, "n", shape), read(e, "m", shape))))


def pairs_exist(w) -> bool:
    """Only sums of 64 bits."""
    return (w["U"], w["O"]) in PAIRED and full(w) and (w["Z"] < 3 or w["O"] == 0b10111)


def add_pair_scalar(e, f):
    """addp of the two 64-bit halves."""
    n = e.read("vector", "n", 128)
    e.write("vector", "d", (n.trunc(64) + (n >> 64).trunc(64)).zext(128))


def reduce(e, operation: str, value):
    """All lanes of `value` made one, by one of LLVM's vector reductions."""
    shape = value.raw.type
    name = f"llvm.vector.reduce.{operation}.{suffix(shape)}"
    e.write("vector", "d", e.call(name, shape.element, value).zext(128))


def add_across(e, f):
    """addv: the sum of all lanes."""
    reduce(e, "add", read(e, "n", lanes(f, 8 << f.Z)))


def add_long_across(e, f):
    """saddlv, uaddlv (U)."""
    bits = 8 << f.Z
    reduce(e, "add", widen(e, read(e, "n", lanes(f, bits)), 2 * bits, not f.U))


def extreme_across(e, f):
    """smaxv, sminv, umaxv, uminv (U, O)."""
    operation = ("u" if f.U else "s") + ("min" if f.O else "max")
    reduce(e, operation, read(e, "n", lanes(f, 8 << f.Z)))


def across_exists(w) -> bool:
    """At least four lanes."""
    return w["Z"] < 2 or (w["Z"] == 2 and w["Q"] == 1)


# By element.


@hole
def integer_lane(i: Instruction, field: str) -> int:
    """The lane of m that `by element` forms use: of 16 bits H:L:M, of 32 bits H:L and M:m."""
    f = i.fields
    if i.constant_fields().Z == 1:
        return VECTOR[f["m"]] + 2 * (f["h"] << 2 | f["l"] << 1 | f["q"])
    return VECTOR[f["q"] << 4 | f["m"]] + 4 * (f["h"] << 1 | f["l"])


def element(e, f, count: int):
    """One lane of m in all lanes."""
    return broadcast(e, e.read("integer_lane", "", 8 << f.Z), count)


def by_element(e, f):
    """mul, mla, mls (U, O) (by element)."""
    n = read(e, "n", lanes(f, 8 << f.Z))
    product = n * element(e, f, n.raw.type.count)
    if not f.U:
        put(e, "d", product)
        return
    d = read(e, "d", n.raw.type)
    put(e, "d", d - product if f.O == 0b0100 else d + product)


def by_element_exists(w) -> bool:
    """mul has no U."""
    return not_bytes(w) and (w["U"], w["O"]) in ((0, 0b1000), (1, 0b0000), (1, 0b0100))


def multiply_high_by_element(e, f):
    """sqdmulh, sqrdmulh (R) (by element)."""
    bits = 8 << f.Z
    n = read(e, "n", lanes(f, bits))
    m = element(e, f, n.raw.type.count)
    put(e, "d", saturation.high_half(e, n, m, bits, rounding=bool(f.R)))


# fmt: off
ROWS = (
    Row("v_simple", "0 Q U 01110 ZZ 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.261", simple, where=lambda w: w["O"] in SIMPLE and w["Z"] < 3),
    Row("v_add_sub", "0 Q U 01110 ZZ 1 mmmmm 10000 1 nnnnn ddddd", "C7.2.2", add_sub, where=full),
    Row("v_add_sub_scalar", "01 U 11110 ZZ 1 mmmmm 10000 1 nnnnn ddddd", "C7.2.2", add_sub, where=scalar(full)),
    Row("v_multiply", "0 Q 0 01110 ZZ 1 mmmmm 10011 1 nnnnn ddddd", "C7.2.208", multiply, where=narrower),
    Row("v_multiply_carryless", "0 Q 1 01110 00 1 mmmmm 10011 1 nnnnn ddddd", "C7.2.216", multiply_carryless),
    Row("v_accumulate_product", "0 Q U 01110 ZZ 1 mmmmm 10010 1 nnnnn ddddd", "C7.2.202", accumulate_product, where=narrower),
    Row("v_accumulate_distance", "0 Q U 01110 ZZ 1 mmmmm 01111 1 nnnnn ddddd", "C7.2.236", accumulate_distance, where=narrower),
    Row("v_add_sub_saturating", "0 Q U 01110 ZZ 1 mmmmm 00O01 1 nnnnn ddddd", "C7.2.276", add_sub_saturating, where=full),
    Row("v_add_sub_saturating_scalar", "01 U 11110 ZZ 1 mmmmm 00O01 1 nnnnn ddddd", "C7.2.276", add_sub_saturating),
    Row("v_multiply_high", "0 Q U 01110 ZZ 1 mmmmm 10110 1 nnnnn ddddd", "C7.2.283", multiply_high, where=not_bytes),
    Row("v_multiply_high_scalar", "01 U 11110 ZZ 1 mmmmm 10110 1 nnnnn ddddd", "C7.2.283", multiply_high, where=not_bytes),
    Row("v_add_other_sign", "0 Q U 01110 ZZ 10000 00011 10 nnnnn ddddd", "C7.2.340", add_other_sign, where=full),
    Row("v_add_other_sign_scalar", "01 U 11110 ZZ 10000 00011 10 nnnnn ddddd", "C7.2.340", add_other_sign),
    Row("v_sign_saturating", "0 Q U 01110 ZZ 10000 00111 10 nnnnn ddddd", "C7.2.275", sign_saturating, where=full),
    Row("v_sign_saturating_scalar", "01 U 11110 ZZ 10000 00111 10 nnnnn ddddd", "C7.2.275", sign_saturating),
    Row("v_sign", "0 Q U 01110 ZZ 10000 01011 10 nnnnn ddddd", "C7.2.1", sign, where=full),
    Row("v_sign_scalar", "01 U 11110 ZZ 10000 01011 10 nnnnn ddddd", "C7.2.1", sign, where=scalar(full)),
    Row("v_pairs", "0 Q U 01110 ZZ 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.6", pairs, where=pairs_exist),
    Row("v_add_pair_scalar", "01 0 11110 11 11000 11011 10 nnnnn ddddd", "C7.2.5", add_pair_scalar),
    Row("v_add_across", "0 Q 0 01110 ZZ 11000 11011 10 nnnnn ddddd", "C7.2.7", add_across, where=across_exists),
    Row("v_add_long_across", "0 Q U 01110 ZZ 11000 00011 10 nnnnn ddddd", "C7.2.240", add_long_across, where=across_exists),
    Row("v_extreme_across", "0 Q U 01110 ZZ 11000 O1010 10 nnnnn ddddd", "C7.2.303", extreme_across, where=across_exists),
    Row("v_by_element", "0 Q U 01111 ZZ l q mmmm OOOO h 0 nnnnn ddddd", "C7.2.207", by_element, where=by_element_exists),
    Row("v_multiply_high_by_element", "0 Q 0 01111 ZZ l q mmmm 110R h 0 nnnnn ddddd", "C7.2.282", multiply_high_by_element, where=not_bytes),
    Row("v_multiply_high_by_element_scalar", "01 0 11111 ZZ l q mmmm 110R h 0 nnnnn ddddd", "C7.2.282", multiply_high_by_element, where=not_bytes),
)
# fmt: on
