"""Loads and stores of several SIMD and FP registers: ld1 to ld4, st1 to st4, ld1r to ld4r.

Letters: L load, Q 128 bits, C how many registers and how they are mixed, t the first of them.  The
base moves behind the structure, or by register m.
"""

from llvmlite import ir

from cosim.engine.interface import Access
from cosim.engine.native.table import Instruction, Row
from cosim.engine.native.values import shuffle
from cosim.engine.stream import Kind
from isa_arm.instructions.layout import VECTOR, base, hole, set_base, x

# opcode of the multiple forms: (registers, of which are elements of one structure)
MULTIPLE = {0: (4, 4), 2: (4, 1), 4: (3, 3), 6: (3, 1), 7: (1, 1), 8: (2, 2), 10: (2, 1)}
STAYS, BY_SIZE, BY_REGISTER = range(3)  # what the base does


def move_base(e, moves: int, start, size: int) -> None:
    """Post-indexing."""
    if moves == BY_SIZE:
        set_base(e, "n", start + size)
    elif moves == BY_REGISTER:
        set_base(e, "n", start + x(e, "m"))


def joined(e, vectors: list):
    """One vector behind the other, as one; at least `vectors` of them."""
    while len(vectors) > 1:
        pairs = zip(vectors[::2], (*vectors[1::2], vectors[-1]), strict=False)
        vectors = [shuffle(e, a, b, range(2 * a.raw.type.count)) for a, b in pairs]
    return vectors[0]


def multiple(moves: int):
    """ld1 to ld4, st1 to st4 (multiple structures)."""

    def semantics(e, f):
        count, mixed = MULTIPLE[f.C]
        # Elements are accessed one by one, as QEMU does; those of one register by 8 bytes.
        size = 8 if mixed == 1 else 1 << f.Z
        register = 16 if f.Q else 8
        total, each = count * register, register // size
        start = base(e, "n")
        place = e.probe(start, total, Access.READ if f.L else Access.WRITE)
        for at in range(0, total, size):
            e.record(place, size, Kind.LOAD if f.L else Kind.STORE, at)
        one = ir.VectorType(ir.IntType(8 * size), each)
        if f.L:
            whole = e.fetch_from(place, ir.VectorType(one.element, count * each))
            for number in range(count):
                first = number if mixed > 1 else number * each
                order = range(first, first + each * mixed, mixed)
                value = shuffle(e, whole, whole, order).cast(ir.IntType(8 * register))
                e.write(f"vector{number}", "t", value.zext(128))
        else:
            whole = joined(e, [e.read(f"vector{k}", "t", shape=one) for k in range(count)])
            places = range(count * each)
            if mixed > 1:
                whole = shuffle(e, whole, whole, [i % count * each + i // count for i in places])
            else:
                whole = shuffle(e, whole, whole, places)
            e.put_to(place, whole)
        move_base(e, moves, start, total)

    return semantics


def multiple_exists(w) -> bool:
    """64-bit elements of half a register are mixed with nothing."""
    return w["C"] in MULTIPLE and (MULTIPLE[w["C"]][1] == 1 or w["Z"] < 3 or w["Q"] == 1)


# One element of each register.


def single_scale(f) -> int:
    """Element size 1 << scale; 3 with opcodes 6 and 7 is replication."""
    return 3 if f.O >> 1 == 2 and f.Z else f.O >> 1


def lane_of(number: int):
    """A hole: where the element of register t + number is in the state."""

    def place(i: Instruction, _: str) -> int:
        fields, f = i.fields, i.constant_fields()
        index = fields["q"] << 3 | fields["s"] << 2 | fields["z"] << 1 | f.Z
        scale = single_scale(f)
        return VECTOR[(fields["t"] + number) % 32] + (index >> scale << scale)

    place.__name__ = f"structure_lane{number}"
    return hole(place)


for register in range(4):
    lane_of(register)


def single_count(f) -> int:
    """Registers of a structure."""
    return ((f.O & 1) << 1 | f.R) + 1


def single(moves: int):
    """ld1 to ld4, st1 to st4 (single structure): one lane, the others stay."""

    def semantics(e, f):
        size, count = 1 << single_scale(f), single_count(f)
        start = base(e, "n")
        place = e.probe(start, count * size, Access.READ if f.L else Access.WRITE)
        if f.L:
            values = [e.load_at(place, size, at * size) for at in range(count)]
            for number, value in enumerate(values):
                e.write(f"structure_lane{number}", "", value)
        else:
            for number in range(count):
                value = e.read(f"structure_lane{number}", "", 8 * size)
                e.store_at(place, size, value, number * size)
        move_base(e, moves, start, count * size)

    return semantics


def single_exists(w) -> bool:
    """The low bits of a lane's number are zero; not replication."""
    scale, low, s = w["O"] >> 1, w["z"] << 1 | w["Z"], w["s"]
    return (
        scale == 0
        or (scale == 1 and not low & 1)
        or (scale == 2 and (low == 0 or (low == 1 and s == 0)))
    )


def replicate(moves: int):
    """ld1r to ld4r: one element to all lanes."""

    def semantics(e, f):
        size, count = 1 << f.Z, single_count(f)
        start = base(e, "n")
        place = e.probe(start, count * size)
        values = [e.load_at(place, size, at * size) for at in range(count)]
        for number, value in enumerate(values):
            wide, bits = value.zext(128), 8 * size
            while bits < (128 if f.Q else 64):
                wide, bits = wide | wide << bits, 2 * bits
            e.write(f"vector{number}", "t", wide)
        move_base(e, moves, start, count * size)

    return semantics


def by_register(exists):
    """Register 31 stands for the size."""
    return lambda w: w["m"] != 31 and exists(w)


def always(w) -> bool:
    """No further condition."""
    return True


# fmt: off
ROWS = (
    Row("multiple", "0 Q 0011000 L 0 00000 CCCC ZZ nnnnn ttttt", "C7.2.177", multiple(STAYS), where=multiple_exists),
    Row("multiple_post", "0 Q 0011001 L 0 11111 CCCC ZZ nnnnn ttttt", "C7.2.177", multiple(BY_SIZE), where=multiple_exists),
    Row("multiple_post_register", "0 Q 0011001 L 0 mmmmm CCCC ZZ nnnnn ttttt", "C7.2.177", multiple(BY_REGISTER), where=by_register(multiple_exists)),
    Row("single", "0 q 0011010 L R 00000 OOO s zZ nnnnn ttttt", "C7.2.178", single(STAYS), where=single_exists),
    Row("single_post", "0 q 0011011 L R 11111 OOO s zZ nnnnn ttttt", "C7.2.178", single(BY_SIZE), where=single_exists),
    Row("single_post_register", "0 q 0011011 L R mmmmm OOO s zZ nnnnn ttttt", "C7.2.178", single(BY_REGISTER), where=by_register(single_exists)),
    Row("replicate", "0 Q 0011010 1 R 00000 11O 0 ZZ nnnnn ttttt", "C7.2.179", replicate(STAYS)),
    Row("replicate_post", "0 Q 0011011 1 R 11111 11O 0 ZZ nnnnn ttttt", "C7.2.179", replicate(BY_SIZE)),
    Row("replicate_post_register", "0 Q 0011011 1 R mmmmm 11O 0 ZZ nnnnn ttttt", "C7.2.179", replicate(BY_REGISTER), where=by_register(always)),
)
# fmt: on
