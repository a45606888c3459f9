"""Floating-point operations on values: what RISC-V asks and the host has.

The host computes; its sticky flags become fflags (package).  A result that is a NaN is the canonical
one (20191213, 11.3).  Both find an underflow after rounding (11.2).  Nothing here raises a flag that
the instruction does not.
"""

from llvmlite import ir

from cosim.engine.native.emitter import F32, F64
from cosim.engine.native.values import suffix

SINGLE, DOUBLE = 0, 1
SHAPES = (F32, F64)
CANONICAL = {F32: 0x7FC0_0000, F64: 0x7FF8_0000_0000_0000}
# Rounding modes (11.2, table 11.1).  Blocks run with frm 0, so DYNAMIC is NEAREST.
NEAREST, ZERO, DOWN, UP, AWAY, DYNAMIC = 0, 1, 2, 3, 4, 7


def bits_in(shape: ir.Type) -> int:
    """Of a number."""
    return 64 if shape == F64 else 32


def pattern(e, value):
    """The bits as an integer."""
    return value.cast(ir.IntType(bits_in(value.raw.type)))


def same(e, shape: ir.Type, number):
    """A constant."""
    return e.value(ir.Constant(shape, number))


def unordered(e, a, b=None):
    """One bit: is a (or b) a NaN?"""
    return e.value(e.b.fcmp_unordered("uno", a.raw, (b or a).raw))


def canonical(e, value):
    """The bits of a result."""
    bits = pattern(e, value)
    return unordered(e, value).select(e.constant(CANONICAL[value.raw.type], bits.bits), bits)


def less(e, a, b):
    """a < b."""
    return e.value(e.b.fcmp_ordered("<", a.raw, b.raw))


def equal(e, a, b):
    """a == b; only a signalling NaN raises a flag."""
    return e.value(e.b.fcmp_ordered("==", a.raw, b.raw))


def pick(e, condition, yes, no):
    """yes where the condition holds, else no."""
    return e.value(e.b.select(condition.raw, yes.raw, no.raw))


def negative(e, value):
    """With the other sign."""
    return e.value(e.b.fneg(value.raw))


def absolute(e, value):
    """Without the sign."""
    return e.call(f"llvm.fabs.{suffix(value.raw.type)}", value.raw.type, value)


def square_root(e, value):
    """Its square root.  LLVM would look for NaNs with a comparison that raises a flag."""
    e.leave_if(unordered(e, value))
    return e.call(f"llvm.sqrt.{suffix(value.raw.type)}", value.raw.type, value)


def fused(e, n, m, a):
    """n * m + a with one rounding.

    Not for NaNs: the reference engine raises no flag when a is one beside infinity times zero.
    """
    shape = n.raw.type
    result = e.call(f"llvm.fma.{suffix(shape)}", shape, n, m, a)
    e.leave_if(unordered(e, result))
    return result


def extreme(e, a, b, *, low: bool):
    """The bits of the lesser (low) or the greater: two zeros differ by sign, NaNs are left."""
    e.leave_if(unordered(e, a, b))
    ia, ib = pattern(e, a), pattern(e, b)
    zeros = (ia | ib) if low else (ia & ib)
    a_less = less(e, a, b)
    chosen = a_less.select(ia, ib) if low else a_less.select(ib, ia)
    return equal(e, a, b).select(zeros, chosen)


def to_integer(e, value, rounding: int, bits: int, *, unsigned: bool):
    """An integer of `bits`; what does not fit is left.

    The host rounds toward zero, which raises the inexact flag; the rest is put right afterwards.
    """
    shape = value.raw.type
    if unsigned:
        low, high = 0.0, min(2.0**bits, 2.0**63)
    else:
        low, high = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1)
    if bits_in(shape) > bits:  # here numbers between the greatest integer and `high` exist
        fits = e.value(e.b.fcmp_ordered("<=", value.raw, same(e, shape, high - 1).raw))
    else:
        fits = less(e, value, same(e, shape, high))
    above = e.value(e.b.fcmp_ordered(">=", value.raw, same(e, shape, low).raw))
    e.leave_if(~(fits & above))
    wide = 64 if unsigned or bits == 64 else 32
    whole = e.value(e.b.fptosi(value.raw, ir.IntType(wide)))
    if rounding != ZERO:
        whole = whole + correction(e, value, whole, rounding)
    return whole.trunc(bits)


def correction(e, value, whole, rounding: int):
    """What is to be added to a number rounded toward zero: -1, 0 or 1."""
    shape = value.raw.type
    # Where a number has a fraction the conversion back is exact, and so is the difference.
    rest = e.value(e.b.fsub(value.raw, e.b.sitofp(whole.raw, shape)))
    zero, half = same(e, shape, 0.0), same(e, shape, 0.5)
    none, one, less_one = (e.constant(number, whole.bits) for number in (0, 1, -1))
    below = less(e, rest, zero)
    if rounding == UP:
        return less(e, zero, rest).select(one, none)
    if rounding == DOWN:
        return below.select(less_one, none)
    size = absolute(e, rest)
    moves = equal(e, size, half)
    if rounding in (NEAREST, DYNAMIC):
        moves = moves & (whole & 1).ne(0)
    return (less(e, half, size) | moves).select(below.select(less_one, one), none)


def from_integer(e, value, shape: ir.Type, rounding: int, *, unsigned: bool):
    """Rounded once.  In another mode than to nearest only what needs no rounding: compilers make
    floor and its like of two conversions.
    """
    exact = 1 << (53 if shape == F64 else 24)  # up to here all integers are numbers
    if rounding not in (NEAREST, DYNAMIC) and exact < 1 << value.bits:
        if unsigned:
            e.leave_if(e.constant(exact, value.bits).ult(value))
        else:
            e.leave_if(e.constant(2 * exact, value.bits).ult(value + exact))
    return e.value((e.b.uitofp if unsigned else e.b.sitofp)(value.raw, shape))


def classify(e, bits):
    """fclass: one of ten bits (11.9, table 11.5)."""
    fraction = 52 if bits.bits == 64 else 23
    size = bits & ~(1 << (bits.bits - 1))
    minus = bits.slt(0)
    infinity = ((1 << (bits.bits - 1 - fraction)) - 1) << fraction
    quiet = infinity | 1 << (fraction - 1)

    def of_sign(place: int):
        """The classes mirror each other around the zeros."""
        return minus.select(e.constant(1 << place), e.constant(1 << 7 - place))

    found = e.value(of_sign(1).raw)  # normal
    found = size.ult(1 << fraction).select(of_sign(2), found)
    found = size.eq(0).select(of_sign(3), found)
    found = size.eq(infinity).select(of_sign(0), found)
    found = e.value(size.of(infinity)).ult(size).select(e.constant(1 << 8), found)
    return size.ult(quiet).select(found, e.constant(1 << 9))
