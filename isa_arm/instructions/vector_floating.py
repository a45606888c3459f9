"""Floating-point lanes: arithmetic, comparisons, rounding, conversions; vectors and their scalars.

Letters: Q 128 bits (forms without it: one lane), T double precision, U, B, O the operation.
"""

from types import SimpleNamespace

from llvmlite import ir

from cosim.engine.native.emitter import F32, F64
from cosim.engine.native.table import Instruction, Row
from cosim.engine.native.values import shuffle, splat
from isa_arm.instructions import floats
from isa_arm.instructions.lanes import (
    ZERO_RELATIONS,
    broadcast,
    choose,
    even_odd,
    full_when_long,
    half,
    integers,
    lanes,
    neighbours,
    put,
    put_half,
    read,
)
from isa_arm.instructions.layout import VECTOR, hole
from isa_arm.instructions.vector_shifts import bits_of, by_size, shift_right

# Shapes.  Half a register of singles is computed as four lanes with ones above: what the host does
# there must not raise a flag.


def float_lanes(f) -> ir.Type:
    """2D or 4S; one lane in scalar forms."""
    element = floats.double_or_single(f.T)
    return ir.VectorType(element, (2 if f.T else 4) if hasattr(f, "Q") else 1)


def is_half(f) -> bool:
    """2S."""
    return getattr(f, "Q", 1) == 0


def padded(e, value, number: float = 1.0):
    """Two lanes made four."""
    rest = floats.same(e, value.raw.type, number)
    return floats.opaque(e, shuffle(e, value, rest, range(4)))


def read_floats(e, f, field: str, rest: float = 1.0):
    """A register as numbers; rest: above 2S."""
    if is_half(f):
        return padded(e, read(e, field, ir.VectorType(F32, 2)), rest)
    return read(e, field, float_lanes(f))


def put_lanes(e, f, field: str, value) -> None:
    """Set a register to integers or numbers of the form's shape."""
    if value.raw.type.element in (F32, F64):
        value = floats.pattern(e, value)
    if is_half(f):
        value = shuffle(e, value, value, range(2))
    put(e, field, value)


def put_floats(e, f, field: str, value) -> None:
    """Set a register to numbers, unless one is a NaN."""
    put_lanes(e, f, field, floats.no_nan(e, value))


def exists(w) -> bool:
    """Doubles fill the register."""
    return w.get("Q", 1) == 1 or w["T"] == 0


# Three registers of the same shape.


def extended_product(e, n, m, d=None):
    """fmulx: zero times infinity is 2."""
    floats.no_infinity(e, n, m)
    return floats.product(e, n, m)


def distance(e, n, m, d):
    """fabd."""
    return floats.absolute(e, floats.difference(e, n, m))


def reciprocal_step(e, n, m, d):
    """frecps: 2 - n * m, and 2 with zero times infinity."""
    floats.no_infinity(e, n, m)
    return floats.fused(e, floats.negative(e, n), m, floats.same(e, n.raw.type, 2.0))


FAR = 2.0**60  # products of less than this do not overflow


def root_step(e, n, m, d):
    """frsqrts: (3 - n * m) / 2 with one rounding; halving is exact here."""
    for value in (n, m):
        floats.no_nan(e, value)
        near = floats.less(e, floats.absolute(e, value), floats.same(e, value.raw.type, FAR))
        e.leave_if(~floats.all_lanes(e, near))
    total = floats.fused(e, floats.negative(e, n), m, floats.same(e, n.raw.type, 3.0))
    return floats.product(e, total, floats.same(e, n.raw.type, 0.5))


ARITHMETIC = {
    # (U, B, opcode): function of (e, n, m, d)
    (0, 0, 0b11000): lambda e, n, m, d: floats.extreme(e, n, m, 0),
    (0, 1, 0b11000): lambda e, n, m, d: floats.extreme(e, n, m, 1),
    (0, 0, 0b11001): lambda e, n, m, d: floats.fused(e, n, m, d()),
    (0, 1, 0b11001): lambda e, n, m, d: floats.fused(e, floats.negative(e, n), m, d()),
    (0, 0, 0b11010): lambda e, n, m, d: floats.total(e, n, m),
    (0, 1, 0b11010): lambda e, n, m, d: floats.difference(e, n, m),
    (1, 1, 0b11010): distance,
    (0, 0, 0b11011): extended_product,
    (1, 0, 0b11011): lambda e, n, m, d: floats.product(e, n, m),
    (0, 0, 0b11110): lambda e, n, m, d: floats.extreme(e, n, m, 0),
    (0, 1, 0b11110): lambda e, n, m, d: floats.extreme(e, n, m, 1),
    (0, 0, 0b11111): reciprocal_step,
    (0, 1, 0b11111): root_step,
    (1, 0, 0b11111): lambda e, n, m, d: floats.quotient(e, n, m),
}
# fabd, fmulx, frecps, frsqrts
SCALAR_ARITHMETIC = ((1, 1, 0b11010), (0, 0, 0b11011), (0, 0, 0b11111), (0, 1, 0b11111))


def three_same(e, f):
    """fadd, fsub, fmul, fmulx, fdiv, fabd, fmla, fmls, fmax, fmin, fmaxnm, fminnm, frecps, ..."""
    n, m = read_floats(e, f, "n"), read_floats(e, f, "m")
    function = ARITHMETIC[f.U, f.B, f.O]
    put_floats(e, f, "d", function(e, n, m, lambda: read_floats(e, f, "d")))


def three_same_exists(w) -> bool:
    """In the table."""
    return (w["U"], w["B"], w["O"]) in ARITHMETIC and exists(w)


def scalar_exists(w) -> bool:
    """The few that are not in `floating`."""
    return (w["U"], w["B"], w["O"]) in SCALAR_ARITHMETIC


COMPARISONS = {
    # (U, B, opcode): (relation, of absolute values)
    (0, 0, 0b11100): ("==", False),
    (1, 0, 0b11100): (">=", False),
    (1, 1, 0b11100): (">", False),
    (1, 0, 0b11101): (">=", True),
    (1, 1, 0b11101): (">", True),
}


def put_comparison(e, f, relation: str, n, m) -> None:
    """All ones where n relates to m; NaNs are left."""
    floats.no_nan(e, n, m)
    condition = e.b.fcmp_ordered(relation, n.raw, m.raw)
    shape = integers(floats.bits_in(n.raw.type), n.raw.type.count)
    put_lanes(e, f, "d", choose(e, condition, shape))


def compare(e, f):
    """fcmeq, fcmge, fcmgt, facge, facgt."""
    relation, of_sizes = COMPARISONS[f.U, f.B, f.O]
    n, m = read_floats(e, f, "n"), read_floats(e, f, "m")
    if of_sizes:
        n, m = floats.absolute(e, n), floats.absolute(e, m)
    put_comparison(e, f, relation, n, m)


def compare_exists(w) -> bool:
    """In the table."""
    return (w["U"], w["B"], w["O"]) in COMPARISONS and exists(w)


def compare_zero(e, f):
    """fcmgt, fcmge, fcmeq, fcmle, fcmlt with zero."""
    n = read_floats(e, f, "n")
    put_comparison(e, f, ZERO_RELATIONS[f.U, f.O], n, floats.same(e, n.raw.type, 0.0))


def compare_zero_exists(w) -> bool:
    """In the table."""
    return (w["U"], w["O"]) in ZERO_RELATIONS and exists(w)


# By element.


@hole
def element_lane(i: Instruction, field: str) -> int:
    """The lane of m that `by element` forms use: M:m, index from H, L."""
    f = i.fields
    if i.constant_fields().T:
        return VECTOR[f["q"] << 4 | f["m"]] + 8 * f["h"]
    return VECTOR[f["q"] << 4 | f["m"]] + 4 * (f["h"] << 1 | f["l"])


def by_element(e, f):
    """fmul, fmulx, fmla, fmls (by element)."""
    n = read_floats(e, f, "n")
    m = broadcast(e, e.read("element_lane", "", shape=n.raw.type.element), n.raw.type.count)
    if is_half(f):
        m = padded(e, shuffle(e, m, m, range(2)))
    if f.O == 0b1001:
        result = (extended_product if f.U else floats.product)(e, n, m)
    else:
        n = floats.negative(e, n) if f.O == 0b0101 else n
        result = floats.fused(e, n, m, read_floats(e, f, "d"))
    put_floats(e, f, "d", result)


def by_element_exists(w) -> bool:
    """fmulx has U; doubles have one bit of index."""
    operation = w["O"] == 0b1001 or (w["O"] in (0b0001, 0b0101) and not w["U"])
    return operation and exists(w) and (w["T"] == 0 or w["l"] == 0)


# Pairs, and across all lanes.

PAIRED = {
    # (U, B, opcode): function of (e, even, odd)
    (1, 0, 0b11000): lambda e, a, b: floats.extreme(e, a, b, 0),
    (1, 1, 0b11000): lambda e, a, b: floats.extreme(e, a, b, 1),
    (1, 0, 0b11010): floats.total,
    (1, 0, 0b11110): lambda e, a, b: floats.extreme(e, a, b, 0),
    (1, 1, 0b11110): lambda e, a, b: floats.extreme(e, a, b, 1),
}


def pairs(e, f):
    """faddp, fmaxp, fminp, fmaxnmp, fminnmp."""
    shape = ir.VectorType(F32, 2) if is_half(f) else float_lanes(f)
    even, odd = neighbours(e, read(e, "n", shape), read(e, "m", shape))
    if is_half(f):
        even, odd = padded(e, even), padded(e, odd)
    put_floats(e, f, "d", PAIRED[f.U, f.B, f.O](e, even, odd))


def pairs_exist(w) -> bool:
    """In the table."""
    return (w["U"], w["B"], w["O"]) in PAIRED and exists(w)


def pair_scalar(e, f):
    """faddp, fmaxp, fminp, fmaxnmp, fminnmp (scalar): of the two lowest lanes."""
    even, odd = even_odd(e, read(e, "n", ir.VectorType(floats.double_or_single(f.T), 2)))
    put_floats(e, f, "d", PAIRED[1, f.B, f.O << 1](e, even, odd))


def pair_scalar_exists(w) -> bool:
    """In the table."""
    return (1, w["B"], w["O"] << 1) in PAIRED


def across(e, f):
    """fmaxv, fminv, fmaxnmv, fminnmv: of neighbours, and again."""
    even, odd = even_odd(e, read(e, "n", ir.VectorType(F32, 4)))
    even, odd = even_odd(e, floats.extreme(e, even, odd, f.B))
    put(e, "d", floats.pattern(e, floats.extreme(e, even, odd, f.B)))


# One register.


def sign(e, f):
    """fabs, fneg (U): bits only."""
    bits = 64 if f.T else 32
    shape = lanes(f, bits)
    n, top = read(e, "n", shape), e.value(splat(shape, 1 << (bits - 1)))
    put(e, "d", n ^ top if f.U else n & ~top)


def square_root(e, f):
    """fsqrt."""
    put_floats(e, f, "d", floats.square_root(e, read_floats(e, f, "n")))


ROUNDINGS = {
    # (U, B, opcode): see floats
    (0, 0, 0b11000): floats.NEAREST,
    (0, 1, 0b11000): floats.UP,
    (1, 0, 0b11000): floats.AWAY,
    (0, 0, 0b11001): floats.DOWN,
    (0, 1, 0b11001): floats.ZERO,
    (1, 0, 0b11001): floats.EXACT,
    (1, 1, 0b11001): floats.CURRENT,
}


def round_integral(e, f):
    """frintn, frintp, frintm, frintz, frinta, frintx, frinti."""
    put_lanes(e, f, "d", floats.rounded(e, read_floats(e, f, "n"), ROUNDINGS[f.U, f.B, f.O]))


CONVERSIONS = {
    # (B, opcode): rounding of fcvt*s, fcvt*u
    (0, 0b11010): floats.NEAREST,
    (1, 0b11010): floats.UP,
    (0, 0b11011): floats.DOWN,
    (1, 0b11011): floats.ZERO,
    (0, 0b11100): floats.AWAY,
}


def to_integers(e, f):
    """fcvtns, fcvtps, fcvtms, fcvtzs, fcvtas and with U fcvtnu, ..."""
    n, rounding = read_floats(e, f, "n"), CONVERSIONS[f.B, f.O]
    bits = 64 if f.T else 32
    put_lanes(e, f, "d", floats.to_integer(e, n, rounding, bits, unsigned=f.U))


def read_integers(e, f):
    """Register n as integers, as many as the form has numbers."""
    n = read(e, "n", lanes(f, 64 if f.T else 32))
    if is_half(f):
        n = floats.opaque(e, shuffle(e, n, e.value(splat(n.raw.type, 1)), range(4)))
    return n


def from_integers(e, f):
    """scvtf, ucvtf (U)."""
    value = floats.from_integer(e, read_integers(e, f), float_lanes(f), unsigned=f.U)
    put_lanes(e, f, "d", value)


# Fixed point: rows by element size, whose shift to the right is the number of fraction bits.


@hole
def fixed_lane_scale(i: Instruction, field: str) -> int:
    """2 ** -fraction bits, as a number."""
    return floats.bits_of_power(-shift_right(i, field), bits_of(i.row) == 64)


@hole
def fixed_lane_unscale(i: Instruction, field: str) -> int:
    """2 ** fraction bits."""
    return floats.bits_of_power(shift_right(i, field), bits_of(i.row) == 64)


@hole
def fixed_lane_limit(i: Instruction, field: str) -> int:
    """What is less becomes a signed integer that fits."""
    bits = bits_of(i.row)
    most = 63 if bits == 64 else 31 + i.constant_fields().U
    return floats.bits_of_power(most - shift_right(i, field), bits == 64)


def factor(e, kind: str, shape: ir.VectorType):
    """A hole as a number in all lanes."""
    bits = floats.bits_in(shape)
    return broadcast(e, e.immediate(kind, "", bits, wide=True).cast(shape.element), shape.count)


def with_size(f, bits: int) -> SimpleNamespace:
    """The constants with T."""
    return SimpleNamespace(**vars(f), T=int(bits == 64))


def from_fixed(bits: int):
    """scvtf, ucvtf (U): dividing by a power of two is exact here."""

    def semantics(e, f):
        f = with_size(f, bits)
        value = floats.from_integer(e, read_integers(e, f), float_lanes(f), unsigned=f.U)
        put_lanes(
            e, f, "d", floats.product(e, value, factor(e, "fixed_lane_scale", value.raw.type))
        )

    return semantics


def to_fixed(bits: int):
    """fcvtzs, fcvtzu (U): no overflow of the product, which would set a flag."""

    def semantics(e, f):
        f = with_size(f, bits)
        value = read_floats(e, f, "n", 0.0)
        limit = factor(e, "fixed_lane_limit", value.raw.type)
        fits = floats.less(e, floats.absolute(e, value), limit)
        e.leave_if(~floats.all_lanes(e, fits))
        value = floats.product(e, value, factor(e, "fixed_lane_unscale", value.raw.type))
        put_lanes(e, f, "d", floats.to_integer(e, value, floats.ZERO, bits, unsigned=f.U))

    return semantics


def in_table(table: dict):
    """A `where`: of rows whose operation is (U, B, O) or (B, O)."""
    return lambda w: exists(w) and ((w["U"], w["B"], w["O"]) in table or (w["B"], w["O"]) in table)


# Precision.


def lengthen(e, f):
    """fcvtl, fcvtl2: two singles to doubles."""
    value = half(e, f, "n", 32).cast(ir.VectorType(F32, 2))
    longer = e.b.fpext(floats.no_nan(e, value).raw, ir.VectorType(F64, 2))
    put(e, "d", floats.pattern(e, e.value(longer)))


def shorten(e, f):
    """fcvtn, fcvtn2: two doubles to singles."""
    value = floats.no_nan(e, read(e, "n", ir.VectorType(F64, 2)))
    shorter = e.value(e.b.fptrunc(value.raw, ir.VectorType(F32, 2)))
    put_half(e, f, "d", floats.pattern(e, floats.rounded_once(e, shorter)))


# fmt: off
ROWS = (
    Row("v_float_three", "0 Q U 01110 B T 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.46", three_same, where=three_same_exists),
    Row("v_float_three_scalar", "01 U 11110 B T 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.41", three_same, where=scalar_exists),
    Row("v_float_compare", "0 Q U 01110 B T 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.57", compare, where=compare_exists),
    Row("v_float_compare_scalar", "01 U 11110 B T 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.57", compare, where=compare_exists),
    Row("v_float_compare_zero", "0 Q U 01110 1 T 10000 011 OO 10 nnnnn ddddd", "C7.2.58", compare_zero, where=compare_zero_exists),
    Row("v_float_compare_zero_scalar", "01 U 11110 1 T 10000 011 OO 10 nnnnn ddddd", "C7.2.58", compare_zero, where=compare_zero_exists),
    Row("v_float_by_element", "0 Q U 01111 1 T l q mmmm OOOO h 0 nnnnn ddddd", "C7.2.117", by_element, where=by_element_exists),
    Row("v_float_by_element_scalar", "01 U 11111 1 T l q mmmm OOOO h 0 nnnnn ddddd", "C7.2.117", by_element, where=by_element_exists),
    Row("v_float_pairs", "0 Q U 01110 B T 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.51", pairs, where=pairs_exist),
    Row("v_float_pair_scalar", "01 1 11110 B T 11000 0 OOOO 10 nnnnn ddddd", "C7.2.50", pair_scalar, where=pair_scalar_exists),
    Row("v_float_across", "0 1 1 01110 B 0 11000 01100 10 nnnnn ddddd", "C7.2.102", across),
    Row("v_float_across_quiet", "0 1 1 01110 B 0 11000 01111 10 nnnnn ddddd", "C7.2.105", across),
    Row("v_float_sign", "0 Q U 01110 1 T 10000 01111 10 nnnnn ddddd", "C7.2.44", sign, where=exists),
    Row("v_float_square_root", "0 Q 1 01110 1 T 10000 11111 10 nnnnn ddddd", "C7.2.168", square_root, where=exists),
    Row("v_float_round", "0 Q U 01110 B T 10000 OOOOO 10 nnnnn ddddd", "C7.2.154", round_integral, where=in_table(ROUNDINGS)),
    Row("v_float_to_integers", "0 Q U 01110 B T 10000 OOOOO 10 nnnnn ddddd", "C7.2.69", to_integers, where=in_table(CONVERSIONS)),
    Row("v_float_to_integer_scalar", "01 U 11110 B T 10000 OOOOO 10 nnnnn ddddd", "C7.2.69", to_integers, where=in_table(CONVERSIONS)),
    Row("v_from_integers", "0 Q U 01110 0 T 10000 11101 10 nnnnn ddddd", "C7.2.276", from_integers, where=exists),
    Row("v_from_integer_scalar", "01 U 11110 0 T 10000 11101 10 nnnnn ddddd", "C7.2.276", from_integers),
    *by_size("v_from_fixed", "0 Q U 011110 {immh} 11100 1 nnnnn ddddd", "C7.2.275", from_fixed, (32, 64), where=full_when_long),
    *by_size("v_from_fixed_scalar", "01 U 111110 {immh} 11100 1 nnnnn ddddd", "C7.2.275", from_fixed, (32, 64)),
    *by_size("v_to_fixed", "0 Q U 011110 {immh} 11111 1 nnnnn ddddd", "C7.2.89", to_fixed, (32, 64), where=full_when_long),
    *by_size("v_to_fixed_scalar", "01 U 111110 {immh} 11111 1 nnnnn ddddd", "C7.2.89", to_fixed, (32, 64)),
    Row("v_float_lengthen", "0 Q 0 01110 01 10000 10111 10 nnnnn ddddd", "C7.2.74", lengthen),
    Row("v_float_shorten", "0 Q 0 01110 01 10000 10110 10 nnnnn ddddd", "C7.2.79", shorten),
)
# fmt: on
