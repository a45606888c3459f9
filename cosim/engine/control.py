"""The control block: the u64 words through which Python and the compiled hooks of one core talk."""

from enum import IntEnum


class Control(IntEnum):
    """Word numbers of the control block.  `ever` = since the core was made."""

    # Touched by every instruction: one host cache line.
    COUNT = 0  # user instructions begun, ever; exact at every stop
    COUNT_LIMIT = 1  # stop before the instruction that would begin at this count
    WRITE = 2  # records written to the ring, ever
    EVENT = 3  # call the slow path when WRITE reaches this
    START = 4  # WRITE when the current instruction began
    PC = 5  # address of the current instruction
    LINE = 6  # virtual line of the current instruction; all ones: unknown
    RING = 7  # host address of the ring
    # Fetching.
    CODE_DELTA = 8  # host address of code = its virtual address + this
    FETCH_VIRTUAL = 9  # virtual and physical line of the last FETCH record; all ones: none
    FETCH_PHYSICAL = 10
    BEFORE_VIRTUAL = 11  # their values before the record of instruction number CHANGED_AT
    BEFORE_PHYSICAL = 12
    CHANGED_AT = 13
    # Limits and publication.
    INSTRUCTION_LIMIT = 16  # as given to run
    RECORD_LIMIT = 17
    CYCLE_LIMIT = 18  # in busy cycles, inline mode
    INLINE = 19  # 1: price at every instruction boundary through the port
    PUBLISHED = 20  # records published (HEAD of the stream)
    PRICED = 21  # inline: records the port has consumed
    CYCLES = 22  # inline: memory cycles after the last call of the port
    KERNEL_COUNT = 23  # kernel instructions, ever (charged by Python)
    IPC_NUMERATOR = 24  # instructions per cycle without memory
    IPC_DENOMINATOR = 25
    PORT = 26  # host address of the memory port, its argument, and the core number it gets
    PORT_ARGUMENT = 27
    CORE = 28
    HEADER = 29  # host address of the core's stream header
    # Outcome.
    STOP = 32  # why the hooks stopped the engine: see Halt
    EXCEPTION = 33  # exception number
    FAULT = 34  # outcome of the failed translation: see Fault
    FAULT_ADDRESS = 35  # virtual page address; physical address when OUTSIDE
    FAULT_ACCESS = 36  # interface.Access
    # Translation.
    MEMORY_BASE = 40  # host address and size in bytes of physical memory
    MEMORY_SIZE = 41
    ROOT = 42  # physical address of the root table
    WALK_TABLE = 43  # host address of the walk table
    SIGNATURES = 44  # host address of one u64 per frame: hash of the code translated from it, or 0
    PAGE_OF_FRAME = 45  # host address of one u64 per frame: virtual page that last mapped it
    KEPT = 46  # host address of native.frames.KeptFrames' words; 0: nothing is kept
    # Atomics.
    BYTE_CLASSES = 48  # host address of 256 classes of bytes
    PATTERNS = 49  # host address of (mask, value, atomic) rows of u64
    PATTERN_COUNT = 50  # their number, 0 for byte-coded ISAs
    CLASS_SHIFT = 51  # lowest bit of the byte of a word that BYTE_CLASSES looks at
    # System registers user code may not read: rows of three words (see hooks), and their number.
    DENIED_TABLE = 54
    DENIED_COUNT = 55
    # The register a denied instruction overwrites: its number, its value before, is there one?
    SAVED_NUMBER = 56
    SAVED = 57
    SAVED_VALID = 62
    SKIP_FLAG = 63  # host address of the translator's "PC is in order" byte (unicorn_translator)
    # C functions.
    EMU_STOP = 58
    SCHED_YIELD = 59
    REGISTER_READ = 60
    SELF = 61  # host address of this block
    # The fetch-translation cache: FETCH_SLOTS pairs (virtual page, physical page address).
    FETCH_CACHE = 64


FETCH_SLOTS = 64
CONTROL_WORDS = Control.FETCH_CACHE + 2 * FETCH_SLOTS
NONE = (1 << 64) - 1  # a line or page number nothing has


class Halt(IntEnum):
    """Why the hooks stopped the engine."""

    NOT = 0
    LIMIT = 1
    SYSTEM_CALL = 2
    EXCEPTION = 3
    DENIED = 4  # an instruction user code may not execute
    FETCH_FAULT = 5  # the translation of the next instruction is gone: see FAULT
    SHUTDOWN = 6  # the stream's STOP word is set
    INVALID = 7  # undefined instruction


class Fault(IntEnum):
    """Why a translation failed."""

    NOT = 0
    ABSENT = 1
    RIGHTS = 2
    OUTSIDE = 3
    STALE_CODE = 4  # not a guest fault: translated code of this page must be forgotten first
