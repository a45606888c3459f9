"""Branches, calls and the stack of x86-64."""

from cosim.engine.interface import Access
from isa_x86.instructions.decoder import Flagged as Row
from isa_x86.instructions.flags import Effect, condition
from isa_x86.instructions.layout import (
    REGISTER,
    address,
    immediate,
    reg,
    rm,
    set_reg,
    set_rm,
)

STACK_REGISTER = 4
SLOT = 8  # bytes of one push


def jump(e, f):
    """jmp rel."""
    e.jump()


def jump_condition(e, f):
    """jcc."""
    e.branch(condition(e, f))


def jump_rm(e, f):
    """jmp rm."""
    e.jump_indirect(rm(e, f, 64))


def push_value(e, value) -> None:
    """One slot more on the stack."""
    top = e.get("rsp") - SLOT
    e.store(top, SLOT, value)
    e.set("rsp", top)


def call(e, f):
    """call rel."""
    push_value(e, e.immediate("behind", wide=True))
    e.jump()


def call_rm(e, f):
    """call rm: the target is read first."""
    target = rm(e, f, 64)
    push_value(e, e.immediate("behind", wide=True))
    e.jump_indirect(target)


def give_back(e, f, *, more=None):
    """ret.  more: reads what else is taken from the stack."""
    top = e.get("rsp")
    target = e.load(top, SLOT)
    top = top + SLOT
    e.set("rsp", top + more(e, f, 64) if more else top)
    e.jump_indirect(target)


def give_back_more(e, f):
    """ret imm."""
    give_back(e, f, more=immediate)


def push(e, f):
    """push reg: rsp is pushed as it was."""
    push_value(e, reg(e, "r", 64))


def push_rm(e, f):
    """push rm."""
    push_value(e, rm(e, f, 64))


def push_immediate(e, f):
    """push imm."""
    push_value(e, immediate(e, f, 64))


def pop(e, f):
    """pop reg: popping rsp keeps what was loaded."""
    top = e.get("rsp")
    value = e.load(top, SLOT)
    e.set("rsp", top + SLOT)
    set_reg(e, "r", value)


def pop_rm(e, f):
    """pop rm; an address that uses rsp is not here."""
    top = e.get("rsp")
    if f.A == REGISTER:
        value = e.load(top, SLOT)
        e.set("rsp", top + SLOT)
        set_rm(e, f, value)
        return
    place = e.probe(top, SLOT)
    to = e.probe(address(e, f), SLOT, Access.WRITE)
    e.store_at(to, SLOT, e.load_at(place, SLOT))
    e.set("rsp", top + SLOT)


def leave(e, f):
    """leave."""
    frame = e.get("rbp")
    value = e.load(frame, SLOT)
    e.set("rsp", frame + SLOT)
    e.set("rbp", value)


def is_slot(v) -> bool:
    """Not the 16-bit forms."""
    return v["S"] == 64


def not_on_stack(v) -> bool:
    """The address does not use rsp."""
    return is_slot(v) and v.get("base") != STACK_REGISTER


# fmt: off
ROWS = (
    Row("jump_short", "11101011 jb rep d64", "JMP", jump, ends=True, where=is_slot),
    Row("jump", "11101001 jz rep d64", "JMP", jump, ends=True, where=is_slot),
    Row("jcc_short", "0111CCCC jb rep d64", "Jcc", jump_condition, ends=True, flags=Effect(reads="condition"), where=is_slot),
    Row("jcc", "0f 1000CCCC jz rep d64", "Jcc", jump_condition, ends=True, flags=Effect(reads="condition"), where=is_slot),
    Row("jump_rm", "11111111 /4 d64 rep", "JMP", jump_rm, ends=True, where=is_slot),
    Row("call", "11101000 jz rep d64", "CALL", call, ends=True, where=is_slot),
    Row("call_rm", "11111111 /2 d64 rep", "CALL", call_rm, ends=True, where=is_slot),
    Row("ret", "11000011 rep d64", "RET", give_back, ends=True, where=is_slot),
    Row("ret_more", "11000010 iw rep d64", "RET", give_back_more, ends=True, where=is_slot),
    Row("push", "01010rrr d64", "PUSH", push, where=is_slot),
    Row("push_rm", "11111111 /6 d64", "PUSH", push_rm, where=is_slot),
    Row("push_immediate", "01101000 iz d64", "PUSH", push_immediate, where=is_slot),
    Row("push_byte", "01101010 ib d64", "PUSH", push_immediate, where=is_slot),
    Row("pop", "01011rrr d64", "POP", pop, where=is_slot),
    Row("pop_rm", "10001111 /0 d64", "POP", pop_rm, where=not_on_stack),
    Row("leave", "11001001 d64", "LEAVE", leave, where=is_slot),
)
# fmt: on
