"""Does the record in an ELF say what kernels need, and is a wrong one refused?"""

import io

import pytest
from elftools.elf.elffile import ELFFile

from cosim import multi_isa as record
from cosim.errors import InputError
from cosim.multi_isa import Layout
from launch import multi_isa
from launch.build import find
from launch.multi_isa import checks, toolchain
from launch.multi_isa.link_map import LITERAL, Region, common_name, region_of
from launch.multi_isa.toolchain import ISAS

FACTS = Layout(bytes(range(16)), 0x430000, 0x431234, 128, 0x401000)


@pytest.fixture(scope="module")
def hello():
    """ISA -> (ELF, layout) of a bundled guest."""
    elfs = {
        isa: ELFFile(io.BytesIO(path.read_bytes()))
        for isa, path in multi_isa.build(find("threads")).items()
    }
    return {isa: (elf, record.read(elf)) for isa, elf in elfs.items()}


def test_the_record_tells_the_truth(hello):
    assert len({layout for _, layout in hello.values()}) == 1
    for elf, layout in hello.values():
        named = {name: value for (_, name, _), value in checks.symbols(elf).items()}
        assert named["mig_entry"] == layout.entry
        data, bss = elf.get_section_by_name(".data"), elf.get_section_by_name(".bss")
        assert layout.shared_start == data["sh_addr"] and layout.shared_start % 0x10000 == 0
        assert layout.shared_end == bss["sh_addr"] + bss["sh_size"]
        tls = next(elf.iter_segments("PT_TLS"))
        assert layout.tls_bytes == -(-tls["p_memsz"] // 64) * 64
        assert named["stramash_pad"] == 0


def test_private_and_shared_segments_do_not_meet_in_a_page(hello):
    for elf, layout in hello.values():
        loads = list(elf.iter_segments("PT_LOAD"))
        assert [segment["p_flags"] for segment in loads] == [5, 4, 6]
        shared = loads[-1]
        assert shared["p_vaddr"] == layout.shared_start
        assert shared["p_vaddr"] + shared["p_memsz"] == layout.shared_end
        for lower, upper in zip(loads, loads[1:], strict=False):
            assert -(-(lower["p_vaddr"] + lower["p_memsz"]) // 4096) * 4096 <= upper["p_vaddr"]


def test_a_record_survives_packing():
    assert record.unpack(FACTS.pack()) == FACTS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes, not 64"),
        (b"X" + FACTS.pack()[1:], "starts with b'XTRAMISA'"),
        (FACTS.pack()[:8] + b"\2" + FACTS.pack()[9:], "version 2"),
        (FACTS._replace(tls_bytes=100).pack(), "is damaged"),
        (FACTS._replace(shared_end=1).pack(), "is damaged"),
        (FACTS._replace(entry=0).pack(), "is damaged"),
    ],
)
def test_a_wrong_record_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        record.unpack(data)


@pytest.mark.parametrize(
    ("isa", "pointer"), [("x86_64", 0x8000), ("riscv64", 0x7F80), ("aarch64", 0x7F40)]
)
def test_the_thread_pointer_follows_from_the_descriptor(isa, pointer):
    rule = ISAS[isa].THREAD_POINTER_OFFSET
    assert record.thread_pointer(rule, 0x8000, 128) == pointer
    assert record.thread_descriptor(rule, pointer, 128) == 0x8000


def test_variables_become_separable():
    ir = (
        'source_filename = "/home/me/p.c"\n'
        '@.str = private unnamed_addr constant [6 x i8] c"hello\\00", align 1\n'
        '@"a b" = internal local_unnamed_addr global i32 0\n'
        '@text = constant [15 x i8] c"x unnamed_addr \\00"\n'
        "@t = thread_local(localexec) unnamed_addr global i32 1\n"
        "define i32 @main() unnamed_addr { ret i32 0 }\n"
    )
    assert toolchain.separable(ir, "p.c") == (
        'source_filename = "p.c"\n'
        '@.str = private constant [6 x i8] c"hello\\00", align 1\n'
        '@"a b" = internal global i32 0\n'
        '@text = constant [15 x i8] c"x unnamed_addr \\00"\n'
        "@t = thread_local(localexec) global i32 1\n"
        "define i32 @main() unnamed_addr { ret i32 0 }\n"
    )


def test_names_lose_what_an_isa_adds():
    assert common_name(".sdata.x") == ".data.x"
    assert common_name(".text.unlikely.f") == ".text.f"
    assert common_name(".text..Lmath.ldexp__func_37") == ".text..Lmath.ldexp__func"
    assert LITERAL.match(".rodata..L.str.12") and not LITERAL.match(".rodata.strings")
    assert region_of(".rodata.cst16", 2, False) is Region.PRIVATE
    assert region_of(".rodata.table", 2, False) is Region.RODATA
    assert region_of(".bss.x", 3, True) is Region.BSS
