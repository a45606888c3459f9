"""Are page faults precise: PC, address, count and records as if the faulting instruction had not
begun?

Also: do programs survive a fault that the kernel repairs, and does changed code run as changed?
"""

import numpy as np
import pytest

from cosim.engine.interface import Access, Reason
from cosim.engine.stream import Kind, decode
from cosim.paging import Protection
from cosim.units import PAGE_BYTES, MiB
from tests.engine.assembly import assemble
from tests.engine.bare import CODE, READ_WRITE, Bare

AT = 0x40_0000
DATA = 0x0000_7000_0000_0000
SOURCES = {
    "x86_64": {
        "split load": "mov rax, [rdi]; mov rbx, 1; hlt",
        "split store": "mov [rdi], rax; hlt",
        "modify": "add qword ptr [rdi], 1; hlt",
        "copy": "mov rcx, 16; rep movsb; hlt",
        "calls": "call rdi; hlt",
        "patch": """
            mov word ptr [rdi], 0x00b8; mov dword ptr [rdi + 1], 0; mov byte ptr [rdi + 5], 0xc3
            xor ebx, ebx; mov ecx, 1
        1:  mov [rdi + 1], ecx; call rdi; shl rbx, 8; or rbx, rax
            inc ecx; cmp ecx, 4; jne 1b; hlt""",
        "over": "inc ecx; inc edx; nop; movabs rax, 0x1234567812345000; hlt",
        "four": "mov eax, 4; hlt",
        "five": "mov eax, 5; hlt",
    },
    "aarch64": {
        "split load": "ldr x1, [x0]; mov x2, #1; udf #0",
        "split store": "str x1, [x0]; udf #0",
        "modify": "ldadd x1, x2, [x0]; udf #0",
        "pair": "ldp x1, x2, [x0]; udf #0",
        "wide pair": "ldp q1, q2, [x0]; udf #0",
        "calls": "blr x0; udf #0",
        "patch": """
            mov x10, x0; mov w9, #0; mov w2, #1; ldr w3, =0xd65f03c0; str w3, [x10, #4]
        1:  ldr w3, =0x52800000; orr w3, w3, w2, lsl #5; str w3, [x10]; blr x10
            lsl x9, x9, #8; orr x9, x9, x0
            add w2, w2, #1; cmp w2, #4; b.ne 1b; udf #0; .ltorg""",
        "four": "mov w0, #4; udf #0",
        "five": "mov w0, #5; udf #0",
    },
    "riscv64": {
        "split load": "ld a1, (a0); li a2, 1; unimp",
        "split store": "sd a1, (a0); unimp",
        "modify": "amoadd.d a1, a2, (a0); unimp",
        "calls": "jalr a0; unimp",
        "patch": """
            mv s1, a0; li s2, 0; li a2, 1; li a3, 0x00008067; sw a3, 4(s1)
        1:  slli a3, a2, 20; ori a3, a3, 0x513; sw a3, (s1); jalr s1
            slli s2, s2, 8; or s2, s2, a0
            addi a2, a2, 1; li a3, 4; bne a2, a3, 1b; unimp""",
        "over": "addi t0, t0, 1; addi t1, t1, 1; c.nop; lui a0, 0x12345; unimp",
        "four": "li a0, 4; unimp",
        "five": "li a0, 5; unimp",
    },
}
CODES = {isa: assemble(isa, sources) for isa, sources in SOURCES.items()}
POINTER = {"x86_64": "rdi", "aarch64": "x0", "riscv64": "a0"}
RESULT = {"x86_64": "rax", "aarch64": "x0", "riscv64": "a0"}
TOTAL = {"x86_64": "rbx", "aarch64": "x9", "riscv64": "s2"}
THIRD = "li a0, 1; li a1, 3; fcvt.d.l f1, a0; fcvt.d.l f2, a1; fdiv.d f1, f1, f2; frcsr a0; unimp"
INEXACT = 1  # the flag NX of fcsr
ALL_ISAS = list(SOURCES)


def machine(isa: str, name: str, levels: int = 5) -> Bare:
    bare = Bare(isa, levels=levels, memory_bytes=16 * MiB)
    bare.program(CODES[isa][name] + bytes(16), AT)
    bare.writer.inline = True
    return bare


def records(bare: Bare, first: int) -> list[tuple[int, int, int, int]]:
    return [decode(word) for word in bare.stream.ring[first : bare.writer.written]]


def data_records(bare: Bare, first: int = 0) -> list[tuple[int, int, int]]:
    return [(k, size, at) for k, _, size, at in records(bare, first) if k != Kind.FETCH]


def expect_fault(bare: Bare, address: int, access: Access, *, present: bool = False) -> None:
    """Run into a fault at the first instruction; nothing may be left of it."""
    before = bare.engine.instructions, bare.writer.written
    stop = bare.run()
    assert (stop.reason, stop.address, stop.access, stop.present) == (
        Reason.PAGE_FAULT, address, access, present
    )  # fmt: skip
    assert (bare.engine.instructions, bare.writer.written) == before
    assert bare.engine.read("pc") == AT


@pytest.mark.parametrize("isa", ALL_ISAS)
@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize(
    ("name", "access"), [("split load", Access.READ), ("split store", Access.WRITE)]
)
def test_an_access_over_two_pages_faults_in_either_and_then_runs(isa, levels, name, access):
    bare = machine(isa, name, levels)
    bare.engine.write(POINTER[isa], DATA + PAGE_BYTES - 3)
    expect_fault(bare, DATA + PAGE_BYTES - 3, access)
    second = bare.map(DATA + PAGE_BYTES, READ_WRITE)
    expect_fault(bare, DATA + PAGE_BYTES - 3, access)
    first = bare.map(DATA, READ_WRITE)
    assert bare.run().reason == Reason.ILLEGAL
    kinds = (Kind.LOAD, Kind.LOAD_REST) if access == Access.READ else (Kind.STORE, Kind.STORE_REST)
    assert data_records(bare) == [(kinds[0], 3, first + PAGE_BYTES - 3), (kinds[1], 5, second)]


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_second_page_missing(isa):
    bare = machine(isa, "split load")
    bare.map(DATA, READ_WRITE)
    bare.engine.write(POINTER[isa], DATA + PAGE_BYTES - 3)
    before = bare.writer.written
    stop = bare.run()
    assert stop.reason == Reason.PAGE_FAULT
    assert stop.address == DATA + PAGE_BYTES
    assert bare.writer.written == before
    assert bare.engine.instructions == 0


# Bytes of the three instructions before, and of the next one on the first page.
OVER = [("riscv64", 6, 2, ("t0", "t1"), 0x1234_5000)]
OVER += [("x86_64", 5, bytes_, ("rcx", "rdx"), 0x1234_5678_1234_5000) for bytes_ in (1, 2, 5, 9)]


@pytest.mark.parametrize("budget", [1, 2, 1000])
@pytest.mark.parametrize(("isa", "before", "first", "counts", "result"), OVER)
def test_an_instruction_over_two_pages_faults_where_it_stands(
    isa, before, first, counts, result, budget
):
    """Not where the translator, which looks ahead, began: those before it have been executed."""
    code = CODES[isa]["over"]
    start = AT + PAGE_BYTES - before - first
    bare = Bare(isa, levels=5, memory_bytes=16 * MiB)
    bare.map(AT, CODE)
    bare.write(start, code[: before + first])
    bare.start(start, 0)
    bare.writer.inline = True
    for round_ in (1, 2):  # the second time all of it is translated again
        stop = bare.run(budget)
        assert (stop.reason, stop.address, stop.access) == (
            Reason.PAGE_FAULT, AT + PAGE_BYTES, Access.EXECUTE
        )  # fmt: skip
        assert bare.engine.read("pc") == start + before
        assert bare.engine.instructions == 3 * round_
        assert [bare.engine.read(name) for name in counts] == [round_, round_]
        bare.engine.write("pc", start)
    bare.engine.write("pc", start + before)
    bare.map(AT + PAGE_BYTES, CODE)
    bare.write(AT + PAGE_BYTES, code[before + first :])
    assert bare.run(budget).reason == Reason.ILLEGAL
    assert bare.engine.instructions == 7
    assert bare.engine.read(RESULT[isa]) == result


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_read_modify_write_of_a_read_only_page(isa):
    bare = machine(isa, "modify")
    bare.map(DATA, Protection.READ)
    bare.engine.write(POINTER[isa], DATA + 16)
    expect_fault(bare, DATA + 16, Access.WRITE, present=True)


@pytest.mark.parametrize(("name", "size"), [("pair", 8), ("wide pair", 16)])
def test_load_pair_that_faults_half_way(name, size):
    bare = machine("aarch64", name)
    bare.map(DATA, READ_WRITE)
    bare.engine.write("x0", DATA + PAGE_BYTES - size)
    bare.engine.write("x1", 77)
    stop = bare.run()
    assert (stop.reason, stop.address) == (Reason.PAGE_FAULT, DATA + PAGE_BYTES)
    assert (bare.writer.written, bare.engine.instructions, bare.engine.read("x1")) == (0, 0, 77)
    bare.map(DATA + PAGE_BYTES, READ_WRITE)
    assert bare.run().reason == Reason.ILLEGAL
    assert len(data_records(bare)) == 2 * size // 8
    assert bare.engine.instructions == 1


def test_repeated_string_instruction_goes_on_where_it_faulted():
    bare = machine("x86_64", "copy")
    source = bare.map(DATA, READ_WRITE)
    bare.physical[source : source + 16] = np.arange(1, 17)
    target = DATA + 8 * PAGE_BYTES
    bare.map(target, READ_WRITE)
    bare.engine.write("rsi", DATA)
    bare.engine.write("rdi", target + PAGE_BYTES - 6)
    stop = bare.run()
    assert (stop.reason, stop.address, stop.access) == (
        Reason.PAGE_FAULT, target + PAGE_BYTES, Access.WRITE
    )  # fmt: skip
    assert bare.engine.read("rcx") == 10
    assert bare.engine.instructions == 1 + 6
    assert len(data_records(bare)) == 12
    bare.map(target + PAGE_BYTES, READ_WRITE)
    assert bare.run().reason == Reason.ILLEGAL
    assert len(data_records(bare)) == 32
    assert bare.engine.instructions == 1 + 17  # as QEMU counts: one more look at the counter
    assert bare.read(target + PAGE_BYTES, 10) == bytes(range(7, 17))


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_jump_into_a_missing_and_into_a_page_without_execution(isa):
    bare = machine(isa, "calls")
    bare.engine.write(POINTER[isa], DATA)
    for present in (False, True):
        bare.engine.write("pc", AT)
        stop = bare.run()
        assert (stop.reason, stop.address, stop.access, stop.present) == (
            Reason.PAGE_FAULT, DATA, Access.EXECUTE, present
        )  # fmt: skip
        assert bare.engine.read("pc") == DATA
        bare.map(DATA, READ_WRITE)
    assert bare.engine.instructions == 2
    bare.writer.settle()
    assert bare.memory.count(Kind.FETCH) == 1


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_page_table_that_leads_outside_memory_is_a_machine_check(isa):
    bare = machine(isa, "split load")
    bare.map(DATA, READ_WRITE, physical=64 * MiB)
    bare.engine.write(POINTER[isa], DATA + 8)
    stop = bare.run()
    assert (stop.reason, stop.address) == (Reason.MACHINE_CHECK, 64 * MiB)
    assert bare.engine.instructions == 0


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_guest_that_patches_its_code_runs_the_patched_code(isa):
    """Three rounds: write "result = n; return" at the pointer, call it, add up."""
    bare = machine(isa, "patch")
    bare.map(DATA)
    bare.engine.write(POINTER[isa], DATA)
    assert bare.run().reason == Reason.ILLEGAL
    assert bare.engine.read(TOTAL[isa]) == 0x010203


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_frame_reused_for_other_code_is_translated_again(isa):
    bare = machine(isa, "four")
    for name, value in (("four", 4), ("five", 5), ("four", 4)):
        bare.write(AT, CODES[isa][name])
        bare.engine.flush_tlb()
        bare.engine.write("pc", AT)
        assert bare.run().reason == Reason.ILLEGAL
        assert bare.engine.read(RESULT[isa]) == value


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_contexts_carry_over_to_another_engine(isa):
    first, second = machine(isa, "four"), machine(isa, "five")
    assert first.run().reason == Reason.ILLEGAL
    vector, bits = {"x86_64": ("xmm3", 128), "aarch64": ("v3", 128), "riscv64": ("f3", 64)}[isa]
    first.engine.write(vector, 1 << bits - 1 | 5)
    first.engine.write("thread_pointer", 0x1234_5000)
    words = first.engine.register_words()
    second.engine.restore(first.engine.save())
    assert second.engine.register_words() == words
    assert second.engine.read(vector) == 1 << bits - 1 | 5
    second.engine.reset()
    assert second.engine.read(vector) == 0


@pytest.mark.parametrize("engine", ["unicorn", "native"])
def test_contexts_hold_the_sticky_flags_of_floating_point(engine):
    """One third is inexact: thread one has seen it, thread two has not."""
    bare = Bare("riscv64", engine=engine)
    bare.program(assemble("riscv64", {"third": THIRD})["third"])
    fresh = bare.engine.save()
    assert bare.run().reason == Reason.ILLEGAL
    assert bare.engine.read("a0") == INEXACT
    one = bare.engine.save()
    bare.engine.restore(fresh)
    assert bare.engine.read("fcsr") == 0
    bare.engine.restore(one)
    assert bare.engine.read("fcsr") == INEXACT


@pytest.mark.parametrize("isa", ALL_ISAS)
def test_read_only_code_page(isa):
    bare = Bare(isa, levels=4, memory_bytes=16 * MiB)
    frame = bare.map(AT, CODE)
    assert bare.engine.translate(AT + 5) == frame + 5
    assert bare.engine.translate(AT + PAGE_BYTES) is None
