"""One address for every section of a program on all instruction sets, and the linker scripts that
say so.

    0x400000   ELF and program headers, then code         frames of each ISA
    next page  layout record, constants                   frames of each ISA
    next page  image of the thread-local variables        frames of each ISA, equal bytes
    next page  what is private to an ISA, not aligned     frames of each ISA
    next 64 K  variables, then those that start as zero   shared frames

A section takes the size of its largest ISA; one that some ISAs lack leaves a gap there.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cosim import multi_isa
from cosim.errors import InputError
from cosim.multi_isa import TLS_ALIGN_BYTES, Layout
from cosim.units import align_up
from launch.multi_isa.link_map import Key, Region, Section

IMAGE_BASE = 0x400000
PAGE_BYTES = 4096
SHARED_ALIGN_BYTES = 64 * 1024  # the largest page that an ISA's kernel may use for small mappings
TEXT_ALIGN_BYTES = 16
PRIVATE_SLACK_BYTES = 1024  # for tables that the linker makes and lists nowhere
ENTRY_KEY = Key("migration.o", ".text.mig_entry", 0)
TLS_PAD = ".tdata.stramash_pad"  # first in the image of thread-local variables

Links = Mapping[str, Sequence[Section]]


class Plan(NamedTuple):
    """Where everything goes.

    addresses: of each section.  starts, ends: first address of each region and the one behind it.
    facts: what the ELFs say about themselves.
    """

    addresses: dict[tuple[Region, Key], int]
    starts: dict[Region, int]
    ends: dict[Region, int]
    facts: Layout


def plan(links: Links, subject: str, identity: bytes) -> Plan:
    """Place the sections of every ISA's first link.

    identity: what the program was made from; part of the digest.  Raises InputError for a
    thread-local variable of too strict an alignment.
    """
    addresses: dict[tuple[Region, Key], int] = {}
    starts: dict[Region, int] = {}
    ends: dict[Region, int] = {}
    end = IMAGE_BASE + 1  # the headers have a page
    for region in Region:
        starts[region] = _start(region, end)
        end = starts[region]
        if region is Region.PRIVATE:
            end += _private_bytes(links)
        for key, (size, align) in _union(links, region).items():
            _check_alignment(subject, region, key, align)
            end = align_up(end, align)
            addresses[region, key] = end
            end += size
        ends[region] = end
    digest = hashlib.blake2b(identity + repr(sorted(addresses.items())).encode(), digest_size=16)
    facts = Layout(
        digest.digest(),
        starts[Region.DATA],
        ends[Region.BSS],
        align_up(ends[Region.TBSS] - starts[Region.TDATA], TLS_ALIGN_BYTES),
        addresses[Region.TEXT, ENTRY_KEY],
    )
    return Plan(addresses, starts, ends, facts)


def _start(region: Region, end: int) -> int:
    """First address of a region behind `end`."""
    if region is Region.TBSS:
        return end  # continues the image, without bytes in the file
    if region is Region.DATA:
        return align_up(end, SHARED_ALIGN_BYTES)
    start = align_up(end, PAGE_BYTES)
    return start + multi_isa.RECORD.size if region is Region.RODATA else start


def _union(links: Links, region: Region) -> dict[Key, tuple[int, int]]:
    """Size and alignment of every key of a region, in order of appearance; largest of all ISAs."""
    found: dict[Key, tuple[int, int]] = {}
    if region is Region.PRIVATE:
        return found
    least = TEXT_ALIGN_BYTES if region is Region.TEXT else 1
    for sections in links.values():
        for section in sections:
            if section.region is region:
                size, align = found.get(section.key, (0, least))
                found[section.key] = max(size, section.size), max(align, section.align)
    # Every ISA finds its thread descriptor through the pad, at the start of the variables.
    return dict(sorted(found.items(), key=lambda item: item[0].name != TLS_PAD))


def _private_bytes(links: Links) -> int:
    """Room for the sections that are not aligned, whatever order they come in."""
    return PRIVATE_SLACK_BYTES + max(
        sum(
            section.size + section.align for section in sections if section.region is Region.PRIVATE
        )
        for sections in links.values()
    )


def _check_alignment(subject: str, region: Region, key: Key, align: int) -> None:
    if region in (Region.TDATA, Region.TBSS) and align > TLS_ALIGN_BYTES:
        raise InputError(
            f"{subject}: thread-local variable '{variable(key)}' is aligned to {align} bytes;"
            f" in a program for several instruction sets {TLS_ALIGN_BYTES} is the most"
        )


def variable(key: Key) -> str:
    """The variable or function that a section holds, by the section's name."""
    return key.name.split(".", 2)[-1]


SCRIPT = """\
ENTRY(_start)
PHDRS {{
  text PT_LOAD FILEHDR PHDRS FLAGS(5);
  ro PT_LOAD FLAGS(4);
  rw PT_LOAD FLAGS(6);
  tls PT_TLS FLAGS(4);
  stack PT_GNU_STACK FLAGS(6);
}}
SECTIONS {{
  .text {text:#x} : {{ {text_lines} }} :text
  {record_section} {record:#x} : {{ {record_words} }} :ro
  .rodata {rodata:#x} : {{ {rodata_lines} }} :ro
  .tdata {tdata:#x} : ALIGN({tls_align}) {{ {tdata_lines} }} :ro :tls
  .tbss {tbss:#x} : {{ {tbss_lines} }} :tls
  .private {private:#x} : {{ *(.rodata .rodata.* .srodata .srodata.*) }} :ro
  .preinit_array : {{
    PROVIDE_HIDDEN(__preinit_array_start = .);
    KEEP(*(.preinit_array))
    PROVIDE_HIDDEN(__preinit_array_end = .);
  }} :ro
  .init_array : {{
    PROVIDE_HIDDEN(__init_array_start = .);
    KEEP(*(SORT_BY_INIT_PRIORITY(.init_array.*) SORT_BY_INIT_PRIORITY(.ctors.*)))
    KEEP(*(.init_array .ctors))
    PROVIDE_HIDDEN(__init_array_end = .);
  }} :ro
  .fini_array : {{
    PROVIDE_HIDDEN(__fini_array_start = .);
    KEEP(*(SORT_BY_INIT_PRIORITY(.fini_array.*) SORT_BY_INIT_PRIORITY(.dtors.*)))
    KEEP(*(.fini_array .dtors))
    PROVIDE_HIDDEN(__fini_array_end = .);
  }} :ro
  .got : {{ *(.got .got.plt .igot .igot.plt) }} :ro
  .plt : {{ *(.plt .iplt) }} :ro
  ASSERT(. <= {private_end:#x}, "the private region is too small")
  .data {data:#x} : {{ {data_lines} }} :rw
  .bss {bss:#x} : {{ {bss_lines} }} :rw
  _end = {bss_end:#x};
  {rest} : {{
    *(.text .text.* .data .data.* .sdata .sdata.* .bss .bss.* .sbss .sbss.* .tdata .tbss COMMON)
  }} :rw
  /DISCARD/ : {{ *(.eh_frame .eh_frame_hdr .note .note.* .comment .riscv.attributes .debug_*) }}
}}
"""
REST = ".stramash.rest"  # holds what has no bytes; anything else in it has been forgotten


def script(sections: Sequence[Section], planned: Plan) -> str:
    """The linker script of one ISA.  sections: of its first link."""
    words = struct.unpack(f"<{multi_isa.RECORD.size // 8}Q", planned.facts.pack())
    starts = {region.name.lower(): planned.starts[region] for region in Region}
    lines = {
        f"{region.name.lower()}_lines": _lines(sections, planned, region)
        for region in Region
        if region is not Region.PRIVATE
    }
    return SCRIPT.format(
        **starts, **lines,
        record=planned.starts[Region.RODATA] - multi_isa.RECORD.size,
        record_section=multi_isa.SECTION,
        record_words=" ".join(f"QUAD({word:#x})" for word in words),
        tls_align=TLS_ALIGN_BYTES, private_end=planned.ends[Region.PRIVATE],
        bss_end=planned.ends[Region.BSS], rest=REST,
    )  # fmt: skip


def _lines(sections: Sequence[Section], planned: Plan, region: Region) -> str:
    """One line per section, in the order of addresses.

    The end is fixed too, so that a region has one size on all ISAs.
    """
    placed = sorted(
        (planned.addresses[region, section.key], section)
        for section in sections
        if section.region is region
    )
    lines = [f'. = {address:#x}; "{s.pattern}"("{s.name}")' for address, s in placed]
    return "\n    ".join(["", *lines, f". = {planned.ends[region]:#x};"])
