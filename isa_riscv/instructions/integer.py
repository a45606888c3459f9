"""Integer instructions of RISC-V: RV64I and M (20191213, chapters 2, 5 and 7)."""

from isa_riscv.instructions.decoder import Form
from isa_riscv.instructions.layout import number, set_x, x

OP, OP_32 = "0110011", "0111011"
OP_IMM, OP_IMM_32 = "0010011", "0011011"
REGISTER_BITS = 64


# What is computed from two operands of the same width.


def amount(b):
    """The bits of a shift's operand that count."""
    return b & (b.bits - 1)


def truth(e, bit):
    """0 or 1."""
    return bit.zext(REGISTER_BITS)


def high(e, a, b, *, a_signed: bool, b_signed: bool):
    """The upper half of a product."""
    wide = 2 * a.bits
    product = (a.sext(wide) if a_signed else a.zext(wide)) * (
        b.sext(wide) if b_signed else b.zext(wide)
    )
    return (product >> a.bits).trunc(a.bits)


def divide(e, a, b, *, signed: bool, rest: bool):
    """By zero: all ones, rest a; the most negative by -1: itself, no rest (7.2, table 7.1)."""
    zero = b.eq(0)
    special = zero
    if signed:
        special = zero | ((b + 1).eq(0) & a.eq(1 << (a.bits - 1)))
    safe = special.select(e.constant(1, a.bits), b)
    if rest:
        return zero.select(a, a.srem(safe) if signed else a.urem(safe))
    return zero.select(e.constant(-1, a.bits), a.sdiv(safe) if signed else a.udiv(safe))


def divides(*, signed: bool, rest: bool):
    """One of the four."""
    return lambda e, a, b: divide(e, a, b, signed=signed, rest=rest)


# name, funct7, funct3, section, operation; the same with 32 bits is called ...w.
OPERATIONS = (
    ("add",    0b0000000, 0b000, "2.4", lambda e, a, b: a + b),
    ("sub",    0b0100000, 0b000, "2.4", lambda e, a, b: a - b),
    ("sll",    0b0000000, 0b001, "2.4", lambda e, a, b: a << amount(b)),
    ("slt",    0b0000000, 0b010, "2.4", lambda e, a, b: truth(e, a.slt(b))),
    ("sltu",   0b0000000, 0b011, "2.4", lambda e, a, b: truth(e, a.ult(b))),
    ("xor",    0b0000000, 0b100, "2.4", lambda e, a, b: a ^ b),
    ("srl",    0b0000000, 0b101, "2.4", lambda e, a, b: a >> amount(b)),
    ("sra",    0b0100000, 0b101, "2.4", lambda e, a, b: a.sar(amount(b))),
    ("or",     0b0000000, 0b110, "2.4", lambda e, a, b: a | b),
    ("and",    0b0000000, 0b111, "2.4", lambda e, a, b: a & b),
    ("mul",    0b0000001, 0b000, "7.1", lambda e, a, b: a * b),
    ("mulh",   0b0000001, 0b001, "7.1", lambda e, a, b: high(e, a, b, a_signed=True, b_signed=True)),
    ("mulhsu", 0b0000001, 0b010, "7.1", lambda e, a, b: high(e, a, b, a_signed=True, b_signed=False)),
    ("mulhu",  0b0000001, 0b011, "7.1", lambda e, a, b: high(e, a, b, a_signed=False, b_signed=False)),
    ("div",    0b0000001, 0b100, "7.2", divides(signed=True, rest=False)),
    ("divu",   0b0000001, 0b101, "7.2", divides(signed=False, rest=False)),
    ("rem",    0b0000001, 0b110, "7.2", divides(signed=True, rest=True)),
    ("remu",   0b0000001, 0b111, "7.2", divides(signed=False, rest=True)),
)  # fmt: skip
OF_WORDS = ("add", "sub", "sll", "srl", "sra", "mul", "div", "divu", "rem", "remu")
WITH_IMMEDIATE = ("add", "slt", "sltu", "xor", "or", "and")
SHIFTS = {"sll": "slli", "srl": "srli", "sra": "srai"}


def of_registers(operation, bits: int):
    """rd = rs1 op rs2."""
    return lambda e, f: set_x(e, "d", operation(e, x(e, "n", bits), x(e, "m", bits)))


def of_immediate(operation, bits: int):
    """rd = rs1 op immediate."""
    return lambda e, f: set_x(e, "d", operation(e, x(e, "n", bits), number(e, "i", bits)))


def load_immediate(e, f):
    """li: addi to the zero register."""
    set_x(e, "d", number(e))


def move(e, f):
    """mv: addi of nothing."""
    set_x(e, "d", x(e, "n"))


def load_upper(e, f):
    """lui."""
    set_x(e, "d", e.immediate("number", "i", wide=True))


def add_upper(e, f):
    """auipc."""
    set_x(e, "d", e.immediate("ahead", "i", wide=True))


def immediate_name(name: str) -> str:
    """addi, sltiu, ..."""
    return f"{name[:-1]}iu" if name.endswith("u") else f"{name}i"


def register_rows():
    """R-type."""
    for name, funct7, funct3, section, operation in OPERATIONS:
        head = f"{funct7:07b} mmmmm nnnnn {funct3:03b} ddddd"
        yield Form(name, f"{head} {OP}", section, of_registers(operation, 64))
        if name in OF_WORDS:
            word = of_registers(operation, 32)
            yield Form(f"{name}w", f"{head} {OP_32}", "5.2" if section == "2.4" else section, word)


def immediate_rows():
    """I-type; shifts by 64-bit amounts have six bits for them."""
    for name, funct7, funct3, section, operation in OPERATIONS:
        tail = f"nnnnn {funct3:03b} ddddd"
        made = of_immediate(operation, 64)
        if name in WITH_IMMEDIATE:
            pattern = f"iiiiiiiiiiii {tail} {OP_IMM}"
            yield Form(immediate_name(name), pattern, section, made, immediate="imm[11:0]")
        if name in SHIFTS:
            pattern = f"{funct7 >> 1:06b} iiiiii {tail} {OP_IMM}"
            yield Form(SHIFTS[name], pattern, "5.2", made, immediate="uimm[5:0]")
            pattern = f"{funct7:07b} iiiii {tail} {OP_IMM_32}"
            word = of_immediate(operation, 32)
            yield Form(f"{SHIFTS[name]}w", pattern, "5.2", word, immediate="uimm[4:0]")


def add_word(e, f):
    """addiw."""
    set_x(e, "d", x(e, "n", 32) + number(e, "i", 32))


# fmt: off
ROWS = (
    Form("lui", "iiiiiiiiiiiiiiiiiiii ddddd 0110111", "2.4", load_upper, immediate="imm[31:12]"),
    Form("auipc", "iiiiiiiiiiiiiiiiiiii ddddd 0010111", "2.4", add_upper, immediate="imm[31:12]"),
    Form("li", "iiiiiiiiiiii 00000 000 ddddd 0010011", "25", load_immediate, immediate="imm[11:0]"),
    Form("mv", "000000000000 nnnnn 000 ddddd 0010011", "25", move),
    Form("addiw", "iiiiiiiiiiii nnnnn 000 ddddd 0011011", "5.2", add_word, immediate="imm[11:0]"),
    *register_rows(),
    *immediate_rows(),
)
# fmt: on
