"""Saturating integer lanes: a result that does not fit becomes the nearest that does, and sets QC.

Source: Arm ARM, SatQ and FPSR.QC (C5.2.8).
"""

from cosim.engine.native.values import any_lane, splat, suffix
from isa_arm.instructions.lanes import extreme, integers, narrow, widen

QC_BIT = 27


def note(e, clamped, value) -> None:
    """Set QC if any lane was changed."""
    changed = any_lane(e, e.b.icmp_unsigned("!=", clamped.raw, value.raw))
    e.set("fpsr", e.get("fpsr", 32) | changed.zext(32) << QC_BIT)


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """Least and greatest number of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def saturate(e, wide, bits: int, signed: bool, *, from_signed: bool = True):
    """Lanes of `wide` as numbers of `bits`; from_signed: what `wide` is."""
    shape = wide.raw.type
    least, greatest = limits(bits, signed)
    kind = "s" if from_signed else "u"
    clamped = extreme(e, wide, e.value(splat(shape, greatest)), f"{kind}min")
    if from_signed:
        clamped = extreme(e, clamped, e.value(splat(shape, least)), "smax")
    note(e, clamped, wide)
    return narrow(e, clamped, bits)


def add_sub(e, n, m, signed: bool, *, subtract: bool):
    """sqadd, uqadd, sqsub, uqsub."""
    shape = n.raw.type
    operation = ("s" if signed else "u") + ("sub" if subtract else "add")
    result = e.call(f"llvm.{operation}.sat.{suffix(shape)}", shape, n, m)
    note(e, result, n - m if subtract else n + m)
    return result


def double_product(e, n, m):
    """2 * n * m of lanes that were widened, as sqdmull has it."""
    product = n * m
    return add_sub(e, product, product, True, subtract=False)


def high_half(e, n, m, bits: int, *, rounding: bool):
    """sqdmulh, sqrdmulh: the upper half of 2 * n * m."""
    product = widen(e, n, 2 * bits, True) * widen(e, m, 2 * bits, True)
    if rounding:
        product = product + (1 << bits - 2)
    moved = e.value(e.b.ashr(product.raw, splat(product.raw.type, bits - 1)))
    return saturate(e, moved, bits, True)


def of_other_sign(e, n, d, bits: int, signed: bool):
    """suqadd (signed), usqadd: d plus n, which has the other kind of sign."""
    shape = integers(2 * bits, n.raw.type.count)
    total = widen(e, n, 2 * bits, not signed) + widen(e, d, 2 * bits, signed)
    assert total.raw.type == shape
    return saturate(e, total, bits, signed)
