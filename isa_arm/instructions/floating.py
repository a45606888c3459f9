"""Scalar floating point of A64, single and double precision (T: 0, 1).

The host computes; its sticky flags become FPSR (package). Whatever results in a NaN is left to
Unicorn: which NaN it is differs between Arm and x86 (default NaN, both operands NaN).
"""

from llvmlite import ir

from cosim.engine.native.emitter import F32, F64, I32, I64
from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions.flags import compare_if, condition
from isa_arm.instructions.layout import hole, set_v, set_x, v, x


def kind(f) -> ir.Type:
    """The type of an operand."""
    return F64 if f.T else F32


def suffix(f) -> str:
    """Of LLVM's intrinsics."""
    return "f64" if f.T else "f32"


def integer_of(value):
    """The bits of a scalar."""
    return value.cast(I64 if value.raw.type == F64 else I32)


def put(e, field: str, value) -> None:
    """Set a register to a scalar, unless it is a NaN."""
    e.leave_if(e.value(e.b.fcmp_unordered("uno", value.raw, value.raw)))
    set_v(e, field, integer_of(value))


def two_sources(e, f):
    """fmul, fdiv, fadd, fsub, fnmul (O)."""
    a, b = v(e, "n", kind(f)).raw, v(e, "m", kind(f)).raw
    build = {0: e.b.fmul, 1: e.b.fdiv, 2: e.b.fadd, 3: e.b.fsub, 8: e.b.fmul}[f.O]
    result = build(a, b)
    put(e, "d", e.value(e.b.fneg(result) if f.O == 8 else result))


def maximum(e, f):
    """fmax, fmin, fmaxnm, fminnm (O): two zeros differ by sign, NaNs are left."""
    a, b = v(e, "n", kind(f)), v(e, "m", kind(f))
    e.leave_if(e.value(e.b.fcmp_unordered("uno", a.raw, b.raw)))
    ia, ib = integer_of(a), integer_of(b)
    equal = e.value(e.b.fcmp_ordered("==", a.raw, b.raw))
    less = e.value(e.b.fcmp_ordered("<", a.raw, b.raw))
    low = f.O & 1
    same = (ia | ib) if low else (ia & ib)
    chosen = less.select(ia, ib) if low else less.select(ib, ia)
    set_v(e, "d", equal.select(same, chosen))


def one_source(e, f):
    """fmov, fabs, fneg (O): bits only."""
    bits = 64 if f.T else 32
    value = v(e, "n", ir.IntType(bits))
    top = 1 << (bits - 1)
    set_v(e, "d", (value, value & ~top, value ^ top)[f.O])


def square_root(e, f):
    """fsqrt."""
    put(e, "d", e.call(f"llvm.sqrt.{suffix(f)}", kind(f), v(e, "n", kind(f))))


ROUNDINGS = {0: "roundeven", 1: "ceil", 2: "floor", 3: "trunc", 6: "rint", 7: "nearbyint"}


def round_integral(e, f):
    """frintn, frintp, frintm, frintz, frintx, frinti (O)."""
    put(e, "d", e.call(f"llvm.{ROUNDINGS[f.O]}.{suffix(f)}", kind(f), v(e, "n", kind(f))))


def convert_precision(e, f):
    """fcvt between single and double; T: from double."""
    value = v(e, "n", kind(f)).raw
    put(e, "d", e.value(e.b.fptrunc(value, F32) if f.T else e.b.fpext(value, F64)))


def multiply_add(e, f):
    """fmadd, fmsub, fnmadd, fnmsub: one rounding."""
    a, n, m = (v(e, field, kind(f)) for field in "anm")
    if f.P != f.O:  # fmsub: a - n*m; fnmadd: -a - n*m; fnmsub: -a + n*m
        n = e.value(e.b.fneg(n.raw))
    if f.O:
        a = e.value(e.b.fneg(a.raw))
    put(e, "d", e.call(f"llvm.fma.{suffix(f)}", kind(f), n, m, a))


def compare_values(e, a, b) -> None:
    """NZCV of a comparison; NaNs are left."""
    e.leave_if(e.value(e.b.fcmp_unordered("uno", a.raw, b.raw)))
    less = e.value(e.b.fcmp_ordered("<", a.raw, b.raw))
    equal = e.value(e.b.fcmp_ordered("==", a.raw, b.raw))
    e.set("negative", less.zext(64) << 63)
    e.set("zero_result", (~equal).zext(64))
    e.set("carry", (~less).zext(64))
    e.set("overflow", e.constant(0))


def compare(e, f):
    """fcmp, fcmpe; Z: with zero."""
    a = v(e, "n", kind(f))
    b = e.value(ir.Constant(kind(f), 0.0)) if f.Z else v(e, "m", kind(f))
    compare_values(e, a, b)


def conditional_compare(e, f):
    """fccmp, fccmpe."""
    a, b = v(e, "n", kind(f)), v(e, "m", kind(f))
    compare_if(e, f.C, lambda: compare_values(e, a, b), f.F)


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
    value = x(e, "n", 64 if f.S else 32).raw
    put(e, "d", e.value((e.b.uitofp if f.U else e.b.sitofp)(value, kind(f))))


@hole
def scale(i: Instruction, field: str) -> int:
    """2 ** -fraction bits, as a number of the result's type."""
    fraction = 64 - i.fields["s"]
    return (1023 - fraction) << 52 if i.constant_fields().T else (127 - fraction) << 23


def from_fixed(e, f):
    """scvtf, ucvtf (fixed point): dividing by a power of two is exact here."""
    value = x(e, "n", 64 if f.S else 32).raw
    number = (e.b.uitofp if f.U else e.b.sitofp)(value, kind(f))
    factor = e.immediate("scale", "", 64 if f.T else 32, wide=True).cast(kind(f))
    put(e, "d", e.value(e.b.fmul(number, factor.raw)))


def fixed_exists(fields) -> bool:
    """32-bit registers have at most 32 fraction bits."""
    return fields["S"] == 1 or fields["s"] >= 32


def to_integer(e, f):
    """fcvtzs, fcvtzu (U) and with R other roundings; what does not fit is left."""
    number = v(e, "n", kind(f))
    if f.R != 3:
        name = {0: "roundeven", 1: "ceil", 2: "floor"}[f.R]
        rounded = e.call(f"llvm.{name}.{suffix(f)}", kind(f), number)
        differs = e.value(e.b.fcmp_unordered("!=", rounded.raw, number.raw))
        e.leave_if(differs)  # inexact: the flag would be lost
        number = rounded
    bits = 64 if f.S else 32
    if f.U:
        low, high = 0.0, min(2.0**bits, 2.0**63)
    else:
        low, high = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1)
    fits = e.b.fcmp_ordered(">=", number.raw, ir.Constant(kind(f), low))
    e.leave_if(~e.value(fits))
    fits = e.b.fcmp_ordered("<", number.raw, ir.Constant(kind(f), high))
    e.leave_if(~e.value(fits))
    set_x(e, "d", e.value(e.b.fptosi(number.raw, I64)).trunc(bits))


# fmt: off
ROWS = (
    Row("f_two_sources", "00011110 0T 1 mmmmm OOOO 10 nnnnn ddddd", "C7.2.131", two_sources, where=lambda w: w["O"] in (0, 1, 2, 3, 8)),
    Row("f_maximum", "00011110 0T 1 mmmmm 01 OO 10 nnnnn ddddd", "C7.2.99", maximum),
    Row("f_one_source", "00011110 0T 1 0000 OO 10000 nnnnn ddddd", "C7.2.43", one_source, where=lambda w: w["O"] < 3),
    Row("f_square_root", "00011110 0T 1 000011 10000 nnnnn ddddd", "C7.2.169", square_root),
    Row("f_round_integral", "00011110 0T 1 001 OOO 10000 nnnnn ddddd", "C7.2.157", round_integral, where=lambda w: w["O"] in ROUNDINGS),
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
    Row("f_to_integer", "S 0011110 0T 1 RR 00U 000000 nnnnn ddddd", "C7.2.91", to_integer),
)
# fmt: on
