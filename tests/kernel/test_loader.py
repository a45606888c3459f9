"""Does a static program find what Linux would have put there, and is every damaged file refused in
one line?
"""

import random
import struct
from pathlib import Path

import pytest

from cosim import isa as isa_registry
from cosim.errors import InputError
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.initial_stack import Auxiliary
from cosim.kernel.loader import load, read_image
from cosim.kernel.mapping import PIE_BASE, STACK_BYTES_MAX, STACK_TOP
from cosim.units import PAGE_BYTES
from tests.kernel.fakes import FakeKernel

X86, ARM, RISCV = (isa_registry.find(name) for name in ("x86_64", "aarch64", "riscv64"))
PROGRAMS = Path(__file__).parent.parent / "oracle" / "programs"


def header(kind, flags, offset, address, file_bytes, memory_bytes, align=PAGE_BYTES):
    return struct.pack(
        "<IIQQQQQQ", kind, flags, offset, address, address, file_bytes, memory_bytes, align
    )


LOAD, INTERP, STACK = 1, 3, 0x6474E551
TEXT = header(LOAD, 5, 0, 0x400000, 0x1800, 0x1800)
DATA = header(LOAD, 6, 0x1800, 0x402800, 0x100, 0x3000)


def elf(headers=(TEXT, DATA), *, machine=62, kind=2, entry=0x401000, size=0x1900, **patch):
    """An ELF file by hand: offsets as in the System V ABI, figure 4-3."""
    ident = b"\x7fELF" + bytes([patch.get("bits", 2), patch.get("endian", 1), 1]) + bytes(9)
    head = ident + struct.pack(
        "<HHIQQQIHHHHHH",
        kind,
        machine,
        1,
        entry,
        64,
        0,
        0,
        64,
        patch.get("header_bytes", 56),
        len(headers),
        64,
        0,
        0,
    )
    body = bytearray((head + b"".join(headers)).ljust(0x1900, b"\xcc"))
    body[0x1800:0x1900] = b"D" * 0x100
    return bytes(body[:size])


def loaded(data, isa=X86, argv=("prog", "one", "zwei ü"), envp=("A=1", b"B=\xff"), seed=7):
    kernel = FakeKernel(isa.name, 5)
    space = AddressSpace(kernel)
    return kernel, space, load(space, data, argv, envp, isa, seed)


def stack_of(space, entry):
    """(argv, envp, auxiliary vector) as libc reads them."""
    at = entry.sp

    def word():
        nonlocal at
        at += 8
        return space.read_word(at - 8)

    count = word()
    argv = [space.read_string(word()) for _ in range(count)]
    assert word() == 0
    envp = []
    while pointer := word():
        envp.append(space.read_string(pointer))
    vector = {}
    while (kind := word()) != 0:
        vector[kind] = word()
    return argv, envp, vector


@pytest.mark.parametrize("isa", [X86, ARM, RISCV], ids=["x86", "arm", "riscv"])
def test_a_program_finds_its_arguments_and_its_headers(isa):
    kernel, space, entry = loaded(elf(machine=isa.machine), isa)
    assert (entry.pc, entry.bias, entry.break_start) == (0x401000, 0, 0x406000)
    assert entry.sp % 16 == 0
    argv, envp, vector = stack_of(space, entry)
    assert argv == [b"prog", b"one", "zwei ü".encode()]
    assert envp == [b"A=1", b"B=\xff"]
    assert vector[Auxiliary.PHDR] == 0x400040
    assert (vector[Auxiliary.PHENT], vector[Auxiliary.PHNUM]) == (56, 2)
    assert (vector[Auxiliary.PAGESZ], vector[Auxiliary.ENTRY]) == (4096, 0x401000)
    assert vector[Auxiliary.HWCAP] == vector[Auxiliary.SECURE] == 0
    assert 33 not in vector, "no vdso"
    assert space.read_string(vector[Auxiliary.EXECFN]) == b"prog"
    assert space.read_string(vector[Auxiliary.PLATFORM]) == isa.name.encode()
    assert STACK_TOP - STACK_BYTES_MAX < entry.sp < vector[Auxiliary.RANDOM] < STACK_TOP
    space.destroy()
    assert kernel.frames.used == 0


def test_random_bytes_follow_the_seed():
    found = []
    for seed in (7, 7, 8):
        _, space, entry = loaded(elf(), seed=seed)
        found.append(space.read(stack_of(space, entry)[2][Auxiliary.RANDOM], 16))
    assert found[0] == found[1] != found[2]


def test_segments_show_the_file_then_zeroes_and_take_memory_on_demand():
    kernel, space, _ = loaded(elf())
    used = kernel.frames.used
    areas = [(a.start, a.end, a.protection) for a in space.areas()[:-1]]
    assert areas == [(0x400000, 0x402000, 5), (0x402000, 0x403000, 3), (0x403000, 0x406000, 3)]
    assert space.read(0x400000, 4) == b"\x7fELF"
    assert space.read(0x4017F0, 0x20) == b"\xcc" * 16 + bytes(16)
    assert space.read(0x402800, 0x800) == b"D" * 0x100 + bytes(0x700)
    assert space.read(0x405FF0, 16) == bytes(16)
    assert kernel.frames.used == used + 4 + 3, "four pages, three tables"
    assert space.set_break(0x407000) == 0x407000


def test_segments_may_share_a_page_and_the_later_one_has_it():
    _, space, _ = loaded(elf((TEXT, header(LOAD, 6, 0x1800, 0x401800, 0x100, 0x900))))
    assert space.read(0x4017F0, 0x20) == b"\xcc" * 16 + b"D" * 16
    assert space.read(0x402000, 0x100) == bytes(0x100)


def test_static_pie_is_moved_as_a_whole():
    shift = 0x400000
    headers = (
        header(LOAD, 5, 0, 0, 0x1800, 0x1800),
        header(LOAD, 6, 0x1800, 0x2800, 0x100, 0x3000),
    )
    _, space, entry = loaded(elf(headers, kind=3, entry=0x1000))
    assert (entry.bias, entry.pc, entry.break_start) == (
        PIE_BASE,
        PIE_BASE + 0x1000,
        PIE_BASE + 0x6000,
    )
    assert stack_of(space, entry)[2][Auxiliary.PHDR] == PIE_BASE + 0x40
    assert space.read(PIE_BASE + 0x402800 - shift, 1) == b"D"


def test_an_executable_stack_must_be_asked_for():
    for flags, expected in ((6, 3), (7, 7)):
        _, space, _ = loaded(elf((TEXT, DATA, header(STACK, flags, 0, 0, 0, 0))))
        assert space.areas()[-1].protection == expected
    assert loaded(elf())[1].areas()[-1].protection == 3


BAD = {
    "not an ELF file": b"hello",
    "is a script": b"#!/bin/sh\necho",
    "truncated, 20 bytes": elf()[:20],
    "32-bit ELF file": elf(bits=1),
    "big-endian": elf(endian=2),
    "is a program for EM_AARCH64, node x86 runs EM_X86_64; start it with --on arm": elf(
        machine=183
    ),
    "is a program for EM_PPC64, .*; compile it": elf(machine=21),
    "ET_REL, not an executable": elf(kind=1),
    "program headers of 32 bytes": elf(header_bytes=32),
    "0 program headers": elf(()),
    "needs a dynamic loader, .* link with -static": elf(
        (TEXT, header(INTERP, 4, 0, 0x400000, 9, 9))
    ),
    "no loadable segment": elf((header(STACK, 6, 0, 0, 0, 0),)),
    "truncated, it needs 6400 bytes of a file of 6144": elf(size=0x1800),
    "truncated, program headers end": elf(size=100),
    "has 16 file bytes for 8": elf((TEXT, header(LOAD, 6, 0x1800, 0x402800, 16, 8))),
    "not congruent modulo": elf((TEXT, header(LOAD, 6, 0x1801, 0x402800, 16, 16))),
    "segments overlap, 0x400000..0x401800 and 0x4017f0": elf(
        (TEXT, header(LOAD, 6, 0x17F0, 0x4017F0, 16, 16))
    ),
    "entry point 0x5000 is in no executable": elf(entry=0x5000),
    "is in no executable segment; link": elf(entry=0x402900),
    "occupies 0x0": elf((header(LOAD, 5, 0, 0, 0x1800, 0x1800),), entry=0x1000),
    "programs must lie in": elf(
        (header(LOAD, 5, 0, 1 << 47, 0x1800, 0x1800),), entry=(1 << 47) + 0x1000
    ),
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_files_are_refused_in_one_line(complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        loaded(BAD[complaint])
    assert "\n" not in str(caught.value)


def test_unreadable_paths_and_oversized_arguments_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path / "missing", X86)
    with pytest.raises(InputError, match="at most 2097152 fit on the stack"):
        loaded(elf(), argv=("x" * 3_000_000,))
    with pytest.raises(InputError, match="contains a zero byte"):
        loaded(elf(), argv=("a\0b",))
    assert len(stack_of(*loaded(elf(), argv=["y" * 1000] * 1000)[1:])[0]) == 1000


def test_damaged_files_never_raise_anything_but_input_errors():
    rng = random.Random(3)
    good = elf((TEXT, DATA, header(STACK, 6, 0, 0, 0, 0)))
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(232)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            loaded(bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))]))
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("isa", [X86, ARM], ids=["x86", "arm"])
def test_real_programs_load(isa):
    path = PROGRAMS / f"chase.{isa.name}"
    _, space, entry = loaded(path, isa, argv=(str(path),))
    assert entry.image.data == path.read_bytes()
    assert space.translate(entry.pc, 2)
    assert stack_of(space, entry)[0] == [str(path).encode()]
