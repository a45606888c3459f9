"""Where the registers of x86-64 are in the native engine's state, and what can be patched.

How operands are named: field `reg` is the register of ModRM.reg, `rm` that of ModRM.rm; a memory
operand has fields `base`, `index`, `disp`.  Constants: S operand size in bits, A what the operand of
ModRM.rm is (REGISTER, BASE, ABSOLUTE, or INDEX + log2 of the scale), G 1 if FS is added to its address,
W which numbers are wide (WIDE_DISPLACEMENT, WIDE_IMMEDIATE), L 1 with a lock prefix.
"""

from collections.abc import Callable

from cosim.engine.interface import Access
from cosim.engine.native.table import Instruction, Layout
from cosim.engine.stream import Kind
from isa_x86.registers import BY_NUMBER, REGISTERS

# Flags are kept as operands, see flags.  `zero` is what an absent base or index reads.
OWN = ("zero", "flags_kind", "flags_a", "flags_b", "flags_d", "flags_result", "flags_carry",
       "flags_overflow", "flags_word")  # fmt: skip
X87 = ("fptag", *(f"st{i}" for i in range(8)))  # only Unicorn touches these
SHARED = [(row.name, row.bits) for row in REGISTERS if row.name not in (*X87, "gs_base")]
LAYOUT = Layout(
    [("pc", 64) if name == "rip" else (name, bits) for name, bits in SHARED],
    [(name, 64) for name in OWN],
)

HIGH_BYTE = 16  # register numbers 16 to 19: ah, ch, dh, bh
NO_REGISTER = 20
GENERAL = (
    *(LAYOUT[name] for name in BY_NUMBER),
    *(LAYOUT[name] + 1 for name in BY_NUMBER[:4]),
    LAYOUT["zero"],
)
VECTOR = tuple(LAYOUT[f"xmm{i}"] for i in range(16))

REGISTER, BASE, ABSOLUTE, INDEX = 0, 1, 2, 3
WIDE_DISPLACEMENT, WIDE_IMMEDIATE = 1, 2
SMALL = 1 << 30  # numbers of this size or more are wide

HOLES: dict[str, Callable[[Instruction, str], int]] = {
    "general": lambda i, f: GENERAL[i.fields[f]],
    "vector": lambda i, f: VECTOR[i.fields[f]],
    "number": lambda i, f: i.fields[f],
    "behind": lambda i, f: i.pc + i.length,
}


def address(e, f):
    """Address of the memory operand."""
    displacement = e.immediate("number", "disp", wide=bool(f.W & WIDE_DISPLACEMENT))
    if f.A == ABSOLUTE:
        found = displacement
    else:
        found = e.read("general", "base") + displacement
        if f.A >= INDEX:
            found = found + (e.read("general", "index") << (f.A - INDEX))
    return found + e.get("fs_base") if f.G else found


def immediate(e, f, bits: int):
    """The immediate operand."""
    return e.immediate("number", "imm", bits, wide=bool(f.W & WIDE_IMMEDIATE))


def reg(e, field: str, bits: int):
    """A general register."""
    return e.read("general", field, bits)


def set_reg(e, field: str, value) -> None:
    """Write a general register: 32 bits clear the upper half, 8 and 16 keep the rest."""
    e.write("general", field, value.zext(64) if value.bits == 32 else value)


def set_named(e, name: str, value) -> None:
    """The same for a register that the form implies."""
    e.set(name, value.zext(64) if value.bits == 32 else value)


def rm(e, f, bits: int):
    """The operand of ModRM.rm, read."""
    if f.A == REGISTER:
        return reg(e, "rm", bits)
    return e.load(address(e, f), bits // 8)


def set_rm(e, f, value) -> None:
    """The operand of ModRM.rm, written only."""
    if f.A == REGISTER:
        set_reg(e, "rm", value)
    else:
        e.store(address(e, f), value.bits // 8, value)


def modify(e, f, bits: int, *, atomic: bool = False, reads: int = 1):
    """The operand of ModRM.rm, to be read and written: (value, function that writes).

    reads: how often it is read.
    """
    if f.A == REGISTER:
        return reg(e, "rm", bits), lambda value: set_reg(e, "rm", value)
    place = e.probe(address(e, f), bits // 8, Access.WRITE)
    kind = Kind.ATOMIC_LOAD if atomic or f.L else Kind.LOAD
    for _ in range(reads):
        old = e.load_at(place, bits // 8, kind=kind)
    return old, lambda value: e.store_at(place, bits // 8, value)
