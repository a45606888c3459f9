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
