"""Flags kept as operands: who sets them stores what they follow from, who reads them computes one.

```text
 flags_kind   byte 0: base kind, how all flags follow from a, b, d (0: they stand in flags_word)
              byte 1: 0, or kind of the inc or dec that set all flags but carry: flags_result
              byte 2: 0, or 1: overflow is flags_overflow      (rotates)
              byte 3: 0, or 1: carry is flags_carry            (bt, rotates, stc, ...)
```
A kind is 4 * Kind + log2 of the operand's bytes.  Inside a block the kinds are known when it is
translated (plan) and readers are specialised by them.  A reader that does not know asks the ISA's
helper to compute all flags into flags_word first.  Flags the manual leaves undefined are set as
Unicorn sets them.

Source: Intel SDM volume 1, 3.4.3.1, and appendix B (conditions); volume 2, each instruction's
"Flags Affected".
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import cfunc, types

from cosim.compiled import kernel, load_word, store_word
from isa_x86.instructions.layout import LAYOUT

CF, PF, AF, ZF, SF, OF = 1, 4, 0x10, 0x40, 0x80, 0x800
STATUS = CF | PF | AF | ZF | SF | OF
BITS = {"C": CF, "P": PF, "A": AF, "Z": ZF, "S": SF, "O": OF}


class Kind(IntEnum):
    """How flags follow from the operands (widths aside)."""

    WORD = 0  # they are in flags_word
    ADD = 1  # a + b
    SUB = 2  # a - b
    ADC = 3  # a + b + d
    SBB = 4  # a - b - d
    LOGIC = 5  # of the result a; no carry, no overflow
    MUL = 6  # result b; carry and overflow if a is not 0
    SHL = 7  # result b; a is what was shifted, one place less far
    SAR = 8  # the same to the right
    POPCNT = 9  # zero if a is 0; no other flag
    INC = 10  # result
    DEC = 11


SIZES = {8: 0, 16: 1, 32: 2, 64: 3}


def code(kind: Kind, bits: int) -> int:
    """The number of a kind of some width."""
    return 4 * kind + SIZES[bits]


class Known(NamedTuple):
    """What is known of flags_kind at some point of a block: each byte, or None."""

    base: int | None = None
    rest: int | None = None
    overflow: int | None = None
    carry: int | None = None


UNKNOWN = Known()
IN_WORD = Known(0, 0, 0, 0)


class Effect(NamedTuple):
    """What a form does with flags.

    reads: letters of the flags it reads, or "condition": those of its constant C.  sets: kind of
    all of them; "word": it writes flags_word; "rest": inc, dec; "carry", "both": carry, and
    overflow; "maybe": all or none, known when it runs; None: nothing.
    """

    sets: str | None = None
    kind: Kind = Kind.WORD
    reads: str = ""


def sets(kind: Kind, reads: str = "") -> Effect:
    """All flags, by a kind."""
    return Effect("all", kind, reads)


CONDITION_FLAGS = ("O", "C", "Z", "CZ", "S", "P", "SO", "ZSO")


def flags_read(effect: Effect, constants: dict[str, int]) -> str:
    """Letters of the flags an instruction reads."""
    if effect.reads == "condition":
        return CONDITION_FLAGS[constants["C"] >> 1]
    return effect.reads


def enough(known: Known, wanted: str) -> bool:
    """Do we know how to compute these flags?"""
    for letter in wanted:
        if letter == "C":
            apart, source = known.carry, known.base
        else:
            apart = known.overflow if letter == "O" else 0
            source = known.rest or (known.base if known.rest == 0 else None)
        if not apart and (apart is None or source is None):
            return False
    return True


# Setting, in semantics functions.  f.D: 0 store operands, 1 nobody will look, 2 also flags_word.
LAZY, DEAD, WORD_TOO = 0, 1, 2


def set_kind(e, kind: int) -> None:
    """All four bytes."""
    e.set("flags_kind", e.constant(kind, 32))


def set_flags(e, f, kind: Kind, a, b=None, d=None) -> None:
    """All flags follow from these."""
    if f.D == DEAD:
        return
    e.set("flags_a", a)
    if b is not None:
        e.set("flags_b", b)
    if d is not None:
        e.set("flags_d", d)
    if f.D == WORD_TOO:
        values = of_kind(kind, a, b, d)
        e.set("flags_word", word_of(e, values))
        set_kind(e, 0)
    else:
        set_kind(e, code(kind, a.bits))


def set_word(e, f, word) -> None:
    """All flags as their bits in a word."""
    if f.D != DEAD:
        e.set("flags_word", word.zext(64))
        set_kind(e, 0)


def set_flags_if(e, f, condition, kind: Kind, a, b) -> None:
    """The same if the condition holds; otherwise they keep their values."""
    if f.D == DEAD:
        return
    for name, value in (("flags_a", a), ("flags_b", b)):
        e.set(name, condition.select(value, e.get(name, value.bits)))
    new = e.constant(code(kind, a.bits), 32)
    e.set("flags_kind", condition.select(new, e.get("flags_kind", 32)))


def _byte(e, place: int, value, bits: int = 8) -> None:
    at = ir.Constant(ir.IntType(64), LAYOUT["flags_kind"] + place)
    e.b.store(e.constant(value, bits).raw, e.b.gep(e.state, [at], source_etype=ir.IntType(8)))


def set_rest(e, f, kind: Kind, result) -> None:
    """inc and dec: all but carry."""
    if f.D != DEAD:
        e.set("flags_result", result)
        _byte(e, 1, code(kind, result.bits), 16)  # overflow follows from it, too


def set_carry(e, f, carry) -> None:
    """Carry alone: one bit."""
    if f.D != DEAD:
        e.set("flags_carry", carry.zext(64))
        _byte(e, 3, 1)


def set_carry_overflow(e, f, carry, overflow, condition=None) -> None:
    """Carry and overflow (one bit each), if the condition holds."""
    if f.D == DEAD:
        return
    values = {"flags_carry": carry.zext(64), "flags_overflow": overflow.zext(64)}
    kinds = e.get("flags_kind", 32)
    new = kinds | 0x01010000
    if condition is not None:
        values = {n: condition.select(v, e.get(n)) for n, v in values.items()}
        new = condition.select(new, kinds)
    for name, value in values.items():
        e.set(name, value)
    e.set("flags_kind", new)


# Reading.


def of_kind(kind: Kind, a, b=None, d=None) -> dict[str, Any]:
    """Each flag as a function that gives one bit."""
    no = lambda: a.eq(0) & a.ne(0)  # noqa: E731
    if kind in (Kind.ADD, Kind.SUB, Kind.ADC, Kind.SBB):
        r = {
            Kind.ADD: lambda: a + b, Kind.SUB: lambda: a - b,
            Kind.ADC: lambda: a + b + d, Kind.SBB: lambda: a - b - d,
        }[kind]()  # fmt: skip
        adds = kind in (Kind.ADD, Kind.ADC)
        carry = {
            Kind.ADD: lambda: r.ult(a),
            Kind.SUB: lambda: a.ult(b),
            Kind.ADC: lambda: ((a & b) | ((a | b) & ~r)).slt(0),
            Kind.SBB: lambda: ((~a & b) | ((~a | b) & r)).slt(0),
        }[kind]
        found = {
            "C": carry,
            "O": lambda: ((a ^ r) & ((b if adds else a) ^ (r if adds else b))).slt(0),
            "A": lambda: ((a ^ b ^ r) & 0x10).ne(0),
        }
        if kind == Kind.SUB:
            found |= {"Z": lambda: a.eq(b)}
    elif kind == Kind.LOGIC:
        r, found = a, {"C": no, "O": no, "A": no}
    elif kind == Kind.MUL:
        r, found = b, {"C": lambda: a.ne(0), "O": lambda: a.ne(0), "A": no}
    elif kind in (Kind.SHL, Kind.SAR):
        carry = (lambda: a.slt(0)) if kind == Kind.SHL else (lambda: (a & 1).ne(0))
        r, found = b, {"C": carry, "O": lambda: (a ^ b).slt(0), "A": no}
    elif kind == Kind.POPCNT:
        return {"Z": lambda: a.eq(0), **dict.fromkeys("COSPA", no)}
    else:
        limit = 1 << a.bits - 1
        if kind == Kind.DEC:
            limit -= 1
        low = 0 if kind == Kind.INC else 15
        r, found = a, {"O": lambda: a.eq(limit), "A": lambda: (a & 15).eq(low)}
    return {
        "Z": lambda: r.eq(0), "S": lambda: r.slt(0), "P": lambda: even(r), **found
    }  # fmt: skip


def even(value):
    """Parity: an even number of ones in the low byte."""
    x = value.trunc(8)
    x = x ^ (x >> 4)
    x = x ^ (x >> 2)
    x = x ^ (x >> 1)
    return (x & 1).eq(0)


def word_of(e, values):
    """The flags as a word of their bits."""
    found = e.constant(0)
    for letter, bit in BITS.items():
        found = found | values[letter]().zext(64) << bit.bit_length() - 1
    return found


def flag(e, f, letter: str):
    """One flag, one bit.  f.F: what is known (Known), or None: they are in flags_word."""
    known = f.F
    if known is not None:
        if letter == "C" and known[3]:
            return e.get("flags_carry").ne(0)
        if letter == "O" and known[2]:
            return e.get("flags_overflow").ne(0)
        number = known[1] if known[1] and letter != "C" else known[0]
        if number:
            return _operands(e, number)[letter]()
    return (e.get("flags_word") & BITS[letter]).ne(0)


def _operands(e, number: int) -> dict[str, Any]:
    kind, bits = Kind(number >> 2), 8 << (number & 3)
    if kind in (Kind.INC, Kind.DEC):
        return of_kind(kind, e.get("flags_result", bits))
    return of_kind(kind, *(e.get(f"flags_{letter}", bits) for letter in "abd"))


def ready(e, f) -> None:
    """A reader that does not know where flags are has them computed first."""
    if f.F is None:
        e.help_if(e.get("flags_kind", 32).ne(0))


def condition(e, f):
    """Condition number f.C, one bit."""
    ready(e, f)
    value = _fused(e, f)
    if value is None:
        read = lambda letter: flag(e, f, letter)  # noqa: E731
        value = (
            lambda: read("O"),
            lambda: read("C"),
            lambda: read("Z"),
            lambda: read("C") | read("Z"),
            lambda: read("S"),
            lambda: read("P"),
            lambda: read("S") ^ read("O"),
            lambda: read("Z") | (read("S") ^ read("O")),
        )[f.C >> 1]()
    return ~value if f.C & 1 else value


def _fused(e, f):
    """Comparisons that need no flags, or None."""
    if f.F is None or any(f.F[1:]) or not f.F[0]:
        return None
    kind, bits = Kind(f.F[0] >> 2), 8 << (f.F[0] & 3)
    a = e.get("flags_a", bits)
    if kind == Kind.SUB:
        b = e.get("flags_b", bits)
        tests = {3: a.ule, 6: a.slt, 7: a.sle}
        return tests[f.C >> 1](b) if f.C >> 1 in tests else None
    if kind == Kind.LOGIC:
        tests = {3: a.eq, 6: a.slt, 7: a.sle}
        return tests[f.C >> 1](0) if f.C >> 1 in tests else None
    return None


# All flags at once: for readers that do not know, and when Unicorn goes on.

U = np.uint64
(WORD_KIND, WORD_A, WORD_B, WORD_D, WORD_RESULT, WORD_CARRY, WORD_OVERFLOW, WORD_FLAGS) = (
    U(LAYOUT[f"flags_{name}"])
    for name in ("kind", "a", "b", "d", "result", "carry", "overflow", "word")
)
ZERO, ONE, FOUR, SEVEN, EIGHT, FIFTEEN, SIXTEEN = (U(n) for n in (0, 1, 4, 7, 8, 15, 16))
BYTE, WHOLE, ALL_BYTES = U(0xFF), U(0xFFFF_FFFF_FFFF_FFFF), U(0xFFFF_FFFF)
C_BIT, P_BIT, A_BIT, Z_BIT, S_BIT, O_BIT = (U(bit) for bit in (CF, PF, AF, ZF, SF, OF))
STATUS_BITS = U(STATUS)
K_ADD, K_SUB, K_ADC, K_SBB, K_LOGIC, K_MUL, K_SHL, K_SAR, K_POPCNT, K_INC, K_DEC = (
    U(kind) for kind in list(Kind)[1:]
)


@kernel
def all_flags(number, a, b, d):
    """Bits of all flags of kind `number`; a, b, d: u64 whose upper bits may be anything."""
    kind = number >> U(2)
    bits = EIGHT << (number & U(3))
    mask = WHOLE >> (U(64) - bits)
    top = ONE << (bits - ONE)
    a, b, d = a & mask, b & mask, d & ONE
    carry = overflow = middle = False
    result = b
    if kind in (K_ADD, K_ADC):
        d = d if kind == K_ADC else ZERO
        result = (a + b + d) & mask
        carry = ((a & b) | ((a | b) & ~result)) & top != ZERO
        overflow = (a ^ result) & (b ^ result) & top != ZERO
        middle = (a ^ b ^ result) & SIXTEEN != ZERO
    elif kind in (K_SUB, K_SBB):
        d = d if kind == K_SBB else ZERO
        result = (a - b - d) & mask
        carry = ((~a & b) | ((~a | b) & result)) & top != ZERO
        overflow = (a ^ b) & (a ^ result) & top != ZERO
        middle = (a ^ b ^ result) & SIXTEEN != ZERO
    elif kind == K_LOGIC:
        result = a
    elif kind == K_MUL:
        carry = overflow = a != ZERO
    elif kind in (K_SHL, K_SAR):
        carry = (a & top if kind == K_SHL else a & ONE) != ZERO
        overflow = (a ^ b) & top != ZERO
    elif kind == K_POPCNT:
        return Z_BIT if a == ZERO else ZERO
    elif kind == K_INC:
        result = a
        overflow = a == top
        middle = a & FIFTEEN == ZERO
    elif kind == K_DEC:
        result = a
        overflow = a == top - ONE
        middle = a & FIFTEEN == FIFTEEN
    low = result & BYTE
    low ^= low >> FOUR
    low ^= low >> U(2)
    low ^= low >> ONE
    found = ZERO if low & ONE else P_BIT
    found |= C_BIT if carry else ZERO
    found |= A_BIT if middle else ZERO
    found |= Z_BIT if result == ZERO else ZERO
    found |= S_BIT if result & top else ZERO
    found |= O_BIT if overflow else ZERO
    return found


@kernel
def settle(state):
    """Compute all flags into flags_word.  state: host address."""
    kinds = load_word(state + WORD_KIND) & ALL_BYTES
    if kinds == ZERO:
        return
    found = load_word(state + WORD_FLAGS)
    base, rest = kinds & BYTE, (kinds >> EIGHT) & BYTE
    if base != ZERO:
        found = all_flags(
            base,
            load_word(state + WORD_A),
            load_word(state + WORD_B),
            load_word(state + WORD_D),
        )
    if rest != ZERO:
        result = load_word(state + WORD_RESULT)
        found = (found & C_BIT) | (all_flags(rest, result, ZERO, ZERO) & ~C_BIT)
    if (kinds >> SIXTEEN) & BYTE != ZERO:
        found &= ~O_BIT
        found |= O_BIT if load_word(state + WORD_OVERFLOW) & ONE else ZERO
    if (kinds >> U(24)) & BYTE != ZERO:
        found &= ~C_BIT
        found |= C_BIT if load_word(state + WORD_CARRY) & ONE else ZERO
    store_word(state + WORD_FLAGS, found & STATUS_BITS)
    store_word(state + WORD_KIND, ZERO)


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64), cache=True)
def helper(state, argument, unused):
    """settle, as blocks call it."""
    settle(state)
    return ONE
