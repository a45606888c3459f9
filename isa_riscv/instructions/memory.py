"""Loads and stores of RISC-V: 20191213, 2.6 and 5.3, of floating point 11.5 and 12.3."""

from llvmlite import ir

from isa_riscv.instructions.decoder import Form
from isa_riscv.instructions.layout import fp, number, set_fp, set_x, x

BOXED = 0xFFFF_FFFF_0000_0000  # what is above a single in a register

# name, funct3, bytes, with its sign
LOADS = (
    ("lb", 0, 1, True), ("lh", 1, 2, True), ("lw", 2, 4, True), ("ld", 3, 8, True),
    ("lbu", 4, 1, False), ("lhu", 5, 2, False), ("lwu", 6, 4, False),
)  # fmt: skip
STORES = (("sb", 0, 1), ("sh", 1, 2), ("sw", 2, 4), ("sd", 3, 8))


def address(e):
    """Base and offset."""
    return x(e, "n") + number(e)


def load(size: int, *, signed: bool):
    """lb, lbu, ..."""

    def semantics(e, f):
        value = e.load(address(e), size)
        set_x(e, "d", value.sext(64) if signed else value.zext(64))

    return semantics


def store(size: int):
    """sb, ..."""
    return lambda e, f: e.store(address(e), size, x(e, "m", 8 * size))


def load_single(e, f):
    """flw."""
    set_fp(e, "d", e.load(address(e), 4).zext(64) | BOXED)


def load_double(e, f):
    """fld."""
    set_fp(e, "d", e.load(address(e), 8))


def store_float(size: int):
    """fsw, fsd."""
    return lambda e, f: e.store(address(e), size, fp(e, "m", ir.IntType(8 * size)))


def load_form(name: str, funct3: int, opcode: str, section: str, semantics) -> Form:
    """I-type."""
    pattern = f"iiiiiiiiiiii nnnnn {funct3:03b} ddddd {opcode}"
    return Form(name, pattern, section, semantics, immediate="imm[11:0]")


def store_form(name: str, funct3: int, opcode: str, section: str, semantics) -> Form:
    """S-type."""
    pattern = f"iiiiiii mmmmm nnnnn {funct3:03b} iiiii {opcode}"
    return Form(name, pattern, section, semantics, immediate="imm[11:5|4:0]")


def section(size: int) -> str:
    """Where loads and stores of so many bytes are."""
    return "5.3" if size == 8 else "2.6"


# fmt: off
ROWS = (
    *(load_form(name, funct3, "0000011", section(size), load(size, signed=signed)) for name, funct3, size, signed in LOADS),
    *(store_form(name, funct3, "0100011", section(size), store(size)) for name, funct3, size in STORES),
    load_form("flw", 2, "0000111", "11.5", load_single),
    load_form("fld", 3, "0000111", "12.3", load_double),
    store_form("fsw", 2, "0100111", "11.5", store_float(4)),
    store_form("fsd", 3, "0100111", "12.3", store_float(8)),
)
# fmt: on
