"""Loads and stores of A64: one general or SIMD and FP register, and pairs of them.

Letters: Z size, O operation, n base, t the register, u the second of a pair, W how the base moves.
"""

from llvmlite import ir

from cosim.engine.interface import Access
from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions.layout import base, hole, set_base, set_v, set_x, signed, v, x

POST, OFFSET, PRE = 1, 2, 3
UNPRIVILEGED = 2  # of one register: ldtr, sttr, which are like ldur and stur in user mode


# Offsets.


@hole
def scaled(i: Instruction, field: str) -> int:
    """Unsigned offset in units of the access."""
    return i.fields[field] << dict(i.constants)["Z"]


@hole
def scaled_vector(i: Instruction, field: str) -> int:
    """The same of SIMD and FP registers."""
    f = i.constant_fields()
    return i.fields[field] << (f.Z | f.O >> 1 << 2)


@hole
def signed9(i: Instruction, field: str) -> int:
    """Signed offset in bytes."""
    return signed(i.fields[field], 9)


@hole
def pair_offset(i: Instruction, field: str) -> int:
    """Signed offset in units of one register of a pair."""
    f = i.constant_fields()
    return signed(i.fields[field], 7) << 2 + (f.O >> 1)


@hole
def pair_offset_vector(i: Instruction, field: str) -> int:
    """The same of SIMD and FP registers."""
    return signed(i.fields[field], 7) << 2 + i.constant_fields().O


@hole
def literal(i: Instruction, field: str) -> int:
    """Address near the instruction."""
    return i.pc + 4 * signed(i.fields[field], 19) & 0xFFFF_FFFF_FFFF_FFFF


# One register.


def extended_load(f, value):
    """What O (1 load, 2 and 3 signed load of 64 and 32 bits) makes of a loaded value."""
    if f.O == 1:
        return value.zext(64)
    return value.sext(64 if f.O == 2 else 32).zext(64)


def access(e, f, address) -> None:
    """Load or store register t: 1 << Z bytes."""
    size = 1 << f.Z
    if f.O == 0:
        e.store(address, size, x(e, "t", 8 * size))
    else:
        set_x(e, "t", extended_load(f, e.load(address, size)))


def access_vector(e, f, address) -> None:
    """Load (odd O) or store SIMD and FP register t."""
    size = 1 << (f.Z | f.O >> 1 << 2)
    if f.O & 1:
        set_v(e, "t", e.load(address, size))
    else:
        e.store(address, size, v(e, "t", ir.IntType(8 * size)))


def not_prefetch(fields) -> bool:
    """prfm and unallocated forms are others."""
    return not (fields["Z"] == 3 and fields["O"] > 1 or fields["Z"] == 2 and fields["O"] == 3)


def vector_exists(fields) -> bool:
    """16-byte registers have size 0."""
    return fields["O"] < 2 or fields["Z"] == 0


def moves_another(fields) -> bool:
    """The base is not the register that is loaded or stored (constrained unpredictable)."""
    return fields["n"] == 31 or fields["n"] not in (fields["t"], fields.get("u"))


def unsigned_offset(to):
    """ldr, str, ldrb, ldrsw, ... (immediate, unsigned offset)."""
    kind = "scaled" if to is access else "scaled_vector"
    return lambda e, f: to(e, f, base(e, "n") + e.immediate(kind, "i"))


def unscaled(to):
    """ldur, stur, ldtr, ...; post- and pre-indexed the base moves."""

    def semantics(e, f):
        start = base(e, "n")
        moved = start + e.immediate("signed9", "i")
        to(e, f, start if f.W == POST else moved)
        if f.W in (POST, PRE):
            set_base(e, "n", moved)

    return semantics


def register_offset(to):
    """ldr, str, ... (register); E: how m is extended, H: scaled."""

    def semantics(e, f):
        offset = x(e, "m", 32 if f.E & 1 == 0 else 64)
        offset = offset.sext(64) if f.E & 4 else offset.zext(64)
        shift = f.Z if to is access else f.Z | f.O >> 1 << 2
        to(e, f, base(e, "n") + (offset << (shift if f.H else 0)))

    return semantics


def extends_word(fields) -> bool:
    """Options of the offset register."""
    return fields["E"] & 2 != 0


def load_literal(e, f):
    """ldr, ldrsw (literal)."""
    value = e.load(e.immediate("literal", "i", wide=True), 8 if f.O == 1 else 4)
    set_x(e, "t", value.sext(64) if f.O == 2 else value.zext(64))


def load_literal_vector(e, f):
    """ldr (literal, SIMD and FP)."""
    set_v(e, "t", e.load(e.immediate("literal", "i", wide=True), 4 << f.O))


def nothing(e, f):
    """prfm."""


# Pairs.


def pair_address(e, f, kind: str):
    """(address of the access, what the base becomes)."""
    start = base(e, "n")
    moved = start + e.immediate(kind, "i")
    return (start if f.W == POST else moved), moved


def pair(e, f):
    """ldp, stp, ldpsw, ldnp, stnp."""
    size = 8 if f.O == 2 else 4
    address, moved = pair_address(e, f, "pair_offset")
    if f.L:
        place = e.probe(address, 2 * size)
        values = [e.load_at(place, size, at) for at in (0, size)]
        for field, value in zip("tu", values, strict=True):
            set_x(e, field, value.sext(64) if f.O == 1 else value.zext(64))
    else:
        values = [x(e, field, 8 * size) for field in "tu"]
        place = e.probe(address, 2 * size, Access.WRITE)
        for at, value in zip((0, size), values, strict=True):
            e.store_at(place, size, value, at)
    if f.W in (POST, PRE):
        set_base(e, "n", moved)


def pair_vector(e, f):
    """ldp, stp, ldnp, stnp (SIMD and FP).

    Each register is probed by itself: arrays that are aligned to 16 bytes have pairs of 32 bytes
    over the end of a page, and Unicorn costs more than a thousand probes.
    """
    size = 4 << f.O
    address, moved = pair_address(e, f, "pair_offset_vector")
    access = Access.READ if f.L else Access.WRITE
    places = [e.probe(address + at, size, access) for at in (0, size)]
    if f.L:
        values = [e.load_at(place, size) for place in places]
        for field, value in zip("tu", values, strict=True):
            set_v(e, field, value)
    else:
        values = [v(e, field, ir.IntType(8 * size)) for field in "tu"]
        for place, value in zip(places, values, strict=True):
            e.store_at(place, size, value)
    if f.W in (POST, PRE):
        set_base(e, "n", moved)


def pair_exists(fields) -> bool:
    """Loads into two registers; ldpsw has no store and no non-temporal form."""
    if fields["O"] == 3 or (fields["O"] == 1 and (fields["L"] == 0 or fields["W"] == 0)):
        return False
    loads_twice = fields["L"] == 1 and fields["t"] == fields["u"]
    return not loads_twice and (fields["W"] in (0, OFFSET) or moves_another(fields))


def pair_vector_exists(fields) -> bool:
    """Loads into two registers."""
    return fields["O"] < 3 and not (fields["L"] == 1 and fields["t"] == fields["u"])


# fmt: off
ROWS = (
    Row("prefetch_unsigned", "11 111001 10 iiiiiiiiiiii nnnnn ttttt", "C6.2.240", nothing),
    Row("prefetch_unscaled", "11 111000 10 0 iiiiiiiii 00 nnnnn ttttt", "C6.2.243", nothing),
    Row("prefetch_register", "11 111000 10 1 mmmmm eee h 10 nnnnn ttttt", "C6.2.242", nothing, where=lambda v: v["e"] & 2 != 0),
    Row("prefetch_literal", "11 011000 iiiiiiiiiiiiiiiiiii ttttt", "C6.2.241", nothing),
    Row("load_store_unsigned", "ZZ 111001 OO iiiiiiiiiiii nnnnn ttttt", "C6.2.166", unsigned_offset(access), where=not_prefetch),
    Row("load_store_unscaled", "ZZ 111000 OO 0 iiiiiiiii WW nnnnn ttttt", "C6.2.202", unscaled(access), where=lambda v: not_prefetch(v) and (v["W"] in (0, UNPRIVILEGED) or moves_another(v))),
    Row("load_store_register", "ZZ 111000 OO 1 mmmmm EEE H 10 nnnnn ttttt", "C6.2.168", register_offset(access), where=lambda v: not_prefetch(v) and extends_word(v)),
    Row("load_store_vector_unsigned", "ZZ 111101 OO iiiiiiiiiiii nnnnn ttttt", "C7.2.192", unsigned_offset(access_vector), where=vector_exists),
    Row("load_store_vector_unscaled", "ZZ 111100 OO 0 iiiiiiiii WW nnnnn ttttt", "C7.2.195", unscaled(access_vector), where=lambda v: vector_exists(v) and v["W"] != UNPRIVILEGED),
    Row("load_store_vector_register", "ZZ 111100 OO 1 mmmmm EEE H 10 nnnnn ttttt", "C7.2.194", register_offset(access_vector), where=lambda v: vector_exists(v) and extends_word(v)),
    Row("load_literal", "OO 011000 iiiiiiiiiiiiiiiiiii ttttt", "C6.2.167", load_literal, where=lambda v: v["O"] < 3),
    Row("load_literal_vector", "OO 011100 iiiiiiiiiiiiiiiiiii ttttt", "C7.2.193", load_literal_vector, where=lambda v: v["O"] < 3),
    Row("pair", "OO 10100 WW L iiiiiii uuuuu nnnnn ttttt", "C6.2.164", pair, where=pair_exists),
    Row("pair_vector", "OO 10110 WW L iiiiiii uuuuu nnnnn ttttt", "C7.2.190", pair_vector, where=pair_vector_exists),
)
# fmt: on
