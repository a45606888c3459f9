"""A second look at a whole block: which flags are known, and which nobody will read.

Constants that are added: F for forms that read flags (what is known of them, or None), D for forms
that set them (flags.LAZY, DEAD, WORD_TOO).
"""

from collections.abc import Callable, Sequence

from cosim.engine.native.table import Constant, Instruction
from isa_x86.instructions.flags import (
    DEAD,
    IN_WORD,
    LAZY,
    UNKNOWN,
    WORD_TOO,
    Effect,
    Known,
    code,
    enough,
    flags_read,
)
from isa_x86.instructions.layout import REGISTER

LOOK_AHEAD = 12  # instructions behind a block that are looked at for a reader of its flags
NOTHING = Effect()
Decode = Callable[[int], Instruction | None]


def effect(instruction: Instruction) -> Effect:
    """What it does with flags."""
    return getattr(instruction.row, "flags", None) or NOTHING


def may_leave(instruction: Instruction) -> bool:
    """Can it be left to Unicorn in its middle?"""
    constants = dict(instruction.constants)
    return getattr(instruction.row, "leaves", False) or constants.get("A", REGISTER) != REGISTER


def after(known: Known, instruction: Instruction) -> Known:
    """What is known behind it."""
    does, constants = effect(instruction), dict(instruction.constants)
    reads = flags_read(does, constants)
    if reads and not enough(known, reads):
        known = IN_WORD
    if does.sets == "all":
        return Known(code(does.kind, constants["S"]), 0, 0, 0)
    if does.sets == "word":
        return IN_WORD
    if does.sets == "rest":
        return known._replace(rest=code(does.kind, constants["S"]), overflow=0)
    if does.sets == "carry":
        return known._replace(carry=1)
    if does.sets == "both":
        return known._replace(carry=1, overflow=1)
    return UNKNOWN if does.sets == "maybe" else known


def plan(instructions: Sequence[Instruction], decode: Decode) -> list[Instruction]:
    """The block with constants F and D.  decode: the instruction at an address, or None."""
    made = []
    known = UNKNOWN
    fates = _fates(instructions, decode)
    for instruction, fate in zip(instructions, fates, strict=True):
        does = effect(instruction)
        more: dict[str, Constant] = {}
        reads = flags_read(does, dict(instruction.constants))
        if reads:
            more["F"] = tuple(known) if enough(known, reads) else None
        if does.sets:
            more["D"] = fate
        made.append(instruction.with_constants(**more) if more else instruction)
        # Flags that are dead are not where they would be; nobody asks for them.
        known = after(known, instruction)
    return made


def _fates(instructions: Sequence[Instruction], decode: Decode) -> list[int]:
    """For each instruction what its flags are for."""
    fates = []
    overwritten = False  # all flags are set again before anyone can see them
    last = True  # no full setter stands behind
    for instruction in reversed(instructions):
        does = effect(instruction)
        fate = DEAD if overwritten else LAZY
        if does.sets == "all" and last and _read_behind(instructions, decode):
            fate = WORD_TOO
        if does.sets and does.sets != "maybe":
            last = False
        fates.append(fate)
        if does.sets in ("all", "word"):
            overwritten = True
        if may_leave(instruction) or does.reads or instruction.row.ends:
            overwritten = False
    return fates[::-1]


def _read_behind(instructions: Sequence[Instruction], decode: Decode) -> bool:
    """Is it likely that a successor of the block reads flags?  Only speed depends on it."""
    end = instructions[-1]
    nexts = [end.pc + end.length]
    if end.row.ends:
        if end.target is None or end.row.name == "call":
            return False
        nexts = [end.target, *(nexts if not end.row.name.startswith("jump") else ())]
    return any(_reads(pc, decode) for pc in nexts)


def _reads(pc: int, decode: Decode) -> bool:
    for _ in range(LOOK_AHEAD):
        instruction = decode(pc)
        if instruction is None:
            return False
        does = effect(instruction)
        if flags_read(does, dict(instruction.constants)):
            return True
        if does.sets in ("all", "word"):
            return False
        if instruction.row.ends:
            if instruction.target is None or instruction.row.name == "call":
                return False
            pc = instruction.target
        else:
            pc += instruction.length
    return False
