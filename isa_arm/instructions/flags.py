"""NZCV in semantics functions.  See layout: four slots."""

from collections.abc import Callable


def set_result(e, result) -> None:
    """N and Z of a result."""
    wide = result.sext(64)
    e.set("negative", wide)
    e.set("zero_result", wide)


def set_flags_add(e, a, b) -> None:
    """NZCV of a + b."""
    result = a + b
    set_result(e, result)
    e.set("carry", result.ult(a).zext(64))
    e.set("overflow", ((a ^ result) & (b ^ result)).slt(0).zext(64))


def set_flags_sub(e, a, b) -> None:
    """NZCV of a - b."""
    result = a - b
    set_result(e, result)
    e.set("carry", b.ule(a).zext(64))
    e.set("overflow", ((a ^ b) & (a ^ result)).slt(0).zext(64))


def set_flags_logical(e, result) -> None:
    """NZCV of a logical operation."""
    set_result(e, result)
    e.set("carry", e.constant(0))
    e.set("overflow", e.constant(0))


def set_flags_carry(e, a, b, carry) -> None:
    """NZCV of a + b + carry."""
    result = a + b + carry
    set_result(e, result)
    out = (a & b) | ((a | b) & ~result)
    e.set("carry", out.slt(0).zext(64))
    e.set("overflow", ((a ^ result) & (b ^ result)).slt(0).zext(64))


def set_nzcv(e, nzcv: int) -> None:
    """A constant."""
    e.set("negative", e.constant((nzcv >> 3 & 1) << 63))
    e.set("zero_result", e.constant(~nzcv >> 2 & 1))
    e.set("carry", e.constant(nzcv >> 1 & 1))
    e.set("overflow", e.constant(nzcv & 1))


def condition(e, number: int):
    """The condition with this number, one bit (C1.2.4)."""
    n = lambda: e.get("negative").slt(0)  # noqa: E731
    z = lambda: e.get("zero_result").eq(0)  # noqa: E731
    c = lambda: e.get("carry").ne(0)  # noqa: E731
    v = lambda: e.get("overflow").ne(0)  # noqa: E731
    tests = (
        z,
        c,
        n,
        v,
        lambda: c() & ~z(),
        lambda: ~(n() ^ v()),
        lambda: ~(n() ^ v()) & ~z(),
        lambda: e.constant(1, 1),
    )
    result = tests[number >> 1]()
    return ~result if number & 1 and number != 15 else result


def compare_if(e, number: int, compare: Callable[[], None], nzcv: int) -> None:
    """compare() sets the flags if the condition holds; else they are `nzcv` (ccmp, ccmn, fccmp)."""
    holds = condition(e, number)
    compared, given, end = (e.b.append_basic_block(n) for n in ("compare", "given", "end"))
    e.b.cbranch(holds.raw, compared, given)
    e.b.position_at_end(compared)
    compare()
    e.b.branch(end)
    e.b.position_at_end(given)
    set_nzcv(e, nzcv)
    e.b.branch(end)
    e.b.position_at_end(end)
