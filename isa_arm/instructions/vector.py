"""Advanced SIMD of A64: the forms that compilers emit for integer and floating-point loops.

Letters: Q 128 bits (0: the lower 64, the upper become zero), Z element size 8 << Z, U and O choose
the operation.  NaN results are left to Unicorn, as in `floating`.

Half a register of floating-point lanes has a row only where what the host computes in its upper
half is 0 op 0: anything else could raise a flag there.
"""

from llvmlite import ir

from cosim.engine.native.emitter import I64
from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions.floating import expand_immediate
from isa_arm.instructions.lanes import *
from isa_arm.instructions.layout import VECTOR, hole, set_x, x

# Three registers of the same shape.


def bitwise(e, f):
    """and, bic, orr, orn, eor, bsl, bit, bif (U, O)."""
    shape = ir.IntType(128 if f.Q else 64)
    n, m, d = (e.read("vector", field, shape=shape) for field in "nmd")
    result = (
        (n & m, n & ~m, n | m, n | ~m),
        (n ^ m, m ^ ((m ^ n) & d), d ^ ((d ^ n) & m), d ^ ((d ^ n) & ~m)),
    )[f.U][f.O]
    e.write("vector", "d", result.zext(128))


def minmax(e, n, m, kind: str):
    """smax, smin, umax, umin."""
    compare = e.b.icmp_signed if kind[0] == "s" else e.b.icmp_unsigned
    less = compare("<", n.raw, m.raw)
    a, b = (m, n) if kind.endswith("max") else (n, m)
    return e.value(e.b.select(less, a.raw, b.raw))


def compared(e, kind: str, n, m):
    """Lanes of a comparison."""
    signed = kind[0] == "s"
    build = e.b.icmp_signed if signed else e.b.icmp_unsigned
    return choose(e, build(kind[1:], n.raw, m.raw), n.raw.type)


THREE_SAME = {
    # (U, opcode): function of (e, n, m)
    (0, 0b10000): lambda e, n, m: n + m,
    (1, 0b10000): lambda e, n, m: n - m,
    (0, 0b10011): lambda e, n, m: n * m,
    (0, 0b00110): lambda e, n, m: compared(e, "s>", n, m),
    (0, 0b00111): lambda e, n, m: compared(e, "s>=", n, m),
    (1, 0b00110): lambda e, n, m: compared(e, "u>", n, m),
    (1, 0b00111): lambda e, n, m: compared(e, "u>=", n, m),
    (1, 0b10001): lambda e, n, m: compared(e, "u==", n, m),
    (0, 0b10001): lambda e, n, m: choose(
        e, e.b.icmp_unsigned("!=", (n & m).raw, splat(n.raw.type, 0)), n.raw.type
    ),
    (0, 0b01100): lambda e, n, m: minmax(e, n, m, "smax"),
    (0, 0b01101): lambda e, n, m: minmax(e, n, m, "smin"),
    (1, 0b01100): lambda e, n, m: minmax(e, n, m, "umax"),
    (1, 0b01101): lambda e, n, m: minmax(e, n, m, "umin"),
}


def three_same(e, f):
    """add, sub, mul, cmgt, cmge, cmhi, cmhs, cmeq, cmtst, smax, ..."""
    shape = lanes(f, 8 << f.Z)
    put(e, "d", THREE_SAME[f.U, f.O](e, read(e, "n", shape), read(e, "m", shape)))


def three_same_exists(w) -> bool:
    """64-bit elements need 128 bits, and have no mul, smax, ..."""
    if (w["U"], w["O"]) not in THREE_SAME:
        return False
    return w["Z"] < 3 or (w["Q"] == 1 and w["O"] not in (0b10011, 0b01100, 0b01101))


def multiply_accumulate(e, f):
    """mla, mls (U)."""
    shape = lanes(f, 8 << f.Z)
    n, m, d = (read(e, field, shape) for field in "nmd")
    put(e, "d", d - n * m if f.U else d + n * m)


def pairs(e, f):
    """addp: sums of neighbours."""
    shape = lanes(f, 8 << f.Z)
    n, m = read(e, "n", shape), read(e, "m", shape)
    count = shape.count
    even = shuffle(e, n, m, range(0, 2 * count, 2))
    odd = shuffle(e, n, m, range(1, 2 * count, 2))
    put(e, "d", even + odd)


def add_scalar(e, f):
    """add, sub of 64-bit scalars (U)."""
    n, m = e.read("vector", "n"), e.read("vector", "m")
    e.write("vector", "d", (n - m if f.U else n + m).zext(128))


def add_pair_scalar(e, f):
    """addp of the two 64-bit halves."""
    n = e.read("vector", "n", 128)
    e.write("vector", "d", (n.trunc(64) + (n >> 64).trunc(64)).zext(128))


# Three registers of different shapes.


def half(e, f, field: str, bits: int):
    """The lower half of a register, the upper with Q."""
    value = e.read("vector", field, 128)
    value = (value >> 64 if f.Q else value).trunc(64)
    return value.cast(ir.VectorType(ir.IntType(bits), 64 // bits))


def long_multiply(e, f):
    """smull, umull, smlal, umlal, smlsl, umlsl (O)."""
    bits = 8 << f.Z
    n, m = (widen(e, half(e, f, field, bits), 2 * bits, not f.U) for field in "nm")
    product = n * m
    if f.O != 0b1100:
        d = read(e, "d", n.raw.type)
        product = d + product if f.O == 0b1000 else d - product
    put(e, "d", product)


def long_add(e, f):
    """saddl, uaddl, ssubl, usubl; saddw, uaddw, ssubw, usubw (O)."""
    bits = 8 << f.Z
    m = widen(e, half(e, f, "m", bits), 2 * bits, not f.U)
    if f.O & 1:
        n = read(e, "n", m.raw.type)
    else:
        n = widen(e, half(e, f, "n", bits), 2 * bits, not f.U)
    put(e, "d", n - m if f.O & 2 else n + m)


# Two registers.


def cut(e, f):
    """xtn, xtn2."""
    bits = 8 << f.Z
    shape = ir.VectorType(ir.IntType(2 * bits), 64 // bits)
    result = narrow(e, read(e, "n", shape), bits).cast(I64)
    if f.Q:
        e.write("vector", "d", e.read("vector", "d").zext(128) | result.zext(128) << 64)
    else:
        e.write("vector", "d", result.zext(128))


def compare_zero(e, f):
    """cmgt, cmge, cmeq, cmle, cmlt with zero."""
    shape = lanes(f, 8 << f.Z)
    n, zero = read(e, "n", shape), e.value(splat(shape, 0))
    kind = {(0, 0): ">", (1, 0): ">=", (0, 1): "==", (1, 1): "<=", (0, 2): "<"}[f.U, f.O]
    put(e, "d", compared(e, f"s{kind}", n, zero))


def negate(e, f):
    """abs, neg (U)."""
    shape = lanes(f, 8 << f.Z)
    n = read(e, "n", shape)
    zero = e.value(splat(shape, 0))
    minus = zero - n
    if not f.U:
        minus = e.value(e.b.select(e.b.icmp_signed("<", n.raw, zero.raw), minus.raw, n.raw))
    put(e, "d", minus)


def invert(e, f):
    """not."""
    value = e.read("vector", "n", 128 if f.Q else 64)
    e.write("vector", "d", (~value).zext(128))


def count_bits(e, f):
    """cnt: ones in each byte."""
    shape = lanes(f, 8)
    n = read(e, "n", shape)
    put(e, "d", e.call(f"llvm.ctpop.v{shape.count}i8", shape, n))


def reverse(e, f):
    """rev64, rev32, rev16 (container of C bytes)."""
    size = 8 << f.Z
    container = {(0, 0): 64, (1, 0): 32, (0, 1): 16}[f.U, f.O]
    shape = lanes(f, size)
    n = read(e, "n", shape)
    group = container // size
    order = [i // group * group + group - 1 - i % group for i in range(shape.count)]
    put(e, "d", shuffle(e, n, n, order))


def across(e, operation: str, value):
    """All lanes of `value` made one, by one of LLVM's vector reductions."""
    shape = value.raw.type
    name = f"llvm.vector.reduce.{operation}.v{shape.count}i{shape.element.width}"
    e.write("vector", "d", e.call(name, shape.element, value).zext(128))


def add_across(e, f):
    """addv: the sum of all lanes."""
    across(e, "add", read(e, "n", lanes(f, 8 << f.Z)))


def add_long_across(e, f):
    """saddlv, uaddlv (U)."""
    bits = 8 << f.Z
    across(e, "add", widen(e, read(e, "n", lanes(f, bits)), 2 * bits, not f.U))


def extreme_across(e, f):
    """smaxv, sminv, umaxv, uminv (U, O)."""
    operation = ("u" if f.U else "s") + ("min" if f.O else "max")
    across(e, operation, read(e, "n", lanes(f, 8 << f.Z)))


def add_long_pairs(e, f):
    """saddlp, uaddlp, sadalp, uadalp (U, O: accumulating)."""
    bits = 8 << f.Z
    wide = widen(e, read(e, "n", lanes(f, bits)), 2 * bits, not f.U)
    count = wide.raw.type.count
    result = shuffle(e, wide, wide, range(0, count, 2)) + shuffle(e, wide, wide, range(1, count, 2))
    if f.O:
        result = read(e, "d", result.raw.type) + result
    put(e, "d", result)


# Moves and permutations.


def element(i: Instruction, field: str = "i") -> tuple[int, int]:
    """(size: 0 to 3, index) of an imm5."""
    value = i.fields[field]
    size = (value & -value).bit_length() - 1
    return size, value >> size + 1


def lane_offset(field: str, letter: str):
    """A hole: where the lane of register `letter` is in the state."""

    def place(i: Instruction, _: str) -> int:
        size, index = element(i)
        return VECTOR[i.fields[letter]] + (index << size)

    place.__name__ = field
    return hole(place)


lane_offset("source_lane", "n")
lane_offset("target_lane", "d")


@hole
def second_lane(i: Instruction, field: str) -> int:
    """The source lane of ins (element)."""
    size, _ = element(i)
    return VECTOR[i.fields["n"]] + (i.fields["j"] >> size << size)


def size_is(size: int, also=None):
    """Rows are split by element size, the number of zeros at the end of imm5."""
    return lambda w: (w["i"] & -w["i"]) == 1 << size and (also is None or also(w))


def spread(e, f, value):
    """All lanes of register d become `value`."""
    bits = value.bits
    count = (128 if f.Q else 64) // bits
    wide = value.zext(128)
    while bits < value.bits * count:
        wide = wide | wide << bits
        bits *= 2
    e.write("vector", "d", wide)


def duplicate_element(bits: int):
    """dup (element)."""
    return lambda e, f: spread(e, f, e.read("source_lane", "", bits))


def duplicate_general(bits: int):
    """dup (general)."""
    return lambda e, f: spread(e, f, x(e, "n", bits))


def duplicate_scalar(bits: int):
    """dup (scalar): one lane to the bottom."""
    return lambda e, f: e.write("vector", "d", e.read("source_lane", "", bits).zext(128))


def insert_general(bits: int):
    """ins (general)."""
    return lambda e, f: e.write("target_lane", "", x(e, "n", bits))


def insert_element(bits: int):
    """ins (element)."""
    return lambda e, f: e.write("target_lane", "", e.read("second_lane", "", bits))


def move_out(bits: int):
    """umov, smov (O)."""

    def semantics(e, f):
        value = e.read("source_lane", "", bits)
        set_x(e, "d", value.zext(64) if f.O else value.sext(64 if f.Q else 32))

    return semantics


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


def permute(e, f):
    """uzp1, trn1, zip1, uzp2, trn2, zip2 (O)."""
    shape = lanes(f, 8 << f.Z)
    n, m = read(e, "n", shape), read(e, "m", shape)
    count, second = shape.count, f.O >> 2
    kind = f.O & 3
    if kind == 1:
        order = list(range(second, 2 * count, 2))
    elif kind == 2:
        order = [i - i % 2 + second + count * (i % 2) for i in range(count)]
    else:
        order = [i // 2 + second * count // 2 + count * (i % 2) for i in range(count)]
    put(e, "d", shuffle(e, n, m, order))


def extract(e, f):
    """ext: bytes I and up of n, then of m."""
    shape = lanes(f, 8)
    n, m = read(e, "n", shape), read(e, "m", shape)
    put(e, "d", shuffle(e, n, m, range(f.I, f.I + shape.count)))


# Shifts by an immediate: immh is H:h..., split by element size.


@hole
def shift_left(i: Instruction, field: str) -> int:
    """immh:immb - size."""
    return i.fields["s"]


@hole
def shift_right(i: Instruction, field: str) -> int:
    """2 * size - immh:immb, at most size - 1 matters for arithmetic."""
    return bits_of(i.row) - i.fields["s"]


def bits_of(row: Row) -> int:
    """Element size in the row's name."""
    return int(row.name.rsplit("_", 1)[1])


def amount(e, kind: str, shape: ir.Type):
    """The shift in all lanes."""
    one = e.immediate(kind, "", shape.element.width).raw
    vector = e.b.insert_element(
        ir.Constant(shape, ir.Undefined), one, ir.Constant(ir.IntType(32), 0)
    )
    mask = ir.Constant(ir.VectorType(ir.IntType(32), shape.count), [0] * shape.count)
    return e.value(e.b.shuffle_vector(vector, ir.Constant(shape, ir.Undefined), mask))


def shift_immediate(bits: int):
    """sshr, ushr, ssra, usra (O: accumulating)."""

    def semantics(e, f):
        shape = lanes(f, bits)
        n, by = read(e, "n", shape), amount(e, "shift_right", shape)
        # A shift by the whole width: all zeros, or all sign.
        if f.U:
            shifted = e.b.lshr(
                e.b.lshr(n.raw, (by - e.value(splat(shape, 1))).raw), splat(shape, 1)
            )
        else:
            most = e.b.icmp_unsigned("<", by.raw, splat(shape, bits - 1))
            shifted = e.b.ashr(n.raw, e.b.select(most, by.raw, splat(shape, bits - 1)))
        result = e.value(shifted)
        put(e, "d", read(e, "d", shape) + result if f.O else result)

    return semantics


def shift_left_immediate(bits: int):
    """shl."""

    def semantics(e, f):
        shape = lanes(f, bits)
        put(e, "d", e.value(e.b.shl(read(e, "n", shape).raw, amount(e, "shift_left", shape).raw)))

    return semantics


def shift_left_long(bits: int):
    """sshll, ushll, and with 0 sxtl, uxtl."""

    def semantics(e, f):
        wide = widen(e, half(e, f, "n", bits), 2 * bits, not f.U)
        put(e, "d", e.value(e.b.shl(wide.raw, amount(e, "shift_left", wide.raw.type).raw)))

    return semantics


def shift_right_narrow(bits: int):
    """shrn, shrn2."""

    def semantics(e, f):
        shape = ir.VectorType(ir.IntType(2 * bits), 64 // bits)
        shifted = e.b.lshr(read(e, "n", shape).raw, amount(e, "shift_right", shape).raw)
        result = narrow(e, e.value(shifted), bits).cast(I64)
        if f.Q:
            e.write("vector", "d", e.read("vector", "d").zext(128) | result.zext(128) << 64)
        else:
            e.write("vector", "d", result.zext(128))

    return semantics


def shift_register(e, f):
    """sshl, ushl (U): by the signed lowest byte of each lane of m; negative is right."""
    bits = 8 << f.Z
    shape = lanes(f, bits)
    n, m = read(e, "n", shape), read(e, "m", shape)
    up = splat(shape, bits - 8)
    by = e.b.ashr(e.b.shl(m.raw, up), up) if bits > 8 else m.raw
    zero, width = splat(shape, 0), splat(shape, bits)
    back = e.b.sub(zero, by)
    left = e.b.select(e.b.icmp_unsigned("<", by, width), e.b.shl(n.raw, by), zero)
    if f.U:
        right = e.b.select(e.b.icmp_unsigned("<", back, width), e.b.lshr(n.raw, back), zero)
    else:
        most = splat(shape, bits - 1)
        limited = e.b.select(e.b.icmp_unsigned("<", back, most), back, most)
        right = e.b.ashr(n.raw, limited)
    put(e, "d", e.value(e.b.select(e.b.icmp_signed("<", by, zero), right, left)))


def moves_out(bits: int):
    """umov to the register that just holds it; smov to a wider one."""

    def exists(w) -> bool:
        if w["O"]:
            return (bits == 64) == (w["Q"] == 1)
        return bits < 32 or (bits == 32 and w["Q"] == 1)

    return exists


def by_size(name: str, pattern: str, section: str, make, sizes=(8, 16, 32, 64), where=None):
    """A row for each element size; {} in the pattern is its imm5 or its immh:immb."""
    rows = []
    for bits in sizes:
        low = bits.bit_length() - 4  # 0 to 3
        if "{imm5}" in pattern:
            text = pattern.replace("{imm5}", "iiiii")
            also = where(bits) if where else None
            condition = size_is(low, also)
            rows.append(Row(f"{name}_{bits}", text, section, make(bits), where=condition))
        else:
            text = pattern.replace("{immh}", f"{'0' * (3 - low)}1{'s' * (low + 3)}")
            rows.append(
                Row(f"{name}_{bits}", text, section, make(bits), where=where and where(bits))
            )
    return tuple(rows)


def full_when_long(bits: int):
    """64-bit elements need 128 bits."""
    return lambda w: bits < 64 or w["Q"] == 1


# fmt: off
ROWS = (
    Row("v_bitwise", "0 Q U 01110 OO 1 mmmmm 00011 1 nnnnn ddddd", "C7.2.11", bitwise),
    Row("v_three_same", "0 Q U 01110 ZZ 1 mmmmm OOOOO 1 nnnnn ddddd", "C7.2.2", three_same, where=three_same_exists),
    Row("v_multiply_accumulate", "0 Q U 01110 ZZ 1 mmmmm 10010 1 nnnnn ddddd", "C7.2.202", multiply_accumulate, where=lambda w: w["Z"] < 3),
    Row("v_pairs", "0 Q 0 01110 ZZ 1 mmmmm 10111 1 nnnnn ddddd", "C7.2.6", pairs, where=lambda w: w["Z"] < 3 or w["Q"] == 1),
    Row("v_shift_register", "0 Q U 01110 ZZ 1 mmmmm 01000 1 nnnnn ddddd", "C7.2.291", shift_register, where=lambda w: w["Z"] < 3 or w["Q"] == 1),
    Row("v_add_scalar", "01 U 11110 11 1 mmmmm 10000 1 nnnnn ddddd", "C7.2.2", add_scalar),
    Row("v_add_pair_scalar", "01 0 11110 11 11000 11011 10 nnnnn ddddd", "C7.2.5", add_pair_scalar),
    Row("v_long_multiply", "0 Q U 01110 ZZ 1 mmmmm OOOO 00 nnnnn ddddd", "C7.2.315", long_multiply, where=lambda w: w["Z"] < 3 and w["O"] in (0b1000, 0b1010, 0b1100)),
    Row("v_long_add", "0 Q U 01110 ZZ 1 mmmmm 00 OO 00 nnnnn ddddd", "C7.2.255", long_add, where=lambda w: w["Z"] < 3),
    Row("v_cut", "0 Q 0 01110 ZZ 10000 10010 10 nnnnn ddddd", "C7.2.408", cut, where=lambda w: w["Z"] < 3),
    Row("v_compare_zero", "0 Q U 01110 ZZ 10000 010 OO 10 nnnnn ddddd", "C7.2.24", compare_zero, where=lambda w: (w["U"], w["O"]) in ((0, 0), (1, 0), (0, 1), (1, 1), (0, 2)) and (w["Z"] < 3 or w["Q"] == 1)),
    Row("v_negate", "0 Q U 01110 ZZ 10000 01011 10 nnnnn ddddd", "C7.2.210", negate, where=lambda w: w["Z"] < 3 or w["Q"] == 1),
    Row("v_invert", "0 Q 1 01110 00 10000 00101 10 nnnnn ddddd", "C7.2.211", invert),
    Row("v_count_bits", "0 Q 0 01110 00 10000 00101 10 nnnnn ddddd", "C7.2.31", count_bits),
    Row("v_reverse", "0 Q U 01110 ZZ 10000 0000 O 10 nnnnn ddddd", "C7.2.221", reverse, where=lambda w: (w["U"], w["O"]) != (1, 1) and w["Z"] + w["U"] + 2 * w["O"] < 3),
    Row("v_add_across", "0 Q 0 01110 ZZ 11000 11011 10 nnnnn ddddd", "C7.2.7", add_across, where=lambda w: w["Z"] < 2 or (w["Z"] == 2 and w["Q"] == 1)),
    Row("v_add_long_across", "0 Q U 01110 ZZ 11000 00011 10 nnnnn ddddd", "C7.2.356", add_long_across, where=lambda w: w["Z"] < 2 or (w["Z"] == 2 and w["Q"] == 1)),
    Row("v_extreme_across", "0 Q U 01110 ZZ 11000 O1010 10 nnnnn ddddd", "C7.2.366", extreme_across, where=lambda w: w["Z"] < 2 or (w["Z"] == 2 and w["Q"] == 1)),
    Row("v_add_long_pairs", "0 Q U 01110 ZZ 10000 00 O 10 10 nnnnn ddddd", "C7.2.355", add_long_pairs, where=lambda w: w["Z"] < 3),
    *by_size("v_duplicate_element", "0 Q 0 01110000 {imm5} 0 0000 1 nnnnn ddddd", "C7.2.39", duplicate_element, where=full_when_long),
    *by_size("v_duplicate_general", "0 Q 0 01110000 {imm5} 0 0001 1 nnnnn ddddd", "C7.2.40", duplicate_general, where=full_when_long),
    *by_size("v_duplicate_scalar", "01 0 11110000 {imm5} 0 0000 1 nnnnn ddddd", "C7.2.39", duplicate_scalar),
    *by_size("v_insert_general", "0 1 0 01110000 {imm5} 0 0011 1 nnnnn ddddd", "C7.2.176", insert_general),
    *by_size("v_insert_element", "0 1 1 01110000 {imm5} 0 jjjj 1 nnnnn ddddd", "C7.2.175", insert_element),
    *by_size("v_move_out", "0 Q 0 01110000 {imm5} 0 01O1 1 nnnnn ddddd", "C7.2.371", move_out, where=moves_out),
    Row("v_move_immediate", "0 Q V 0111100000 iii cccc 01 jjjjj ddddd", "C7.2.204", move_immediate, where=is_move),
    Row("v_combine_immediate", "0 Q V 0111100000 iii cccc 01 jjjjj ddddd", "C7.2.213", combine_immediate, where=lambda w: w["c"] < 12 and w["c"] & 1 == 1),
    Row("v_permute", "0 Q 0 01110 ZZ 0 mmmmm 0 OOO 10 nnnnn ddddd", "C7.2.403", permute, where=lambda w: w["O"] & 3 != 0 and (w["Z"] < 3 or w["Q"] == 1)),
    Row("v_extract", "0 Q 1 01110 000 mmmmm 0 IIII 0 nnnnn ddddd", "C7.2.43", extract, where=lambda w: w["Q"] == 1 or w["I"] < 8),
    *by_size("v_shift_right", "0 Q U 011110 {immh} 000 O 0 1 nnnnn ddddd", "C7.2.292", shift_immediate, where=full_when_long),
    *by_size("v_shift_left", "0 Q 0 011110 {immh} 01010 1 nnnnn ddddd", "C7.2.267", shift_left_immediate, where=full_when_long),
    *by_size("v_shift_left_long", "0 Q U 011110 {immh} 10100 1 nnnnn ddddd", "C7.2.289", shift_left_long, (8, 16, 32)),
    *by_size("v_shift_right_narrow", "0 Q 0 011110 {immh} 10000 1 nnnnn ddddd", "C7.2.268", shift_right_narrow, (8, 16, 32)),
)
# fmt: on
