"""Floating-point operations on values, scalars and vectors alike: what A64 asks and the host has.

The host computes; its sticky flags become FPSR (package).  Whatever results in a NaN is left to
Unicorn: which NaN it is differs between Arm and x86 (default NaN, both operands NaN).  Nothing here
raises a flag that the instruction does not.
"""

from llvmlite import ir

from cosim.engine.native.emitter import F32, F64
from cosim.engine.native.values import any_lane, suffix

NEAREST, UP, DOWN, ZERO, AWAY, EXACT, CURRENT = 0, 1, 2, 3, 4, 6, 7  # FRINT's, and RMode
ROUNDING_SHIFT = 22  # of RMode in FPCR
ROUNDINGS = {
    NEAREST: "roundeven", UP: "ceil", DOWN: "floor", ZERO: "trunc", EXACT: "rint",
    CURRENT: "nearbyint",
}  # fmt: skip


def double_or_single(double: int) -> ir.Type:
    """The type of a scalar."""
    return F64 if double else F32


def scalar(shape: ir.Type) -> ir.Type:
    """The type of a lane."""
    return shape.element if isinstance(shape, ir.VectorType) else shape


def bits_in(shape: ir.Type) -> int:
    """Of a lane."""
    return 64 if scalar(shape) == F64 else 32


def like(shape: ir.Type, element: ir.Type) -> ir.Type:
    """As many lanes of another type."""
    return ir.VectorType(element, shape.count) if isinstance(shape, ir.VectorType) else element


def same(e, shape: ir.Type, number):
    """A constant in all lanes."""
    vector = isinstance(shape, ir.VectorType)
    return e.value(ir.Constant(shape, [number] * shape.count if vector else number))


def pattern(e, value):
    """The bits of all lanes as integers."""
    return value.cast(like(value.raw.type, ir.IntType(bits_in(value.raw.type))))


def all_lanes(e, condition: ir.Value):
    """One bit: does the condition hold in all lanes?"""
    if isinstance(condition.type, ir.VectorType):
        return e.value(e.b.bitcast(condition, ir.IntType(condition.type.count))).eq(-1)
    return e.value(condition)


def no_nan(e, a, b=None):
    """Leave if any lane of a (or of b) is a NaN; a."""
    e.leave_if(any_lane(e, e.b.fcmp_unordered("uno", a.raw, (b or a).raw)))
    return a


def opaque(e, value):
    """The same, and LLVM does not know it."""
    shape = ir.FunctionType(value.raw.type, [value.raw.type])
    return e.value(e.b.asm(shape, "", "=x,0", [value.raw], side_effect=False))


def less(e, a, b) -> ir.Value:
    """a < b."""
    return e.b.fcmp_ordered("<", a.raw, b.raw)


def pick(e, condition: ir.Value, yes, no):
    """yes where the condition holds, else no."""
    return e.value(e.b.select(condition, yes.raw, no.raw))


def negative(e, value):
    """With the other sign."""
    return e.value(e.b.fneg(value.raw))


def absolute(e, value):
    """Without the sign."""
    return e.call(f"llvm.fabs.{suffix(value.raw.type)}", value.raw.type, value)


def no_infinity(e, *values) -> None:
    """Leave if any lane of them is infinite."""
    for value in values:
        most = same(e, value.raw.type, float("inf"))
        e.leave_if(any_lane(e, e.b.fcmp_ordered("==", absolute(e, value).raw, most.raw)))


def rounded_once(e, value):
    """The result of an operation that may underflow.  Arm sees that before rounding and x86 after
    it: they differ only when the smallest normal number comes out, which is left.
    """
    bits = pattern(e, value)
    smallest = 0x0010_0000_0000_0000 if bits_in(value.raw.type) == 64 else 0x0080_0000
    e.leave_if(any_lane(e, e.b.icmp_unsigned("==", (bits + bits).raw, bits.of(2 * smallest))))
    return value


def product(e, n, m):
    """n * m."""
    return rounded_once(e, e.value(e.b.fmul(n.raw, m.raw)))


def quotient(e, n, m):
    """n / m."""
    return rounded_once(e, e.value(e.b.fdiv(n.raw, m.raw)))


def total(e, n, m):
    """n + m: small ones are exact."""
    return e.value(e.b.fadd(n.raw, m.raw))


def difference(e, n, m):
    """n - m."""
    return e.value(e.b.fsub(n.raw, m.raw))


def fused(e, n, m, a):
    """n * m + a with one rounding."""
    shape = n.raw.type
    return rounded_once(e, e.call(f"llvm.fma.{suffix(shape)}", shape, n, m, a))


def square_root(e, value):
    """Its square root.  LLVM would look for NaNs with a comparison that raises a flag."""
    no_nan(e, value)
    return e.call(f"llvm.sqrt.{suffix(value.raw.type)}", value.raw.type, value)


def extreme(e, a, b, low: int):
    """The lesser (low) or the greater: two zeros differ by sign, NaNs are left."""
    no_nan(e, a, b)
    equal = e.b.fcmp_ordered("==", a.raw, b.raw)
    ia, ib = pattern(e, a), pattern(e, b)
    zeros = (ia | ib) if low else (ia & ib)
    chosen = pick(e, less(e, a, b), ia, ib) if low else pick(e, less(e, a, b), ib, ia)
    return pick(e, equal, zeros, chosen).cast(a.raw.type)


def rounded(e, value, rounding: int):
    """To an integral number; only EXACT raises the inexact flag.  NaNs are left."""
    shape = no_nan(e, value).raw.type
    if rounding != AWAY:
        return e.call(f"llvm.{ROUNDINGS[rounding]}.{suffix(shape)}", shape, value)
    zero = same(e, shape, 0.0)
    fits = less(e, absolute(e, value), same(e, shape, 2.0**52))  # more have no fraction
    number = pick(e, fits, value, zero)  # no infinity less itself
    whole = e.call(f"llvm.trunc.{suffix(shape)}", shape, number)
    rest = absolute(e, difference(e, number, whole))  # exact
    one = e.call(f"llvm.copysign.{suffix(shape)}", shape, same(e, shape, 1.0), value)
    more = pick(e, less(e, rest, same(e, shape, 0.5)), zero, one)
    moved = total(e, whole, more)
    signed = e.call(f"llvm.copysign.{suffix(shape)}", shape, moved, value)
    return pick(e, fits, signed, value)


def to_integer(e, value, rounding: int, bits: int, *, unsigned: int):
    """Integers of `bits`; what does not fit is left.

    The host rounds toward zero, which raises the inexact flag; the rest is put right afterwards.
    """
    shape = value.raw.type
    if unsigned:
        low, high = 0.0, min(2.0**bits, 2.0**63)
    else:
        low, high = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1)
    if bits_in(shape) > bits:  # here numbers between the greatest integer and `high` exist
        fits = e.b.fcmp_ordered("<=", value.raw, same(e, shape, high - 1).raw)
    else:
        fits = e.b.fcmp_ordered("<", value.raw, same(e, shape, high).raw)
    above = e.b.fcmp_ordered(">=", value.raw, same(e, shape, low).raw)
    e.leave_if(~all_lanes(e, e.b.and_(fits, above)))
    wide = 64 if unsigned or bits == 64 else 32
    whole = e.value(e.b.fptosi(value.raw, like(shape, ir.IntType(wide))))
    if rounding != ZERO:
        whole = whole + correction(e, value, whole, rounding)
    return whole if wide == bits else e.value(e.b.trunc(whole.raw, like(shape, ir.IntType(bits))))


def correction(e, value, whole, rounding: int):
    """What is to be added to a number rounded toward zero: -1, 0 or 1."""
    shape, target = value.raw.type, whole.raw.type
    # Where a number has a fraction the conversion back is exact, and so is the difference.
    rest = e.value(e.b.fsub(value.raw, e.b.sitofp(whole.raw, shape)))
    zero, half = same(e, shape, 0.0), same(e, shape, 0.5)
    none, one = same(e, target, 0), same(e, target, 1)
    if rounding == UP:
        return pick(e, less(e, zero, rest), one, none)
    if rounding == DOWN:
        return pick(e, less(e, rest, zero), same(e, target, -1), none)
    size = absolute(e, rest)
    beyond = less(e, half, size)
    tie = e.b.fcmp_ordered("==", size.raw, half.raw)
    if rounding == NEAREST:
        odd = e.b.icmp_unsigned("!=", (whole & 1).raw, none.raw)
        tie = e.b.and_(tie, odd)
    away = pick(e, less(e, rest, zero), same(e, target, -1), one)
    return pick(e, e.b.or_(beyond, tie), away, none)


def from_integer(e, value, shape: ir.Type, *, unsigned: int):
    """Rounded once.  Without instructions for unsigned numbers LLVM subtracts, and a zero that comes
    of it is negative where the host rounds down: that is left.
    """
    if not unsigned:
        return e.value(e.b.sitofp(value.raw, shape))
    zero = any_lane(e, e.b.icmp_unsigned("==", value.raw, value.of(0)))
    rounding = e.get("fpcr", 32) >> ROUNDING_SHIFT & 3
    e.leave_if(zero & rounding.eq(DOWN))
    return e.value(e.b.uitofp(value.raw, shape))


def bits_of_power(exponent: int, double: int) -> int:
    """The bits of 2 ** exponent."""
    return (1023 + exponent) << 52 if double else (127 + exponent) << 23
