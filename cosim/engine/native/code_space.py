"""Where translated code lives: an executable buffer below 2 GiB, the pieces every block shares, and
the tables through which the run loop finds blocks.

Tables are flat arrays, because the compiled loop reads them: `sites` (exits of blocks, SiteWord),
`blocks` (BlockWord), `lines` (virtual and physical number of each line that code was made from) and
an open-addressed table from (address space, guest address) to block number.
"""

import ctypes
import weakref
from enum import IntEnum
from functools import cache

import llvmlite.binding as llvm
import numpy as np

from cosim.compiled import kernel
from cosim.engine.native import stencils
from cosim.engine.native.assembly import JMP, SET_WORD, Assembly, word
from cosim.engine.native.state import SITE_WORDS, Fill, SiteKind, SiteWord, StateWord
from cosim.errors import MachineError
from cosim.units import MiB

CODE_BYTES = 32 * MiB  # 50 to 90 bytes an instruction: some 400,000 of them
SITES = 1 << 20
BLOCKS = 1 << 18
LINES = 1 << 18
TABLE_SLOTS = 1 << 19
SPARE_BYTES = 64 * 1024  # more than any block takes
LOW = 0x40  # MAP_32BIT: the first 2 GiB, so that every address fits a signed 32-bit field
PRIVATE_ANONYMOUS = 0x22
READ_WRITE_EXECUTE = 7


class BlockWord(IntEnum):
    """Words of one block."""

    CHECKED = 0  # host address of the entry that looks at the fetch buffer
    PLAIN = 1  # the entry for who comes from the same line
    PAGE_CHECKED = 2  # the entry that also looks whether the page is still the one translated
    LINE = 3  # number of its first line
    PAGE = 4  # number of its code page
    COUNT = 5  # instructions
    RECORDS = 6  # most records it writes
    PC = 7
    OTHER_PAGE = 8  # number of the code page its last instruction goes over to, or PAGE
    SPACE = 9  # the space under which it is found


BLOCK_WORDS = 10
NO_BLOCK = -1

SHARED_CODE = f"""
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define void @enter(ptr %state, ptr %code) nounwind {{
 %guest = getelementptr i64, ptr %state, i64 {StateWord.FLOATING}
 %host = getelementptr i64, ptr %state, i64 {StateWord.HOST_FLOATING}
 %budget.at = getelementptr i64, ptr %state, i64 {StateWord.BUDGET}
 %ring = load ptr, ptr %state
 %budget = load i64, ptr %budget.at
 call void @llvm.x86.sse.stmxcsr(ptr %host)
 call void @llvm.x86.sse.ldmxcsr(ptr %guest)
 call preserve_nonecc void %code(ptr %state, ptr %ring, i64 %budget, i64 0, i64 undef)
 call void @llvm.x86.sse.stmxcsr(ptr %guest)
 call void @llvm.x86.sse.ldmxcsr(ptr %host)
 ret void
}}

define preserve_nonecc void @leave(ptr %state, ptr %ring, i64 %budget, i64 %hits, i64 %argument)
 nounwind {{
 %budget.at = getelementptr i64, ptr %state, i64 {StateWord.BUDGET}
 %hits.at = getelementptr i64, ptr %state, i64 {StateWord.HITS}
 store i64 %hits, ptr %hits.at
 %argument.at = getelementptr i64, ptr %state, i64 {StateWord.ARGUMENT}
 store ptr %ring, ptr %state
 store i64 %budget, ptr %budget.at
 store i64 %argument, ptr %argument.at
 ret void
}}
"""
# Price what a paced block has written, and go on behind, with the budget that is left then.
PACE_CODE = f"""
define preserve_nonecc void @pace(ptr %state, ptr %ring, i64 %budget, i64 %hits, i64 %argument)
 nounwind {{
 %hits.at = getelementptr i64, ptr %state, i64 {StateWord.HITS}
 store i64 %hits, ptr %hits.at
 %pace.at = getelementptr i64, ptr %state, i64 {StateWord.PACE}
 %control.at = getelementptr i64, ptr %state, i64 {StateWord.CONTROL}
 %pace = load ptr, ptr %pace.at
 %control = load ptr, ptr %control.at
 %left = call i64 %pace(ptr %control, ptr %state, ptr %ring, i64 %budget)
 %buffer.at = getelementptr i64, ptr %state, i64 {StateWord.BUFFER}
 %code.at = getelementptr i64, ptr %state, i64 {StateWord.PACE_RETURN}
 %buffer = load ptr, ptr %buffer.at
 %code = load ptr, ptr %code.at
 musttail call preserve_nonecc void %code(ptr %state, ptr %buffer, i64 %left, i64 0,
  i64 %argument)
 ret void
}}
"""
# Call a function, of the TLB or of the ISA, and do the instruction again, or carefully, or leave.
SLOW_CODE = f"""
define preserve_nonecc void @NAME(ptr %state, ptr %ring, i64 %budget, i64 %hits, i64 %address)
 nounwind {{
 %fill.at = getelementptr i64, ptr %state, i64 FUNCTION
 %fill = load ptr, ptr %fill.at
 %filled = call i64 %fill(ptr %state, i64 %address, i64 ACCESS)
 %filled.at = getelementptr i64, ptr %state, i64 {StateWord.FILLED}
 store i64 %filled, ptr %filled.at
 %failed = icmp eq i64 %filled, {Fill.REFUSED}
 br i1 %failed, label %out, label %again
again:
 %sites.at = getelementptr i64, ptr %state, i64 {StateWord.SITES}
 %sites = load ptr, ptr %sites.at
 %site.at = getelementptr i64, ptr %state, i64 {StateWord.SITE}
 %site = load i64, ptr %site.at
 %row = mul i64 %site, {8 * SITE_WORDS}
 %row.at = getelementptr i8, ptr %sites, i64 %row
 %crossing = icmp eq i64 %filled, {Fill.CROSSING}
 %word = select i1 %crossing, i64 {SiteWord.CAREFUL}, i64 {SiteWord.RETRY}
 %code.at = getelementptr i64, ptr %row.at, i64 %word
 %code = load ptr, ptr %code.at
 %missing = icmp eq ptr %code, null
 br i1 %missing, label %out, label %go
go:
 musttail call preserve_nonecc void %code(ptr %state, ptr %ring, i64 %budget, i64 %hits,
  i64 %address)
 ret void
out:
 musttail call preserve_nonecc void @leave(ptr %state, ptr %ring, i64 %budget, i64 %hits,
  i64 %address)
 ret void
}}
"""


@cache
def shared_pieces() -> dict[str, stencils.Stencil]:
    """enter, leave, pace, slow_read, slow_write, slow_help."""
    text = SHARED_CODE + PACE_CODE
    for name, function, access in (
        ("slow_read", StateWord.FILL, 0),
        ("slow_write", StateWord.FILL, 1),
        ("slow_help", StateWord.HELPER, 0),
    ):
        piece = SLOW_CODE.replace("NAME", name).replace("FUNCTION", str(int(function)))
        text += piece.replace("ACCESS", str(access))
    machine = stencils.target_machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    return stencils.parse_object(machine.emit_object(module))


def _executable(size: int) -> int:
    """Host address of `size` bytes below 2 GiB.  MachineError when the host refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    kinds = (ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.mmap.argtypes = (ctypes.c_void_p, *kinds)
    found = libc.mmap(None, size, READ_WRITE_EXECUTE, PRIVATE_ANONYMOUS | LOW, -1, 0)
    if found is None or found >= 1 << 31:
        raise MachineError(
            f"no executable memory of {size} bytes below 2 GiB (error {ctypes.get_errno()}); "
            "use --engine unicorn"
        )
    return found


def _release(base: int, size: int) -> None:
    """Give the buffer back."""
    ctypes.CDLL(None).munmap(ctypes.c_void_p(base), ctypes.c_size_t(size))


class CodeSpace:
    """The buffer and its tables.  `used`: bytes of it."""

    def __init__(self, size: int = CODE_BYTES) -> None:
        self._size = size
        self.base = _executable(size)
        weakref.finalize(self, _release, self.base, size)
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.base))
        self.sites = np.zeros((SITES, SITE_WORDS), dtype=np.int64)
        self.blocks = np.zeros((BLOCKS, BLOCK_WORDS), dtype=np.int64)
        self.lines = np.zeros((LINES, 2), dtype=np.uint64)
        self.table = np.zeros((TABLE_SLOTS, 3), dtype=np.int64)  # space + 1, address, block
        self.symbols: dict[str, int] = {}
        self.used = 0
        self._place_shared()
        self._kept = self.used
        self._constants: dict[bytes, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all blocks."""
        self.used = self._kept
        self._constants.clear()
        self.table[:] = 0
        self.site_count = 0
        self.block_count = 0
        self.line_count = 1  # 0: no line
        self._line_numbers: dict[tuple[int, int], int] = {}

    @property
    def full(self) -> bool:
        """Too little room is left for one more block."""
        return (
            self.used + SPARE_BYTES > self._size
            or self.site_count + 1024 > SITES
            or 2 * self.block_count > TABLE_SLOTS - 4096
            or self.block_count + 16 > BLOCKS
            or self.line_count + 1024 > LINES
        )

    def _place_shared(self) -> None:
        pieces = shared_pieces()
        for name, piece in pieces.items():
            self.symbols[name] = self.place(bytes(piece.code))
        for name, piece in pieces.items():
            for patch in piece.patches:
                at = self.symbols[name] + patch.offset
                assert patch.kind == "relative 32", patch
                self.write32(at, self.symbols[patch.symbol] + patch.addend - at)

    def place(self, code: bytes) -> int:
        """Copy code into the buffer; its host address."""
        at = self.used
        self.bytes[at : at + len(code)] = np.frombuffer(code, dtype=np.uint8)
        self.used = at + len(code) + (-len(code) % 16)
        return self.base + at

    def constants(self, data: bytes) -> int:
        """Host address of read-only data of stencils, 64-byte aligned."""
        found = self._constants.get(data)
        if found is None:
            self.used += -self.used % 64
            found = self._constants[data] = self.place(data)
        return found

    def write32(self, at: int, value: int) -> None:
        """Write a 32-bit word at a host address inside the buffer."""
        offset = at - self.base
        self.bytes[offset : offset + 4] = np.frombuffer(
            (value & 0xFFFFFFFF).to_bytes(4, "little"), dtype=np.uint8
        )

    def line_number(self, virtual: int, physical: int) -> int:
        """Number of the line; 1 or more."""
        key = (virtual, physical)
        found = self._line_numbers.get(key)
        if found is None:
            found = self._line_numbers[key] = self.line_count
            self.lines[found] = key
            self.line_count += 1
        return found

    def _slot(self, space: int, pc: int) -> int:
        return table_slot(self.table, np.int64(space), np.int64(signed(pc)))

    def insert(self, space: int, pc: int, block: int) -> None:
        """Let (space, pc) mean this block."""
        self.blocks[block, BlockWord.SPACE] = space
        self.table[self._slot(space, pc)] = (space + 1, signed(pc), block)

    def find(self, space: int, pc: int) -> int:
        """Number of the block at (space, pc), or NO_BLOCK."""
        slot = self._slot(space, pc)
        return int(self.table[slot, 2]) if self.table[slot, 0] else NO_BLOCK

    def kill(self, block: int) -> None:
        """Take a block out of use: whoever is still linked to it looks for its address anew."""
        row = self.blocks[block]
        site = self.site_count
        self.site_count += 1
        self.sites[site, SiteWord.KIND] = SiteKind.BUDGET
        self.sites[site, SiteWord.PC] = row[BlockWord.PC]
        stub = Assembly(self.base + self.used)
        stub.code += SET_WORD + word(8 * StateWord.SITE) + word(site)
        stub.jump_to(JMP, self.symbols["leave"])
        at = self.place(stub.finish())
        for entry in map(int, row[[BlockWord.CHECKED, BlockWord.PLAIN, BlockWord.PAGE_CHECKED]]):
            self.bytes[entry - self.base] = JMP[0]
            self.write32(entry + 1, at - entry - 5)
        slot = self._slot(int(row[BlockWord.SPACE]), int(row[BlockWord.PC]))
        if self.table[slot, 2] == block:
            self.table[slot, 2] = NO_BLOCK


def signed(address: int) -> int:
    """A guest address as the tables hold it: an i64."""
    return address - (1 << 64) if address >> 63 == 1 else address


MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SLOT_SHIFT = np.uint64(64 - TABLE_SLOTS.bit_length() + 1)
SPACE_SHIFT = np.uint64(56)
SLOT_MASK = np.int64(TABLE_SLOTS - 1)


@kernel
def table_slot(table, space, pc):
    """The slot that holds (space, pc), or the free one where it belongs.  Both i64."""
    mixed = (np.uint64(pc) ^ (np.uint64(space) << SPACE_SHIFT)) * MULTIPLIER
    slot = np.int64(mixed >> SLOT_SHIFT)
    while table[slot, 0] != 0 and (table[slot, 0] != space + 1 or table[slot, 1] != pc):
        slot = (slot + 1) & SLOT_MASK
    return slot
