"""Branches of A64."""

from cosim.engine.native.table import Instruction, Row
from isa_arm.instructions.flags import condition
from isa_arm.instructions.layout import hole, signed, x


@hole
def link(i: Instruction, field: str) -> int:
    """Address of the instruction behind."""
    return i.pc + i.length


def target(i: Instruction) -> int | None:
    """Guest address of *taken*: the pattern's letter i, in words."""
    if "i" not in i.fields:
        return None
    bits = {"branch": 26, "branch_condition": 19, "compare_branch": 19, "test_branch": 14}
    return i.pc + 4 * signed(i.fields["i"], bits[i.row.name]) & 0xFFFF_FFFF_FFFF_FFFF


def branch(e, f):
    """b, bl (L)."""
    if f.L:
        e.set("x30", e.immediate("link", wide=True))
    e.jump()


def branch_condition(e, f):
    """b.cond (C)."""
    e.branch(condition(e, f.C))


def compare_branch(e, f):
    """cbz, cbnz (N)."""
    value = x(e, "t", 64 if f.S else 32)
    e.branch(value.ne(0) if f.N else value.eq(0))


def test_branch(e, f):
    """tbz, tbnz (N): bit B:b."""
    bit = (x(e, "t") >> e.immediate("unsigned", "b")) & 1
    if f.S:
        bit = (x(e, "t") >> (e.immediate("unsigned", "b") + 32)) & 1
    e.branch(bit.ne(0) if f.N else bit.eq(0))


def branch_register(e, f):
    """br, ret."""
    e.jump_indirect(x(e, "n"))


def branch_link_register(e, f):
    """blr: the target is read before x30 is written."""
    to = x(e, "n")
    e.set("x30", e.immediate("link", wide=True))
    e.jump_indirect(to)


# fmt: off
ROWS = (
    Row("branch", "L 00101 iiiiiiiiiiiiiiiiiiiiiiiiii", "C6.2.26", branch, ends=True),
    Row("branch_condition", "0101010 0 iiiiiiiiiiiiiiiiiii 0 CCCC", "C6.2.27", branch_condition, ends=True),
    Row("compare_branch", "S 011010 N iiiiiiiiiiiiiiiiiii ttttt", "C6.2.47", compare_branch, ends=True),
    Row("test_branch", "S 011011 N bbbbb iiiiiiiiiiiiii ttttt", "C6.2.376", test_branch, ends=True),
    Row("branch_register", "1101011 0000 11111 000000 nnnnn 00000", "C6.2.37", branch_register, ends=True),
    Row("branch_link_register", "1101011 0001 11111 000000 nnnnn 00000", "C6.2.36", branch_link_register, ends=True),
    Row("return", "1101011 0010 11111 000000 nnnnn 00000", "C6.2.254", branch_register, ends=True),
)
# fmt: on
