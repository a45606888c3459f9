"""What an ELF of a multi-ISA program says about itself, and where its thread pointers are.

One source becomes one ELF per instruction set, with every function and datum at the same address.
The section `.stramash.layout` of each holds the record below (little endian, 64 bytes, loaded with
the constants).  The same digest means: built together, so each may run where the other left off.
"""

import struct
from typing import NamedTuple

from elftools.elf.elffile import ELFFile

from cosim.errors import InputError

SECTION = ".stramash.layout"
MAGIC = b"STRAMISA"
VERSION = 1
#  magic, version, record bytes, digest, shared start, shared end, TLS bytes, entry
RECORD = struct.Struct("<8sII16sQQQQ")
TLS_ALIGN_BYTES = 64  # of the thread descriptor and of the block of variables in front of it


class Layout(NamedTuple):
    """The facts that a kernel needs about a multi-ISA program; equal in all its ELFs.

    digest: 16 bytes that name the build.  shared_start, shared_end: addresses of the variables,
    which all instruction sets share (the start is a multiple of 64 KiB; the end is exact).
    tls_bytes: S, the bytes of a thread's block of variables, a multiple of 64.  entry: address of
    `mig_entry(function, argument)`, where a migrated thread starts.
    """

    digest: bytes
    shared_start: int
    shared_end: int
    tls_bytes: int
    entry: int

    def pack(self) -> bytes:
        """The record as it stands in the ELF."""
        facts = (self.shared_start, self.shared_end, self.tls_bytes, self.entry)
        return RECORD.pack(MAGIC, VERSION, RECORD.size, self.digest, *facts)


def read(elf: ELFFile) -> Layout | None:
    """The layout of a multi-ISA program; None for a program of one instruction set.

    Raises InputError when the record is damaged or of another version.
    """
    section = elf.get_section_by_name(SECTION)
    if section is None:
        return None
    return unpack(section.data())


def unpack(data: bytes) -> Layout:
    """The layout in a record's bytes.  Raises InputError."""
    if len(data) != RECORD.size:
        raise InputError(f"{SECTION} has {len(data)} bytes, not {RECORD.size}; rebuild the program")
    magic, version, size, *facts = RECORD.unpack(data)
    if (magic, version, size) != (MAGIC, VERSION, RECORD.size):
        raise InputError(
            f"{SECTION} starts with {magic!r}, version {version}, {size} bytes; this simulator "
            f"reads {MAGIC!r}, version {VERSION}, {RECORD.size} bytes; rebuild the program"
        )
    layout = Layout(*facts)
    start, end = layout.shared_start, layout.shared_end
    if not 0 < start <= end or layout.tls_bytes % TLS_ALIGN_BYTES or not layout.entry:
        raise InputError(f"{SECTION} is damaged ({layout}); rebuild the program")
    return layout


def thread_descriptor(isa_rule: tuple[int, int], thread_pointer: int, tls_bytes: int) -> int:
    """Address of the thread descriptor td, from an instruction set's thread pointer.

    isa_rule: `THREAD_POINTER_OFFSET` of the ISA's linker facts.  tls_bytes: S of the layout.
    """
    blocks, gap = isa_rule
    return thread_pointer + blocks * tls_bytes + gap


def thread_pointer(isa_rule: tuple[int, int], td: int, tls_bytes: int) -> int:
    """The thread pointer that an instruction set needs for the thread descriptor at td.

    isa_rule: `THREAD_POINTER_OFFSET` of the ISA's linker facts.  tls_bytes: S of the layout.
    """
    blocks, gap = isa_rule
    return td - blocks * tls_bytes - gap
