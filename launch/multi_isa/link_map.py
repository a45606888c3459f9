"""The live input sections of a link, from the linker's map: what has to be placed, and under which
name a section is the same one on every instruction set.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile


class Region(IntEnum):
    """Where a section goes, in the order of addresses; the first four are placed key by key, before
    what is private to an ISA."""

    TEXT = 0
    RODATA = 1
    TDATA = 2
    TBSS = 3
    PRIVATE = 4
    DATA = 5
    BSS = 6


class Key(NamedTuple):
    """Names the same section on every ISA.

    file: object, or archive and member.  name: section, without what differs by ISA; for a string
    literal, the digest of its bytes.  ordinal: counts equal ones.
    """

    file: str
    name: str
    ordinal: int


class Section(NamedTuple):
    """One live input section of a link.

    pattern: how a linker script names its file.  address: in this link.  size, align: bytes.
    """

    key: Key
    region: Region
    pattern: str
    name: str
    address: int
    size: int
    align: int


# An input section: VMA, LMA, size, align, then nine blanks (an output section has one).
LINE = re.compile(r"^ *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +(\d+) {9}([^\s<].*?):\((.*)\)$")
OUTPUT_LINE = re.compile(r"^ *[0-9a-f]+ +[0-9a-f]+ +[0-9a-f]+ +\d+ (\S.*)$")
MEMBER = re.compile(r"^(.*)\((.*)\)$")
SMALL = re.compile(r"^\.s(data|bss|rodata)\b")  # RISC-V's short-reach sections
WARMTH = re.compile(r"^\.text\.(unlikely|startup|hot|exit)\.")  # a guess, not the same everywhere
ZIG_NUMBER = re.compile(r"__(anon|struct|func)_\d+")  # counted differently for every target
LITERAL = re.compile(r"^\.rodata\.\.L(\.str(\.\d+)?|__anon_\d+)$")
# Constants that code of one ISA makes for itself; nobody else has their address.
PRIVATE = re.compile(
    r"^\.(rodata(\.cst\d+|\.str[\d.]+|\.\.promoted_doubles.*|\.\.Lswitch\.table.*)?$"
    r"|eh_frame|gcc_except_table|(pre)?init_array|fini_array|ctors|dtors|got|iplt|igot|plt|rela)"
)


def read(link_map: Path, linked: Path) -> list[Section]:
    """The sections of one link, in its order.  linked: the ELF that it made."""
    with linked.open("rb") as file:
        elf = ELFFile(file)
        flags = {
            section.name: (section["sh_flags"], section["sh_type"] == "SHT_NOBITS")
            for section in elf.iter_sections()
        }
        rows = list(_rows(link_map, flags))
        return _with_keys(rows, elf)


def _rows(link_map: Path, flags: dict[str, tuple[int, bool]]) -> Iterator[Section]:
    """The sections that are loaded and have bytes, with keys that may still repeat."""
    output = ""
    for line in link_map.read_text().splitlines():
        found = LINE.match(line)
        if found is None:
            heading = OUTPUT_LINE.match(line)
            output = heading[1] if heading else output
            continue
        address, size, align, file, name = found.groups()
        bits, empty = flags.get(output, (0, False))
        if not bits & SH_FLAGS.SHF_ALLOC or not int(size, 16):
            continue
        member = MEMBER.match(file)
        where = f"{member[1]}:{member[2]}" if member else file
        yield Section(
            Key(where, common_name(name), 0), region_of(name, bits, empty), where, name,
            int(address, 16), int(size, 16), int(align),
        )  # fmt: skip


def common_name(name: str) -> str:
    """A section's name, without what differs by instruction set."""
    return ZIG_NUMBER.sub(r"__\1", WARMTH.sub(".text.", SMALL.sub(r".\1", name)))


def region_of(name: str, bits: int, empty: bool) -> Region:
    """Where a section goes.  bits: flags of the section it went into first; empty: no bytes."""
    if PRIVATE.match(name):
        return Region.PRIVATE
    if bits & SH_FLAGS.SHF_TLS:
        return Region.TBSS if empty else Region.TDATA
    if bits & SH_FLAGS.SHF_EXECINSTR:
        return Region.TEXT
    if not bits & SH_FLAGS.SHF_WRITE or name.startswith(".data.rel.ro"):
        return Region.RODATA
    return Region.BSS if empty else Region.DATA


def _with_keys(rows: list[Section], elf: ELFFile) -> list[Section]:
    """Name literals by their bytes, then count what is still equal."""
    seen: Counter[Key] = Counter()
    done = []
    for row in rows:
        key = row.key
        if LITERAL.match(row.name):
            digest = hashlib.blake2b(content(elf, row.address, row.size), digest_size=12)
            key = Key(key.file, f"literal {digest.hexdigest()}", 0)
        done.append(row._replace(key=key._replace(ordinal=seen[key])))
        seen[key] += 1
    return done


def content(elf: ELFFile, address: int, size: int) -> bytes:
    """`size` bytes that an ELF has at an address; empty where it has none."""
    for segment in elf.iter_segments("PT_LOAD"):
        start = address - segment["p_vaddr"]
        if start >= 0 and start + size <= segment["p_filesz"]:
            elf.stream.seek(segment["p_offset"] + start)
            return elf.stream.read(size)
    return b""
