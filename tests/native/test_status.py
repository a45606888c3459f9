"""Does what instructions leave for later ones - sticky flags, the monitor - come out alike?

Sequences that run as one block on the native engine, and instruction by instruction, against
Unicorn.
"""

import pytest

from launch.differential.bench import DATA_MIDDLE, Bench
from tests.engine.assembly import assemble

ONE, ZERO, THREE, MAXIMUM = 0x3FF << 52, 0, 0x4008 << 48, 0x7FEF_FFFF_FFFF_FFFF
VALUES = {
    "x86_64": {"xmm0": ONE, "xmm1": THREE, "xmm2": ONE, "xmm3": MAXIMUM, "rax": DATA_MIDDLE},
    "aarch64": {
        "v0": ONE, "v1": ZERO, "v2": THREE, "v3": MAXIMUM, "v4": 0x7F | 0x80 << 8 | 1 << 16,
        "x0": DATA_MIDDLE,
    },
    "riscv64": {"f0": ONE, "f1": ZERO, "f2": THREE, "f3": MAXIMUM, "a0": DATA_MIDDLE},
}  # fmt: skip
SEQUENCES = {
    "x86_64": {
        "rounding": "mov dword ptr [rax], 0x5f80; ldmxcsr [rax]; divsd xmm0, xmm1; "
        "stmxcsr [rax + 8]; mov dword ptr [rax], 0x3f80; ldmxcsr [rax]; divsd xmm2, xmm1; "
        "cvtsd2si rcx, xmm2; mov dword ptr [rax], 0x1f80; ldmxcsr [rax]; cvtsi2sd xmm4, rcx",
        "flags alone": "stmxcsr [rax]; or dword ptr [rax], 1; ldmxcsr [rax]; divsd xmm0, xmm1; "
        "stmxcsr [rax]; fwait; fnstcw [rax]; fldcw [rax]; fwait",
    },
    "aarch64": {
        "raised": "fdiv d5, d0, d1; mrs x1, fpsr; fdiv d6, d0, d2; mrs x2, fpsr; fmul d7, d3, d3",
        "cleared": "fdiv d5, d0, d1; msr fpsr, xzr; mrs x1, fpsr; fdiv d6, d0, d2; mrs x2, fpsr",
        "set": "mov x3, #-1; msr fpsr, x3; fadd d5, d0, d0; mrs x1, fpsr",
        "saturated": "msr fpsr, xzr; sqadd v5.8b, v4.8b, v4.8b; mrs x1, fpsr; fdiv d6, d0, d1",
        "control": "mrs x1, fpcr; msr fpcr, xzr; fdiv d6, d0, d2; mrs x2, fpcr",
        "rounding": "mov x3, #0xc00000; msr fpcr, x3; fdiv d6, d0, d2; msr fpcr, xzr; "
        "fdiv d7, d0, d2",
        "down and up": "mov x3, #0x800000; msr fpcr, x3; fdiv d6, d0, d2; ucvtf d7, x5; "
        "mov x3, #0x400000; msr fpcr, x3; fdiv d8, d0, d2; msr fpcr, x3; frinti d9, d8",
        "flags": "mov x3, #0x90000000; msr nzcv, x3; cset w4, mi; adcs x6, x0, x0; mrs x7, nzcv",
        "monitor": "ldxr x1, [x0]; clrex; stxr w2, x1, [x0]; ldxr x3, [x0]; stxr w4, x3, [x0]",
    },
    "riscv64": {
        "raised": "fdiv.d f5, f0, f1; frflags a1; fdiv.d f6, f0, f2; frflags a2; fmul.d f7, f3, f3",
        "cleared": "fdiv.d f5, f0, f1; fsflags zero; frflags a1; fdiv.d f6, f0, f2; fsflagsi a2, 1",
        "set": "li a3, 31; fscsr a4, a3; fadd.d f5, f0, f0; frcsr a1; csrci fflags, 3; frflags a2",
        "control": "frrm a1; fsrm zero; fdiv.d f6, f0, f2; csrsi fflags, 2; frflags a2",
        "rounding": "fsrmi 1; fdiv.d f6, f0, f2; fsrmi 0; fdiv.d f7, f0, f2; frcsr a2",
        "static": "fdiv.d f6, f0, f2, rtz; fcvt.w.d a1, f6, rup; fcvt.l.d a2, f6, rmm",
        "floor": "fcvt.l.d a1, f6, rdn; fcvt.d.l f7, a1, rdn; frflags a2",
        "monitor": "lr.d a1, (a0); sc.w a2, a1, (a0); sc.d a3, a1, (a0)",
    },
}


@pytest.mark.parametrize("block", [1, 64])
@pytest.mark.parametrize(
    ("isa", "name"), [(isa, name) for isa, named in SEQUENCES.items() for name in named]
)
def test_sequences_agree(isa, name, block):
    parts = [part.strip() for part in SEQUENCES[isa][name].split(";")]
    code = assemble(isa, {name: "\n".join(parts)})[name]
    bench = Bench(isa, block_instructions=block)
    (pc,) = bench.place([code])
    bench.step(pc, VALUES[isa], len(parts))


@pytest.mark.parametrize(
    ("isa", "register", "flags"), [("aarch64", "x2", 0b10010), ("riscv64", "a2", 0b01001)]
)
def test_raised_flags_are_seen_without_the_other_engine(isa, register, flags):
    parts = SEQUENCES[isa]["raised"].split("; ")
    code = assemble(isa, {"raised": "\n".join(parts)})["raised"]
    bench = Bench(isa, block_instructions=64)
    (pc,) = bench.place([code])
    bench.step(pc, VALUES[isa], len(parts))
    assert bench.engine.read(register) == flags, "divided by zero, inexact"
    behind = {"0x00000000", "0x0000"}
    assert set(bench.engine.fallbacks) <= behind, "only what is behind the sequence"


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
def bench():
    return Bench("aarch64", block_instructions=1)


@pytest.fixture(scope="module")
def riscv():
    return Bench("riscv64", block_instructions=1)


# RISC-V finds it after rounding (11.2), as the host does: the smallest normal number comes out.
AFTER = {
    "fmul.d f0, f1, f2": (BELOW_ONE, SMALLEST),
    "fdiv.d f0, f1, f2": (BELOW_TWICE, 2 << 61),
    "fmul.s f0, f1, f2": (0x3F7F_FFFF, 0x80_0000),
    "fcvt.s.d f0, f1": (0x380F_FFFF_FFFF_FFFF, 0),
    "fnmadd.d f0, f1, f2, f2": (FACTOR, SMALLEST),
}


@pytest.mark.parametrize("text", AFTER)
def test_underflow_is_seen_after_rounding(riscv, text):
    (pc,) = riscv.place([assemble("riscv64", {text: text})[text]])
    first, second = AFTER[text]
    riscv.step(pc, {"f1": first, "f2": second, "fcsr": 0})
    assert riscv.engine.read("fcsr") & 1, "inexact"
    assert not riscv.engine.fallbacks


@pytest.mark.parametrize("text", UNDERFLOWS)
def test_underflow_is_seen_before_rounding(bench, text):
    (pc,) = bench.place([assemble("aarch64", {text: text})[text]])
    first, second = UNDERFLOWS[text]
    bench.step(pc, {"v1": first, "v2": second, "fpsr": 0})
    assert bench.engine.read("fpsr") & 1 << 3, "FPSR.UFC"
