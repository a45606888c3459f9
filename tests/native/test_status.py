"""Does what instructions leave for later ones - sticky flags, the monitor - come out alike?

Sequences that run as one block on the native engine, and instruction by instruction, against
Unicorn.
"""

import pytest

from tests.engine.assembly import assemble
from tests.native.pair import DATA_MIDDLE, Pair

ONE, ZERO, THREE, MAXIMUM = 0x3FF << 52, 0, 0x4008 << 48, 0x7FEF_FFFF_FFFF_FFFF
VALUES = {"v0": ONE, "v1": ZERO, "v2": THREE, "v3": MAXIMUM, "v4": 0x7F | 0x80 << 8 | 1 << 16}
SEQUENCES = {
    "raised": "fdiv d5, d0, d1; mrs x1, fpsr; fdiv d6, d0, d2; mrs x2, fpsr; fmul d7, d3, d3",
    "cleared": "fdiv d5, d0, d1; msr fpsr, xzr; mrs x1, fpsr; fdiv d6, d0, d2; mrs x2, fpsr",
    "set": "mov x3, #-1; msr fpsr, x3; fadd d5, d0, d0; mrs x1, fpsr",
    "saturated": "msr fpsr, xzr; sqadd v5.8b, v4.8b, v4.8b; mrs x1, fpsr; fdiv d6, d0, d1",
    "control": "mrs x1, fpcr; msr fpcr, xzr; fdiv d6, d0, d2; mrs x2, fpcr",
    "rounding": "mov x3, #0xc00000; msr fpcr, x3; fdiv d6, d0, d2; msr fpcr, xzr; fdiv d7, d0, d2",
    "flags": "mov x3, #0x90000000; msr nzcv, x3; cset w4, mi; adcs x6, x0, x0; mrs x7, nzcv",
    "monitor": "ldxr x1, [x0]; clrex; stxr w2, x1, [x0]; ldxr x3, [x0]; stxr w4, x3, [x0]",
}


@pytest.mark.parametrize("block", [1, 64])
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_agree(name, block):
    source = "\n".join(part.strip() for part in SEQUENCES[name].split(";"))
    code = assemble("aarch64", {name: source})[name]
    pair = Pair("aarch64", block_instructions=block)
    (pc,) = pair.place([code])
    pair.step(pc, {**VALUES, "x0": DATA_MIDDLE}, len(code) // 4)


def test_raised_flags_are_seen_without_the_other_engine():
    code = assemble("aarch64", {"raised": SEQUENCES["raised"].replace("; ", "\n")})["raised"]
    pair = Pair("aarch64", block_instructions=64)
    (pc,) = pair.place([code])
    pair.step(pc, VALUES, len(code) // 4)
    assert pair.native.engine.read("x2") == 0b10010, "divided by zero, inexact"
    assert set(pair.native.engine.fallbacks) <= {"0x00000000"}, "only what is behind the sequence"


# Arm finds an underflow before rounding, x86 after it: the smallest normal number comes out.
SMALLEST, BELOW_ONE, BELOW_TWICE = 1 << 52, 0x3FEF_FFFF_FFFF_FFFF, 0x001F_FFFF_FFFF_FFFF
FACTOR, SINGLES = 0xA458_96EC_25B6_27F8, 0x3F7F_FFFF * 0x1_0000_0001
UNDERFLOWS = {
    "fnmadd d0, d1, d2, d2": (FACTOR, SMALLEST),
    "fmul d0, d1, d2": (BELOW_ONE, SMALLEST),
    "fdiv d0, d1, d2": (BELOW_TWICE, 2 << 61),
    "fcvt s0, d1": (0x380F_FFFF_FFFF_FFFF, 0),
    "fmul v0.2d, v1.2d, v2.d[0]": (BELOW_ONE * (1 << 64 | 1), SMALLEST),
    "fmul v0.2s, v1.2s, v2.2s": (SINGLES, 0x80_0000 * 0x1_0000_0001),
    "fdiv v0.2d, v1.2d, v2.2d": (BELOW_TWICE * (1 << 64 | 1), (1 << 64 | 1) << 62),
    "fcvtn v0.2s, v1.2d": (0x380F_FFFF_FFFF_FFFF * (1 << 64 | 1), 0),
}


@pytest.fixture(scope="module")
def pair():
    return Pair("aarch64")


@pytest.mark.parametrize("text", UNDERFLOWS)
def test_underflow_is_seen_before_rounding(pair, text):
    (pc,) = pair.place([assemble("aarch64", {text: text})[text]])
    first, second = UNDERFLOWS[text]
    pair.step(pc, {"v1": first, "v2": second, "fpsr": 0})
    assert pair.native.engine.read("fpsr") & 1 << 3, "FPSR.UFC"
