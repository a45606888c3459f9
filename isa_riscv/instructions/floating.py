"""Floating point of RISC-V, single and double precision: 20191213, chapters 11 and 12; see `floats`.

Letters: r a rounding mode that must be to nearest, R one that need not be.
"""

from llvmlite import ir

from isa_riscv.instructions import floats
from isa_riscv.instructions.decoder import Form
from isa_riscv.instructions.floats import DOUBLE, SHAPES, SINGLE
from isa_riscv.instructions.layout import fp, set_fp, set_x, x

OP_FP = "ddddd 1010011"
ROUNDINGS = (floats.NEAREST, floats.ZERO, floats.DOWN, floats.UP, floats.AWAY, floats.DYNAMIC)
SIGN = 0x8000_0000

# name, funct5, operation of LLVM
ARITHMETIC = (("fadd", 0, "fadd"), ("fsub", 1, "fsub"), ("fmul", 2, "fmul"), ("fdiv", 3, "fdiv"))
# name, opcode, is the product negated, is the sum's other side
FUSED = (
    ("fmadd",  "1000011", False, False),
    ("fmsub",  "1000111", False, True),
    ("fnmsub", "1001011", True,  False),
    ("fnmadd", "1001111", True,  True),
)  # fmt: skip
INTEGERS = (("w", 0, 32, False), ("wu", 1, 32, True), ("l", 2, 64, False), ("lu", 3, 64, True))


def arithmetic(operation: str, shape):
    """fadd, fsub, fmul, fdiv."""

    def semantics(e, f):
        a, b = fp(e, "n", shape), fp(e, "m", shape)
        set_fp(e, "d", floats.canonical(e, e.value(getattr(e.b, operation)(a.raw, b.raw))))

    return semantics


def square_root(shape):
    """fsqrt."""
    return lambda e, f: set_fp(
        e, "d", floats.canonical(e, floats.square_root(e, fp(e, "n", shape)))
    )


def fused(shape, product: bool, other: bool):
    """fmadd, fmsub, fnmsub, fnmadd."""

    def semantics(e, f):
        n, m, a = (fp(e, field, shape) for field in "nma")
        n = floats.negative(e, n) if product else n
        a = floats.negative(e, a) if other else a
        set_fp(e, "d", floats.pattern(e, floats.fused(e, n, m, a)))

    return semantics


def extreme(shape, *, low: bool):
    """fmin, fmax."""
    return lambda e, f: set_fp(
        e, "d", floats.extreme(e, fp(e, "n", shape), fp(e, "m", shape), low=low)
    )


def equals(shape):
    """feq."""
    return lambda e, f: set_x(
        e, "d", floats.equal(e, fp(e, "n", shape), fp(e, "m", shape)).zext(64)
    )


def compares(kind: str, shape):
    """flt, fle: any NaN raises a flag, and is left."""

    def semantics(e, f):
        a, b = fp(e, "n", shape), fp(e, "m", shape)
        e.leave_if(floats.unordered(e, a, b))
        set_x(e, "d", e.value(e.b.fcmp_ordered(kind, a.raw, b.raw)).zext(64))

    return semantics


def classify(shape):
    """fclass."""
    bits = floats.bits_in(shape)
    return lambda e, f: set_x(e, "d", floats.classify(e, fp(e, "n", ir.IntType(bits))))


# Signs: bits only.  The reference engine works on the whole register, single precision or not.


def double_sign(choose):
    """fsgnj.d, fsgnjn.d, fsgnjx.d: the sign that `choose` makes of both."""
    top = 1 << 63

    def semantics(e, f):
        n, m = (fp(e, field, ir.IntType(64)) for field in "nm")
        set_fp(e, "d", n & ~top | choose(n, m) & top)

    return semantics


def single_sign(choose):
    """fsgnj.s, fsgnjn.s, fsgnjx.s of two registers."""

    def semantics(e, f):
        n, m = (fp(e, field, ir.IntType(64)) for field in "nm")
        set_fp(e, "d", choose(n, m))

    return semantics


BELOW_SIGN = SIGN - 1
# name, funct3, of doubles; of singles when both registers are one; when they are not
SIGNS = (
    ("fsgnj", 0, lambda n, m: m, lambda n, m: n, lambda n, m: n & BELOW_SIGN | m & ~BELOW_SIGN),
    ("fsgnjn", 1, lambda n, m: ~m, lambda n, m: n ^ ~BELOW_SIGN, lambda n, m: n & BELOW_SIGN | ~m & ~BELOW_SIGN),
    ("fsgnjx", 2, lambda n, m: n ^ m, lambda n, m: n & BELOW_SIGN, lambda n, m: n ^ m & ~BELOW_SIGN),
)  # fmt: skip


# Conversions and moves.


def to_integer(shape, bits: int, *, unsigned: bool):
    """fcvt.w.s, ...: words are sign-extended, with and without a sign."""

    def semantics(e, f):
        set_x(e, "d", floats.to_integer(e, fp(e, "n", shape), f.R, bits, unsigned=unsigned))

    return semantics


def from_integer(shape, bits: int, *, unsigned: bool):
    """fcvt.s.w, ..."""

    def semantics(e, f):
        value = floats.from_integer(e, x(e, "n", bits), shape, f.R, unsigned=unsigned)
        set_fp(e, "d", floats.pattern(e, value))

    return semantics


def narrow(e, f):
    """fcvt.s.d."""
    value = e.b.fptrunc(fp(e, "n", SHAPES[DOUBLE]).raw, SHAPES[SINGLE])
    set_fp(e, "d", floats.canonical(e, e.value(value)))


def widen(e, f):
    """fcvt.d.s."""
    value = e.b.fpext(fp(e, "n", SHAPES[SINGLE]).raw, SHAPES[DOUBLE])
    set_fp(e, "d", floats.canonical(e, e.value(value)))


def move_to_integer(bits: int):
    """fmv.x.w, fmv.x.d."""
    return lambda e, f: set_x(e, "d", fp(e, "n", ir.IntType(bits)))


def move_from_integer(e, f):
    """fmv.w.x, fmv.d.x: all 64 bits in both."""
    set_fp(e, "d", x(e, "n"))


# Conditions of rows.


def nearest(fields) -> bool:
    """Rounds to nearest, as blocks do."""
    return fields["r"] in (floats.NEAREST, floats.DYNAMIC)


def rounds(fields) -> bool:
    """A rounding mode there is."""
    return fields["R"] in ROUNDINGS


def one_register(fields) -> bool:
    """fmv.s, fneg.s, fabs.s."""
    return fields["n"] == fields["m"]


def arithmetic_rows(suffix: str, double: int, chapter: int):
    """Computational instructions of one precision."""
    shape, section = SHAPES[double], f"{chapter}.{6 if chapter == 11 else 4}"
    for name, funct5, operation in ARITHMETIC:
        head = f"{funct5:05b} 0{double} mmmmm nnnnn rrr"
        semantics = arithmetic(operation, shape)
        yield Form(f"{name}_{suffix}", f"{head} {OP_FP}", section, semantics, where=nearest)
    head = f"01011 0{double} 00000 nnnnn rrr"
    yield Form(f"fsqrt_{suffix}", f"{head} {OP_FP}", section, square_root(shape), where=nearest)
    for name, opcode, product, other in FUSED:
        pattern = f"aaaaa 0{double} mmmmm nnnnn rrr ddddd {opcode}"
        yield Form(
            f"{name}_{suffix}", pattern, section, fused(shape, product, other), where=nearest
        )
    for name, funct3, low in (("fmin", 0, True), ("fmax", 1, False)):
        head = f"00101 0{double} mmmmm nnnnn {funct3:03b}"
        yield Form(f"{name}_{suffix}", f"{head} {OP_FP}", section, extreme(shape, low=low))


def comparison_rows(suffix: str, double: int, chapter: int):
    """Comparisons, classification, signs."""
    shape, section = SHAPES[double], f"{chapter}.{8 if chapter == 11 else 6}"
    for name, funct3, semantics in (
        ("fle", 0, compares("<=", shape)), ("flt", 1, compares("<", shape)), ("feq", 2, equals(shape))
    ):  # fmt: skip
        head = f"10100 0{double} mmmmm nnnnn {funct3:03b}"
        yield Form(f"{name}_{suffix}", f"{head} {OP_FP}", section, semantics)
    head, section = f"11100 0{double} 00000 nnnnn 001", f"{chapter}.{9 if chapter == 11 else 7}"
    yield Form(f"fclass_{suffix}", f"{head} {OP_FP}", section, classify(shape))
    section = f"{chapter}.{7 if chapter == 11 else 5}"
    for name, funct3, of_doubles, of_one, of_two in SIGNS:
        pattern = f"00100 0{double} mmmmm nnnnn {funct3:03b} {OP_FP}"
        if double:
            yield Form(f"{name}_d", pattern, section, double_sign(of_doubles))
        else:
            yield Form(f"{name}_s_same", pattern, section, single_sign(of_one), where=one_register)
            yield Form(f"{name}_s", pattern, section, single_sign(of_two))


def conversion_rows(suffix: str, double: int, chapter: int):
    """From and to integers, and moves of bits."""
    shape, section = SHAPES[double], f"{chapter}.{7 if chapter == 11 else 5}"
    for name, number, bits, unsigned in INTEGERS:
        head = f"11000 0{double} {number:05b} nnnnn RRR"
        semantics = to_integer(shape, bits, unsigned=unsigned)
        yield Form(f"fcvt_{name}_{suffix}", f"{head} {OP_FP}", section, semantics, where=rounds)
        head = f"11010 0{double} {number:05b} nnnnn RRR"
        semantics = from_integer(shape, bits, unsigned=unsigned)
        yield Form(f"fcvt_{suffix}_{name}", f"{head} {OP_FP}", section, semantics, where=rounds)
    bits, name = (64, "d") if double else (32, "w")
    head = f"11100 0{double} 00000 nnnnn 000"
    yield Form(f"fmv_x_{name}", f"{head} {OP_FP}", section, move_to_integer(bits))
    head = f"11110 0{double} 00000 nnnnn 000"
    yield Form(f"fmv_{name}_x", f"{head} {OP_FP}", section, move_from_integer)


PRECISIONS = (("s", SINGLE, 11), ("d", DOUBLE, 12))
ROWS = (
    *(row for precision in PRECISIONS for row in arithmetic_rows(*precision)),
    *(row for precision in PRECISIONS for row in comparison_rows(*precision)),
    *(row for precision in PRECISIONS for row in conversion_rows(*precision)),
    Form("fcvt_s_d", f"01000 00 00001 nnnnn rrr {OP_FP}", "12.5", narrow, where=nearest),
    Form("fcvt_d_s", f"01000 01 00000 nnnnn rrr {OP_FP}", "12.5", widen, where=nearest),
)
