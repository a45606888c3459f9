"""Stencils: machine code of one instruction form with holes, made by LLVM once and kept on disk.

A stencil is the body of one function of the emitter: it begins where the piece before it falls
through, and its last jump to *next* is dropped.  Relocations against the emitter's symbols are the
holes.  The library is a file in the user's cache folder, named by all that stencils depend on.
"""

import hashlib
import pickle
import sqlite3
import struct
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from cosim.compiled import cache_root
from cosim.engine.native import emitter, recency, state, values
from cosim.engine.native.table import Instruction
from cosim.errors import MachineError

CACHE_LOCK_SECONDS = 30.0  # two nodes that begin at the same time write one after the other

# Relocations of x86-64 (psABI, table 4.9), as LLVM writes them for static code below 2 GiB.
ABSOLUTE_64, RELATIVE_32, PLT_32, UNSIGNED_32, SIGNED_32 = 1, 2, 4, 10, 11
RELOCATIONS = {
    ABSOLUTE_64: "absolute 64",
    RELATIVE_32: "relative 32",
    PLT_32: "relative 32",
    UNSIGNED_32: "absolute 32",
    SIGNED_32: "absolute 32",
}
EXAMPLES = "examples.py"  # beside the rows, and no part of what they do
JUMP = 0xE9
JUMP_BYTES = 5


class Patch(NamedTuple):
    """One hole: `kind` ("absolute 64", ...) at `offset` bytes from the stencil's start, of
    `symbol` + `addend`.
    """

    offset: int
    kind: str
    symbol: str
    addend: int


class Stencil(NamedTuple):
    """Code with holes.

    constants: bytes the symbol "constants" stands for, or none.  falls: *next* must follow its end.
    records: most that it writes.
    """

    code: bytes
    patches: tuple[Patch, ...]
    constants: bytes
    falls: bool
    records: int = 0


@cache
def target_machine() -> Any:
    """LLVM for the host, static code below 2 GiB."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        reloc="static",
        codemodel="small",
    )


def compile_module(module: ir.Module) -> bytes:
    """The object file of a module of stencils."""
    text = str(module) + emitter.RANGES
    parsed = llvm.parse_assembly(text)
    machine = target_machine()
    parsed.triple = machine.triple
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_object(parsed)


class Section(NamedTuple):
    """One section header of ELF-64."""

    name: str
    kind: int
    offset: int
    size: int
    link: int
    info: int
    align: int


def _sections(elf: bytes) -> list[Section]:
    (at,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    raw = [struct.unpack_from("<IIQQQQIIQQ", elf, at + size * i) for i in range(count)]
    strings = raw[names][4]

    def text(offset: int) -> str:
        start = strings + offset
        return elf[start : elf.index(b"\0", start)].decode()

    return [Section(text(r[0]), r[1], r[4], r[5], r[6], r[7], r[8]) for r in raw]


def parse_object(elf: bytes) -> dict[str, Stencil]:
    """Stencils by function name."""
    sections = _sections(elf)
    numbers = {section.name: i for i, section in enumerate(sections)}
    symbols_at = sections[numbers[".symtab"]]
    strings = sections[symbols_at.link].offset
    symbols = []
    for place in range(symbols_at.offset, symbols_at.offset + symbols_at.size, 24):
        name_at, _, _, section, value, size = struct.unpack_from("<IBBHQQ", elf, place)
        start = strings + name_at
        symbols.append((elf[start : elf.index(b"\0", start)].decode(), section, value, size))
    text = sections[numbers[".text"]]
    constants = b""
    bases = {}  # read-only data: section number -> where it begins in `constants`
    for number, section in enumerate(sections):
        if section.name.startswith(".rodata"):
            constants += bytes(-len(constants) % max(section.align, 1))
            bases[number] = len(constants)
            constants += elf[section.offset : section.offset + section.size]
    relocations = []
    if ".rela.text" in numbers:
        table = sections[numbers[".rela.text"]]
        for place in range(table.offset, table.offset + table.size, 24):
            offset, info, addend = struct.unpack_from("<QQq", elf, place)
            name, section, value, _ = symbols[info >> 32]
            kind = RELOCATIONS.get(info & 0xFFFFFFFF)
            if section in bases:
                name, addend = "constants", addend + bases[section] + value
            if kind is None or not name:
                raise MachineError(f"stencil: relocation {info:#x} of {name!r} is not known")
            relocations.append((offset, kind, name, addend))
    found = {}
    for name, section, value, size in symbols:
        if section == numbers[".text"] and size:
            code = elf[text.offset + value : text.offset + value + size]
            patches = [
                Patch(at - value, kind, symbol, addend)
                for at, kind, symbol, addend in relocations
                if value <= at < value + size
            ]
            found[name] = _stencil(code, patches, constants)
    return found


def _stencil(code: bytes, patches: list[Patch], constants: bytes) -> Stencil:
    """Without the last jump to *next*."""
    last = max(patches, default=None, key=lambda patch: patch.offset)
    ends_at = len(code) - JUMP_BYTES
    falls = False
    if last and last.symbol == emitter.NEXT and last.offset == ends_at + 1:
        falls = True
        assert code[ends_at] == JUMP
        code = code[:ends_at]
        patches.remove(last)
    uses = any(patch.symbol == "constants" for patch in patches)
    return Stencil(code, tuple(patches), constants if uses else b"", falls)


class Library:
    """All stencils of one ISA: `find` gives those of some instructions, building what is missing.

    built, seconds: how many were compiled in this process, and the host time that took.
    """

    def __init__(self, name: str, instructions: Any) -> None:
        """instructions: the ISA's module."""
        self._instructions = instructions
        self._slots = instructions.LAYOUT.slots
        self._known: dict[tuple, Stencil] = {}
        self.built = 0
        self.seconds = 0.0
        self._path = cache_root() / f"stencils-{name}-{_digest(instructions)}.sqlite"
        self._load()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=CACHE_LOCK_SECONDS)
        connection.execute("CREATE TABLE IF NOT EXISTS stencil (key TEXT PRIMARY KEY, data BLOB)")
        return connection

    def _load(self) -> None:
        connection = self._connect()
        with connection:
            for _, data in connection.execute("SELECT key, data FROM stencil"):
                key, code, patches, *rest = pickle.loads(data)
                self._known[key] = Stencil(code, tuple(Patch(*p) for p in patches), *rest)
        connection.close()

    def get(self, key: tuple) -> Stencil | None:
        """The stencil of a key, if it was built."""
        return self._known.get(key)

    def build(self, wanted: Iterable[Instruction]) -> None:
        """Compile the stencils of these instructions that are missing, and keep them."""
        missing = {i.key: i for i in wanted if i.key not in self._known}
        if not missing:
            return
        since = time.perf_counter()
        module = ir.Module(name="stencils")
        records = []
        for number, instruction in enumerate(missing.values()):
            e = emitter.Emitter(
                module, f"stencil{number}", self._slots, careful=instruction.careful
            )
            instruction.row.semantics(e, instruction.constant_fields())
            e.finish()
            records.append(e.records)
        made = parse_object(compile_module(module))
        rows = []
        for number, key in enumerate(missing):
            stencil = made[f"stencil{number}"]._replace(records=records[number])
            self._known[key] = stencil
            data = (key, stencil.code, [tuple(p) for p in stencil.patches], *stencil[2:])
            rows.append((repr(key), pickle.dumps(data)))
        connection = self._connect()
        with connection:
            connection.executemany("INSERT OR REPLACE INTO stencil VALUES (?, ?)", rows)
        connection.close()
        self.built += len(missing)
        self.seconds += time.perf_counter() - since


def _digest(instructions: Any) -> str:
    """Of all that stencils depend on: emitter, layout, semantics, LLVM, the host's processor."""
    parts = [
        str(emitter.VERSION),
        llvmlite.__version__,
        str(llvm.llvm_version_info),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    ]
    digest = hashlib.sha256("\n".join(parts).encode())
    folder = Path(instructions.__file__).parent
    modules = (emitter, recency, state, values)
    shared = [Path(str(module.__file__)) for module in modules]
    semantics = [path for path in folder.glob("*.py") if path.name != EXAMPLES]
    files = [*shared, *sorted(semantics)]
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
