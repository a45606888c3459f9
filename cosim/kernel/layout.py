"""Kernel structures in simulated physical memory, as tables: the contract between kernels of
different ISAs.

A kernel that knows this module and the physical address of another node's directory (the first
frame of that node's first memory range) can read everything below it: allocator, address spaces,
areas, page tables. All fields are little endian and naturally aligned; pointers are physical byte
addresses and 0 is "none".
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from cosim.units import LINE_BYTES


class Field(NamedTuple):
    """One field of a structure: offset and size in bytes."""

    name: str
    offset: int
    size: int
    meaning: str


@dataclass(frozen=True)
class Structure:
    """A named record of `size` bytes.

    Raises ValueError when fields overlap, are misaligned, leave the structure or repeat a name.
    Bytes that no field covers are reserved and zero.
    """

    name: str
    size: int
    meaning: str
    fields: tuple[Field, ...]
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        end = 0
        for item in sorted(self.fields, key=lambda f: f.offset):
            if item.offset < end:
                raise ValueError(
                    f"{self.name}.{item.name}: offset {item.offset} overlaps the field before, "
                    f"which ends at {end}"
                )
            if item.size <= 8 and item.offset % item.size:
                raise ValueError(
                    f"{self.name}.{item.name}: offset {item.offset} is not a multiple of its "
                    f"{item.size} bytes"
                )
            end = item.offset + item.size
        if end > self.size:
            raise ValueError(
                f"{self.name}: fields end at {end}, the structure has {self.size} bytes"
            )
        names = {item.name: item for item in self.fields}
        if len(names) != len(self.fields):
            raise ValueError(f"{self.name}: two fields have one name")
        object.__setattr__(self, "by_name", names)

    def offset(self, name: str) -> int:
        """Byte offset of a field."""
        return self.by_name[name].offset

    def decode(self, data: bytes) -> dict[str, int]:
        """All fields of one record as unsigned integers, for dumps and tests."""
        return {
            f.name: int.from_bytes(data[f.offset : f.offset + f.size], "little")
            for f in self.fields
        }


class BlockState(IntEnum):
    """What may happen to the frames of a memory block."""

    OFFLINE = 0  # not ours: no frame may be touched
    ONLINE = 1  # frames are allocated from it
    EVICTING = 2  # no new frames; those in use are being moved out


class FrameUse(IntEnum):
    """Who uses a frame: low bits of the `user` word of its FRAME row, whose other bits are a
    pointer.
    """

    NONE = 0  # free
    METADATA = 1  # bitmap, frame rows, directory: goes with the block
    KERNEL = 2  # kernel structures: not movable
    TABLE = 3  # page table of the address space in `user`: `virtual` is the first address it serves
    PAGE = 4  # page of the address space in `user`, mapped at `virtual`: movable


class AreaKind(IntEnum):
    """What stands behind a virtual memory area, and so who owns its frames."""

    ANONYMOUS = 0  # zero pages; frames belong to the address space
    FILE = 1  # private copy of a file; frames belong to the address space
    SHARED_ANONYMOUS = 2  # frames belong to the address space, and survive MADV_DONTNEED
    SHARED_FILE = 3  # as FILE, but changed pages are written back
    WINDOW = (
        4  # segment of the machine's shared window: frames belong to nobody, they are never freed
    )


class AreaFlag(IntEnum):
    """Bits of AREA.flags."""

    GROWS_DOWN = 1  # a stack: a fault below it extends it
    HEAP = 2  # between break_start and break
    NO_RESERVE = 4  # not counted against the memory there is
    MAY_WRITE = 8  # a shared file mapping whose file may be written
    PER_ISA = 16  # each kernel has frames of its own, filled from its own program (text, constants)
    COMMITTED = 32  # its pages are promised, touched or not: see cosim.kernel.commitment


# A page-table entry of the last level that maps nothing but keeps a frame (PROT_NONE): bit 0,
# "valid" on every ISA here, is clear, this bit is set, and the entry's bits 51:12 are the frame.
HELD_FRAME = 0x800

NODES_MAX = 16  # kernels that can share one address space

DIRECTORY_MAGIC = 0x3148_534D_4152_5453  # "STRAMSH1"
WINDOW_MAGIC = 0x3157_534D_4152_5453  # "STRAMSW1"

# fmt: off
DIRECTORY = Structure("DIRECTORY", 256, "root of what a node's kernel shares, at its first frame", (
    Field("magic",         0, 8, "DIRECTORY_MAGIC"),
    Field("node",          8, 4, "index of the node in the machine"),
    Field("block_count",  12, 4, "rows of the block table"),
    Field("block_bytes",  16, 8, "size of a full block"),
    Field("block_table",  24, 8, "first BLOCK row; preferred blocks come first"),
    Field("block_first",  32, 8, "rows before this one are full or not online"),
    Field("frames_total", 40, 8, "frames that can be allocated, in online blocks"),
    Field("frames_used",  48, 8, "frames allocated"),
    Field("lock",         64, 8, "spinlock over the allocator (holder's node + 1, 0 = free)"),
    Field("spaces",      128, 8, "first ADDRESS_SPACE of this node"),
    Field("tasks",       136, 8, "first task descriptor of this node"),
    Field("futexes",     144, 8, "futex bucket table of this node"),
    Field("futex_count", 152, 8, "buckets in it"),
    Field("namespaces",  160, 8, "NAMESPACES record (node 0 only)"),
    Field("committed",   168, 8, "frames this kernel promised to programs, less those given back"),
    Field("kernel_frames",176, 8, "frames it took for structures and tables, less those freed"),
    Field("returned_lock",192, 8, "spinlock over the list of returned frames"),
    Field("returned",    200, 8, "first frame that another kernel gave back; its first word: next"),
    Field("run_queues",  208, 8, "RUN_QUEUE records, one per core, where there are several"),
))

BLOCK = Structure("BLOCK", 64, "unit in which memory moves between kernels", (
    Field("base",     0, 8, "physical address of the first frame"),
    Field("frames",   8, 8, "frames of the block"),
    Field("free",    16, 8, "frames that are free"),
    Field("owner",   24, 4, "index of the node that may allocate"),
    Field("state",   28, 4, "BlockState"),
    Field("hint",    32, 8, "lowest bitmap word that may have a free frame"),
    Field("bitmap",  40, 8, "u64 words, one bit per frame, 1 = in use; bits past the end are 1"),
    Field("rows",    48, 8, "FRAME rows, one per frame"),
))

FRAME = Structure("FRAME", 16, "the way back from a frame to its page-table entry", (
    Field("user",     0, 8, "ADDRESS_SPACE (64-byte aligned) or 0, plus FrameUse"),
    Field("virtual",  8, 8, "virtual address at which `user` has it"),
))

SLAB = Structure("SLAB", 64, "pool of equal small structures", (
    Field("free",     0, 8, "first free object; a free object's first word is the next"),
    Field("pages",    8, 8, "first page; a page's first word is the next"),
    Field("used",    16, 8, "objects in use"),
    Field("object",  24, 8, "bytes per object, a multiple of 64"),
))

TABLE = Structure("TABLE", 32, "one kernel's page tables of an address space", (
    Field("root",      0, 8, "top page table, 0: this kernel has none"),
    Field("machine",   8, 4, "ELF machine number: names the page-table format"),
    Field("levels",   12, 4, "levels of it"),
    Field("threads",  16, 8, "threads of the space that are on this node"),
))

SPACE_BYTES = 320 + NODES_MAX * TABLE.size
ADDRESS_SPACE = Structure("ADDRESS_SPACE", SPACE_BYTES, "memory of one process, in its own frame", (
    Field("lock",          0, 8, "spinlock over areas and break"),
    Field("table_lock",   64, 8, "spinlock over page-table entries, for kernels of any ISA"),
    Field("table_root",  128, 8, "top page table, in the format of `machine`"),
    Field("table_levels",136, 4, "levels of it"),
    Field("machine",     140, 4, "ELF machine number: names the page-table format"),
    Field("area_root",   144, 8, "root AREA of the tree, ordered by start"),
    Field("area_count",  152, 8, "areas in the tree"),
    Field("sequence",    160, 8, "changes with the tree: what was cached is valid until then"),
    Field("node",        168, 4, "index of the node whose kernel made it"),
    Field("committed",   176, 8, "frames that were promised to it"),
    Field("break_start", 192, 8, "first address of the heap"),
    Field("break",       200, 8, "first address behind the heap"),
    Field("search_top",  208, 8, "where the search for unmapped space starts"),
    Field("search_hole", 216, 8, "no hole above search_top is larger than this"),
    Field("next",        224, 8, "next ADDRESS_SPACE of the node"),
    Field("previous",    232, 8, "previous one"),
    Field("generation",  240, 8, "moves when translations are reduced: older ones are void"),
    Field("ownership",   248, 8, "tables of who has which page (multiple kernels), 0 = none yet"),
    Field("slab",        256, SLAB.size, "SLAB of the AREA nodes"),
    Field("tables",      320, NODES_MAX * 32, "TABLE rows, by index of the node"),
))

AREA = Structure("AREA", 64, "node of the tree of areas (AA tree): one cache line", (
    Field("start",      0, 8, "first address"),
    Field("end",        8, 8, "address behind the last"),
    Field("left",      16, 8, "AREA with smaller addresses"),
    Field("right",     24, 8, "AREA with larger addresses"),
    Field("level",     32, 4, "AA level; leaves have 1"),
    Field("protection",36, 4, "PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4"),
    Field("flags",     40, 4, "AreaFlag bits"),
    Field("kind",      44, 4, "AreaKind"),
    Field("offset",    48, 8, "byte of the source that appears at start"),
    Field("source",    56, 8, "file number in its kernel, or window row (from 1), or 0"),
))

WINDOW = Structure("WINDOW", 128, "shared window: directory in its first bytes, then the rows", (
    Field("magic",     0, 8, "WINDOW_MAGIC once the table is usable"),
    Field("rows",      8, 8, "SEGMENT rows that follow"),
    Field("data",     16, 8, "physical address of the first byte that segments may use"),
    Field("end",      24, 8, "physical address behind the last"),
    Field("lock",     64, 8, "spinlock over all rows (holder's node + 1, 0 = free)"),
))

SEGMENT = Structure("SEGMENT", 128, "named contiguous memory that every node may map", (
    Field("state",      0, 8, "0 free, 1 named, 2 unlinked but still referenced"),
    Field("base",       8, 8, "physical address, page aligned; 0 while nothing is allocated"),
    Field("size",      16, 8, "bytes, as set by ftruncate"),
    Field("capacity",  24, 8, "bytes allocated, whole pages"),
    Field("references",32, 8, "open files and mappings, on all nodes"),
    Field("serial",    40, 8, "number of creations before this one, for inode numbers"),
    Field("name",      64, 64, "zero-terminated name without a slash"),
))
# fmt: on

STRUCTURES = (DIRECTORY, BLOCK, FRAME, SLAB, TABLE, ADDRESS_SPACE, AREA, WINDOW, SEGMENT)
USE_MASK = LINE_BYTES - 1
