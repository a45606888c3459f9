"""Does every way out of user mode stop at the right place, with the right reason, having counted
the right things?

Each case: instructions before the one in question, its reason, and where it is.  An instruction
that did not happen leaves no count, record or register change; the host's clock and random numbers
are never seen.
"""

from functools import cache

import pytest

import tests.engine.bare
from cosim.engine.interface import Reason
from cosim.engine.stream import Kind
from cosim.units import MiB
from tests.engine.assembly import assemble
from tests.engine.bare import Bare

ILL, B, A, P = Reason.ILLEGAL, Reason.BREAKPOINT, Reason.ARITHMETIC, Reason.PAGE_FAULT
CODE_AT = 0x40_0000

X86 = {
    # source                                  reason  counted  offset
    "nop; hlt": (ILL, 1, 1),
    "nop; cli": (ILL, 1, 1),
    "nop; in al, dx": (ILL, 1, 1),
    "nop; out dx, al": (ILL, 1, 1),
    "rdmsr": (ILL, 0, 0),
    "wrmsr": (ILL, 0, 0),
    "mov rax, cr3": (ILL, 0, 0),
    "mov cr3, rax": (ILL, 0, 0),
    "lgdt [rsp]": (ILL, 0, 0),
    "invlpg [rsp]": (ILL, 0, 0),
    "swapgs": (ILL, 0, 0),
    "sysretq": (ILL, 0, 0),
    "iretq": (ILL, 0, 0),
    "sysenter": (ILL, 0, 0),
    "int 13": (ILL, 0, 0),
    "nop; int 0x80": (ILL, 1, 1),
    "ud2": (ILL, 0, 0),
    "rdrand rax": (ILL, 0, 0),
    "rdseed rax": (ILL, 0, 0),
    "xgetbv": (ILL, 0, 0),
    "nop; int3": (B, 1, 1),
    "xor ecx, ecx; div ecx": (A, 1, 2),
    "mov rax, [0x18]": (P, 0, 0),
    "xor eax, eax; jmp rax": (P, 2, -CODE_AT),
    "cpuid; hlt": (ILL, 1, 2),
}
ARM = {
    "nop; mrs x0, sctlr_el1": (ILL, 1, 4),
    "mrs x0, midr_el1": (ILL, 0, 0),
    "msr daifset, #2": (ILL, 0, 0),
    "mrs x0, rndr": (ILL, 0, 0),
    "mrs x0, rndrrs": (ILL, 0, 0),
    "tlbi vmalle1": (ILL, 0, 0),
    "eret": (ILL, 0, 0),
    "hvc #0": (ILL, 0, 0),
    "smc #0": (ILL, 0, 0),
    "hlt #0": (ILL, 0, 0),
    "udf #0": (ILL, 0, 0),
    "mov x0, sp; dc zva, x0": (ILL, 1, 4),
    "nop; brk #1": (B, 1, 4),
    "adr x0, .+1; ldaxr x0, [x0]": (Reason.ALIGNMENT, 1, 4),
    "adr x0, .+2; br x0": (Reason.ALIGNMENT, 2, 2),
    "mov x0, #0x18; ldr x0, [x0]": (P, 1, 4),
    "mov x0, #0; br x0": (P, 2, -CODE_AT),
    "wfi; wfe; yield; sev; isb; udf #0": (ILL, 5, 20),
    "mrs x0, ctr_el0; mrs x1, dczid_el0; mrs x2, cntfrq_el0; udf #0": (ILL, 3, 12),
    "mov x0, sp; dc cvau, x0; ic ivau, x0; dsb ish; isb; udf #0": (ILL, 5, 20),
}
RISCV = {
    "c.nop; csrr t0, sstatus": (ILL, 1, 2),
    "csrr t0, satp": (ILL, 0, 0),
    "csrr t0, mhartid": (ILL, 0, 0),
    "csrw cycle, t0": (ILL, 0, 0),
    "rdinstret t0": (ILL, 0, 0),
    "csrr t0, hpmcounter3": (ILL, 0, 0),
    "csrrwi t0, cycle, 1": (ILL, 0, 0),
    "csrr t0, seed": (ILL, 0, 0),
    "mret": (ILL, 0, 0),
    "sret": (ILL, 0, 0),
    "sfence.vma": (ILL, 0, 0),
    "nop; unimp": (ILL, 1, 2),
    ".word 0xffffffff": (ILL, 0, 0),
    "c.nop; ebreak": (B, 1, 2),
    ".option push; .option norvc; nop; ebreak; .option pop": (B, 1, 4),
    "addi t0, sp, 2; amoadd.w t1, t1, (t0)": (Reason.ALIGNMENT, 1, 4),
    "addi t0, sp, 4; lr.d t1, (t0)": (Reason.ALIGNMENT, 1, 4),
    "ld t0, 0x18(zero)": (P, 0, 0),
    "li t0, 0; jr t0": (P, 2, -CODE_AT),
    "li t0, 1; div t0, t0, zero; rem t0, t0, zero; unimp": (ILL, 3, 10),
    "wfi; .word 0x0100000f; fence.i; fence rw, rw; unimp": (ILL, 4, 16),
    "addi t0, sp, 1; ld t1, (t0); sd t1, (t0); unimp": (ILL, 3, 12),
}
SOURCES = {"x86_64": X86, "aarch64": ARM, "riscv64": RISCV}
CASES = [(isa, s, *e) for isa, cases in SOURCES.items() for s, e in cases.items()]
ATOMICS = {
    "x86_64": {
        # loads, stores, atomic loads
        "lock add dword ptr [rsp], 1; ud2": (0, 1, 1),
        "xchg [rsp], rax; ud2": (0, 1, 1),
        "lock cmpxchg [rsp], rcx; ud2": (0, 1, 1),
        ".byte 0x66; lock add word ptr [rsp], 1; ud2": (0, 1, 1),
        "lock cmpxchg16b [rsp]; ud2": (0, 2, 2),
        "add [rsp], rax; push rax; ud2": (1, 2, 0),
        "movups xmm0, [rsp]; ud2": (2, 0, 0),
    },
    "aarch64": {
        "ldadd x1, x2, [sp]; udf #0": (0, 1, 1),
        "swp x1, x2, [sp]; udf #0": (0, 1, 1),
        "cas x1, x2, [sp]; udf #0": (0, 1, 1),
        "casp x0, x1, x2, x3, [sp]; udf #0": (0, 2, 2),
        "ldxr x0, [sp]; stxr w1, x0, [sp]; udf #0": (1, 1, 1),
        "ldapr x0, [sp]; ldar x1, [sp]; udf #0": (2, 0, 0),
        "stp x0, x1, [sp]; ldr q0, [sp]; udf #0": (2, 2, 0),
    },
    "riscv64": {
        "amoadd.d t0, t1, (sp); unimp": (0, 1, 1),
        "amoswap.w.aqrl t0, t1, (sp); unimp": (0, 1, 1),
        "amomaxu.d t0, t1, (sp); unimp": (0, 1, 1),
        "lr.d t0, (sp); sc.d t1, t2, (sp); unimp": (1, 1, 1),
        "sc.w t1, t2, (sp); unimp": (0, 0, 0),  # no reservation: memory is not asked
        "c.nop; amoadd.d t0, t1, (sp); unimp": (0, 1, 1),  # not at a multiple of 4
        "c.ldsp t0, 0(sp); c.sdsp t0, 0(sp); unimp": (1, 1, 0),
        "flw fa0, (sp); fsd fa0, (sp); unimp": (1, 1, 0),
    },
}
CLOCKS = {
    "x86_64": ("rdtsc; ud2", "rdtscp; ud2"),
    "aarch64": ("mrs x5, cntvct_el0; udf #0",),
    "riscv64": ("rdtime t0; unimp", "rdcycle t0; unimp"),
}
CLOCK_REGISTER = {"aarch64": "x5", "riscv64": "t0"}
CHANGED = {"x86_64": "rax", "aarch64": "x7", "riscv64": "a6"}
SINGLES = {
    "x86_64": {"call": "syscall; nop", "twice": "mov eax, 5; hlt"},
    "aarch64": {"call": "svc #0; nop", "frequency": "mrs x3, cntfrq_el0; svc #0"},
    "riscv64": {"call": "ecall; nop"},
}


@cache
def code(isa: str) -> dict[str, bytes]:
    sources = {s: s for s in (*SOURCES[isa], *ATOMICS[isa], *CLOCKS[isa])}
    return assemble(isa, {**sources, **SINGLES[isa]})


@cache
def machine(isa: str, engine: str) -> Bare:
    """One machine for all cases; each case gets its own page."""
    bare = Bare(isa, memory_bytes=16 * MiB, frequency_hz=123_000)
    bare.writer.inline = True
    return bare


def prepare(isa: str, name: str) -> Bare:
    bare = machine(isa, tests.engine.bare.ENGINE)
    bare.program(code(isa)[name] + bytes(16), CODE_AT)
    bare.engine.flush_tlb()
    return bare


@pytest.mark.parametrize(("isa", "source", "reason", "counted", "offset"), CASES)
def test_stop(isa, source, reason, counted, offset):
    bare = prepare(isa, source)
    bare.engine.write(CHANGED[isa], 0x1234_5678_9ABC_DEF0)
    before = bare.engine.instructions
    stop = bare.run()
    assert stop.reason == reason, stop
    assert bare.engine.instructions - before == counted
    assert bare.engine.read("pc") == CODE_AT + offset
    if " in al" in source:
        assert bare.engine.read("rax") == 0x1234_5678_9ABC_DEF0


def test_many_faults_in_a_row_stay_the_same_fault():
    bare = prepare("x86_64", "twice")
    for _ in range(5):
        stop = bare.run()
        assert stop.reason == Reason.ILLEGAL
        assert "#GP" in stop.detail
        bare.engine.write("pc", CODE_AT)


@pytest.mark.parametrize(("isa", "source"), [(i, s) for i, rows in ATOMICS.items() for s in rows])
def test_atomics_are_told_apart(isa, source):
    bare = prepare(isa, source)
    bare.writer.settle()
    before = bare.memory.state[:16].copy()
    assert bare.run().reason == Reason.ILLEGAL
    bare.writer.settle()
    kinds = (bare.memory.state[:16] - before).tolist()
    assert (kinds[Kind.LOAD], kinds[Kind.STORE], kinds[Kind.ATOMIC_LOAD]) == ATOMICS[isa][source]


@pytest.mark.parametrize(("isa", "source"), [(i, s) for i, rows in CLOCKS.items() for s in rows])
def test_clock_reads_are_completed_with_the_kernels_value(isa, source):
    bare = prepare(isa, source)
    before = bare.engine.instructions
    stop = bare.run()
    assert stop.reason == Reason.CLOCK_READ
    assert bare.engine.read("pc") == CODE_AT
    bare.engine.complete_clock_read(stop.clock_form, 0x0123_4567_89AB_CDEF)
    if isa == "x86_64":
        halves = bare.engine.read("rdx"), bare.engine.read("rax")
        assert halves == (0x0123_4567, 0x89AB_CDEF)
    else:
        assert bare.engine.read(CLOCK_REGISTER[isa]) == 0x0123_4567_89AB_CDEF
    assert bare.run().reason == Reason.ILLEGAL
    assert bare.engine.instructions - before == 1


def test_clock_frequency_is_the_cores():
    bare = prepare("aarch64", "frequency")
    assert bare.run().reason == Reason.SYSTEM_CALL
    assert bare.engine.read("x3") == 123_000


@pytest.mark.parametrize("isa", SOURCES)
def test_system_call_is_counted_and_pc_is_behind_it(isa):
    bare = prepare(isa, "call")
    before = bare.engine.instructions
    assert bare.run().reason == Reason.SYSTEM_CALL
    assert bare.engine.instructions - before == 1
    after = CODE_AT + bare.isa.traps.SYSTEM_CALL_LENGTH_BYTES
    assert bare.engine.read("pc") == after
    if isa == "x86_64":
        assert (bare.engine.read("rcx"), bare.engine.read("r11")) == (
            after,
            bare.engine.read("flags"),
        )
