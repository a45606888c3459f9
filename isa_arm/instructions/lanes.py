"""SIMD and FP registers as vectors: shapes, and the operations that all vector forms are made of.

A form without the letter Q is a scalar one: one lane.
"""

from llvmlite import ir

from cosim.engine.native.values import shuffle

I128 = ir.IntType(128)


def integers(bits: int, count: int) -> ir.Type:
    """A vector of integers."""
    return ir.VectorType(ir.IntType(bits), count)


def lanes(f, bits: int) -> ir.Type:
    """A vector of integers that fills the register; of a scalar form: one."""
    if not hasattr(f, "Q"):
        return integers(bits, 1)
    return integers(bits, (128 if f.Q else 64) // bits)


def read(e, field: str, shape: ir.Type):
    """A register as a vector: its low bits."""
    return e.read("vector", field, shape=shape)


def bits_of(shape: ir.Type) -> int:
    """Of a whole vector of integers."""
    return shape.count * shape.element.width


def put(e, field: str, value) -> None:
    """Set a register to a vector of integers; what is above becomes zero."""
    e.write("vector", field, value.cast(ir.IntType(bits_of(value.raw.type))).zext(128))


def broadcast(e, one, count: int):
    """A scalar to all lanes of a vector."""
    undefined = ir.Constant(ir.VectorType(one.raw.type, count), ir.Undefined)
    vector = e.b.insert_element(undefined, one.raw, ir.Constant(ir.IntType(32), 0))
    return shuffle(e, e.value(vector), e.value(undefined), [0] * count)


def neighbours(e, n, m):
    """(even, odd) lanes of n, then of m."""
    count = 2 * n.raw.type.count
    return shuffle(e, n, m, range(0, count, 2)), shuffle(e, n, m, range(1, count, 2))


def even_odd(e, value):
    """(even, odd) lanes: half as many."""
    count = value.raw.type.count
    even = shuffle(e, value, value, range(0, count, 2))
    return even, shuffle(e, value, value, range(1, count, 2))


def widen(e, value, bits: int, signed: bool):
    """All lanes to a greater width."""
    shape = integers(bits, value.raw.type.count)
    return e.value((e.b.sext if signed else e.b.zext)(value.raw, shape))


def narrow(e, value, bits: int):
    """All lanes cut."""
    return e.value(e.b.trunc(value.raw, integers(bits, value.raw.type.count)))


def choose(e, condition, shape: ir.Type):
    """All ones where the condition holds."""
    return e.value(e.b.sext(condition, shape))


def half(e, f, field: str, bits: int):
    """The lower half of a register, the upper with Q; of a scalar form its lowest lane."""
    if not hasattr(f, "Q"):
        return read(e, field, integers(bits, 1))
    value = e.read("vector", field, 128)
    value = (value >> 64 if f.Q else value).trunc(64)
    return value.cast(integers(bits, 64 // bits))


def twice_as_wide(e, f, field: str, bits: int):
    """A register with lanes of twice `bits`."""
    return read(e, field, integers(2 * bits, 64 // bits if hasattr(f, "Q") else 1))


def put_half(e, f, field: str, value) -> None:
    """Set the lower half of a register and clear the upper; with Q set the upper half only."""
    result = value.cast(ir.IntType(bits_of(value.raw.type)))
    if getattr(f, "Q", 0):
        e.write("vector", field, e.read("vector", field).zext(128) | result.zext(128) << 64)
    else:
        e.write("vector", field, result.zext(128))


def extreme(e, n, m, kind: str):
    """smax, smin, umax, umin of integers."""
    compare = e.b.icmp_signed if kind[0] == "s" else e.b.icmp_unsigned
    less = compare("<", n.raw, m.raw)
    a, b = (m, n) if kind.endswith("max") else (n, m)
    return e.value(e.b.select(less, a.raw, b.raw))


# (U, opcode) of comparisons with zero, of integers and of numbers -> relation.
ZERO_RELATIONS = {(0, 0): ">", (1, 0): ">=", (0, 1): "==", (1, 1): "<=", (0, 2): "<"}


# Conditions of rows.


def full(w) -> bool:
    """64-bit elements need 128 bits; in scalar forms there is no Q."""
    return w["Z"] < 3 or w.get("Q", 1) == 1


def full_when_long(bits: int):
    """The same, of rows that are split by element size."""
    return lambda w: bits < 64 or w["Q"] == 1


def narrower(w) -> bool:
    """No 64-bit elements."""
    return w["Z"] < 3


def scalar(exists):
    """The scalar forms of most operations have 64 bits."""
    return lambda w: w["Z"] == 3 and exists(w)


def not_bytes(w) -> bool:
    """16- and 32-bit elements."""
    return w["Z"] in (1, 2)
