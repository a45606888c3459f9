"""Ordered loads and stores, atomics and exclusive accesses of A64.

Letters: Z size, O operation, n base, t the register, s the operand or the status.
"""

from llvmlite import ir

from cosim.engine.interface import Access
from cosim.engine.native.emitter import I64
from cosim.engine.native.table import Instruction, Row
from cosim.engine.stream import Kind
from isa_arm.instructions.layout import READ, WRITE, base, hole, set_x, x


def aligned(e, address, size: int) -> None:
    """What is not aligned is Unicorn's."""
    if size > 1:
        e.leave_if((address & (size - 1)).ne(0))


def load_acquire(e, f):
    """ldar, ldlar, ldapr."""
    address = base(e, "n")
    aligned(e, address, 1 << f.Z)
    set_x(e, "t", e.load(address, 1 << f.Z))


def store_release(e, f):
    """stlr, stllr."""
    address = base(e, "n")
    aligned(e, address, 1 << f.Z)
    e.store(address, 1 << f.Z, x(e, "t", 8 << f.Z))


def atomic_place(e, f):
    """Where a read-modify-write goes: readable and writable."""
    address = base(e, "n")
    aligned(e, address, 1 << f.Z)
    e.probe(address, 1 << f.Z)
    return e.probe(address, 1 << f.Z, Access.WRITE)


def atomic_operation(e, f):
    """ldadd, ldclr, ldeor, ldset, ldsmax, ldsmin, ldumax, ldumin, swp (O)."""
    size = 1 << f.Z
    operand = x(e, "s", 8 * size)
    place = atomic_place(e, f)
    old = e.load_at(place, size, kind=Kind.ATOMIC_LOAD)
    new = (
        lambda: old + operand,
        lambda: old & ~operand,
        lambda: old ^ operand,
        lambda: old | operand,
        lambda: old.slt(operand).select(operand, old),
        lambda: old.slt(operand).select(old, operand),
        lambda: old.ult(operand).select(operand, old),
        lambda: old.ult(operand).select(old, operand),
        lambda: operand,
    )[f.O]()
    e.store_at(place, size, new)
    set_x(e, "t", old)


def atomic_exists(fields) -> bool:
    """Signed minimum and maximum of less than 64 bits: Unicorn compares them without their sign."""
    return fields["O"] < 9 and (fields["O"] not in (4, 5) or fields["Z"] == 3)


def compare_swap(e, f):
    """cas: the store happens in any case, with the old value when they differ."""
    size = 1 << f.Z
    wanted, new = x(e, "s", 8 * size), x(e, "t", 8 * size)
    place = atomic_place(e, f)
    old = e.load_at(place, size, kind=Kind.ATOMIC_LOAD)
    e.store_at(place, size, old.eq(wanted).select(new, old))
    set_x(e, "s", old)


@hole
def read_next(i: Instruction, field: str) -> int:
    """The second register of a pair; 31 is zero."""
    return READ[i.fields[field] + 1]


@hole
def write_next(i: Instruction, field: str) -> int:
    """The same to be written."""
    return WRITE[i.fields[field] + 1]


def compare_swap_pair(e, f):
    """casp: words as one access, doublewords as two."""
    size = 8 if f.Z else 4
    wanted, new = (
        [e.read("read", field, 8 * size), e.read("read_next", field, 8 * size)] for field in "st"
    )
    address = base(e, "n")
    aligned(e, address, 2 * size)
    e.probe(address, 2 * size)
    place = e.probe(address, 2 * size, Access.WRITE)
    if f.Z:
        old = [e.load_at(place, 8, at, Kind.ATOMIC_LOAD) for at in (0, 8)]
    else:
        both = e.load_at(place, 8, kind=Kind.ATOMIC_LOAD)
        old = [both.trunc(32), (both >> 32).trunc(32)]
    equal = old[0].eq(wanted[0]) & old[1].eq(wanted[1])
    stored = [equal.select(a, b) for a, b in zip(new, old, strict=True)]
    if f.Z:
        for at, value in zip((0, 8), stored, strict=True):
            e.store_at(place, 8, value, at)
    else:
        e.store_at(place, 8, stored[0].zext(64) | stored[1].zext(64) << 32)
    e.write("write", "s", old[0].zext(64))
    e.write("write_next", "s", old[1].zext(64))


def pairs_are_even(w) -> bool:
    """Pairs begin with an even register."""
    return w["s"] % 2 == 0 and w["t"] % 2 == 0


# Exclusive accesses.  As under Unicorn, a store exclusive succeeds when the address is the one of the
# load exclusive and memory still holds its value: whoever stored there has broken the monitor.


def load_exclusive(e, f):
    """ldxr, ldaxr."""
    address = base(e, "n")
    aligned(e, address, 1 << f.Z)
    value = e.load(address, 1 << f.Z).zext(64)
    e.set("monitor", e.constant(1))
    e.set("monitor_address", address)
    e.set("monitor_value", value)
    set_x(e, "t", value)


def store_exclusive(e, f):
    """stxr, stlxr: another address than the monitor's fails without an access."""
    size = 1 << f.Z
    address = base(e, "n")
    e.leave_if(e.get("monitor").eq(0))
    aligned(e, address, size)
    new = x(e, "t", 8 * size)
    same = e.get("monitor_address").eq(address)
    status, other, end = (e.b.append_basic_block(n) for n in ("same", "other", "end"))
    e.b.cbranch(same.raw, status, other)
    e.b.position_at_end(other)
    failed = e.noted()
    e.b.branch(end)
    e.b.position_at_end(status)
    place = atomic_place(e, f)
    old = e.load_at(place, size, kind=Kind.ATOMIC_LOAD)
    unchanged = old.zext(64).eq(e.get("monitor_value"))
    e.store_at(place, size, unchanged.select(new, old))
    result = (~unchanged).zext(64)
    done = e.noted()
    e.b.branch(end)
    e.b.position_at_end(end)
    e.join(failed, done)
    answer = e.b.phi(I64)
    answer.add_incoming(ir.Constant(I64, 1), failed.block)
    answer.add_incoming(result.raw, done.block)
    e.set("monitor_address", e.constant(-1))
    set_x(e, "s", e.value(answer))


def store_exclusive_exists(fields) -> bool:
    """The status register is no other (constrained unpredictable)."""
    s = fields["s"]
    return s != fields["t"] and (s != fields["n"] or s == 31)


def clear_exclusive(e, f):
    """clrex: an address that no store has."""
    e.set("monitor", e.constant(1))
    e.set("monitor_address", e.constant(-1))


# fmt: off
ROWS = (
    Row("load_acquire", "ZZ 001000 1 1 0 11111 o 11111 nnnnn ttttt", "C6.2.158", load_acquire),
    Row("load_acquire_pc", "ZZ 111000 101 11111 1 100 00 nnnnn ttttt", "C6.2.151", load_acquire),
    Row("store_release", "ZZ 001000 1 0 0 11111 o 11111 nnnnn ttttt", "C6.2.330", store_release),
    Row("atomic_operation", "ZZ 111000 ar 1 sssss OOOO 00 nnnnn ttttt", "C6.2.141", atomic_operation, where=atomic_exists),
    Row("compare_swap", "ZZ 0010001 a 1 sssss r 11111 nnnnn ttttt", "C6.2.40", compare_swap),
    Row("compare_swap_pair", "0 Z 0010000 a 1 sssss r 11111 nnnnn ttttt", "C6.2.41", compare_swap_pair, where=pairs_are_even),
    Row("load_exclusive", "ZZ 001000 0 1 0 11111 r 11111 nnnnn ttttt", "C6.2.184", load_exclusive),
    Row("store_exclusive", "ZZ 001000 0 0 0 sssss r 11111 nnnnn ttttt", "C6.2.372", store_exclusive, where=store_exclusive_exists),
    Row("clear_exclusive", "11010101000000110011 mmmm 010 11111", "C6.2.55", clear_exclusive),
)
# fmt: on
