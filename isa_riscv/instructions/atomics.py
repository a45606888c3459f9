"""Atomics of RISC-V: LR, SC and AMO (20191213, chapter 8)."""

from llvmlite import ir

from cosim.engine.interface import Access
from cosim.engine.native.emitter import I64
from cosim.engine.stream import Kind
from isa_riscv.instructions.decoder import Form
from isa_riscv.instructions.layout import set_x, x

WORD, DOUBLE = 4, 8
NOBODY = -1  # an address that no store conditional has

# name, funct5, operation.  Minimum and maximum of words are missing: see WORDS.
OPERATIONS = (
    ("amoadd",  0b00000, lambda old, operand: old + operand),
    ("amoswap", 0b00001, lambda old, operand: operand),
    ("amoxor",  0b00100, lambda old, operand: old ^ operand),
    ("amoor",   0b01000, lambda old, operand: old | operand),
    ("amoand",  0b01100, lambda old, operand: old & operand),
    ("amomin",  0b10000, lambda old, operand: old.slt(operand).select(old, operand)),
    ("amomax",  0b10100, lambda old, operand: old.slt(operand).select(operand, old)),
    ("amominu", 0b11000, lambda old, operand: old.ult(operand).select(old, operand)),
    ("amomaxu", 0b11100, lambda old, operand: old.ult(operand).select(operand, old)),
)  # fmt: skip
# Unicorn compares the word, without its sign, with all 64 bits of the operand.
WORDS = ("amoadd", "amoswap", "amoxor", "amoor", "amoand")


def aligned(e, address, size: int) -> None:
    """What is not aligned is Unicorn's."""
    e.leave_if((address & (size - 1)).ne(0))


def atomic_place(e, size: int):
    """Where a read-modify-write goes: readable and writable."""
    address = x(e, "n")
    aligned(e, address, size)
    e.probe(address, size)
    return e.probe(address, size, Access.WRITE)


def atomic_operation(operation, size: int):
    """amoadd, ..."""

    def semantics(e, f):
        operand = x(e, "m", 8 * size)
        place = atomic_place(e, size)
        old = e.load_at(place, size, kind=Kind.ATOMIC_LOAD)
        e.store_at(place, size, operation(old, operand))
        set_x(e, "d", old)

    return semantics


# As under Unicorn, a store conditional succeeds when the address is the one of the reservation and
# memory still holds its value: whoever stored there has broken it.


def load_reserved(size: int):
    """lr."""

    def semantics(e, f):
        address = x(e, "n")
        aligned(e, address, size)
        value = e.load(address, size).sext(64)
        e.set("monitor", e.constant(1))
        e.set("monitor_address", address)
        e.set("monitor_value", value)
        set_x(e, "d", value)

    return semantics


def store_conditional(size: int):
    """sc: another address than the reservation's fails without an access."""

    def semantics(e, f):
        address = x(e, "n")
        e.leave_if(e.get("monitor").eq(0))
        new = x(e, "m", 8 * size)
        same = e.get("monitor_address").eq(address)
        reserved, other, end = (e.b.append_basic_block(n) for n in ("reserved", "other", "end"))
        e.b.cbranch(same.raw, reserved, other)
        e.b.position_at_end(other)
        failed = e.noted()
        e.b.branch(end)
        e.b.position_at_end(reserved)
        wanted = e.get("monitor_value")
        if size == WORD:  # a word behind lr.d: Unicorn may store and say that it failed
            e.leave_if(wanted.trunc(32).sext(64).ne(wanted))
        place = atomic_place(e, size)
        old = e.load_at(place, size, kind=Kind.ATOMIC_LOAD)
        unchanged = old.sext(64).eq(wanted)
        e.store_at(place, size, unchanged.select(new, old))
        result = (~unchanged).zext(64)
        done = e.noted()
        e.b.branch(end)
        e.b.position_at_end(end)
        e.join(failed, done)
        answer = e.b.phi(I64)
        answer.add_incoming(ir.Constant(I64, 1), failed.block)
        answer.add_incoming(result.raw, done.block)
        e.set("monitor_address", e.constant(NOBODY))
        set_x(e, "d", e.value(answer))

    return semantics


def rows():
    """Words and doublewords of each; q and r: aq and rl, which one core at a time needs not."""
    for suffix, size, funct3 in (("w", WORD, "010"), ("d", DOUBLE, "011")):
        tail = f"nnnnn {funct3} ddddd 0101111"
        yield Form(f"lr_{suffix}", f"00010 q r 00000 {tail}", "8.2", load_reserved(size))
        yield Form(f"sc_{suffix}", f"00011 q r mmmmm {tail}", "8.2", store_conditional(size))
        for name, funct5, operation in OPERATIONS:
            if size == DOUBLE or name in WORDS:
                pattern = f"{funct5:05b} q r mmmmm {tail}"
                yield Form(f"{name}_{suffix}", pattern, "8.4", atomic_operation(operation, size))


ROWS = tuple(rows())
