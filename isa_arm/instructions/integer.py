"""Integer instructions of A64: arithmetic, logic, moves, bit fields, conditional selection.

Letters of the patterns: S 64 bits wide; O, F, T, U, V choose the operation; n, m, a, d registers.
"""

from llvmlite import ir

from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions.flags import (
    compare_if,
    condition,
    set_flags_add,
    set_flags_carry,
    set_flags_logical,
    set_flags_sub,
)
from isa_arm.instructions.layout import base, hole, set_base, set_x, signed, x

WORD = 0xFFFF_FFFF_FFFF_FFFF


def width(f) -> int:
    """32 or 64."""
    return 64 if f.S else 32


# Addition and subtraction.


def add_sub(e, f, a, b, put):
    """a + b, or a - b with O; F: set flags, and 31 is the zero register."""
    result = a - b if f.O else a + b
    if f.F:
        (set_flags_sub if f.O else set_flags_add)(e, a, b)
        set_x(e, "d", result)
    else:
        put(e, "d", result)


def add_sub_immediate(e, f):
    """add, sub, adds, subs (immediate); H: shifted by 12."""
    bits = width(f)
    b = e.immediate("unsigned", "i", bits) << (12 if f.H else 0)
    add_sub(e, f, base(e, "n", bits), b, set_base)


def add_sub_register(e, f):
    """add, sub, adds, subs (register, not shifted)."""
    bits = width(f)
    add_sub(e, f, x(e, "n", bits), x(e, "m", bits), set_x)


def shifted(e, f, field: str):
    """Register `field` shifted by `a` as T says: lsl, lsr, asr, ror."""
    bits = width(f)
    value = x(e, field, bits)
    amount = e.immediate("unsigned", "a", bits)
    if f.T == 0:
        return value << amount
    if f.T == 1:
        return value >> amount
    if f.T == 2:
        return value.sar(amount)
    return e.call(f"llvm.fshr.i{bits}", ir.IntType(bits), value, value, amount)


def add_sub_shifted(e, f):
    """add, sub, adds, subs (shifted register)."""
    add_sub(e, f, x(e, "n", width(f)), shifted(e, f, "m"), set_x)


def extended(e, field: str, option: int, bits: int):
    """Register `field` extended as the option says: uxtb, uxth, uxtw, uxtx, sxtb, ..."""
    size = 8 << (option & 3)
    value = x(e, field, min(size, bits))
    return value.sext(bits) if option & 4 else value.zext(bits)


def add_sub_extended(e, f):
    """add, sub, adds, subs (extended register); A: shift."""
    bits = width(f)
    add_sub(e, f, base(e, "n", bits), extended(e, "m", f.E, bits) << f.A, set_base)


def add_carry(e, f):
    """adc, sbc, adcs, sbcs."""
    bits = width(f)
    a, b = x(e, "n", bits), x(e, "m", bits)
    b = ~b if f.O else b
    carry = e.get("carry").trunc(bits)
    if f.F:
        set_flags_carry(e, a, b, carry)
    set_x(e, "d", a + b + carry)


# Logic and moves.


def logical(e, f, a, b, put):
    """and, orr, eor, ands."""
    result = (a & b, a | b, a ^ b, a & b)[f.O]
    if f.O == 3:
        set_flags_logical(e, result)
        set_x(e, "d", result)
    else:
        put(e, "d", result)


def bit_mask(i: Instruction) -> int | None:
    """DecodeBitMasks: the immediate of logical instructions; None: reserved."""
    bits = 64 if dict(i.constants)["S"] else 32
    k, r, s = (i.fields[letter] for letter in "krs")
    length = (k << 6 | (~s & 0x3F)).bit_length() - 1
    if length < 1 or (bits == 32 and k):
        return None
    size = 1 << length
    ones = (s & (size - 1)) + 1
    if ones == size:
        return None
    turn = r & (size - 1)
    mask = (1 << ones) - 1
    mask = (mask >> turn | mask << (size - turn)) & ((1 << size) - 1)
    for place in (1, 2, 4, 8, 16, 32):
        if size <= place < bits:
            mask |= mask << place
    return mask


@hole
def mask(i: Instruction, field: str) -> int:
    """The immediate of logical instructions."""
    found = bit_mask(i)
    assert found is not None
    return found


def has_mask(fields) -> bool:
    """The immediate is not reserved."""
    return bit_mask(Instruction(ROWS[0], (("S", fields["S"]),), fields)) is not None


def logical_immediate(e, f):
    """and, orr, eor, ands (immediate)."""
    bits = width(f)
    logical(e, f, x(e, "n", bits), e.immediate("mask", "", bits, wide=True), set_base)


def logical_register(e, f):
    """and, orr, eor, ands and, with V, bic, orn, eon, bics (register, not shifted)."""
    b = x(e, "m", width(f))
    logical(e, f, x(e, "n", width(f)), ~b if f.V else b, set_x)


def logical_shifted(e, f):
    """The same with a shift."""
    b = shifted(e, f, "m")
    logical(e, f, x(e, "n", width(f)), ~b if f.V else b, set_x)


def move_register(e, f):
    """mov: orr with the zero register."""
    set_x(e, "d", x(e, "m", width(f)))


@hole
def moved(i: Instruction, field: str) -> int:
    """The value movz and movn give."""
    value = i.fields["i"] << 16 * i.fields["h"]
    f = i.constant_fields()
    return (value ^ WORD if f.O == 0 else value) & (WORD if f.S else 0xFFFF_FFFF)


def move_wide(e, f):
    """movz, movn."""
    set_x(e, "d", e.immediate("moved", wide=True))


def move_keep(e, f):
    """movk; H: which 16 bits."""
    value = x(e, "d", width(f)) & ~(0xFFFF << 16 * f.H)
    set_x(e, "d", value | e.immediate("unsigned", "i", width(f)) << 16 * f.H)


@hole
def address(i: Instruction, field: str) -> int:
    """What adr and adrp give."""
    distance = signed(i.fields["i"] << 2 | i.fields["l"], 21)
    if i.constant_fields().P:
        return (i.pc & ~0xFFF) + (distance << 12) & WORD
    return i.pc + distance & WORD


def address_of(e, f):
    """adr, adrp."""
    set_x(e, "d", e.immediate("address", wide=True))


# Bit fields: (value << left) >> right.


@hole
def left(i: Instruction, field: str) -> int:
    """So far that the field's highest bit is the highest."""
    return (63 if i.constant_fields().S else 31) - i.fields["s"]


@hole
def right(i: Instruction, field: str) -> int:
    """And then to its place."""
    r, s = i.fields["r"], i.fields["s"]
    return left(i, "") + r if s >= r else r - s - 1


@hole
def kept(i: Instruction, field: str) -> int:
    """Bits of the destination that bfm writes."""
    bits = 64 if i.constant_fields().S else 32
    ones = (1 << bits) - 1
    return ((ones << left(i, "")) & ones) >> right(i, "")


def bit_field(e, f):
    """sbfm, bfm, ubfm (O): lsl, lsr, asr, ubfx, sxtw, bfi, ..."""
    bits = width(f)
    at = x(e, "n", bits) << e.immediate("left", "", bits)
    amount = e.immediate("right", "", bits)
    value = at.sar(amount) if f.O == 0 else at >> amount
    if f.O == 1:
        which = e.immediate("kept", "", bits, wide=True)
        value = (x(e, "d", bits) & ~which) | (value & which)
    set_x(e, "d", value)


def same_width(fields) -> bool:
    """N equals the size, and 32-bit forms have no high bits in their numbers."""
    high = (fields.get("r", 0) | fields["s"]) & 0x20
    return fields["k"] == fields["S"] and (fields["S"] == 1 or not high)


def extract(e, f):
    """extr, ror (immediate)."""
    bits = width(f)
    amount = e.immediate("unsigned", "s", bits)
    kind = ir.IntType(bits)
    set_x(e, "d", e.call(f"llvm.fshr.i{bits}", kind, x(e, "n", bits), x(e, "m", bits), amount))


# Conditional instructions.


def conditional_select(e, f):
    """csel, csinc, csinv, csneg."""
    bits = width(f)
    other = x(e, "m", bits)
    if f.O:
        other = ~other
    if f.T:
        other = other + 1
    set_x(e, "d", condition(e, f.C).select(x(e, "n", bits), other))


def conditional_compare(e, f, b):
    """ccmp (O), ccmn: flags of the comparison, or FFFF when the condition fails."""
    a = x(e, "n", width(f))
    compare = set_flags_sub if f.O else set_flags_add
    compare_if(e, f.C, lambda: compare(e, a, b), f.F)


def conditional_compare_register(e, f):
    """ccmp, ccmn (register)."""
    conditional_compare(e, f, x(e, "m", width(f)))


def conditional_compare_immediate(e, f):
    """ccmp, ccmn (immediate)."""
    conditional_compare(e, f, e.immediate("unsigned", "m", width(f)))


# Multiplication, division, shifts by registers, bit counting.


def divide(e, f):
    """udiv, sdiv (O): by zero gives 0; the most negative by -1 gives itself."""
    bits = width(f)
    a, b = x(e, "n", bits), x(e, "m", bits)
    special = b.eq(0)
    if f.O:
        special = special | ((b + 1).eq(0) & a.eq(1 << (bits - 1)))
    safe = special.select(e.constant(1, bits), b)
    result = a.sdiv(safe) if f.O else a.udiv(safe)
    set_x(e, "d", b.eq(0).select(e.constant(0, bits), result))


def shift_register(e, f):
    """lslv, lsrv, asrv, rorv (T)."""
    bits = width(f)
    a, amount = x(e, "n", bits), x(e, "m", bits) & (bits - 1)
    if f.T == 3:
        result = e.call(f"llvm.fshr.i{bits}", ir.IntType(bits), a, a, amount)
    else:
        result = (a << amount, a >> amount, a.sar(amount))[f.T]
    set_x(e, "d", result)


def multiply(e, f):
    """madd, msub (O)."""
    bits = width(f)
    product = x(e, "n", bits) * x(e, "m", bits)
    a = x(e, "a", bits)
    set_x(e, "d", a - product if f.O else a + product)


def multiply_long(e, f):
    """smaddl, smsubl, umaddl, umsubl."""
    n, m = x(e, "n", 32), x(e, "m", 32)
    product = n.zext(64) * m.zext(64) if f.U else n.sext(64) * m.sext(64)
    a = x(e, "a")
    set_x(e, "d", a - product if f.O else a + product)


def multiply_high(e, f):
    """smulh, umulh."""
    n, m = x(e, "n"), x(e, "m")
    wide = n.zext(128) * m.zext(128) if f.U else n.sext(128) * m.sext(128)
    set_x(e, "d", (wide >> 64).trunc(64))


def one_source(e, f):
    """rbit, rev16, rev32, rev, clz, cls (O)."""
    bits = width(f)
    kind = ir.IntType(bits)
    value = x(e, "n", bits)
    if f.O == 0:
        result = e.call(f"llvm.bitreverse.i{bits}", kind, value)
    elif f.O == 1:
        low = 0x00FF00FF00FF00FF & ((1 << bits) - 1)
        result = ((value >> 8) & low) | ((value & low) << 8)
    elif f.O == 2 and bits == 64:
        swapped = e.call("llvm.bswap.i64", kind, value)
        result = (swapped >> 32) | (swapped << 32)
    elif f.O in (2, 3):
        result = e.call(f"llvm.bswap.i{bits}", kind, value)
    elif f.O == 4:
        result = e.call(f"llvm.ctlz.i{bits}", kind, value, False)
    else:
        same = value ^ value.sar(1)
        result = e.call(f"llvm.ctlz.i{bits}", kind, same, False) - 1
    set_x(e, "d", result)


def one_source_exists(fields) -> bool:
    """Opcode 3 is rev of 64 bits; 6 and 7 are others."""
    return fields["O"] < 6 and (fields["O"] != 3 or fields["S"] == 1)


def short_shift(fields) -> bool:
    """32-bit forms shift by less than 32."""
    return fields["S"] == 1 or fields["a"] < 32


# fmt: off
ROWS = (
    Row("address_of", "P ll 10000 iiiiiiiiiiiiiiiiiii ddddd", "C6.2.10", address_of),
    Row("add_sub_immediate", "S O F 100010 H iiiiiiiiiiii nnnnn ddddd", "C6.2.4", add_sub_immediate),
    Row("logical_immediate", "S OO 100100 k rrrrrr ssssss nnnnn ddddd", "C6.2.12", logical_immediate, where=has_mask),
    Row("move_wide", "S O0 100101 hh iiiiiiiiiiiiiiii ddddd", "C6.2.226", move_wide, where=lambda v: v["S"] == 1 or v["h"] < 2),
    Row("move_keep", "S 11 100101 HH iiiiiiiiiiiiiiii ddddd", "C6.2.225", move_keep, where=lambda v: v["S"] == 1 or v["H"] < 2),
    Row("bit_field", "S OO 100110 k rrrrrr ssssss nnnnn ddddd", "C6.2.33", bit_field, where=lambda v: v["O"] < 3 and same_width(v)),
    Row("extract", "S 00 100111 k 0 mmmmm ssssss nnnnn ddddd", "C6.2.117", extract, where=same_width),
    Row("move_register", "S 01 01010 00 0 mmmmm 000000 11111 ddddd", "C6.2.221", move_register),
    Row("logical_register", "S OO 01010 00 V mmmmm 000000 nnnnn ddddd", "C6.2.13", logical_register),
    Row("logical_shifted", "S OO 01010 TT V mmmmm aaaaaa nnnnn ddddd", "C6.2.13", logical_shifted, where=short_shift),
    Row("add_sub_register", "S O F 01011 00 0 mmmmm 000000 nnnnn ddddd", "C6.2.5", add_sub_register),
    Row("add_sub_shifted", "S O F 01011 TT 0 mmmmm aaaaaa nnnnn ddddd", "C6.2.5", add_sub_shifted, where=lambda v: v["T"] < 3 and short_shift(v)),
    Row("add_sub_extended", "S O F 01011 00 1 mmmmm EEE AAA nnnnn ddddd", "C6.2.3", add_sub_extended, where=lambda v: v["A"] < 5),
    Row("add_carry", "S O F 11010000 mmmmm 000000 nnnnn ddddd", "C6.2.1", add_carry),
    Row("conditional_compare_register", "S O 1 11010010 mmmmm CCCC 00 nnnnn 0 FFFF", "C6.2.42", conditional_compare_register),
    Row("conditional_compare_immediate", "S O 1 11010010 mmmmm CCCC 10 nnnnn 0 FFFF", "C6.2.41", conditional_compare_immediate),
    Row("conditional_select", "S O 0 11010100 mmmmm CCCC 0 T nnnnn ddddd", "C6.2.103", conditional_select),
    Row("divide", "S 00 11010110 mmmmm 00001 O nnnnn ddddd", "C6.2.280", divide),
    Row("shift_register", "S 00 11010110 mmmmm 0010 TT nnnnn ddddd", "C6.2.214", shift_register),
    Row("one_source", "S 10 11010110 00000 000 OOO nnnnn ddddd", "C6.2.248", one_source, where=one_source_exists),
    Row("multiply", "S 00 11011 000 mmmmm O aaaaa nnnnn ddddd", "C6.2.218", multiply),
    Row("multiply_long", "1 00 11011 U 01 mmmmm O aaaaa nnnnn ddddd", "C6.2.281", multiply_long),
    Row("multiply_high", "1 00 11011 U 10 mmmmm 0 11111 nnnnn ddddd", "C6.2.285", multiply_high),
)
# fmt: on
