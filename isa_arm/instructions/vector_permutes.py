"""Lanes that move: dup, ins, umov, smov, rev, zip, uzp, trn, ext, tbl.

Letters: Q 128 bits, Z element size 8 << Z, O the operation.  Rows with an imm5 (i) are split by
element size, the number of zeros at its end.
"""

from cosim.engine.native.table import Instruction, Row
from cosim.engine.native.values import shuffle, splat
from isa_arm.instructions.lanes import full, full_when_long, integers, lanes, put, read
from isa_arm.instructions.layout import VECTOR, hole, set_x, x

SIZES = (8, 16, 32, 64)

# One lane.


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


def moves_out(bits: int):
    """umov to the register that just holds it; smov to a wider one."""

    def exists(w) -> bool:
        if w["O"]:
            return (bits == 64) == (w["Q"] == 1)
        return bits < 32 or (bits == 32 and w["Q"] == 1)

    return exists


def by_size(name: str, pattern: str, section: str, make, where=None):
    """A row for each element size."""
    rows = []
    for number, bits in enumerate(SIZES):
        condition = size_is(number, where and where(bits))
        rows.append(Row(f"{name}_{bits}", pattern, section, make(bits), where=condition))
    return tuple(rows)


# All lanes.


def reverse(e, f):
    """rev64, rev32, rev16 (container of C bytes)."""
    size = 8 << f.Z
    container = {(0, 0): 64, (1, 0): 32, (0, 1): 16}[f.U, f.O]
    shape = lanes(f, size)
    n = read(e, "n", shape)
    group = container // size
    order = [i // group * group + group - 1 - i % group for i in range(shape.count)]
    put(e, "d", shuffle(e, n, n, order))


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


def look_up(e, f):
    """tbl, tbx (X): bytes of C + 1 registers from n on; others become 0, or stay."""
    shape = integers(8, 16)
    indices = read(e, "m", shape)
    if not f.Q:
        low = read(e, "m", integers(8, 8))
        indices = shuffle(e, low, e.value(splat(low.raw.type, 0xFF)), range(16))
    result = e.value(splat(shape, 0))
    for number in range(f.C + 1):
        table = e.read(f"vector{number}", "n", shape=shape)
        place = indices - 16 * number
        outside = e.value(e.b.sext(e.b.icmp_unsigned(">", place.raw, splat(shape, 15)), shape))
        # The host's shuffle gives 0 for an index with the top bit set.
        result = result | e.call("llvm.x86.ssse3.pshuf.b.128", shape, table, place | outside)
    if f.X:
        most = splat(shape, 16 * (f.C + 1) - 1)
        outside = e.b.icmp_unsigned(">", indices.raw, most)
        result = e.value(e.b.select(outside, read(e, "d", shape).raw, result.raw))
    put(e, "d", result if f.Q else shuffle(e, result, result, range(8)))


# fmt: off
ROWS = (
    *by_size("v_duplicate_element", "0 Q 0 01110000 iiiii 0 0000 1 nnnnn ddddd", "C7.2.39", duplicate_element, where=full_when_long),
    *by_size("v_duplicate_scalar", "01 0 11110000 iiiii 0 0000 1 nnnnn ddddd", "C7.2.39", duplicate_scalar),
    *by_size("v_duplicate_general", "0 Q 0 01110000 iiiii 0 0001 1 nnnnn ddddd", "C7.2.40", duplicate_general, where=full_when_long),
    *by_size("v_insert_element", "0 1 1 01110000 iiiii 0 jjjj 1 nnnnn ddddd", "C7.2.175", insert_element),
    *by_size("v_insert_general", "0 1 0 01110000 iiiii 0 0011 1 nnnnn ddddd", "C7.2.176", insert_general),
    *by_size("v_move_out", "0 Q 0 01110000 iiiii 0 01O1 1 nnnnn ddddd", "C7.2.371", move_out, where=moves_out),
    Row("v_reverse", "0 Q U 01110 ZZ 10000 0000 O 10 nnnnn ddddd", "C7.2.221", reverse, where=lambda w: (w["U"], w["O"]) != (1, 1) and w["Z"] + w["U"] + 2 * w["O"] < 3),
    Row("v_permute", "0 Q 0 01110 ZZ 0 mmmmm 0 OOO 10 nnnnn ddddd", "C7.2.403", permute, where=lambda w: w["O"] & 3 != 0 and full(w)),
    Row("v_extract", "0 Q 1 01110 000 mmmmm 0 IIII 0 nnnnn ddddd", "C7.2.43", extract, where=lambda w: w["Q"] == 1 or w["I"] < 8),
    Row("v_look_up", "0 Q 0 01110 000 mmmmm 0 CC X 00 nnnnn ddddd", "C7.2.353", look_up),
)
# fmt: on
