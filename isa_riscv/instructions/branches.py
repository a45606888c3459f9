"""Jumps and branches of RISC-V (20191213, 2.5)."""

from cosim.engine.native.table import Instruction
from isa_riscv.instructions.decoder import Form
from isa_riscv.instructions.layout import ADDRESSES, number, set_x, x

INDIRECT = ("jr", "jalr")

# name, funct3, condition
CONDITIONS = (
    ("beq",  0b000, lambda a, b: a.eq(b)),
    ("bne",  0b001, lambda a, b: a.ne(b)),
    ("blt",  0b100, lambda a, b: a.slt(b)),
    ("bge",  0b101, lambda a, b: b.sle(a)),
    ("bltu", 0b110, lambda a, b: a.ult(b)),
    ("bgeu", 0b111, lambda a, b: b.ule(a)),
)  # fmt: skip


def target(i: Instruction) -> int | None:
    """Guest address of *taken*."""
    return None if i.row.name in INDIRECT else i.pc + i.fields["i"] & ADDRESSES


def behind(e):
    """Address of the instruction behind."""
    return e.immediate("behind", wide=True)


def branch(condition):
    """beq, bne, ..."""
    return lambda e, f: e.branch(condition(x(e, "n"), x(e, "m")))


def jump(e, f):
    """j: jal without a link."""
    e.jump()


def jump_link(e, f):
    """jal."""
    set_x(e, "d", behind(e))
    e.jump()


def register_target(e):
    """The lowest bit of the sum is dropped."""
    return (x(e, "n") + number(e)) & ~1


def jump_register(e, f):
    """jr: jalr without a link."""
    e.jump_indirect(register_target(e))


def jump_link_register(e, f):
    """jalr: the target is read before the link is written."""
    to = register_target(e)
    set_x(e, "d", behind(e))
    e.jump_indirect(to)


def branch_rows():
    """B-type."""
    for name, funct3, condition in CONDITIONS:
        pattern = f"iiiiiii mmmmm nnnnn {funct3:03b} iiiii 1100011"
        yield Form(
            name, pattern, "2.5", branch(condition), ends=True, immediate="imm[12|10:5|4:1|11]"
        )


# fmt: off
ROWS = (
    Form("j", "iiiiiiiiiiiiiiiiiiii 00000 1101111", "2.5", jump, ends=True, immediate="imm[20|10:1|11|19:12]"),
    Form("jal", "iiiiiiiiiiiiiiiiiiii ddddd 1101111", "2.5", jump_link, ends=True, immediate="imm[20|10:1|11|19:12]"),
    Form("jr", "iiiiiiiiiiii nnnnn 000 00000 1100111", "2.5", jump_register, ends=True, immediate="imm[11:0]"),
    Form("jalr", "iiiiiiiiiiii nnnnn 000 ddddd 1100111", "2.5", jump_link_register, ends=True, immediate="imm[11:0]"),
    *branch_rows(),
)
# fmt: on
