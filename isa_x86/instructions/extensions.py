"""SSSE3 to SSE4.2 of x86-64: the forms that a C library chooses at run time for strings.

They are computed by the host's own instructions; a host that lacks them leaves them to Unicorn.
"""

from llvmlite import binding, ir

from cosim.engine.native.values import shuffle
from isa_x86.instructions.decoder import Flagged as Row
from isa_x86.instructions.flags import CF, OF, SF, ZF, Effect, set_word
from isa_x86.instructions.layout import set_named
from isa_x86.instructions.vector import (
    I32,
    binary,
    choose,
    compare,
    intrinsic,
    lanes,
    put,
    source,
    target,
    two,
)

BYTES = lanes(8)
FLAG_NAMES = (("c", CF), ("z", ZF), ("s", SF), ("o", OF))


def align(e, f):
    """palignr: 16 bytes from byte I of rm with reg above it, zeros beyond."""
    high, low = target(e, BYTES), source(e, f, BYTES)
    zeros = e.value(ir.Constant(BYTES, None))
    first, second = (low, high) if f.I < 16 else (high, zeros)
    if f.I >= 32:
        put(e, zeros)
    else:
        put(e, shuffle(e, first, second, [f.I % 16 + i for i in range(16)]))


def find_string(e, f):
    """pcmpistri: the index goes to rcx; carry, zero, sign, overflow tell how it was found."""
    operands = target(e, BYTES), source(e, f, BYTES), e.constant(f.I, 8)
    word = e.constant(0, 32)
    for letter, bit in FLAG_NAMES:
        holds = e.call(f"llvm.x86.sse42.pcmpistri{letter}128", I32, *operands)
        word = word | holds * bit
    set_word(e, f, word)
    set_named(e, "rcx", e.call("llvm.x86.sse42.pcmpistri128", I32, *operands))


def test(e, f):
    """ptest: zero if no bit is common, carry if reg has all bits of rm."""
    whole = ir.IntType(128)
    a, b = target(e, whole), source(e, f, whole)
    word = (a & b).eq(0).zext(64) * ZF | (~a & b).eq(0).zext(64) * CF
    set_word(e, f, word)


def ordered_rows():
    """Minima, maxima and comparisons that SSE2 lacks: name, opcode, lanes, what it does."""
    table = (
        ("pminsb", 0x38, 8, choose("<", signed=True)),
        ("pminsd", 0x39, 32, choose("<", signed=True)),
        ("pminuw", 0x3A, 16, choose("<", signed=False)),
        ("pminud", 0x3B, 32, choose("<", signed=False)),
        ("pmaxsb", 0x3C, 8, choose(">", signed=True)),
        ("pmaxsd", 0x3D, 32, choose(">", signed=True)),
        ("pmaxuw", 0x3E, 16, choose(">", signed=False)),
        ("pmaxud", 0x3F, 32, choose(">", signed=False)),
        ("pcmpeqq", 0x29, 64, compare("==")),
        ("pcmpgtq", 0x37, 64, compare(">")),
    )
    for name, opcode, bits, operation in table:
        yield Row(name, f"66 0f38 {binary(opcode)} /r v", name.upper(), two(bits, operation))


# fmt: off
PORTABLE = (
    Row("palignr", "66 0f3a 00001111 /r cb v", "PALIGNR", align),
    Row("ptest", "66 0f38 00010111 /r v", "PTEST", test, flags=Effect("word")),
    *ordered_rows(),
)
NEEDS = (  # a feature of the host, as LLVM calls it
    ("ssse3", Row("pshufb", "66 0f38 00000000 /r v", "PSHUFB", two(8, intrinsic("llvm.x86.ssse3.pshuf.b.128")))),
    ("sse4.2", Row("pcmpistri", "66 0f3a 01100011 /r cb v", "PCMPISTRI", find_string, flags=Effect("word"), where=lambda v: v["I"] < 0x80)),
)
# fmt: on
FEATURES = binding.get_host_cpu_features()
ROWS = (*PORTABLE, *(row for feature, row in NEEDS if FEATURES.get(feature)))
