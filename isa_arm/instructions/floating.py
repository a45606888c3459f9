"""Scalar floating point of A64, single and double precision (T: 0, 1).  See `floats`."""

from llvmlite import ir

from cosim.engine.native.emitter import F32, F64, I64
from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions import floats
from isa_arm.instructions.flags import compare_if, condition
from isa_arm.instructions.layout import hole, set_v, set_x, v, x


def number(e, f, field: str):
    """A register as a number."""
    return v(e, field, floats.double_or_single(f.T))


def put(e, field: str, value) -> None:
    """Set a register to a scalar, unless it is a NaN."""
    set_v(e, field, floats.pattern(e, floats.no_nan(e, value)))


TWO_SOURCES = {
    0: floats.product, 1: floats.quotient, 2: floats.total, 3: floats.difference, 8: floats.product,
}  # fmt: skip


def two_sources(e, f):
    """fmul, fdiv, fadd, fsub, fnmul (O)."""
    result = TWO_SOURCES[f.O](e, number(e, f, "n"), number(e, f, "m"))
    put(e, "d", floats.negative(e, result) if f.O == 8 else result)


def maximum(e, f):
    """fmax, fmin, fmaxnm, fminnm (O)."""
    result = floats.extreme(e, number(e, f, "n"), number(e, f, "m"), f.O & 1)
    set_v(e, "d", floats.pattern(e, result))


def one_source(e, f):
    """fmov, fabs, fneg (O): bits only."""
    bits = 64 if f.T else 32
    value = v(e, "n", ir.IntType(bits))
    top = 1 << (bits - 1)
    set_v(e, "d", (value, value & ~top, value ^ top)[f.O])


def square_root(e, f):
    """fsqrt."""
    put(e, "d", floats.square_root(e, number(e, f, "n")))


def round_integral(e, f):
    """frintn, frintp, frintm, frintz, frinta, frintx, frinti (O)."""
    result = floats.rounded(e, number(e, f, "n"), f.O)
    set_v(e, "d", floats.pattern(e, result))


def convert_precision(e, f):
    """fcvt between single and double; T: from double."""
    value = number(e, f, "n").raw
    if f.T:
        put(e, "d", floats.rounded_once(e, e.value(e.b.fptrunc(value, F32))))
    else:
        put(e, "d", e.value(e.b.fpext(value, F64)))


def multiply_add(e, f):
    """fmadd, fmsub, fnmadd, fnmsub."""
    a, n, m = (number(e, f, field) for field in "anm")
    if f.P != f.O:  # fmsub: a - n*m; fnmadd: -a - n*m; fnmsub: -a + n*m
        n = floats.negative(e, n)
    if f.O:
        a = floats.negative(e, a)
    put(e, "d", floats.fused(e, n, m, a))


def compare_values(e, f, a, b) -> None:
    """NZCV of a comparison; E: a NaN raises a flag, and is left."""
    unordered = e.value(e.b.fcmp_unordered("uno", a.raw, b.raw))
    if f.E:
        e.leave_if(unordered)
    less = e.value(floats.less(e, a, b))
    equal = e.value(e.b.fcmp_ordered("==", a.raw, b.raw))
    e.set("negative", less.zext(64) << 63)
    e.set("zero_result", (~equal).zext(64))
    e.set("carry", (~less).zext(64))
    e.set("overflow", unordered.zext(64))


def compare(e, f):
    """fcmp, fcmpe (E); Z: with zero."""
    a = number(e, f, "n")
    compare_values(e, f, a, floats.same(e, a.raw.type, 0.0) if f.Z else number(e, f, "m"))


def conditional_compare(e, f):
    """fccmp, fccmpe (E)."""
    a, b = number(e, f, "n"), number(e, f, "m")
    compare_if(e, f.C, lambda: compare_values(e, f, a, b), f.F)


def conditional_select(e, f):
    """fcsel."""
    shape = ir.IntType(64 if f.T else 32)
    set_v(e, "d", condition(e, f.C).select(v(e, "n", shape), v(e, "m", shape)))


@hole
def float_immediate(i: Instruction, field: str) -> int:
    """VFPExpandImm of 8 bits."""
    return expand_immediate(i.fields["i"], bool(i.constant_fields().T))


def expand_immediate(imm8: int, double: bool) -> int:
    """The bits of the number an 8-bit immediate stands for."""
    sign, exponent, fraction = imm8 >> 7, imm8 >> 4 & 7, imm8 & 15
    top, low = exponent >> 2, exponent & 3
    if double:
        return sign << 63 | ((top ^ 1) << 10 | (0xFF * top) << 2 | low) << 52 | fraction << 48
    return sign << 31 | ((top ^ 1) << 7 | (0x1F * top) << 2 | low) << 23 | fraction << 19


def move_immediate(e, f):
    """fmov (immediate)."""
    set_v(e, "d", e.immediate("float_immediate", "", wide=True))


def move_from_general(e, f):
    """fmov from a general register."""
    set_v(e, "d", x(e, "n", 64 if f.S else 32))


def move_to_general(e, f):
    """fmov to a general register."""
    set_x(e, "d", v(e, "n", ir.IntType(64 if f.S else 32)))


def move_high(e, f):
    """fmov between a general register and the upper half (O: 1 to the vector)."""
    if f.O:
        low = v(e, "d", I64).zext(128)
        e.write("vector", "d", low | x(e, "n").zext(128) << 64)
    else:
        set_x(e, "d", (v(e, "n", ir.IntType(128)) >> 64).trunc(64))


def from_integer(e, f):
    """scvtf, ucvtf (U)."""
    shape = floats.double_or_single(f.T)
    put(e, "d", floats.from_integer(e, x(e, "n", 64 if f.S else 32), shape, unsigned=f.U))


def to_integer(e, f):
    """fcvtns, fcvtps, fcvtms, fcvtzs (R), fcvtas (A) and with U fcvtnu, ..."""
    rounding = floats.AWAY if f.A else f.R
    bits = 64 if f.S else 32
    set_x(e, "d", floats.to_integer(e, number(e, f, "n"), rounding, bits, unsigned=f.U))


def to_integer_exists(w) -> bool:
    """fcvtas has one rounding only."""
    return w["A"] == 0 or w["R"] == 0


# Fixed point: 64 - s fraction bits.


@hole
def fixed_scale(i: Instruction, field: str) -> int:
    """2 ** -fraction bits, as a number of the result's type."""
    return floats.bits_of_power(i.fields["s"] - 64, i.constant_fields().T)


@hole
def fixed_unscale(i: Instruction, field: str) -> int:
    """2 ** fraction bits."""
    return floats.bits_of_power(64 - i.fields["s"], i.constant_fields().T)


@hole
def fixed_limit(i: Instruction, field: str) -> int:
    """What is less becomes a signed integer that fits."""
    f = i.constant_fields()
    most = 63 if f.S else 32 if f.U else 31
    return floats.bits_of_power(most - 64 + i.fields["s"], f.T)


def factor(e, f, kind: str):
    """A hole as a number."""
    bits = e.immediate(kind, "", 64 if f.T else 32, wide=True)
    return bits.cast(floats.double_or_single(f.T))


def from_fixed(e, f):
    """scvtf, ucvtf (fixed point): dividing by a power of two is exact here."""
    shape = floats.double_or_single(f.T)
    value = floats.from_integer(e, x(e, "n", 64 if f.S else 32), shape, unsigned=f.U)
    put(e, "d", e.value(e.b.fmul(value.raw, factor(e, f, "fixed_scale").raw)))


def to_fixed(e, f):
    """fcvtzs, fcvtzu (U) (fixed point): no overflow of the product, which would set a flag."""
    value = number(e, f, "n")
    fits = e.b.fcmp_ordered("<", floats.absolute(e, value).raw, factor(e, f, "fixed_limit").raw)
    e.leave_if(~e.value(fits))
    value = e.value(e.b.fmul(value.raw, factor(e, f, "fixed_unscale").raw))
    bits = 64 if f.S else 32
    set_x(e, "d", floats.to_integer(e, value, floats.ZERO, bits, unsigned=f.U))


def fixed_exists(fields) -> bool:
    """32-bit registers have at most 32 fraction bits."""
    return fields["S"] == 1 or fields["s"] >= 32


# fmt: off
ROWS = (
    Row("f_two_sources", "00011110 0T 1 mmmmm OOOO 10 nnnnn ddddd", "C7.2.131", two_sources, where=lambda w: w["O"] in TWO_SOURCES),
    Row("f_maximum", "00011110 0T 1 mmmmm 01 OO 10 nnnnn ddddd", "C7.2.99", maximum),
    Row("f_one_source", "00011110 0T 1 0000 OO 10000 nnnnn ddddd", "C7.2.43", one_source, where=lambda w: w["O"] < 3),
    Row("f_square_root", "00011110 0T 1 000011 10000 nnnnn ddddd", "C7.2.169", square_root),
    Row("f_round_integral", "00011110 0T 1 001 OOO 10000 nnnnn ddddd", "C7.2.157", round_integral, where=lambda w: w["O"] != 5),
    Row("f_single_to_double", "00011110 0T 1 0001 01 10000 nnnnn ddddd", "C7.2.67", convert_precision, where=lambda w: w["T"] == 0),
    Row("f_double_to_single", "00011110 0T 1 0001 00 10000 nnnnn ddddd", "C7.2.67", convert_precision, where=lambda w: w["T"] == 1),
    Row("f_multiply_add", "00011111 0T O mmmmm P aaaaa nnnnn ddddd", "C7.2.98", multiply_add),
    Row("f_compare", "00011110 0T 1 mmmmm 00 1000 nnnnn E Z 000", "C7.2.65", compare),
    Row("f_conditional_compare", "00011110 0T 1 mmmmm CCCC 01 nnnnn E FFFF", "C7.2.56", conditional_compare),
    Row("f_conditional_select", "00011110 0T 1 mmmmm CCCC 11 nnnnn ddddd", "C7.2.68", conditional_select),
    Row("f_move_immediate", "00011110 0T 1 iiiiiiii 100 00000 ddddd", "C7.2.128", move_immediate),
    Row("f_move_from_general", "S 0011110 0T 1 00 111 000000 nnnnn ddddd", "C7.2.127", move_from_general, where=lambda w: w["S"] == w["T"]),
    Row("f_move_to_general", "S 0011110 0T 1 00 110 000000 nnnnn ddddd", "C7.2.127", move_to_general, where=lambda w: w["S"] == w["T"]),
    Row("f_move_high", "1 0011110 10 1 01 11O 000000 nnnnn ddddd", "C7.2.127", move_high),
    Row("f_from_integer", "S 0011110 0T 1 00 01U 000000 nnnnn ddddd", "C7.2.279", from_integer),
    Row("f_from_fixed", "S 0011110 0T 0 00 01U ssssss nnnnn ddddd", "C7.2.278", from_fixed, where=fixed_exists),
    Row("f_to_integer", "S 0011110 0T 1 RR A0U 000000 nnnnn ddddd", "C7.2.91", to_integer, where=to_integer_exists),
    Row("f_to_fixed", "S 0011110 0T 0 11 00U ssssss nnnnn ddddd", "C7.2.92", to_fixed, where=fixed_exists),
)
# fmt: on
