"""Shifts of integer lanes: by an immediate, by registers, rounding, saturating, inserting, narrow.

Letters: U unsigned, A accumulating, R rounding, O the operation.  Rows by an immediate are split by
element size; s is what immh:immb is more than it.
"""

from cosim.engine.native.table import Instruction, Row
from cosim.engine.native.values import splat
from isa_arm.instructions import saturation
from isa_arm.instructions.lanes import (
    broadcast,
    extreme,
    full,
    full_when_long,
    half,
    lanes,
    narrow,
    put,
    put_half,
    read,
    scalar,
    twice_as_wide,
    widen,
)
from isa_arm.instructions.layout import hole

# Rows for each element size.


def by_size(name: str, pattern: str, section: str, make, sizes=(8, 16, 32, 64), where=None):
    """A row for each element size: {immh} in the pattern is its immh:immb.

    make(bits): the semantics.  where(bits): the row's condition.
    """
    rows = []
    for bits in sizes:
        low = bits.bit_length() - 4  # 0 to 3
        text = pattern.replace("{immh}", f"{'0' * (3 - low)}1{'s' * (low + 3)}")
        condition = where and where(bits)
        rows.append(Row(f"{name}_{bits}", text, section, make(bits), where=condition))
    return tuple(rows)


def bits_of(row: Row) -> int:
    """Element size in the row's name."""
    return int(row.name.rsplit("_", 1)[1])


@hole
def shift_left(i: Instruction, field: str) -> int:
    """immh:immb - size."""
    return i.fields["s"]


@hole
def shift_right(i: Instruction, field: str) -> int:
    """2 * size - immh:immb: 1 to size."""
    return bits_of(i.row) - i.fields["s"]


@hole
def shift_right_but_one(i: Instruction, field: str) -> int:
    """One less."""
    return bits_of(i.row) - i.fields["s"] - 1


@hole
def kept_left(i: Instruction, field: str) -> int:
    """sli: bits of the destination that stay."""
    return (1 << i.fields["s"]) - 1


@hole
def kept_right(i: Instruction, field: str) -> int:
    """sri: bits of the destination that stay."""
    bits = bits_of(i.row)
    return ((1 << bits) - 1) ^ ((1 << i.fields["s"]) - 1)


def amount(e, kind: str, shape, *, wide: bool = False):
    """The shift in all lanes."""
    bits = shape.element.width
    number = e.immediate(kind, "", min(bits, 64), wide=wide)
    return broadcast(e, number.zext(bits), shape.count)


def shifted_right(e, value, signed: bool, rounding: int):
    """By 1 to the width: by one less, and by one more, so that no shift is too far."""
    before = amount(e, "shift_right_but_one", value.raw.type)
    build = e.b.ashr if signed else e.b.lshr
    almost = e.value(build(value.raw, before.raw))
    result = e.value(build(almost.raw, splat(value.raw.type, 1)))
    return result + (almost & 1) if rounding else result


# By an immediate.


def right(bits: int):
    """sshr, ushr, ssra, usra, srshr, urshr, srsra, ursra."""

    def semantics(e, f):
        shape = lanes(f, bits)
        result = shifted_right(e, read(e, "n", shape), not f.U, f.R)
        put(e, "d", read(e, "d", shape) + result if f.A else result)

    return semantics


def left(bits: int):
    """shl."""

    def semantics(e, f):
        n = read(e, "n", lanes(f, bits))
        put(e, "d", n << amount(e, "shift_left", n.raw.type))

    return semantics


def insert_left(bits: int):
    """sli: the bits that the shift vacates keep what d has."""

    def semantics(e, f):
        shape = lanes(f, bits)
        kept = read(e, "d", shape) & amount(e, "kept_left", shape, wide=True)
        put(e, "d", kept | read(e, "n", shape) << amount(e, "shift_left", shape))

    return semantics


def insert_right(bits: int):
    """sri: the same to the right."""

    def semantics(e, f):
        shape = lanes(f, bits)
        kept = read(e, "d", shape) & amount(e, "kept_right", shape, wide=True)
        put(e, "d", kept | shifted_right(e, read(e, "n", shape), False, 0))

    return semantics


def left_saturating(bits: int):
    """sqshl, uqshl (O, U), sqshlu: signed numbers to unsigned ones."""

    def semantics(e, f):
        n = read(e, "n", lanes(f, bits))
        signed = not f.U or not f.O
        wide = widen(e, n, 2 * bits, signed)
        wide = wide << amount(e, "shift_left", wide.raw.type)
        put(e, "d", saturation.saturate(e, wide, bits, not f.U, from_signed=signed))

    return semantics


def left_long(bits: int):
    """sshll, ushll, and with 0 sxtl, uxtl."""

    def semantics(e, f):
        wide = widen(e, half(e, f, "n", bits), 2 * bits, not f.U)
        put(e, "d", wide << amount(e, "shift_left", wide.raw.type))

    return semantics


def right_narrow(bits: int):
    """shrn, rshrn."""

    def semantics(e, f):
        result = shifted_right(e, twice_as_wide(e, f, "n", bits), False, f.R)
        put_half(e, f, "d", narrow(e, result, bits))

    return semantics


def right_narrow_saturating(bits: int):
    """sqshrn, uqshrn, sqrshrn, uqrshrn, and without O sqshrun, sqrshrun."""

    def semantics(e, f):
        signed = not (f.O and f.U)
        result = shifted_right(e, twice_as_wide(e, f, "n", bits), signed, f.R)
        result = saturation.saturate(e, result, bits, not f.U, from_signed=signed)
        put_half(e, f, "d", result)

    return semantics


# By registers: the signed lowest byte of each lane of m; negative is right.


def register_amount(e, m, bits: int):
    """The signed lowest bytes."""
    up = splat(m.raw.type, bits - 8)
    return e.value(e.b.ashr(e.b.shl(m.raw, up), up)) if bits > 8 else m


def by_register(e, f):
    """sshl, ushl (U)."""
    bits = 8 << f.Z
    shape = lanes(f, bits)
    n, by = read(e, "n", shape), register_amount(e, read(e, "m", shape), bits)
    zero, width = splat(shape, 0), splat(shape, bits)
    by = by.raw
    back = e.b.sub(zero, by)
    left = e.b.select(e.b.icmp_unsigned("<", by, width), e.b.shl(n.raw, by), zero)
    if f.U:
        right = e.b.select(e.b.icmp_unsigned("<", back, width), e.b.lshr(n.raw, back), zero)
    else:
        most = splat(shape, bits - 1)
        limited = e.b.select(e.b.icmp_unsigned("<", back, most), back, most)
        right = e.b.ashr(n.raw, limited)
    put(e, "d", e.value(e.b.select(e.b.icmp_signed("<", by, zero), right, left)))


def by_register_exactly(e, f):
    """srshl, urshl (R), sqshl, uqshl (O), sqrshl, uqrshl: in twice the width nothing is lost."""
    bits, signed = 8 << f.Z, not f.U
    shape = lanes(f, bits)
    by = widen(e, register_amount(e, read(e, "m", shape), bits), 2 * bits, True)
    wide = widen(e, read(e, "n", shape), 2 * bits, signed)
    zero, one = (e.value(splat(wide.raw.type, number)) for number in (0, 1))
    # Beyond these limits the result is that of the limit.
    by = extreme(e, by, e.value(splat(wide.raw.type, bits)), "smin")
    by = extreme(e, by, e.value(splat(wide.raw.type, -bits - 1)), "smax")
    back = extreme(e, zero - by, one, "smax")
    up = wide << extreme(e, by, zero, "smax")
    down = wide
    if f.R:
        down = wide + (one << (back - one))
    down = e.value((e.b.ashr if signed else e.b.lshr)(down.raw, back.raw))
    result = e.value(e.b.select(e.b.icmp_signed("<", by.raw, zero.raw), down.raw, up.raw))
    if f.O:
        put(e, "d", saturation.saturate(e, result, bits, signed, from_signed=signed))
    else:
        put(e, "d", narrow(e, result, bits))


def exactly(w) -> bool:
    """The plain one has its own row."""
    return (w["R"], w["O"]) != (0, 0) and full(w)


def rounds_or_saturates(w) -> bool:
    """Scalar forms: saturating ones of every size."""
    return exactly(w) and (w["O"] == 1 or w["Z"] == 3)


def saturates(bits: int):
    """sqshlu has U."""
    return lambda w: (w["U"], w["O"]) != (0, 0) and (bits < 64 or w.get("Q", 1) == 1)


# fmt: off
ROWS = (
    Row("v_shift_register", "0 Q U 01110 ZZ 1 mmmmm 01000 1 nnnnn ddddd", "C7.2.328", by_register, where=full),
    Row("v_shift_register_scalar", "01 U 11110 ZZ 1 mmmmm 01000 1 nnnnn ddddd", "C7.2.328", by_register, where=scalar(full)),
    Row("v_shift_exactly", "0 Q U 01110 ZZ 1 mmmmm 010 R O 1 nnnnn ddddd", "C7.2.291", by_register_exactly, where=exactly),
    Row("v_shift_exactly_scalar", "01 U 11110 ZZ 1 mmmmm 010 R O 1 nnnnn ddddd", "C7.2.291", by_register_exactly, where=rounds_or_saturates),
    *by_size("v_shift_right", "0 Q U 011110 {immh} 00 R A 0 1 nnnnn ddddd", "C7.2.330", right, where=full_when_long),
    *by_size("v_shift_right_scalar", "01 U 111110 {immh} 00 R A 0 1 nnnnn ddddd", "C7.2.330", right, (64,)),
    *by_size("v_shift_left", "0 Q 0 011110 {immh} 01010 1 nnnnn ddddd", "C7.2.264", left, where=full_when_long),
    *by_size("v_shift_left_scalar", "01 0 111110 {immh} 01010 1 nnnnn ddddd", "C7.2.264", left, (64,)),
    *by_size("v_insert_right", "0 Q 1 011110 {immh} 01000 1 nnnnn ddddd", "C7.2.322", insert_right, where=full_when_long),
    *by_size("v_insert_right_scalar", "01 1 111110 {immh} 01000 1 nnnnn ddddd", "C7.2.322", insert_right, (64,)),
    *by_size("v_insert_left", "0 Q 1 011110 {immh} 01010 1 nnnnn ddddd", "C7.2.267", insert_left, where=full_when_long),
    *by_size("v_insert_left_scalar", "01 1 111110 {immh} 01010 1 nnnnn ddddd", "C7.2.267", insert_left, (64,)),
    *by_size("v_shift_left_saturating", "0 Q U 011110 {immh} 011 O 0 1 nnnnn ddddd", "C7.2.296", left_saturating, where=saturates),
    *by_size("v_shift_left_saturating_scalar", "01 U 111110 {immh} 011 O 0 1 nnnnn ddddd", "C7.2.296", left_saturating, where=saturates),
    *by_size("v_shift_left_long", "0 Q U 011110 {immh} 10100 1 nnnnn ddddd", "C7.2.329", left_long, (8, 16, 32)),
    *by_size("v_shift_right_narrow", "0 Q 0 011110 {immh} 1000 R 1 nnnnn ddddd", "C7.2.266", right_narrow, (8, 16, 32)),
    *by_size("v_shift_right_narrow_saturating", "0 Q U 011110 {immh} 100 O R 1 nnnnn ddddd", "C7.2.298", right_narrow_saturating, (8, 16, 32), where=saturates),
    *by_size("v_shift_right_narrow_saturating_scalar", "01 U 111110 {immh} 100 O R 1 nnnnn ddddd", "C7.2.298", right_narrow_saturating, (8, 16, 32), where=saturates),
)
# fmt: on
