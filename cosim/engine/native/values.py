"""What semantics functions compute with: a value of LLVM's IR with operators."""

from collections.abc import Iterable
from typing import Any

from llvmlite import ir


class Value:
    """An integer (or float, or vector) of the instruction being made, with operators."""

    __slots__ = ("b", "raw")

    def __init__(self, builder: ir.IRBuilder, raw: ir.Value) -> None:
        self.b = builder
        self.raw = raw

    @property
    def bits(self) -> int:
        """Width of an integer."""
        return self.raw.type.width

    def of(self, other: "Value | int") -> ir.Value:
        """The other side of an operator, of this type."""
        if isinstance(other, Value):
            return other.raw
        shape = self.raw.type
        if isinstance(shape, ir.VectorType):
            return splat(shape, other)
        return ir.Constant(shape, other)

    def _make(self, raw: ir.Value) -> "Value":
        return Value(self.b, raw)

    def __add__(self, other):
        return self._make(self.b.add(self.raw, self.of(other)))

    def __sub__(self, other):
        return self._make(self.b.sub(self.raw, self.of(other)))

    def __mul__(self, other):
        return self._make(self.b.mul(self.raw, self.of(other)))

    def __and__(self, other):
        return self._make(self.b.and_(self.raw, self.of(other)))

    def __or__(self, other):
        return self._make(self.b.or_(self.raw, self.of(other)))

    def __xor__(self, other):
        return self._make(self.b.xor(self.raw, self.of(other)))

    def __invert__(self):
        return self ^ -1

    def __neg__(self):
        return self._make(self.b.sub(self.of(0), self.raw))

    def __lshift__(self, other):
        return self._make(self.b.shl(self.raw, self.of(other)))

    def __rshift__(self, other):
        """Logical."""
        return self._make(self.b.lshr(self.raw, self.of(other)))

    def sar(self, other):
        """Shift right, arithmetic."""
        return self._make(self.b.ashr(self.raw, self.of(other)))

    def udiv(self, other):
        """Unsigned quotient."""
        return self._make(self.b.udiv(self.raw, self.of(other)))

    def sdiv(self, other):
        """Signed quotient, toward zero."""
        return self._make(self.b.sdiv(self.raw, self.of(other)))

    def urem(self, other):
        """Unsigned remainder."""
        return self._make(self.b.urem(self.raw, self.of(other)))

    def srem(self, other):
        """Signed remainder."""
        return self._make(self.b.srem(self.raw, self.of(other)))

    def _compare(self, kind: str, other):
        return self._make(self.b.icmp_unsigned(kind, self.raw, self.of(other)))

    def _signed(self, kind: str, other):
        return self._make(self.b.icmp_signed(kind, self.raw, self.of(other)))

    def eq(self, other):
        """Equal, one bit."""
        return self._compare("==", other)

    def ne(self, other):
        """Not equal."""
        return self._compare("!=", other)

    def ult(self, other):
        """Unsigned less than."""
        return self._compare("<", other)

    def ule(self, other):
        """Unsigned less or equal."""
        return self._compare("<=", other)

    def slt(self, other):
        """Signed less than."""
        return self._signed("<", other)

    def sle(self, other):
        """Signed less or equal."""
        return self._signed("<=", other)

    def zext(self, bits: int):
        """Zero-extended (or unchanged)."""
        return self if bits == self.bits else self._make(self.b.zext(self.raw, ir.IntType(bits)))

    def sext(self, bits: int):
        """Sign-extended (or unchanged)."""
        return self if bits == self.bits else self._make(self.b.sext(self.raw, ir.IntType(bits)))

    def trunc(self, bits: int):
        """The low bits (or unchanged)."""
        return self if bits == self.bits else self._make(self.b.trunc(self.raw, ir.IntType(bits)))

    def select(self, yes: "Value", no: "Value"):
        """yes if this bit is set, else no."""
        return self._make(self.b.select(self.raw, yes.raw, yes.of(no)))

    def cast(self, kind: ir.Type):
        """The same bits as another type."""
        return self._make(self.b.bitcast(self.raw, kind))


# Vectors.


def splat(shape: ir.VectorType, number: int | float) -> ir.Constant:
    """The same number in all lanes."""
    return ir.Constant(shape, [number] * shape.count)


def shuffle(e: Any, a: Value, b: Value, order: Iterable[int]) -> Value:
    """Lanes of a, then of b, in this order.  e: the Emitter."""
    places = list(order)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
    return e.value(e.b.shuffle_vector(a.raw, b.raw, mask))


def any_lane(e: Any, condition: ir.Value) -> Value:
    """One bit: does the condition, of a scalar or a vector, hold anywhere?  e: the Emitter."""
    if isinstance(condition.type, ir.VectorType):
        return e.value(condition).cast(ir.IntType(condition.type.count)).ne(0)
    return e.value(condition)


def suffix(shape: ir.Type) -> str:
    """What LLVM puts behind an intrinsic's name: v4i32, f64, ..."""
    if isinstance(shape, ir.VectorType):
        return f"v{shape.count}{suffix(shape.element)}"
    if isinstance(shape, ir.IntType):
        return f"i{shape.width}"
    return "f64" if isinstance(shape, ir.DoubleType) else "f32"
