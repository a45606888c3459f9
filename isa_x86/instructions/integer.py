"""Integer instructions of x86-64: moves, arithmetic, logic, shifts, multiplication, bits, conditions."""

from llvmlite import ir

from cosim.engine.native.table import Instruction
from isa_x86.instructions.decoder import Flagged as Row
from isa_x86.instructions.flags import (
    DEAD,
    Effect,
    Kind,
    condition,
    flag,
    ready,
    set_carry,
    set_carry_overflow,
    set_flags,
    set_flags_if,
    set_rest,
    sets,
)
from isa_x86.instructions.layout import (
    HOLES,
    address,
    immediate,
    modify,
    reg,
    rm,
    set_named,
    set_reg,
    set_rm,
)

# Moves.


def move_store(e, f):
    """mov rm, reg."""
    set_rm(e, f, reg(e, "reg", f.S))


def move_load(e, f):
    """mov reg, rm."""
    set_reg(e, "reg", rm(e, f, f.S))


def move_immediate(e, f):
    """mov rm, imm."""
    set_rm(e, f, immediate(e, f, f.S))


def move_register_immediate(e, f):
    """mov reg, imm (the register is part of the opcode)."""
    set_reg(e, "r", immediate(e, f, f.S))


def move_zero(bits):
    """movzx reg, rm of so many bits."""
    return lambda e, f: set_reg(e, "reg", rm(e, f, bits).zext(f.S))


def move_sign(bits):
    """movsx, movsxd reg, rm of so many bits."""
    return lambda e, f: set_reg(e, "reg", rm(e, f, bits).sext(f.S))


def load_address(e, f):
    """lea: FS is not added."""
    f.G = 0
    set_reg(e, "reg", address(e, f).trunc(f.S))


def exchange_accumulator(e, f):
    """xchg rax, reg."""
    a, b = e.get("rax", f.S), reg(e, "r", f.S)
    set_named(e, "rax", b)
    set_reg(e, "r", a)


def nothing(e, f):
    """nop, endbr64, prefetch, pause, fences."""


def convert(e, f):
    """cbw, cwde, cdqe."""
    set_named(e, "rax", e.get("rax", f.S // 2).sext(f.S))


def convert_double(e, f):
    """cwd, cdq, cqo."""
    set_named(e, "rdx", e.get("rax", f.S).sar(f.S - 1))


def swap_bytes(e, f):
    """bswap."""
    set_reg(e, "r", e.call(f"llvm.bswap.i{f.S}", ir.IntType(f.S), reg(e, "r", f.S)))


# Arithmetic and logic.


def add(e, f, a, b):
    """a + b."""
    set_flags(e, f, Kind.ADD, a, b)
    return a + b


def subtract(e, f, a, b):
    """a - b."""
    set_flags(e, f, Kind.SUB, a, b)
    return a - b


def add_carry(e, f, a, b):
    """a + b + carry."""
    d = flag(e, f, "C").zext(f.S)
    set_flags(e, f, Kind.ADC, a, b, d)
    return a + b + d


def subtract_borrow(e, f, a, b):
    """a - b - carry."""
    d = flag(e, f, "C").zext(f.S)
    set_flags(e, f, Kind.SBB, a, b, d)
    return a - b - d


def logic(operation):
    """and, or, xor."""

    def apply(e, f, a, b):
        result = operation(a, b)
        set_flags(e, f, Kind.LOGIC, result)
        return result

    return apply


# name -> (number in the opcode, function, effect, section of volume 2)
OPERATIONS = {
    "add": (0, add, sets(Kind.ADD), "ADD"),
    "or": (1, logic(lambda a, b: a | b), sets(Kind.LOGIC), "OR"),
    "adc": (2, add_carry, sets(Kind.ADC, "C"), "ADC"),
    "sbb": (3, subtract_borrow, sets(Kind.SBB, "C"), "SBB"),
    "and": (4, logic(lambda a, b: a & b), sets(Kind.LOGIC), "AND"),
    "sub": (5, subtract, sets(Kind.SUB), "SUB"),
    "xor": (6, logic(lambda a, b: a ^ b), sets(Kind.LOGIC), "XOR"),
    "cmp": (7, subtract, sets(Kind.SUB), "CMP"),
}


def begin(e, f) -> None:
    """A reader of carry begins."""
    if hasattr(f, "F"):
        ready(e, f)


def to_rm(apply, second, keep: bool):
    """rm = rm op second; keep: only flags."""

    def semantics(e, f):
        begin(e, f)
        if keep:
            apply(e, f, rm(e, f, f.S), second(e, f))
        else:
            b = second(e, f)
            a, put = modify(e, f, f.S)
            put(apply(e, f, a, b))

    return semantics


def to_reg(apply, keep: bool):
    """reg = reg op rm."""

    def semantics(e, f):
        begin(e, f)
        result = apply(e, f, reg(e, "reg", f.S), rm(e, f, f.S))
        if not keep:
            set_reg(e, "reg", result)

    return semantics


def to_accumulator(apply, keep: bool):
    """rax = rax op imm."""

    def semantics(e, f):
        begin(e, f)
        result = apply(e, f, e.get("rax", f.S), immediate(e, f, f.S))
        if not keep:
            set_named(e, "rax", result)

    return semantics


def second_reg(e, f):
    """The register of ModRM.reg."""
    return reg(e, "reg", f.S)


def second_immediate(e, f):
    """The immediate."""
    return immediate(e, f, f.S)


def operation_rows():
    """Five forms of each of the eight operations."""
    for name, (number, apply, effect, section) in OPERATIONS.items():
        keep = name == "cmp"
        lock = "" if keep else " lock"
        store = to_rm(apply, second_reg, keep)
        given = to_rm(apply, second_immediate, keep)
        bits = f"00{number:03b}"
        yield Row(f"{name}_store", f"{bits}00Z /r{lock}", section, store, flags=effect)
        load = to_reg(apply, keep)
        yield Row(f"{name}_load", f"{bits}01Z /r", section, load, flags=effect)
        accumulate = to_accumulator(apply, keep)
        yield Row(f"{name}_accumulator", f"{bits}10Z iz", section, accumulate, flags=effect)
        yield Row(f"{name}_immediate", f"1000000Z /{number} iz{lock}", section, given, flags=effect)
        yield Row(
            f"{name}_byte_immediate", f"10000011 /{number} ib{lock}", section, given, flags=effect
        )


def invert(e, f):
    """not."""
    value, put = modify(e, f, f.S)
    put(~value)


def negate(e, f):
    """neg; with lock Unicorn compares and exchanges: it reads twice, and its flags are those of the
    old value.
    """
    value, put = modify(e, f, f.S, reads=1 + f.L)
    set_flags(e, f, Kind.SUB, e.constant(0, f.S), -value if f.L else value)
    put(-value)


def step(kind):
    """inc, dec."""

    def semantics(e, f):
        value, put = modify(e, f, f.S)
        result = value + (1 if kind == Kind.INC else -1)
        set_rest(e, f, kind, result)
        put(result)

    return semantics


# Multiplication and division.


def multiply(e, f):
    """mul rm: rdx:rax = rax * rm."""
    product = e.get("rax", f.S).zext(2 * f.S) * rm(e, f, f.S).zext(2 * f.S)
    high = (product >> f.S).trunc(f.S)
    low = product.trunc(f.S)
    set_flags(e, f, Kind.MUL, high, low)
    set_product(e, f, product, low, high)


def set_product(e, f, product, low, high) -> None:
    """ax, dx:ax, edx:eax, rdx:rax."""
    if f.S == 8:
        e.set("rax", product)
    else:
        set_named(e, "rax", low)
        set_named(e, "rdx", high)


def signed_product(e, f, a, b):
    """(product, low, high); flags: does the product fit?"""
    product = a.sext(2 * f.S) * b.sext(2 * f.S)
    low, high = product.trunc(f.S), (product >> f.S).trunc(f.S)
    set_flags(e, f, Kind.MUL, high ^ low.sar(f.S - 1), low)
    return product, low, high


def multiply_signed(e, f):
    """imul rm."""
    product = signed_product(e, f, e.get("rax", f.S), rm(e, f, f.S))
    set_product(e, f, *product)


def multiply_register(e, f):
    """imul reg, rm."""
    set_reg(e, "reg", signed_product(e, f, reg(e, "reg", f.S), rm(e, f, f.S))[1])


def multiply_immediate(e, f):
    """imul reg, rm, imm."""
    set_reg(e, "reg", signed_product(e, f, rm(e, f, f.S), immediate(e, f, f.S))[1])


def divide(signed):
    """div, idiv: an error, and 128-bit dividends, are Unicorn's."""

    def semantics(e, f):
        bits = f.S
        divisor = rm(e, f, bits)
        e.leave_if(divisor.eq(0))
        low, high = e.get("rax", bits), e.get("rdx", bits)
        if bits == 8:
            dividend = e.get("rax", 16)
        elif bits == 64:
            dividend = low
            e.leave_if(high.ne(low.sar(63) if signed else 0))
        else:
            dividend = high.zext(2 * bits) << bits | low.zext(2 * bits)
        wide = dividend.bits
        if signed:
            by = divisor.sext(wide)
            e.leave_if((by + 1).eq(0) & dividend.eq(1 << wide - 1))
            quotient, rest = dividend.sdiv(by), dividend.srem(by)
            fits = quotient.trunc(bits).sext(wide)
        else:
            by = divisor.zext(wide)
            quotient, rest = dividend.udiv(by), dividend.urem(by)
            fits = quotient.trunc(bits).zext(wide)
        if wide > bits:
            e.leave_if(quotient.ne(fits))
        if bits == 8:
            e.set("rax", rest << 8 | quotient & 0xFF)
        else:
            set_named(e, "rax", quotient.trunc(bits))
            set_named(e, "rdx", rest.trunc(bits))

    return semantics


# Shifts and rotates.


def count_mask(bits: int) -> int:
    """What counts of an amount, for operands of so many bits."""
    return 63 if bits == 64 else 31


def count_register(e, f):
    """The amount in cl."""
    return e.get("rcx") & count_mask(f.S)


def _count(i: Instruction, field: str) -> int:
    return i.fields[field] & count_mask(dict(i.constants)["S"])


HOLES["count"] = _count
HOLES["count_before"] = lambda i, f: _count(i, f) - 1
HOLES["turn"] = lambda i, f: i.fields[f] & dict(i.constants)["S"] - 1
SHIFTS = {4: "shl", 5: "shr", 7: "sar"}


def shifted(f, value, amount):
    """`value` by `amount`, both 64 bits wide, and cut to the operand."""
    if f.O == 4:
        wide = value.zext(64) << amount
    elif f.O == 5:
        wide = value.zext(64) >> amount
    else:
        wide = value.sext(64).sar(amount)
    return wide.trunc(f.S)


def shift_kind(f) -> Kind:
    """How flags of a shift follow."""
    return Kind.SHL if f.O == 4 else Kind.SAR


def shift_immediate(e, f):
    """shl, shr, sar by an immediate that is not 0."""
    value, put = modify(e, f, f.S)
    result = shifted(f, value, e.immediate("count", "imm"))
    if f.D != DEAD:
        before = shifted(f, value, e.immediate("count_before", "imm"))
        set_flags(e, f, shift_kind(f), before, result)
    put(result)


def shift_once(e, f):
    """shl, shr, sar by 1."""
    value, put = modify(e, f, f.S)
    result = shifted(f, value, 1)
    set_flags(e, f, shift_kind(f), value, result)
    put(result)


def shift_count(e, f):
    """shl, shr, sar by cl; no flag changes by 0."""
    value, put = modify(e, f, f.S)
    count = count_register(e, f)
    result = shifted(f, value, count)
    before = shifted(f, value, (count - 1) & 63)
    set_flags_if(e, f, count.ne(0), shift_kind(f), before, result)
    put(result)


def rotated(e, f, value, amount):
    """rol, ror (O)."""
    side = "l" if f.O == 0 else "r"
    return e.call(f"llvm.fsh{side}.i{f.S}", ir.IntType(f.S), value, value, amount)


def rotate_flags(e, f, result, condition=None) -> None:
    """Carry is the bit that went around; overflow: it differs from its neighbour."""
    top = (result >> f.S - 1).trunc(1)
    if f.O == 0:
        carry = result.trunc(1)
        set_carry_overflow(e, f, carry, top ^ carry, condition)
    else:
        set_carry_overflow(e, f, top, top ^ (result >> f.S - 2).trunc(1), condition)


def rotate_immediate(e, f):
    """rol, ror by an immediate that is not 0."""
    value, put = modify(e, f, f.S)
    result = rotated(e, f, value, e.immediate("turn", "imm", f.S))
    rotate_flags(e, f, result)
    put(result)


def rotate_once(e, f):
    """rol, ror by 1."""
    value, put = modify(e, f, f.S)
    result = rotated(e, f, value, e.constant(1, f.S))
    rotate_flags(e, f, result)
    put(result)


def rotate_count(e, f):
    """rol, ror by cl."""
    value, put = modify(e, f, f.S)
    count = count_register(e, f)
    result = rotated(e, f, value, (count & f.S - 1).trunc(f.S))
    rotate_flags(e, f, result, count.ne(0))
    put(result)


def shift_double(e, f, count, certain):
    """shld, shrd (O)."""
    value, put = modify(e, f, f.S)
    other = reg(e, "reg", f.S)
    if f.O == 0:
        result = e.call(f"llvm.fshl.i{f.S}", ir.IntType(f.S), value, other, count.trunc(f.S))
    else:
        result = e.call(f"llvm.fshr.i{f.S}", ir.IntType(f.S), other, value, count.trunc(f.S))
    less = ((count - 1) & f.S - 1).trunc(f.S)
    if f.S == 32:  # Unicorn takes carry and overflow from both registers shifted together
        side, pair = ("l", (value, other)) if f.O == 0 else ("r", (other, value))
        before = e.call(f"llvm.fsh{side}.i32", ir.IntType(32), *pair, less)
    else:
        before = value << less if f.O == 0 else value >> less
    kind = Kind.SHL if f.O == 0 else Kind.SAR
    if certain:
        set_flags(e, f, kind, before, result)
    else:
        set_flags_if(e, f, count.ne(0), kind, before, result)
    put(result)


def shift_double_immediate(e, f):
    """shld, shrd by an immediate that is not 0."""
    shift_double(e, f, e.immediate("count", "imm"), certain=True)


def shift_double_count(e, f):
    """shld, shrd by cl."""
    shift_double(e, f, count_register(e, f), certain=False)


def counts(v) -> bool:
    """The immediate does shift."""
    return v["imm"] & count_mask(v["S"]) != 0


# Bits.


def bit(second):
    """bt, bts, btr, btc (O): a bit of rm.  second: reads its number."""

    def semantics(e, f):
        number = second(e, f) & f.S - 1
        if f.O == 0:
            value, put = rm(e, f, f.S), None
        else:
            value, put = modify(e, f, f.S)
        carry = (value >> number).trunc(1)
        if put:
            mask = e.constant(1, f.S) << number
            put((None, value | mask, value & ~mask, value ^ mask)[f.O])
        set_carry(e, f, carry)

    return semantics


def bit_immediate(e, f):
    """bt, bts, btr, btc with an immediate: O is 4 to 7."""
    f.O -= 4
    bit(second_immediate)(e, f)


def scan(reverse):
    """bsf, bsr: nothing is written when the operand is 0; tzcnt, lzcnt are this on the baseline."""

    def semantics(e, f):
        value = rm(e, f, f.S)
        set_flags(e, f, Kind.LOGIC, value)
        name = "ctlz" if reverse else "cttz"
        found = e.call(f"llvm.{name}.i{f.S}", ir.IntType(f.S), value, False)
        if reverse:
            found = found ^ (f.S - 1)
        set_reg(e, "reg", value.eq(0).select(reg(e, "reg", f.S), found))

    return semantics


def count_bits(e, f):
    """popcnt."""
    value = rm(e, f, f.S)
    set_flags(e, f, Kind.POPCNT, value)
    set_reg(e, "reg", e.call(f"llvm.ctpop.i{f.S}", ir.IntType(f.S), value))


# Conditions.


def set_byte(e, f):
    """setcc."""
    set_rm(e, f, condition(e, f).zext(8))


def move_condition(e, f):
    """cmovcc: the operand is read in any case, and 32 bits clear the upper half."""
    holds = condition(e, f)
    value = rm(e, f, f.S)
    set_reg(e, "reg", holds.select(value, reg(e, "reg", f.S)))


def carry_flag(number):
    """clc, stc, cmc (None)."""

    def semantics(e, f):
        begin(e, f)
        set_carry(e, f, ~flag(e, f, "C") if number is None else e.constant(number, 1))

    return semantics


def is_word(v) -> bool:
    """Forms of 32 and 64 bits."""
    return v["S"] >= 32


READS_CONDITION = Effect(reads="condition")
LOGIC, SUB, MUL = sets(Kind.LOGIC), sets(Kind.SUB), sets(Kind.MUL)
CARRY, BOTH, MAYBE = Effect("carry"), Effect("both"), Effect("maybe")
SHIFT = {4: sets(Kind.SHL), 5: sets(Kind.SAR), 7: sets(Kind.SAR)}


def amount_rows(name, number, section, forms, effect):
    """Three forms of a shift or rotation: by an immediate, by 1, by cl.

    forms: their semantics.  effect: on flags, unless the amount may be 0.
    """
    by_immediate, once, by_count = (with_constant(form, number) for form in forms)
    yield Row(
        f"{name}_immediate",
        f"1100000Z /{number} ib",
        section,
        by_immediate,
        where=counts,
        flags=effect,
    )
    yield Row(f"{name}_once", f"1101000Z /{number}", section, once, flags=effect)
    yield Row(f"{name}_count", f"1101001Z /{number}", section, by_count, flags=MAYBE)


def shift_rows():
    """shl, shr, sar, rol, ror, and the shifts of two registers."""
    shifts = (shift_immediate, shift_once, shift_count)
    for number, name in SHIFTS.items():
        yield from amount_rows(name, number, "SAL/SAR/SHL/SHR", shifts, SHIFT[number])
    rotations = (rotate_immediate, rotate_once, rotate_count)
    for number, name in ((0, "rol"), (1, "ror")):
        yield from amount_rows(name, number, "RCL/RCR/ROL/ROR", rotations, BOTH)
    for number, name, base in ((0, "shld", "1010010"), (1, "shrd", "1010110")):
        effect = sets(Kind.SAR if number else Kind.SHL)
        yield Row(
            f"{name}_immediate",
            f"0f {base}0 /r ib",
            name.upper(),
            with_constant(shift_double_immediate, number),
            where=lambda v: is_word(v) and counts(v),
            flags=effect,
        )
        yield Row(
            f"{name}_count",
            f"0f {base}1 /r",
            name.upper(),
            with_constant(shift_double_count, number),
            where=is_word,
            flags=MAYBE,
        )


def with_constant(semantics, number: int):
    """The operation is a constant of the row: f.O."""

    def fixed(e, f):
        f.O = number
        semantics(e, f)

    return fixed


# fmt: off
ROWS = (
    *operation_rows(),
    *shift_rows(),
    Row("mov_store", "1000100Z /r", "MOV", move_store),
    Row("mov_load", "1000101Z /r", "MOV", move_load),
    Row("mov_immediate", "1100011Z /0 iz", "MOV", move_immediate, where=lambda v: v["reg"] == 0),
    Row("mov_byte_register", "10110rrr ib byte", "MOV", move_register_immediate),
    Row("mov_register", "10111rrr iv", "MOV", move_register_immediate),
    Row("movzx_byte", "0f 10110110 /r rm8", "MOVZX", move_zero(8)),
    Row("movzx_word", "0f 10110111 /r", "MOVZX", move_zero(16), where=is_word),
    Row("movsx_byte", "0f 10111110 /r rm8", "MOVSX/MOVSXD", move_sign(8)),
    Row("movsx_word", "0f 10111111 /r", "MOVSX/MOVSXD", move_sign(16), where=is_word),
    Row("movsxd", "01100011 /r", "MOVSX/MOVSXD", move_sign(32), where=is_word),
    Row("lea", "10001101 /rm", "LEA", load_address),
    Row("xchg_accumulator", "10010rrr", "XCHG", exchange_accumulator, where=lambda v: v["r"] != 0),
    Row("nop", "10010000 rep", "NOP", nothing),
    Row("nop_long", "0f 00011111 /r", "NOP", nothing),
    Row("endbr", "f3 0f 00011110 /7r", "ENDBR64", nothing),
    Row("prefetch", "0f 00011000 /rm", "PREFETCHh", nothing),
    Row("prefetchw", "0f 00001101 /rm", "PREFETCHW", nothing),
    Row("fence_load", "np 0f 10101110 /5r", "LFENCE", nothing),
    Row("fence", "np 0f 10101110 /6r", "MFENCE", nothing),
    Row("fence_store", "np 0f 10101110 /7r", "SFENCE", nothing),
    Row("cwde", "10011000", "CBW/CWDE/CDQE", convert),
    Row("cdq", "10011001", "CWD/CDQ/CQO", convert_double),
    Row("bswap", "0f 11001rrr", "BSWAP", swap_bytes, where=is_word),
    Row("test", "1000010Z /r", "TEST", to_rm(OPERATIONS["and"][1], second_reg, True), flags=LOGIC),
    Row("test_accumulator", "1010100Z iz", "TEST", to_accumulator(OPERATIONS["and"][1], True), flags=LOGIC),
    Row("test_immediate", "1111011Z /0 iz", "TEST", to_rm(OPERATIONS["and"][1], second_immediate, True), flags=LOGIC),
    Row("not", "1111011Z /2 lock", "NOT", invert),
    Row("neg", "1111011Z /3 lock", "NEG", negate, flags=SUB),
    Row("mul", "1111011Z /4", "MUL", multiply, flags=MUL),
    Row("imul", "1111011Z /5", "IMUL", multiply_signed, flags=MUL),
    Row("div", "1111011Z /6", "DIV", divide(False), leaves=True),
    Row("idiv", "1111011Z /7", "IDIV", divide(True), leaves=True),
    Row("imul_register", "0f 10101111 /r", "IMUL", multiply_register, flags=MUL),
    Row("imul_immediate", "01101001 /r iz", "IMUL", multiply_immediate, flags=MUL),
    Row("imul_byte_immediate", "01101011 /r ib", "IMUL", multiply_immediate, flags=MUL),
    Row("inc", "1111111Z /0 lock", "INC", step(Kind.INC), flags=Effect("rest", Kind.INC)),
    Row("dec", "1111111Z /1 lock", "DEC", step(Kind.DEC), flags=Effect("rest", Kind.DEC)),
    Row("bt", "0f 101OO011 /rr", "BT", bit(second_reg), flags=CARRY),
    Row("bt_immediate", "0f 10111010 /O ib lock", "BT", bit_immediate, where=lambda v: v["O"] >= 4, flags=CARRY),
    Row("bsf", "0f 10111100 /r rep", "BSF", scan(False), flags=LOGIC),
    Row("bsr", "0f 10111101 /r rep", "BSR", scan(True), flags=LOGIC),
    Row("popcnt", "f3 0f 10111000 /r", "POPCNT", count_bits, flags=sets(Kind.POPCNT)),
    Row("setcc", "0f 1001CCCC /r byte", "SETcc", set_byte, flags=READS_CONDITION),
    Row("cmovcc", "0f 0100CCCC /r", "CMOVcc", move_condition, flags=READS_CONDITION),
    Row("clc", "11111000", "CLC", carry_flag(0), flags=CARRY),
    Row("stc", "11111001", "STC", carry_flag(1), flags=CARRY),
    Row("cmc", "11110101", "CMC", carry_flag(None), flags=Effect("carry", reads="C")),
)
# fmt: on
