"""Bits of SIMD registers: logic, immediates, comparisons, counting.

Letters: Q 128 bits (0: the lower 64, the upper become zero; forms without it: one lane), Z element
size 8 << Z, U and O choose the operation.
"""

from llvmlite import ir

from cosim.engine.native.table import Instruction, Row
from cosim.engine.native.values import splat, suffix
from isa_arm.instructions.floating import expand_immediate
from isa_arm.instructions.lanes import ZERO_RELATIONS, choose, full, lanes, put, read, scalar
from isa_arm.instructions.layout import hole


def bitwise(e, f):
    """and, bic, orr, orn, eor, bsl, bit, bif (U, O)."""
    shape = ir.IntType(128 if f.Q else 64)
    n, m, d = (e.read("vector", field, shape=shape) for field in "nmd")
    result = (
        (n & m, n & ~m, n | m, n | ~m),
        (n ^ m, m ^ ((m ^ n) & d), d ^ ((d ^ n) & m), d ^ ((d ^ n) & ~m)),
    )[f.U][f.O]
    e.write("vector", "d", result.zext(128))


# Immediates.


@hole
def vector_immediate(i: Instruction, field: str) -> int:
    """AdvSIMDExpandImm: 64 bits."""
    imm8, mode = i.fields["i"] << 5 | i.fields["j"], i.fields["c"]
    inverted = i.constant_fields().V
    if mode < 12:
        wide = mode >= 8
        value = imm8 << 8 * (mode >> 1 & (1 if wide else 3))
        value *= 0x0001_0001_0001_0001 if wide else 0x1_0000_0001
    elif mode < 14:
        value = (imm8 << 8 | 0xFF if mode == 12 else imm8 << 16 | 0xFFFF) * 0x1_0000_0001
    elif mode == 14 and not inverted:
        return imm8 * 0x0101_0101_0101_0101
    elif mode == 14:
        return sum(0xFF << 8 * bit for bit in range(8) if imm8 >> bit & 1)
    elif inverted:
        return expand_immediate(imm8, True)
    else:
        return expand_immediate(imm8, False) * 0x1_0000_0001
    return value ^ 0xFFFF_FFFF_FFFF_FFFF if inverted else value


def is_move(w) -> bool:
    """movi, mvni, fmov: not orr and bic."""
    mode = w["c"]
    return (mode >= 12 or mode & 1 == 0) and not (mode == 15 and w["V"] == 1 and w["Q"] == 0)


def move_immediate(e, f):
    """movi, mvni, fmov (vector, immediate)."""
    value = e.immediate("vector_immediate", "", wide=True).zext(128)
    e.write("vector", "d", value | value << 64 if f.Q else value)


def combine_immediate(e, f):
    """orr, bic (V) (vector, immediate)."""
    value = e.immediate("vector_immediate", "", wide=True)  # already inverted with V
    old = e.read("vector", "d", 128)
    both = value.zext(128) | value.zext(128) << 64
    result = old & both if f.V else old | both
    e.write("vector", "d", result if f.Q else result.trunc(64).zext(128))


# Comparisons.


def put_comparison(e, relation: str, signed: bool, n, m) -> None:
    """All ones where n relates to m."""
    build = e.b.icmp_signed if signed else e.b.icmp_unsigned
    put(e, "d", choose(e, build(relation, n.raw, m.raw), n.raw.type))


RELATIONS = {
    # (U, opcode): (relation, signed)
    (0, 0b00110): (">", True),
    (0, 0b00111): (">=", True),
    (1, 0b00110): (">", False),
    (1, 0b00111): (">=", False),
    (1, 0b10001): ("==", False),
}


def compare(e, f):
    """cmgt, cmge, cmhi, cmhs, cmeq."""
    shape = lanes(f, 8 << f.Z)
    put_comparison(e, *RELATIONS[f.U, f.O], read(e, "n", shape), read(e, "m", shape))


def compare_exists(w) -> bool:
    """In the table."""
    return (w["U"], w["O"]) in RELATIONS and full(w)


def test(e, f):
    """cmtst."""
    shape = lanes(f, 8 << f.Z)
    both = read(e, "n", shape) & read(e, "m", shape)
    put_comparison(e, "!=", False, both, e.value(splat(shape, 0)))


def compare_zero(e, f):
    """cmgt, cmge, cmeq, cmle, cmlt with zero."""
    shape = lanes(f, 8 << f.Z)
    n, zero = read(e, "n", shape), e.value(splat(shape, 0))
    put_comparison(e, ZERO_RELATIONS[f.U, f.O], True, n, zero)


def compare_zero_exists(w) -> bool:
    """In the table."""
    return (w["U"], w["O"]) in ZERO_RELATIONS and full(w)


# One register.


def invert(e, f):
    """not."""
    value = e.read("vector", "n", 128 if f.Q else 64)
    e.write("vector", "d", (~value).zext(128))


def of_lanes(intrinsic: str, *rest: bool):
    """LLVM's name and how to call it on all lanes."""

    def call(e, value):
        shape = value.raw.type
        return e.call(f"llvm.{intrinsic}.{suffix(shape)}", shape, value, *rest)

    return call


def count_bits(e, f):
    """cnt: ones in each byte."""
    put(e, "d", of_lanes("ctpop")(e, read(e, "n", lanes(f, 8))))


def reverse_bits(e, f):
    """rbit: in each byte."""
    put(e, "d", of_lanes("bitreverse")(e, read(e, "n", lanes(f, 8))))


def leading(e, f):
    """clz, and cls: bits like the sign behind it."""
    value = read(e, "n", lanes(f, 8 << f.Z))
    count = of_lanes("ctlz", False)
    if f.U:
        put(e, "d", count(e, value))
    else:
        like_sign = e.value(e.b.ashr(value.raw, splat(value.raw.type, 1)))
        put(e, "d", count(e, value ^ like_sign) - 1)


# fmt: off
ROWS = (
    Row("v_bitwise", "0 Q U 01110 OO 1 mmmmm 00011 1 nnnnn ddddd", "C7.2.11", bitwise),
    Row("v_move_immediate", "0 Q V 0111100000 iii cccc 01 jjjjj ddddd", "C7.2.204", move_immediate, where=is_move),
    Row("v_combine_immediate", "0 Q V 0111100000 iii cccc 01 jjjjj ddddd", "C7.2.213", combine_immediate, where=lambda w: w["c"] < 12 and w["c"] & 1 == 1),
    Row("v_compare", "0 Q U 01110 ZZ 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.25", compare, where=compare_exists),
    Row("v_compare_scalar", "01 U 11110 ZZ 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.25", compare, where=scalar(compare_exists)),
    Row("v_test", "0 Q 0 01110 ZZ 1 mmmmm 10001 1 nnnnn ddddd", "C7.2.34", test, where=full),
    Row("v_test_scalar", "01 0 11110 ZZ 1 mmmmm 10001 1 nnnnn ddddd", "C7.2.34", test, where=scalar(full)),
    Row("v_compare_zero", "0 Q U 01110 ZZ 10000 010 OO 10 nnnnn ddddd", "C7.2.26", compare_zero, where=compare_zero_exists),
    Row("v_compare_zero_scalar", "01 U 11110 ZZ 10000 010 OO 10 nnnnn ddddd", "C7.2.26", compare_zero, where=scalar(compare_zero_exists)),
    Row("v_invert", "0 Q 1 01110 00 10000 00101 10 nnnnn ddddd", "C7.2.211", invert),
    Row("v_count_bits", "0 Q 0 01110 00 10000 00101 10 nnnnn ddddd", "C7.2.31", count_bits),
    Row("v_reverse_bits", "0 Q 1 01110 01 10000 00101 10 nnnnn ddddd", "C7.2.219", reverse_bits),
    Row("v_leading", "0 Q U 01110 ZZ 10000 00100 10 nnnnn ddddd", "C7.2.28", leading, where=lambda w: w["Z"] < 3),
)
# fmt: on
