"""Atomics and string instructions of x86-64."""

from cosim.engine.interface import Access
from isa_x86.instructions.decoder import Flagged as Row
from isa_x86.instructions.flags import Kind, set_flags, sets
from isa_x86.instructions.layout import modify, reg, set_named, set_reg

DIRECTION = 0x400


def exchange(e, f):
    """xchg: with memory always atomic."""
    value = reg(e, "reg", f.S)
    old, put = modify(e, f, f.S, atomic=True)
    put(value)
    set_reg(e, "reg", old)


def exchange_add(e, f):
    """xadd: the sum is written last, should both be the same register."""
    value = reg(e, "reg", f.S)
    old, put = modify(e, f, f.S)
    set_flags(e, f, Kind.ADD, old, value)
    set_reg(e, "reg", old)
    put(old + value)


def compare_exchange(e, f):
    """cmpxchg: the store happens in any case; rax is written only when they differ."""
    wanted, new = e.get("rax", f.S), reg(e, "reg", f.S)
    old, put = modify(e, f, f.S)
    same = old.eq(wanted)
    set_flags(e, f, Kind.SUB, wanted, old)
    accumulator = same.select(e.get("rax"), old.zext(64)) if f.S == 32 else same.select(wanted, old)
    set_named(e, "rax", accumulator)
    put(same.select(new, old))


# String instructions go upwards here; with the direction flag they are Unicorn's.  A repeated one is
# a block of its own that goes to itself: one iteration is one instruction executed, as in Unicorn.


def string(operation):
    """One iteration."""

    def semantics(e, f):
        e.leave_if((e.get("rflags") & DIRECTION).ne(0))
        operation(e, f)

    return semantics


def repeated(operation):
    """rep: nothing when rcx is 0, else one iteration and once more."""

    def semantics(e, f):
        count = e.get("rcx")
        e.next_if(count.eq(0))
        string(operation)(e, f)
        e.set("rcx", count - 1)
        e.jump()

    return semantics


def move(e, f):
    """movs."""
    size = f.S // 8
    source, target = e.get("rsi"), e.get("rdi")
    place = e.probe(source, size)
    to = e.probe(target, size, Access.WRITE)
    e.store_at(to, size, e.load_at(place, size))
    e.set("rsi", source + size)
    e.set("rdi", target + size)


def store(e, f):
    """stos."""
    target = e.get("rdi")
    e.store(target, f.S // 8, e.get("rax", f.S))
    e.set("rdi", target + f.S // 8)


def load(e, f):
    """lods."""
    source = e.get("rsi")
    set_named(e, "rax", e.load(source, f.S // 8))
    e.set("rsi", source + f.S // 8)


# fmt: off
ROWS = (
    Row("xchg", "1000011Z /r lock", "XCHG", exchange),
    Row("xadd", "0f 1100000Z /r lock", "XADD", exchange_add, flags=sets(Kind.ADD)),
    Row("cmpxchg", "0f 1011000Z /r lock", "CMPXCHG", compare_exchange, flags=sets(Kind.SUB)),
    Row("movs", "1010010Z", "MOVS", string(move), leaves=True),
    Row("stos", "1010101Z", "STOS", string(store), leaves=True),
    Row("lods", "1010110Z", "LODS", string(load), leaves=True),
    Row("rep_movs", "f3 1010010Z again", "REP", repeated(move), ends=True, leaves=True),
    Row("rep_stos", "f3 1010101Z again", "REP", repeated(store), ends=True, leaves=True),
)
# fmt: on
