"""Floating point of SSE and SSE2, scalar and packed.

The host has the same instructions, so rounding, denormals and NaNs are equal, but for one thing: of two
NaN operands Unicorn chooses by x87 rules, so those are left to it.  Unicorn does not set MXCSR's sticky flags, neither do we.
"""

from llvmlite import ir

from cosim.engine.native.emitter import F32, F64, I32, I64
from cosim.engine.native.values import any_lane, shuffle
from isa_x86.instructions.decoder import Flagged as Row
from isa_x86.instructions.flags import CF, PF, ZF, Effect, set_word
from isa_x86.instructions.layout import address, rm, set_reg
from isa_x86.instructions.vector import andn, binary, lanes, mask, put, simple, source, target, two

SINGLES, DOUBLES = ir.VectorType(F32, 4), ir.VectorType(F64, 2)
# suffix -> (prefix, type of the operands, bytes of a memory operand)
SHAPES = {
    "ps": ("np", SINGLES, 16), "pd": ("66", DOUBLES, 16), "ss": ("f3", F32, 4), "sd": ("f2", F64, 8),
}  # fmt: skip


def leave_two_nans(e, a, b, result) -> None:
    """Leave if both operands of a lane are NaNs: looked at only when the result has one."""
    suspect, fine = (e.b.append_basic_block(name) for name in ("suspect", "fine"))
    unordered = any_lane(e, e.b.fcmp_unordered("uno", result, result))
    e.b.cbranch(unordered.raw, suspect, fine).set_weights([1, 2000])
    e.b.position_at_end(suspect)
    both = e.b.and_(*(e.b.fcmp_unordered("uno", x, x) for x in (a, b)))
    e.leave_if(any_lane(e, both))
    e.b.branch(fine)
    e.b.position_at_end(fine)


def arithmetic(operation, shape, size):
    """reg = reg op rm; the lanes above a scalar stay."""

    def semantics(e, f):
        a, b = target(e, shape).raw, source(e, f, shape, size).raw
        result = getattr(e.b, operation)(a, b)
        leave_two_nans(e, a, b, result)
        put(e, e.value(result))

    return semantics


def choose(kind, shape, size):
    """min, max: rm unless the comparison holds (so also with NaNs and two zeros)."""

    def semantics(e, f):
        a, b = target(e, shape), source(e, f, shape, size)
        holds = e.b.fcmp_ordered(kind, a.raw, b.raw)
        put(e, e.value(e.b.select(holds, a.raw, b.raw)))

    return semantics


EXCEPTIONS = 0x3F  # their masks in the x87 control word
STICKY = 0x3F  # flags of MXCSR
NAMES = {F32: "f32", F64: "f64", SINGLES: "v4f32", DOUBLES: "v2f64"}


def square_root(shape, size):
    """sqrt."""

    def semantics(e, f):
        value = source(e, f, shape, size)
        put(e, e.call(f"llvm.sqrt.{NAMES[shape]}", shape, value))

    return semantics


def compare(shape, size):
    """cmpps, ...: all ones where predicate I holds."""

    def semantics(e, f):
        a, b = target(e, shape).raw, source(e, f, shape, size).raw
        number = f.I & 3
        if number == 3:
            holds = (e.b.fcmp_ordered if f.I & 4 else e.b.fcmp_unordered)(
                "ord" if f.I & 4 else "uno", a, b
            )
        else:
            holds = e.b.fcmp_ordered(("==", "<", "<=")[number], a, b)
            if f.I & 4:
                holds = e.b.not_(holds)
        bits = {F32: I32, F64: I64, SINGLES: lanes(32), DOUBLES: lanes(64)}[shape]
        put(e, e.value(e.b.sext(holds, bits)))

    return semantics


def compare_flags(shape, size):
    """ucomis, comis: ZF, PF, CF; the others are cleared."""

    def semantics(e, f):
        a, b = target(e, shape), source(e, f, shape, size)
        below = e.value(e.b.fcmp_unordered("<", a.raw, b.raw)).zext(64)
        equal = e.value(e.b.fcmp_unordered("==", a.raw, b.raw)).zext(64)
        unordered = e.value(e.b.fcmp_unordered("uno", a.raw, b.raw)).zext(64)
        set_word(e, f, below * CF | equal * ZF | unordered * PF)

    return semantics


# Conversions.


def scalar_precision(wanted, shape, size):
    """cvtss2sd, cvtsd2ss."""

    def semantics(e, f):
        value = source(e, f, shape, size).raw
        put(e, e.value((e.b.fpext if wanted == F64 else e.b.fptrunc)(value, wanted)))

    return semantics


def low_half(e, f, shape):
    """The lower two lanes of an operand that is read as a whole."""
    value = source(e, f, shape)
    return shuffle(e, value, value, range(2)).raw


def with_zeros(e, value):
    """Two lanes, and two zeros above."""
    return shuffle(e, e.value(value), e.value(ir.Constant(value.type, None)), range(4))


def singles_to_doubles(e, f):
    """cvtps2pd; Unicorn reads 16 bytes."""
    put(e, e.value(e.b.fpext(low_half(e, f, SINGLES), DOUBLES)))


def doubles_to_singles(e, f):
    """cvtpd2ps."""
    value = e.b.fptrunc(source(e, f, DOUBLES).raw, ir.VectorType(F32, 2))
    put(e, with_zeros(e, value))


def words_to_singles(e, f):
    """cvtdq2ps."""
    put(e, e.value(e.b.sitofp(source(e, f, lanes(32)).raw, SINGLES)))


def words_to_doubles(e, f):
    """cvtdq2pd; Unicorn reads 16 bytes."""
    put(e, e.value(e.b.sitofp(low_half(e, f, lanes(32)), DOUBLES)))


def to_words(name, shape):
    """cvtps2dq, cvttps2dq, cvtpd2dq, cvttpd2dq."""
    return lambda e, f: put(e, e.call(f"llvm.x86.sse2.{name}", lanes(32), source(e, f, shape)))


def from_integer(wanted):
    """cvtsi2ss, cvtsi2sd."""
    return lambda e, f: put(e, e.value(e.b.sitofp(rm(e, f, f.S).raw, wanted)))


def to_integer(shape, size, truncate):
    """cvttss2si, cvtss2si, cvttsd2si, cvtsd2si."""
    kind, vector = ("sse.cvt{}ss2si", SINGLES) if shape == F32 else ("sse2.cvt{}sd2si", DOUBLES)

    def semantics(e, f):
        value = source(e, f, shape, size)
        wide = e.b.insert_element(ir.Constant(vector, ir.Undefined), value.raw, ir.Constant(I32, 0))
        name = "llvm.x86." + kind.format("t" if truncate else "") + ("64" if f.S == 64 else "")
        set_reg(e, "reg", e.call(name, ir.IntType(f.S), e.value(wide)))

    return semantics


OPERATIONS = (
    ("add", 0x58, "fadd"),
    ("mul", 0x59, "fmul"),
    ("sub", 0x5C, "fsub"),
    ("div", 0x5E, "fdiv"),
)


def arithmetic_rows():
    """Four shapes of each operation."""
    for suffix, (prefix, shape, size) in SHAPES.items():
        for name, opcode, operation in OPERATIONS:
            yield Row(
                f"{name}{suffix}",
                f"{prefix} 0f {binary(opcode)} /r v",
                f"{name}{suffix}".upper(),
                arithmetic(operation, shape, size),
                leaves=True,
            )
        yield Row(
            f"min{suffix}",
            f"{prefix} 0f 01011101 /r v",
            f"MIN{suffix.upper()}",
            choose("<", shape, size),
        )
        yield Row(
            f"max{suffix}",
            f"{prefix} 0f 01011111 /r v",
            f"MAX{suffix.upper()}",
            choose(">", shape, size),
        )
        yield Row(
            f"sqrt{suffix}",
            f"{prefix} 0f 01010001 /r v",
            f"SQRT{suffix.upper()}",
            square_root(shape, size),
        )
        yield Row(
            f"cmp{suffix}",
            f"{prefix} 0f 11000010 /r cb v",
            f"CMP{suffix.upper()}",
            compare(shape, size),
            where=lambda v: v["I"] < 8,
        )


def bitwise_rows():
    """Two shapes of each operation on bits."""
    for suffix in ("ps", "pd"):
        prefix = SHAPES[suffix][0]
        for name, opcode, combine in (
            ("and", 0x54, simple(lambda a, b: a & b)),
            ("andn", 0x55, andn),
            ("or", 0x56, simple(lambda a, b: a | b)),
            ("xor", 0x57, simple(lambda a, b: a ^ b)),
        ):
            yield Row(
                f"{name}{suffix}",
                f"{prefix} 0f {binary(opcode)} /r v",
                f"{name}{suffix}".upper(),
                two(64, combine),
            )


def scalar_rows():
    """Comparisons that set flags, and conversions from and to integers."""
    for suffix in ("ss", "sd"):
        prefix, shape, size = SHAPES[suffix]
        flags = Effect("word")
        packed = {"ss": "np", "sd": "66"}[suffix]
        yield Row(
            f"ucomi{suffix}",
            f"{packed} 0f 00101110 /r v",
            f"UCOMI{suffix.upper()}",
            compare_flags(shape, size),
            flags=flags,
        )
        yield Row(
            f"comi{suffix}",
            f"{packed} 0f 00101111 /r v",
            f"COMI{suffix.upper()}",
            compare_flags(shape, size),
            flags=flags,
        )
        yield Row(
            f"cvtsi2{suffix}",
            f"{prefix} 0f 00101010 /r v",
            f"CVTSI2{suffix.upper()}",
            from_integer(shape),
        )
        yield Row(
            f"cvtt{suffix}2si",
            f"{prefix} 0f 00101100 /r v",
            f"CVTT{suffix.upper()}2SI",
            to_integer(shape, size, True),
        )
        yield Row(
            f"cvt{suffix}2si",
            f"{prefix} 0f 00101101 /r v",
            f"CVT{suffix.upper()}2SI",
            to_integer(shape, size, False),
        )


def store_control(e, f):
    """fnstcw: C libraries ask for the rounding mode when they read a number."""
    e.store(address(e, f), 2, e.get("fpcw", 16))


def load_control(e, f):
    """fldcw: only Unicorn's x87 looks at it."""
    e.set("fpcw", e.load(address(e, f), 2))


def store_media_control(e, f):
    """stmxcsr: C libraries ask for the rounding mode."""
    e.store(address(e, f), 4, e.get("mxcsr", 32))


def store_status(e, f):
    """fnstsw to memory."""
    e.store(address(e, f), 2, e.get("fpsw", 16))


def read_status(e, f):
    """fnstsw to ax."""
    set_reg(e, "rm", e.get("fpsw", 16))


def load_media_control(e, f):
    """ldmxcsr: to change how the host rounds is not a block's."""
    value, old = e.load(address(e, f), 4), e.get("mxcsr", 32)
    e.leave_if(((value ^ old) & ~STICKY).ne(0))
    e.set("mxcsr", value)


def wait(e, f):
    """fwait: nothing is pending where all exceptions are masked."""
    e.leave_if((e.get("fpcw", 16) & EXCEPTIONS).ne(EXCEPTIONS))


# fmt: off
ROWS = (
    Row("fnstcw", "11011001 /7m", "FSTCW/FNSTCW", store_control),
    Row("fldcw", "11011001 /5m", "FLDCW", load_control),
    Row("fnstsw", "11011101 /7m", "FSTSW/FNSTSW", store_status),
    Row("fnstsw_ax", "11011111 /4r", "FSTSW/FNSTSW", read_status, where=lambda v: v["rm"] == 0),
    Row("fwait", "10011011", "WAIT/FWAIT", wait, leaves=True),
    Row("ldmxcsr", "np 0f 10101110 /2m", "LDMXCSR", load_media_control, leaves=True),
    Row("stmxcsr", "np 0f 10101110 /3m", "STMXCSR", store_media_control),
    *arithmetic_rows(),
    *bitwise_rows(),
    *scalar_rows(),
    Row("movmskps", "np 0f 01010000 /rr v", "MOVMSKPS", mask("llvm.x86.sse.movmsk.ps", SINGLES)),
    Row("movmskpd", "66 0f 01010000 /rr v", "MOVMSKPD", mask("llvm.x86.sse2.movmsk.pd", DOUBLES)),
    Row("cvtps2pd", "np 0f 01011010 /r v", "CVTPS2PD", singles_to_doubles),
    Row("cvtpd2ps", "66 0f 01011010 /r v", "CVTPD2PS", doubles_to_singles),
    Row("cvtss2sd", "f3 0f 01011010 /r v", "CVTSS2SD", scalar_precision(F64, F32, 4)),
    Row("cvtsd2ss", "f2 0f 01011010 /r v", "CVTSD2SS", scalar_precision(F32, F64, 8)),
    Row("cvtdq2ps", "np 0f 01011011 /r v", "CVTDQ2PS", words_to_singles),
    Row("cvtps2dq", "66 0f 01011011 /r v", "CVTPS2DQ", to_words("cvtps2dq", SINGLES)),
    Row("cvttps2dq", "f3 0f 01011011 /r v", "CVTTPS2DQ", to_words("cvttps2dq", SINGLES)),
    Row("cvttpd2dq", "66 0f 11100110 /r v", "CVTTPD2DQ", to_words("cvttpd2dq", DOUBLES)),
    Row("cvtdq2pd", "f3 0f 11100110 /r v", "CVTDQ2PD", words_to_doubles),
    Row("cvtpd2dq", "f2 0f 11100110 /r v", "CVTPD2DQ", to_words("cvtpd2dq", DOUBLES)),
)
# fmt: on
