"""Do the finished ELFs of a program agree?  Each function raises InputError with one line when not.

What must agree: the address of everything that has a name, and the first content of the variables.
In the user's own code also the set of variables, and of functions whose address is taken.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from cosim.errors import InputError
from launch.multi_isa.layout import REST, Links, Plan, variable
from launch.multi_isa.link_map import Key, Region, Section, common_name, content
from launch.multi_isa.toolchain import facts

SYMBOL = struct.Struct("<IBBHQQ")
OBJECT, FUNCTION, FILE, TLS = 1, 2, 4, 6  # symbol types
VARIABLES = {
    Region.DATA: "variable",
    Region.BSS: "variable",
    Region.TDATA: "thread-local variable",
    Region.TBSS: "thread-local variable",
}


def variables_exist_everywhere(links: Links, subject: str, user: str) -> None:
    """Every variable of the object `user` is live on all ISAs."""
    for region, kind in VARIABLES.items():
        for key, present in _presence(links, region, user).items():
            if len(present) < len(links):
                raise InputError(
                    f"{subject}: {kind} '{variable(key)}' exists on {_some(present, links)} only;"
                    " declare and use it on all, or mark it __attribute__((used, retain))"
                )


def addresses_mean_the_same(links: Links, subject: str, user: str, objects: Path) -> None:
    """No function of the object `user` that some ISAs lack has its address taken.

    objects: folder with a folder per ISA.
    """
    present = _presence(links, Region.TEXT, user)
    partial = {key.name: isas for key, isas in present.items() if len(isas) < len(links)}
    if not partial:
        return
    for isa in links:
        for name in _addressed(objects / isa / user, facts(isa).CALL_RELOCATIONS):
            if isa in partial.get(name, ()):
                raise InputError(
                    f"{subject}: function '{variable(Key(user, name, 0))}' has its address taken"
                    f" and exists on {_some(partial[name], links)} only; declare and use it on all,"
                    " or mark it __attribute__((noinline, used, retain))"
                )


def _presence(links: Links, region: Region, user: str) -> dict[Key, list[str]]:
    found: dict[Key, list[str]] = {}
    for isa, sections in links.items():
        for section in sections:
            if section.region is region and section.key.file == user:
                found.setdefault(section.key, []).append(isa)
    return found


def _some(present: list[str], links: Links) -> str:
    return " and ".join(isa for isa in links if isa in present)


def _addressed(path: Path, calls: frozenset[int]) -> set[str]:
    """Names of the sections of an object whose address something other than a call uses."""
    found = set()
    with path.open("rb") as file:
        elf = ELFFile(file)
        for section in elf.iter_sections():
            if not isinstance(section, RelocationSection) or ".debug" in section.name:
                continue
            table = elf.get_section(section["sh_link"])
            assert isinstance(table, SymbolTableSection)
            for relocation in section.iter_relocations():
                index = table.get_symbol(relocation["r_info_sym"])["st_shndx"]
                if relocation["r_info_type"] not in calls and isinstance(index, int):
                    found.add(common_name(elf.get_section(index).name))
    return found


def programs_agree(paths: Mapping[str, Path], links: Links, planned: Plan, subject: str) -> None:
    """The finished ELFs: nothing forgotten, equal symbols, equal first content of variables."""
    files = {isa: path.open("rb") for isa, path in paths.items()}
    try:
        elfs = {isa: ELFFile(file) for isa, file in files.items()}
        for isa, elf in elfs.items():
            rest = elf.get_section_by_name(REST)
            if rest is not None and rest["sh_size"]:
                raise InputError(f"{subject}: {rest['sh_size']} bytes for {isa} were not placed")
        _symbols_agree(elfs, links, planned, subject)
        _content_agrees(elfs, links, planned, subject)
    finally:
        for file in files.values():
            file.close()


def symbols(elf: ELFFile) -> dict[tuple[str, str, int], int]:
    """Address (for thread-local variables, offset) of every symbol: (file, name, type) -> value.

    file: of static ones, else empty.  Names that a file has twice are left out.
    """
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    names = elf.get_section(table["sh_link"]).data()
    found: dict[tuple[str, str, int], int] = {}
    repeated = set()
    file = ""
    for at, info, _, _, value, _ in SYMBOL.iter_unpack(table.data()):
        kind, binding = info & 15, info >> 4
        name = names[at : names.index(b"\0", at)].decode(errors="replace")
        if kind == FILE:
            file = name
        elif kind in (OBJECT, FUNCTION, TLS):
            key = ("" if binding else file, name, kind)
            repeated |= {key} & found.keys()
            found[key] = value
    return {key: value for key, value in found.items() if key not in repeated}


def _symbols_agree(elfs: Mapping[str, ELFFile], links: Links, planned: Plan, subject: str) -> None:
    tables = {isa: symbols(elf) for isa, elf in elfs.items()}
    first: dict[tuple[str, str, int], tuple[str, int]] = {}
    for isa, table in tables.items():
        for key, value in table.items():
            other, expected = first.setdefault(key, (isa, value))
            if value != expected and not _library_code(value, links[isa], planned):
                raise InputError(
                    f"{subject}: '{key[1]}' is at {expected:#x} on {other} and at {value:#x} on"
                    f" {isa}; keep #ifdef on the instruction set away from names and assembly"
                )


def _library_code(address: int, sections: Sequence[Section], planned: Plan) -> bool:
    """Is this in a function of a library?

    Assembly with several entries (fenv) and aliases of long double functions differ there; nobody
    passes their addresses between instruction sets.
    """
    for section in sections:
        if section.region is Region.TEXT and ":" in section.key.file:
            start = planned.addresses[Region.TEXT, section.key]
            if start <= address < start + section.size:
                return True
    return False


def _content_agrees(elfs: Mapping[str, ELFFile], links: Links, planned: Plan, subject: str) -> None:
    first: dict[tuple[Region, Key], tuple[str, bytes]] = {}
    for isa, elf in elfs.items():
        for section in links[isa]:
            if section.region not in (Region.DATA, Region.TDATA):
                continue
            place = section.region, section.key
            data = content(elf, planned.addresses[place], section.size)
            other, expected = first.setdefault(place, (isa, data))
            if data.rstrip(b"\0") != expected.rstrip(b"\0"):
                raise InputError(
                    f"{subject}: variable '{variable(section.key)}' starts with other bytes on"
                    f" {isa} than on {other}; set what depends on the instruction set at run time"
                )
