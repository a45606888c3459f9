"""SSE and SSE2 of x86-64: moves, and the integer forms that compilers emit for the baseline.

A memory operand of 16 bytes is two references of 8, as Unicorn makes them; its alignment is not
checked there, so it is not checked here.
"""

from llvmlite import ir

from cosim.engine.native.emitter import I64, I128
from cosim.engine.native.values import shuffle, splat
from isa_x86.instructions.decoder import Flagged as Row
from isa_x86.instructions.layout import REGISTER, address, rm, set_reg, set_rm

I32 = ir.IntType(32)


def lanes(bits: int) -> ir.Type:
    """Integers that fill a register."""
    return ir.VectorType(ir.IntType(bits), 128 // bits)


def source(e, f, shape: ir.Type, size: int = 16):
    """The operand of ModRM.rm: its low `size` bytes as a type."""
    if f.A == REGISTER:
        return e.read("vector", "rm", shape=shape)
    return e.load(address(e, f), size).cast(shape)


def target(e, shape: ir.Type):
    """The operand of ModRM.reg: its low bits as a type."""
    return e.read("vector", "reg", shape=shape)


def put(e, value, field: str = "reg") -> None:
    """Write a register: all of it, or its low bits."""
    e.write("vector", field, value)


def put_zero_extended(e, value, field: str = "reg") -> None:
    """Write a register: an integer, zero above."""
    e.write("vector", field, value.zext(128))


# Moves.


def move_load(e, f):
    """movaps, movups, movdqa, movdqu, ... to a register."""
    put(e, source(e, f, I128))


def move_store(e, f):
    """The same to memory."""
    if f.A == REGISTER:
        put(e, target(e, I128), "rm")
    else:
        e.store(address(e, f), 16, target(e, I128))


def scalar_load(bits):
    """movss, movsd: from memory the rest becomes zero, from a register it stays."""

    def semantics(e, f):
        value = source(e, f, ir.IntType(bits), bits // 8)
        put(e, value) if f.A == REGISTER else put_zero_extended(e, value)

    return semantics


def scalar_store(bits):
    """movss, movsd to memory or a register."""

    def semantics(e, f):
        value = target(e, ir.IntType(bits))
        put(e, value, "rm") if f.A == REGISTER else e.store(address(e, f), bits // 8, value)

    return semantics


def half(e, field: str, high: int):
    """64 bits of a register."""
    return e.read("vector", field, shape=lanes(64)).raw, ir.Constant(I32, high)


def extract_half(e, field: str, high: int):
    """64 bits of a register, as an integer."""
    return e.value(e.b.extract_element(*half(e, field, high)))


def set_half(e, field: str, high: int, value) -> None:
    """Write 64 bits of a register."""
    vector, place = half(e, field, high)
    put(e, e.value(e.b.insert_element(vector, value.raw, place)), field)


def half_load(high):
    """movlps, movhps from memory; movhlps, movlhps between registers take the other half."""

    def semantics(e, f):
        value = extract_half(e, "rm", 1 - high) if f.A == REGISTER else e.load(address(e, f), 8)
        set_half(e, "reg", high, value)

    return semantics


def half_store(high):
    """movlps, movhps to memory."""
    return lambda e, f: e.store(address(e, f), 8, extract_half(e, "reg", high))


def quad_load(e, f):
    """movq: the upper half becomes zero."""
    put_zero_extended(e, source(e, f, I64, 8))


def quad_store(e, f):
    """movq to memory or a register."""
    value = target(e, I64)
    if f.A == REGISTER:
        put_zero_extended(e, value, "rm")
    else:
        e.store(address(e, f), 8, value)


def from_general(e, f):
    """movd, movq from a general register or memory."""
    put_zero_extended(e, rm(e, f, f.S))


def to_general(e, f):
    """movd, movq to a general register or memory."""
    set_rm(e, f, target(e, ir.IntType(f.S)))


def insert_word(e, f):
    """pinsrw."""
    value = rm(e, f, 16)
    vector = target(e, lanes(16))
    place = ir.Constant(I32, f.I & 7)
    put(e, e.value(e.b.insert_element(vector.raw, value.raw, place)))


def extract_word(e, f):
    """pextrw."""
    vector = source(e, f, lanes(16))
    value = e.value(e.b.extract_element(vector.raw, ir.Constant(I32, f.I & 7)))
    set_reg(e, "reg", value.zext(32))


def mask(name, shape):
    """pmovmskb, movmskps, movmskpd: the lanes' signs."""

    def semantics(e, f):
        set_reg(e, "reg", e.call(name, I32, source(e, f, shape)))

    return semantics


# Two operands.


def two(bits, operation):
    """reg = operation(e, reg, rm) on lanes of so many bits."""

    def semantics(e, f):
        put(e, operation(e, target(e, lanes(bits)), source(e, f, lanes(bits))))

    return semantics


def simple(build):
    """A builder's or Value's operation."""
    return lambda e, a, b: build(a, b)


def compare(kind):
    """All ones where it holds."""

    def operation(e, a, b):
        return e.value(e.b.sext(e.b.icmp_signed(kind, a.raw, b.raw), a.raw.type))

    return operation


def choose(kind, *, signed):
    """Minimum or maximum."""

    def operation(e, a, b):
        test = e.b.icmp_signed if signed else e.b.icmp_unsigned
        return e.value(e.b.select(test(kind, a.raw, b.raw), a.raw, b.raw))

    return operation


def intrinsic(name, result=None):
    """An intrinsic of LLVM."""
    return lambda e, a, b: e.call(name, result or a.raw.type, a, b)


def high_product(extend):
    """pmulhw, pmulhuw."""

    def operation(e, a, b):
        shape = ir.VectorType(I32, 8)
        x, y = (getattr(e.b, extend)(v.raw, shape) for v in (a, b))
        product = e.b.lshr(e.b.mul(x, y), splat(shape, 16))
        return e.value(e.b.trunc(product, a.raw.type))

    return operation


def average(e, a, b):
    """pavgb, pavgw: rounded up."""
    shape = ir.VectorType(I32, a.raw.type.count)
    x, y = (e.b.zext(v.raw, shape) for v in (a, b))
    total = e.b.add(e.b.add(x, y), splat(shape, 1))
    return e.value(e.b.trunc(e.b.lshr(total, splat(shape, 1)), a.raw.type))


def even_product(e, a, b):
    """pmuludq: of the lower 32 bits of each half."""
    low = splat(a.raw.type, 0xFFFF_FFFF)
    return e.value(e.b.mul(e.b.and_(a.raw, low), e.b.and_(b.raw, low)))


def interleave(high):
    """punpckl, punpckh, unpckl, unpckh."""

    def operation(e, a, b):
        count = a.raw.type.count
        start = count // 2 if high else 0
        places = range(start, start + count // 2)
        return shuffle(e, a, b, [at for i in places for at in (i, i + count)])

    return operation


def andn(e, a, b):
    """~a & b."""
    return ~a & b


# Shuffles.


def shuffle_words(e, f):
    """pshufd."""
    value = source(e, f, lanes(32))
    put(e, shuffle(e, value, value, [f.I >> 2 * i & 3 for i in range(4)]))


def shuffle_half(high):
    """pshuflw, pshufhw."""

    def semantics(e, f):
        value = source(e, f, lanes(16))
        order = list(range(8))
        for i in range(4):
            order[4 * high + i] = 4 * high + (f.I >> 2 * i & 3)
        put(e, shuffle(e, value, value, order))

    return semantics


def shuffle_two(bits):
    """shufps, shufpd: the lower half from reg, the upper from rm."""

    def semantics(e, f):
        a, b = target(e, lanes(bits)), source(e, f, lanes(bits))
        if bits == 32:
            order = [(f.I >> 2 * i & 3) + 4 * (i >> 1) for i in range(4)]
        else:
            order = [f.I & 1, 2 + (f.I >> 1 & 1)]
        put(e, shuffle(e, a, b, order))

    return semantics


# Shifts.


def shift_immediate(bits, kind):
    """psrl, psra, psll by a constant."""

    def semantics(e, f):
        shape = lanes(bits)
        value = e.read("vector", "rm", shape=shape)
        if kind != "ashr" and bits <= f.I:
            result = ir.Constant(shape, [0] * shape.count)
        else:
            result = getattr(e.b, kind)(value.raw, splat(shape, min(f.I, bits - 1)))
        put(e, e.value(result), "rm")

    return semantics


def shift_bytes(left):
    """pslldq, psrldq."""

    def semantics(e, f):
        value = e.read("vector", "rm", shape=I128)
        amount = 8 * f.I
        if f.I > 15:
            put(e, e.constant(0, 128), "rm")
        else:
            put(e, value << amount if left else value >> amount, "rm")

    return semantics


def shift_by(name, bits):
    """psrl, psra, psll by the lower half of rm."""

    def semantics(e, f):
        shape = lanes(bits)
        value, amount = target(e, shape), source(e, f, shape)
        put(e, e.call(f"llvm.x86.sse2.{name}", shape, value, amount))

    return semantics


def store_non_temporal(e, f):
    """movnti."""
    value = e.read("general", "reg", f.S)
    e.store(address(e, f), f.S // 8, value)


LETTER = {8: "b", 16: "w", 32: "d", 64: "q"}


def binary(opcode):
    """Eight characters of a pattern."""
    return f"{opcode:08b}"


def packed_rows():
    """Integer operations with two operands: name, opcode, lanes, what it does."""
    table = [
        *((f"padd{LETTER[b]}", o, b, simple(lambda a, c: a + c)) for b, o in ((8, 0xFC), (16, 0xFD), (32, 0xFE), (64, 0xD4))),
        *((f"psub{LETTER[b]}", o, b, simple(lambda a, c: a - c)) for b, o in ((8, 0xF8), (16, 0xF9), (32, 0xFA), (64, 0xFB))),
        *((f"pcmpeq{LETTER[b]}", o, b, compare("==")) for b, o in ((8, 0x74), (16, 0x75), (32, 0x76))),
        *((f"pcmpgt{LETTER[b]}", o, b, compare(">")) for b, o in ((8, 0x64), (16, 0x65), (32, 0x66))),
        *((f"{n}{LETTER[b]}", o, b, intrinsic(f"llvm.{i}.sat.v{128 // b}i{b}")) for n, i, b, o in (
            ("padds", "sadd", 8, 0xEC), ("padds", "sadd", 16, 0xED), ("paddus", "uadd", 8, 0xDC), ("paddus", "uadd", 16, 0xDD),
            ("psubs", "ssub", 8, 0xE8), ("psubs", "ssub", 16, 0xE9), ("psubus", "usub", 8, 0xD8), ("psubus", "usub", 16, 0xD9))),
        *((f"punpckl{n}", o, b, interleave(False)) for n, b, o in (("bw", 8, 0x60), ("wd", 16, 0x61), ("dq", 32, 0x62), ("qdq", 64, 0x6C))),
        *((f"punpckh{n}", o, b, interleave(True)) for n, b, o in (("bw", 8, 0x68), ("wd", 16, 0x69), ("dq", 32, 0x6A), ("qdq", 64, 0x6D))),
        ("pand", 0xDB, 64, simple(lambda a, c: a & c)),
        ("pandn", 0xDF, 64, andn),
        ("por", 0xEB, 64, simple(lambda a, c: a | c)),
        ("pxor", 0xEF, 64, simple(lambda a, c: a ^ c)),
        ("pmullw", 0xD5, 16, simple(lambda a, c: a * c)),
        ("pmulhw", 0xE5, 16, high_product("sext")),
        ("pmulhuw", 0xE4, 16, high_product("zext")),
        ("pmuludq", 0xF4, 64, even_product),
        ("pmaddwd", 0xF5, 16, intrinsic("llvm.x86.sse2.pmadd.wd", lanes(32))),
        ("psadbw", 0xF6, 8, intrinsic("llvm.x86.sse2.psad.bw", lanes(64))),
        ("pavgb", 0xE0, 8, average),
        ("pavgw", 0xE3, 16, average),
        ("pminub", 0xDA, 8, choose("<", signed=False)),
        ("pmaxub", 0xDE, 8, choose(">", signed=False)),
        ("pminsw", 0xEA, 16, choose("<", signed=True)),
        ("pmaxsw", 0xEE, 16, choose(">", signed=True)),
        ("packsswb", 0x63, 16, intrinsic("llvm.x86.sse2.packsswb.128", lanes(8))),
        ("packuswb", 0x67, 16, intrinsic("llvm.x86.sse2.packuswb.128", lanes(8))),
        ("packssdw", 0x6B, 32, intrinsic("llvm.x86.sse2.packssdw.128", lanes(16))),
    ]  # fmt: skip
    for name, opcode, bits, operation in table:
        yield Row(name, f"66 0f {binary(opcode)} /r v", name.upper(), two(bits, operation))


def shift_rows():
    """Shifts of lanes, by constants and by registers."""
    for kind, build, digit in (("psrl", "lshr", 2), ("psra", "ashr", 4), ("psll", "shl", 6)):
        for bits, opcode in ((16, 0x71), (32, 0x72), (64, 0x73)):
            if kind == "psra" and bits == 64:
                continue
            name = kind + LETTER[bits]
            by = {"psrl": 0xD0, "psra": 0xE0, "psll": 0xF0}[kind] + opcode - 0x70
            yield Row(
                f"{name}_immediate",
                f"66 0f {binary(opcode)} /{digit}r cb v",
                name.upper(),
                shift_immediate(bits, build),
            )
            yield Row(
                name,
                f"66 0f {binary(by)} /r v",
                name.upper(),
                shift_by(f"{kind}.{LETTER[bits]}", bits),
            )
    yield Row("psrldq", "66 0f 01110011 /3r cb v", "PSRLDQ", shift_bytes(False))
    yield Row("pslldq", "66 0f 01110011 /7r cb v", "PSLLDQ", shift_bytes(True))


# fmt: off
ROWS = (
    Row("movups_load", "np 0f 00010000 /r v", "MOVUPS", move_load),
    Row("movupd_load", "66 0f 00010000 /r v", "MOVUPD", move_load),
    Row("movaps_load", "np 0f 00101000 /r v", "MOVAPS", move_load),
    Row("movapd_load", "66 0f 00101000 /r v", "MOVAPD", move_load),
    Row("movdqa_load", "66 0f 01101111 /r v", "MOVDQA", move_load),
    Row("movdqu_load", "f3 0f 01101111 /r v", "MOVDQU", move_load),
    Row("movups_store", "np 0f 00010001 /r v", "MOVUPS", move_store),
    Row("movupd_store", "66 0f 00010001 /r v", "MOVUPD", move_store),
    Row("movaps_store", "np 0f 00101001 /r v", "MOVAPS", move_store),
    Row("movapd_store", "66 0f 00101001 /r v", "MOVAPD", move_store),
    Row("movdqa_store", "66 0f 01111111 /r v", "MOVDQA", move_store),
    Row("movdqu_store", "f3 0f 01111111 /r v", "MOVDQU", move_store),
    Row("movntps", "np 0f 00101011 /rm v", "MOVNTPS", move_store),
    Row("movntpd", "66 0f 00101011 /rm v", "MOVNTPD", move_store),
    Row("movntdq", "66 0f 11100111 /rm v", "MOVNTDQ", move_store),
    Row("movnti", "np 0f 11000011 /rm", "MOVNTI", store_non_temporal),
    Row("movss_load", "f3 0f 00010000 /r v", "MOVSS", scalar_load(32)),
    Row("movsd_load", "f2 0f 00010000 /r v", "MOVSD", scalar_load(64)),
    Row("movss_store", "f3 0f 00010001 /r v", "MOVSS", scalar_store(32)),
    Row("movsd_store", "f2 0f 00010001 /r v", "MOVSD", scalar_store(64)),
    Row("movlps_load", "np 0f 00010010 /r v", "MOVLPS, MOVHLPS", half_load(0)),
    Row("movlpd_load", "66 0f 00010010 /rm v", "MOVLPD", half_load(0)),
    Row("movlps_store", "np 0f 00010011 /rm v", "MOVLPS", half_store(0)),
    Row("movlpd_store", "66 0f 00010011 /rm v", "MOVLPD", half_store(0)),
    Row("movhps_load", "np 0f 00010110 /r v", "MOVHPS, MOVLHPS", half_load(1)),
    Row("movhpd_load", "66 0f 00010110 /rm v", "MOVHPD", half_load(1)),
    Row("movhps_store", "np 0f 00010111 /rm v", "MOVHPS", half_store(1)),
    Row("movhpd_store", "66 0f 00010111 /rm v", "MOVHPD", half_store(1)),
    Row("movq_load", "f3 0f 01111110 /r v", "MOVQ", quad_load),
    Row("movq_store", "66 0f 11010110 /r v", "MOVQ", quad_store),
    Row("movd_from_general", "66 0f 01101110 /r v", "MOVD/MOVQ", from_general),
    Row("movd_to_general", "66 0f 01111110 /r v", "MOVD/MOVQ", to_general),
    Row("pinsrw", "66 0f 11000100 /r cb v", "PINSRW", insert_word),
    Row("pextrw", "66 0f 11000101 /rr cb v", "PEXTRW", extract_word),
    Row("pmovmskb", "66 0f 11010111 /rr v", "PMOVMSKB", mask("llvm.x86.sse2.pmovmskb.128", lanes(8))),
    Row("pshufd", "66 0f 01110000 /r cb v", "PSHUFD", shuffle_words),
    Row("pshufhw", "f3 0f 01110000 /r cb v", "PSHUFHW", shuffle_half(1)),
    Row("pshuflw", "f2 0f 01110000 /r cb v", "PSHUFLW", shuffle_half(0)),
    Row("shufps", "np 0f 11000110 /r cb v", "SHUFPS", shuffle_two(32)),
    Row("shufpd", "66 0f 11000110 /r cb v", "SHUFPD", shuffle_two(64)),
    Row("unpcklps", "np 0f 00010100 /r v", "UNPCKLPS", two(32, interleave(False))),
    Row("unpcklpd", "66 0f 00010100 /r v", "UNPCKLPD", two(64, interleave(False))),
    Row("unpckhps", "np 0f 00010101 /r v", "UNPCKHPS", two(32, interleave(True))),
    Row("unpckhpd", "66 0f 00010101 /r v", "UNPCKHPD", two(64, interleave(True))),
    *packed_rows(),
    *shift_rows(),
)
# fmt: on
