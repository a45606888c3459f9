"""Puts a static Linux ELF program into an address space: segments, heap, stack, entry.

Segments are private mappings of the file, filled on demand; what a segment has beyond its file
bytes reads as zero. Thread-local storage is libc's business: it finds PT_TLS through AT_PHDR.
Source: System V ABI, chapter 5 (program loading), and Linux fs/binfmt_elf.c.  Everything wrong with
a file is one line that says what to do.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from cosim import isa as isa_registry
from cosim.errors import InputError
from cosim.isa import Isa
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.errno import KernelError
from cosim.kernel.initial_stack import FIXED, Auxiliary, compose, encoded, random_bytes
from cosim.kernel.mapping import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MAP_STACK,
    MINIMUM,
    PIE_BASE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    STACK_BYTES_FIRST,
    STACK_BYTES_MAX,
    STACK_TOP,
)
from cosim.units import PAGE_BYTES, align_down, align_up

HEADER_BYTES = 64  # of an ELF64 file
SEGMENTS_MAX = 64
IMAGE_END_MAX = STACK_TOP - 2 * STACK_BYTES_MAX  # an image must leave room for the stack
FLAG_RIGHTS = ((4, PROT_READ), (2, PROT_WRITE), (1, PROT_EXEC))  # PF_R, PF_W, PF_X


class Segment(NamedTuple):
    """One PT_LOAD: file bytes [offset, offset + file_bytes) appear at `address`, zeroes up to
    memory_bytes.
    """

    address: int
    offset: int
    file_bytes: int
    memory_bytes: int
    protection: int

    @property
    def first_page(self) -> int:
        """Address of the first page it touches."""
        return align_down(self.address, PAGE_BYTES)

    @property
    def end_page(self) -> int:
        """Address behind the last page it touches."""
        return align_up(self.address + self.memory_bytes, PAGE_BYTES)


@dataclass(frozen=True)
class Image:
    """A checked ELF file.  headers: virtual address of its program headers, 0 when no segment holds
    them.

    All addresses are before relocation; relocatable: a static-pie, which is loaded at PIE_BASE.
    """

    name: str
    data: bytes
    entry: int
    segments: tuple[Segment, ...]
    headers: int
    header_count: int
    header_bytes: int
    relocatable: bool
    executable_stack: bool


@dataclass(frozen=True)
class Entry:
    """Where a loaded program starts.  bias: what was added to the addresses in the file.  image:
    the file itself.
    """

    pc: int
    sp: int
    bias: int
    break_start: int
    image: Image


class _SegmentSource:
    """The file as one segment shows it: nothing behind the segment's own file bytes."""

    writable = False

    def __init__(self, data: bytes, end: int) -> None:
        self._data = data
        self._end = end

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : min(offset + length, self._end)]


def read_image(program: bytes | str | os.PathLike[str], isa: Isa) -> Image:
    """Check an ELF file completely.  Raises InputError with one line on anything that cannot run on
    `isa`.
    """
    if isinstance(program, bytes):
        name, data = "program", program
    else:
        name = str(program)
        try:
            data = Path(program).read_bytes()
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror}); check the path") from None
    _check_identity(name, data)
    try:
        elf = ELFFile(io.BytesIO(data))
        _check_header(name, elf, isa)
        headers = list(elf.iter_segments())
    except (ELFError, ConstructError, UnicodeDecodeError, ValueError, KeyError) as error:
        raise InputError(
            f"{name}: damaged ELF file ({error or type(error).__name__}); rebuild it"
        ) from None
    for header in headers:
        if header["p_type"] == "PT_INTERP":
            raise InputError(
                f"{name}: needs a dynamic loader, which there is none of; link with -static"
            )
    segments = _segments(name, data, headers)
    entry = elf["e_entry"]
    if not any(
        s.address <= entry < s.address + s.memory_bytes and s.protection & PROT_EXEC
        for s in segments
    ):
        raise InputError(
            f"{name}: entry point {entry:#x} is in no executable segment; link it as a program"
        )
    stack = [h for h in headers if h["p_type"] == "PT_GNU_STACK"]
    return Image(
        name,
        data,
        entry,
        segments,
        _headers_address(elf, segments),
        elf["e_phnum"],
        elf["e_phentsize"],
        elf["e_type"] == "ET_DYN",
        bool(stack and stack[0]["p_flags"] & 1),
    )


def _check_identity(name: str, data: bytes) -> None:
    if data[:4] != b"\x7fELF":
        kind = "a script" if data[:2] == b"#!" else "not an ELF file"
        raise InputError(
            f"{name}: is {kind}, only static ELF programs run; compile it for one of the nodes"
        )
    if len(data) < HEADER_BYTES:
        raise InputError(
            f"{name}: truncated, {len(data)} bytes are less than an ELF header; rebuild it"
        )
    if data[4] != 2:
        raise InputError(
            f"{name}: is a 32-bit ELF file (class {data[4]}), only 64-bit programs run; "
            "compile with -m64"
        )
    if data[5] != 1:
        raise InputError(
            f"{name}: is big-endian (data encoding {data[5]}), only little-endian programs run"
        )


def _check_header(name: str, elf: ELFFile, isa: Isa) -> None:
    machine = elf["e_machine"]
    if machine != isa.elf_machine:
        raise InputError(
            f"{name}: is a program for {machine}, node {isa.node_name} runs {isa.elf_machine}; "
            f"{_other_node(machine)}"
        )
    if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
        raise InputError(f"{name}: is {elf['e_type']}, not an executable; link it first")
    if not 0 < elf["e_phnum"] <= SEGMENTS_MAX or elf["e_phentsize"] != 56:
        raise InputError(
            f"{name}: {elf['e_phnum']} program headers of {elf['e_phentsize']} bytes, "
            f"1..{SEGMENTS_MAX} of 56 bytes are possible; rebuild it"
        )
    end = elf["e_phoff"] + elf["e_phnum"] * elf["e_phentsize"]
    if end > elf.stream_len:
        raise InputError(
            f"{name}: truncated, program headers end at byte {end} of {elf.stream_len}; rebuild it"
        )


def _other_node(machine: str | int) -> str:
    """What to do with a program of another machine."""
    for name in isa_registry.known():
        other = isa_registry.find(name)
        if other.elf_machine == machine:
            return f"start it with --on {other.node_name}"
    return "compile it for one of the nodes"


def _segments(name: str, data: bytes, headers: Sequence) -> tuple[Segment, ...]:
    """The PT_LOADs, checked, ascending."""
    segments = []
    for number, header in enumerate(headers):
        if header["p_type"] != "PT_LOAD" or not header["p_memsz"]:
            continue
        rights = sum(right for bit, right in FLAG_RIGHTS if header["p_flags"] & bit)
        found = Segment(
            header["p_vaddr"], header["p_offset"], header["p_filesz"], header["p_memsz"], rights
        )
        where = f"{name}: segment {number} at {found.address:#x}"
        if found.file_bytes > found.memory_bytes:
            raise InputError(
                f"{where} has {found.file_bytes} file bytes for {found.memory_bytes} of memory; "
                "rebuild it"
            )
        if found.offset + found.file_bytes > len(data):
            raise InputError(
                f"{where}: truncated, it needs {found.offset + found.file_bytes} bytes "
                f"of a file of {len(data)}; rebuild it or copy it again"
            )
        if (found.address - found.offset) % PAGE_BYTES:
            raise InputError(
                f"{where}: offset {found.offset:#x} is not congruent modulo {PAGE_BYTES}; "
                "rebuild it"
            )
        segments.append(found)
    if not segments:
        raise InputError(f"{name}: has no loadable segment; link it as a program")
    segments.sort()
    for lower, upper in zip(segments, segments[1:], strict=False):
        end = lower.address + lower.memory_bytes
        if end > upper.address:
            raise InputError(
                f"{name}: segments overlap, {lower.address:#x}..{end:#x} and {upper.address:#x}; "
                "rebuild it"
            )
    return tuple(segments)


def _headers_address(elf: ELFFile, segments: Sequence[Segment]) -> int:
    """Virtual address of the program headers, 0 when no segment holds them."""
    at = elf["e_phoff"]
    for segment in segments:
        if segment.offset <= at < segment.offset + segment.file_bytes:
            return segment.address + at - segment.offset
    return 0


def load(
    space: AddressSpace,
    program: bytes | str | os.PathLike[str],
    argv: Sequence[str | bytes],
    envp: Sequence[str | bytes],
    isa: Isa,
    seed: int | str,
) -> Entry:
    """Load a program into an empty address space and build its stack.

    program: the bytes of the file, or its path.  seed: of the run, for AT_RANDOM.  Raises
    InputError.
    """
    image = read_image(program, isa)
    bias = PIE_BASE - image.segments[0].first_page if image.relocatable else 0
    first, end = image.segments[0].first_page + bias, image.segments[-1].end_page + bias
    if first < MINIMUM or end > IMAGE_END_MAX:
        raise InputError(
            f"{image.name}: occupies {first:#x}..{end:#x}, programs must lie in "
            f"{MINIMUM:#x}..{IMAGE_END_MAX:#x}; link it at another address"
        )
    try:
        space.memory.charge("exec")
        for segment in image.segments:
            _map_segment(space, image, segment, bias)
        space.set_break_start(end)
        sp = _make_stack(
            space, image, bias, encoded(argv, "argument"), encoded(envp, "environment"), isa, seed
        )
    except KernelError as error:
        raise InputError(
            f"{image.name}: cannot be loaded ({error}); give the node more memory.size"
        ) from None
    return Entry(image.entry + bias, sp, bias, end, image)


def _map_segment(space: AddressSpace, image: Image, segment: Segment, bias: int) -> None:
    start, end = segment.first_page + bias, segment.end_page + bias
    shown = segment.offset + segment.file_bytes
    file_end = start
    if segment.file_bytes:
        file_end = align_up(segment.address + segment.file_bytes, PAGE_BYTES) + bias
        source = _SegmentSource(image.data, shown)
        offset = align_down(segment.offset, PAGE_BYTES)
        space.map(
            start, file_end - start, segment.protection, MAP_PRIVATE | MAP_FIXED, source, offset
        )
    if end > file_end:
        space.map(
            file_end, end - file_end, segment.protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
        )


def _make_stack(
    space: AddressSpace,
    image: Image,
    bias: int,
    argv: list[bytes],
    envp: list[bytes],
    isa: Isa,
    seed: int | str,
) -> int:
    """Map the stack and fill its top; the stack pointer."""
    auxiliary = {
        **FIXED,
        Auxiliary.PHDR: image.headers + bias if image.headers else 0,
        Auxiliary.PHENT: image.header_bytes,
        Auxiliary.PHNUM: image.header_count,
        Auxiliary.ENTRY: image.entry + bias,
    }
    name = argv[0] if argv else image.name.encode("utf-8", "surrogateescape")
    sp, data = compose(
        STACK_TOP, argv, envp, name, isa.name.encode(), random_bytes(seed), auxiliary
    )
    size = max(STACK_BYTES_FIRST, align_up(len(data), PAGE_BYTES) + PAGE_BYTES)
    rights = PROT_READ | PROT_WRITE | (PROT_EXEC if image.executable_stack else 0)
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK
    space.map(STACK_TOP - size, size, rights, flags)
    space.write(sp, data)
    return sp
