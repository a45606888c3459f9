"""The compiled hooks of one core: called at instructions, references, translations, exceptions.

The translator calls them through C pointers, so no Python runs per instruction or reference.  All
state is in the control block (control.Control), a u64 array that every hook gets as its argument.

```text
 instruction ─▶ code_hook ── records pending, or a limit? ─▶ boundary: price | publish | stop
                    └─ another line than before? ─▶ fetch: translate, FETCH record
 load, store ─▶ read_hook, write_hook: one record with the physical address
 unknown page ▶ translation_hook: walk the guest's page table; a failure ends the run
```
Records of an instruction lie behind START until the next instruction begins; only then they can be
seen by the memory system, so an instruction that faults takes its records, its count and its fetch
back (unicorn_engine).
"""

import numpy as np
from numba import cfunc, types

from cosim.compiled import (
    call_pointer,
    call_pointer4,
    kernel,
    load_acquire,
    load_unaligned,
    load_word,
    store_byte,
    store_release,
    store_word,
)
from cosim.engine.control import FETCH_SLOTS, Control, Fault, Halt
from cosim.engine.interface import Access
from cosim.engine.stream import (
    KIND_SHIFT,
    PUBLISH_RECORDS,
    RING_RECORDS,
    RING_SLACK,
    SIZE_SHIFT,
    Alongside,
    Kind,
    Word,
)
from cosim.engine.walk import MAPPED, OUTSIDE, walk
from cosim.paging import Protection

# Control words as plain integers for indexing.
COUNT = int(Control.COUNT)
COUNT_LIMIT = int(Control.COUNT_LIMIT)
WRITE = int(Control.WRITE)
EVENT = int(Control.EVENT)
START = int(Control.START)
PC = int(Control.PC)
LINE = int(Control.LINE)
RING = int(Control.RING)
CODE_DELTA = int(Control.CODE_DELTA)
FETCH_VIRTUAL = int(Control.FETCH_VIRTUAL)
FETCH_PHYSICAL = int(Control.FETCH_PHYSICAL)
BEFORE_VIRTUAL = int(Control.BEFORE_VIRTUAL)
BEFORE_PHYSICAL = int(Control.BEFORE_PHYSICAL)
CHANGED_AT = int(Control.CHANGED_AT)
INSTRUCTION_LIMIT = int(Control.INSTRUCTION_LIMIT)
RECORD_LIMIT = int(Control.RECORD_LIMIT)
CYCLE_LIMIT = int(Control.CYCLE_LIMIT)
INLINE = int(Control.INLINE)
PUBLISHED = int(Control.PUBLISHED)
PRICED = int(Control.PRICED)
CYCLES = int(Control.CYCLES)
KERNEL_COUNT = int(Control.KERNEL_COUNT)
IPC_NUMERATOR = int(Control.IPC_NUMERATOR)
IPC_DENOMINATOR = int(Control.IPC_DENOMINATOR)
PORT = int(Control.PORT)
PORT_ARGUMENT = int(Control.PORT_ARGUMENT)
CORE = int(Control.CORE)
HEADER = int(Control.HEADER)
STOP = int(Control.STOP)
EXCEPTION = int(Control.EXCEPTION)
FAULT = int(Control.FAULT)
FAULT_ADDRESS = int(Control.FAULT_ADDRESS)
FAULT_ACCESS = int(Control.FAULT_ACCESS)
MEMORY_BASE = int(Control.MEMORY_BASE)
MEMORY_SIZE = int(Control.MEMORY_SIZE)
ROOT = int(Control.ROOT)
WALK_TABLE = int(Control.WALK_TABLE)
SIGNATURES = int(Control.SIGNATURES)
PAGE_OF_FRAME = int(Control.PAGE_OF_FRAME)
BYTE_CLASSES = int(Control.BYTE_CLASSES)
PATTERNS = int(Control.PATTERNS)
PATTERN_COUNT = int(Control.PATTERN_COUNT)
CLASS_SHIFT = int(Control.CLASS_SHIFT)
DENIED_TABLE = int(Control.DENIED_TABLE)
DENIED_COUNT = int(Control.DENIED_COUNT)
SELF = int(Control.SELF)
SKIP_FLAG = int(Control.SKIP_FLAG)
SAVED_VALID = int(Control.SAVED_VALID)
SAVED_NUMBER = int(Control.SAVED_NUMBER)
REGISTER_READ = int(Control.REGISTER_READ)
EMU_STOP = int(Control.EMU_STOP)
SCHED_YIELD = int(Control.SCHED_YIELD)
FETCH_CACHE = int(Control.FETCH_CACHE)

# Constants of the compiled code, all u64 so that no address is ever typed as signed.
U = np.uint64
ZERO, ONE, TWO, THREE, EIGHT, BYTE = U(0), U(1), U(2), U(3), U(8), U(0xFF)
SIXTEEN, ROW_BYTES = U(16), U(24)
LINE_SHIFT = U(6)
PAGE_SHIFT = U(12)
PAGE_OFFSET = U(4095)
PAGE = U(4096)
PAGE_WORDS = 512
LAST_WORD = U(4088)
SEVEN = U(7)
WORD_MASK = U(0xFFFFFFFF)
RING_MASK = U(RING_RECORDS - 1)
RING_FULL = U(RING_RECORDS - RING_SLACK)
PUBLISH = U(PUBLISH_RECORDS)
SLOT_MASK = U(FETCH_SLOTS - 1)
SIZE_AT = U(SIZE_SHIFT)
LOAD_RECORD = U(Kind.LOAD << KIND_SHIFT)
STORE_RECORD = U(Kind.STORE << KIND_SHIFT)
ATOMIC_RECORD = U(Kind.ATOMIC_LOAD << KIND_SHIFT)
LOAD_REST_RECORD = U(Kind.LOAD_REST << KIND_SHIFT)
STORE_REST_RECORD = U(Kind.STORE_REST << KIND_SHIFT)
FETCH_RECORD = U(Kind.FETCH << KIND_SHIFT | 63 << SIZE_SHIFT)
HEAD_AT = U(Word.HEAD * 8)
TAIL_AT = U(Word.TAIL * 8)
SHUTDOWN_AT = U(Word.STOP * 8)
NOBODY, MEMORY_SYSTEM = (U(who) for who in Alongside)
EXECUTE_RIGHT = U(Protection.EXECUTE)
SAVED_AT = U(Control.SAVED * 8)
FOREVER = U((1 << 63) - 1)
HASH_MULTIPLIER = U(0x9E3779B97F4A7C15)
HASH_SHIFT = U(29)

HALT_LIMIT = U(Halt.LIMIT)
HALT_SYSTEM_CALL = U(Halt.SYSTEM_CALL)
HALT_EXCEPTION = U(Halt.EXCEPTION)
HALT_DENIED = U(Halt.DENIED)
HALT_FETCH_FAULT = U(Halt.FETCH_FAULT)
HALT_SHUTDOWN = U(Halt.SHUTDOWN)
HALT_INVALID = U(Halt.INVALID)
FAULT_ABSENT = U(Fault.ABSENT)
FAULT_RIGHTS = U(Fault.RIGHTS)
FAULT_OUTSIDE = U(Fault.OUTSIDE)
FAULT_STALE = U(Fault.STALE_CODE)
ACCESS_EXECUTE = U(Access.EXECUTE)

# Unicorn's numbers of access types; the right needed is 1 << (type - FIRST_TYPE), the Access type -
# FIRST_TYPE.
FIRST_TYPE = U(16)

PATIENCE_YIELDS = U(1000)  # of the host's processor: 300 us when nobody else wants it
BLOCK = types.CPointer(types.uint64)


@kernel
def wait_for_room(p):
    """Wait until the ring has room for one more instruction.  False at the machine's end.

    The memory system is left alone with its work as long as it does any: two processes that serve
    a ring by turns take each other's sets out of the host's caches.
    """
    header = p[HEADER]
    seen = load_acquire(header + TAIL_AT)
    patience = PATIENCE_YIELDS
    while p[WRITE] - load_acquire(header + TAIL_AT) > RING_FULL:
        if load_word(header + SHUTDOWN_AT) != ZERO:
            return False
        call_pointer(p[SCHED_YIELD], ZERO)
        tail = load_acquire(header + TAIL_AT)
        patience = patience - ONE if tail == seen else PATIENCE_YIELDS
        seen = tail
        if patience == ZERO:
            patience = ONE
            call_pointer4(p[PORT], p[PORT_ARGUMENT], p[CORE], p[WRITE] - RING_FULL, MEMORY_SYSTEM)
    return True


@kernel
def instructions_before(p, cycles):
    """User instruction count at which busy cycles reach CYCLE_LIMIT, memory having cost `cycles`
    (u64).

    busy = (user + kernel instructions) * IPC_DENOMINATOR // IPC_NUMERATOR + memory cycles.
    """
    limit = p[CYCLE_LIMIT]
    if limit >= FOREVER:
        return FOREVER
    if cycles >= limit:
        return ZERO
    denominator = p[IPC_DENOMINATOR]
    total = ((limit - cycles) * p[IPC_NUMERATOR] + denominator - ONE) // denominator
    return total - p[KERNEL_COUNT] if total > p[KERNEL_COUNT] else ZERO


@kernel
def set_limits(p):
    """Write COUNT_LIMIT and EVENT for the mode and limits in the block."""
    p[COUNT_LIMIT] = p[INSTRUCTION_LIMIT]
    if p[INLINE] != ZERO:
        p[COUNT_LIMIT] = min(p[INSTRUCTION_LIMIT], instructions_before(p, p[CYCLES]))
        # Without a limit in cycles nobody asks for the clock before the next stop.
        batch = PUBLISH if p[CYCLE_LIMIT] >= FOREVER else ONE
        p[EVENT] = min(p[PRICED] + batch, p[RECORD_LIMIT])
    else:
        p[EVENT] = min(p[PUBLISHED] + PUBLISH, p[RECORD_LIMIT])


@kernel
def boundary(p):
    """Between two instructions: price or publish what is pending; True when the engine has to stop
    here.
    """
    if p[STOP] != ZERO:
        return True  # a denied instruction: the translator ends it first
    if p[INLINE] != ZERO:
        if p[WRITE] != p[PRICED]:
            p[CYCLES] = call_pointer4(p[PORT], p[PORT_ARGUMENT], p[CORE], p[WRITE], NOBODY)
            p[PRICED] = p[WRITE]
            p[PUBLISHED] = p[WRITE]
            set_limits(p)
    elif p[WRITE] - p[PUBLISHED] >= PUBLISH:
        p[PUBLISHED] = p[WRITE]
        store_release(p[HEADER] + HEAD_AT, p[WRITE])
        set_limits(p)
        if not wait_for_room(p):
            p[STOP] = HALT_SHUTDOWN
            return True
    if p[COUNT] >= p[COUNT_LIMIT] or p[WRITE] >= p[RECORD_LIMIT]:
        p[STOP] = HALT_LIMIT
        return True
    return False


@kernel
def stop_engine(engine, p):
    """Ask the translator to stop, and to bring its state in order on the way out."""
    store_byte(p[SKIP_FLAG], ZERO)
    call_pointer(p[EMU_STOP], engine)


@kernel
def translate(p, address):
    """walk() with the current page table: (Walk, physical byte address, rights)."""
    return walk(p[WALK_TABLE], p[MEMORY_BASE], p[MEMORY_SIZE], p[ROOT], address)


@kernel
def fetch(p, address):
    """Execution enters the line of virtual `address`: record the fetch.  False when it cannot be
    translated.
    """
    store_byte(p[SKIP_FLAG], ONE)
    page = address >> PAGE_SHIFT
    slot = FETCH_CACHE + np.int64((page & SLOT_MASK) << ONE)
    if p[slot] != page:
        outcome, physical, rights = translate(p, address)
        if outcome != MAPPED or rights & EXECUTE_RIGHT == ZERO:
            note_fault(p, outcome, physical, address, ACCESS_EXECUTE)
            return False
        p[slot] = page
        p[slot + 1] = physical & ~PAGE_OFFSET
    frame = p[slot + 1]
    line = address >> LINE_SHIFT
    physical_line = (frame | (address & PAGE_OFFSET)) >> LINE_SHIFT
    p[CODE_DELTA] = p[MEMORY_BASE] + frame - (page << PAGE_SHIFT)
    p[LINE] = line
    if line != p[FETCH_VIRTUAL] or physical_line != p[FETCH_PHYSICAL]:
        p[BEFORE_VIRTUAL] = p[FETCH_VIRTUAL]
        p[BEFORE_PHYSICAL] = p[FETCH_PHYSICAL]
        p[CHANGED_AT] = p[COUNT]
        p[FETCH_VIRTUAL] = line
        p[FETCH_PHYSICAL] = physical_line
        append(p, FETCH_RECORD | (physical_line << LINE_SHIFT))
    return True


@kernel
def append(p, record):
    """Write one record to the ring; it is published at an instruction boundary."""
    write = p[WRITE]
    store_word(p[RING] + ((write & RING_MASK) << THREE), record)
    p[WRITE] = write + ONE


@kernel
def note_fault(p, outcome, physical, address, access):
    """Describe a failed translation for the kernel.  outcome MAPPED: rights were missing."""
    p[FAULT_ADDRESS] = address
    p[FAULT_ACCESS] = access
    if outcome == MAPPED:
        p[FAULT] = FAULT_RIGHTS
    elif outcome == OUTSIDE:
        p[FAULT] = FAULT_OUTSIDE
        p[FAULT_ADDRESS] = physical
    else:
        p[FAULT] = FAULT_ABSENT


@kernel
def load_code(p, address):
    """Eight bytes of code at virtual `address`, whose first byte is in the current page; bytes of a
    next page are read through its own translation (zero when it has none).
    """
    if address & PAGE_OFFSET <= LAST_WORD:
        return load_unaligned(address + p[CODE_DELTA])
    here = PAGE - (address & PAGE_OFFSET)  # 1 to 7 bytes
    low = load_word((address & ~SEVEN) + p[CODE_DELTA]) >> ((EIGHT - here) << THREE)
    outcome, physical, _ = translate(p, address + here)
    high = load_word(p[MEMORY_BASE] + physical) if outcome == MAPPED else ZERO
    return low | (high << (here << THREE))


@kernel
def byte_class(table, byte):
    """Entry number `byte` of the table of 256 bytes at host address `table`."""
    return (load_word(table + (byte & ~SEVEN)) >> ((byte & SEVEN) << THREE)) & BYTE


@kernel
def atomic_bytes(p):
    """True when the byte-coded instruction at PC is an atomic read-modify-write."""
    code = load_code(p, p[PC])
    for _ in range(8):  # nobody writes eight prefixes
        kind = byte_class(p[BYTE_CLASSES], code & BYTE)
        if kind != ONE:
            return kind == TWO
        code >>= EIGHT
    return False


@kernel
def atomic_word(p):
    """True when the 32-bit instruction at PC is an atomic read-modify-write.

    BYTE_CLASSES says for one of its bytes whether any pattern can match at all.
    """
    code = load_code(p, p[PC])
    if byte_class(p[BYTE_CLASSES], (code >> p[CLASS_SHIFT]) & BYTE) == ZERO:
        return False
    row = p[PATTERNS]
    for _ in range(p[PATTERN_COUNT]):
        if code & load_word(row) == load_word(row + EIGHT):
            return load_word(row + SIXTEEN) != ZERO
        row += ROW_BYTES
    return False


@kernel
def split_over_pages(p, kind, rest_kind, address, size):
    """Records of a reference that goes over the end of a page.

    The part in the next page has a translation of its own.  If that is not there, the instruction
    is about to fault and its records are taken back.
    """
    here = PAGE - (address & PAGE_OFFSET)
    page = load_word(p[PAGE_OF_FRAME] + ((address >> PAGE_SHIFT) << THREE))
    outcome, physical, _ = translate(p, (page + ONE) << PAGE_SHIFT)
    append(p, kind | address | ((here - ONE) << SIZE_AT))
    if outcome == MAPPED:
        append(p, rest_kind | physical | ((size - here - ONE) << SIZE_AT))


@kernel
def page_signature(p, frame):
    """Hash of the 4 KiB at physical byte address `frame`, never 0."""
    at = p[MEMORY_BASE] + frame
    value = HASH_MULTIPLIER
    for _ in range(PAGE_WORDS):
        value = (value ^ load_word(at)) * HASH_MULTIPLIER
        value ^= value >> HASH_SHIFT
        at += EIGHT
    return value | ONE


@kernel
def code_is_current(p, physical):
    """Note that code of this page gets translated; False if it once was from other bytes."""
    frame = physical & ~PAGE_OFFSET
    slot = p[SIGNATURES] + ((frame >> PAGE_SHIFT) << THREE)
    signature = page_signature(p, frame)
    known = load_word(slot)
    store_word(slot, signature)
    return known in (ZERO, signature)


@cfunc(types.void(types.uint64, types.uint64, types.uint32, BLOCK), cache=True)
def code_hook(engine, address, size, p):
    """Before every instruction: count it, or stop before it."""
    if (p[COUNT] >= p[COUNT_LIMIT] or p[WRITE] >= p[EVENT]) and boundary(p):
        stop_engine(engine, p)
        return
    p[COUNT] += ONE
    p[START] = p[WRITE]
    p[PC] = address
    if address >> LINE_SHIFT != p[LINE] and not fetch(p, address):
        p[COUNT] -= ONE
        p[STOP] = HALT_FETCH_FAULT
        stop_engine(engine, p)


MEMORY_HOOK = types.void(types.uint64, types.int32, types.uint64, types.int32, types.int64, BLOCK)


@cfunc(MEMORY_HOOK, cache=True)
def read_hook(engine, kind, address, size, value, p):
    """A load: one record.  address: physical."""
    bytes_minus_one = np.uint64(size) - ONE
    record = LOAD_RECORD
    if p[PATTERN_COUNT] == ZERO:
        if atomic_bytes(p):
            record = ATOMIC_RECORD
    elif atomic_word(p):
        record = ATOMIC_RECORD
    if (address & PAGE_OFFSET) + bytes_minus_one >= PAGE:
        split_over_pages(p, record, LOAD_REST_RECORD, address, bytes_minus_one + ONE)
    else:
        append(p, record | address | (bytes_minus_one << SIZE_AT))


@cfunc(MEMORY_HOOK, cache=True)
def write_hook(engine, kind, address, size, value, p):
    """A store: one record.  address: physical."""
    bytes_minus_one = np.uint64(size) - ONE
    if (address & PAGE_OFFSET) + bytes_minus_one >= PAGE:
        split_over_pages(p, STORE_RECORD, STORE_REST_RECORD, address, bytes_minus_one + ONE)
    else:
        append(p, STORE_RECORD | address | (bytes_minus_one << SIZE_AT))


@cfunc(types.uint8(types.uint64, types.uint64, types.int32, BLOCK, BLOCK), cache=True)
def translation_hook(engine, address, kind, result, p):
    """The translator does not know the page of `address`: walk the page table.

    result: two words, physical address and rights.  Rights to execute are given for fetches only,
    so that the first fetch after any change of mapping comes here and finds out whether the code is
    still the one translated.
    """
    access = np.uint64(kind) - FIRST_TYPE
    right = ONE << access
    outcome, physical, rights = translate(p, address)
    if outcome != MAPPED or rights & right == ZERO:
        note_fault(p, outcome, physical, address, access)
        return 0
    if access == ACCESS_EXECUTE:
        if not code_is_current(p, physical):
            p[FAULT] = FAULT_STALE
            return 0
    else:
        rights &= ~EXECUTE_RIGHT
    store_word(p[PAGE_OF_FRAME] + ((physical >> PAGE_SHIFT) << THREE), address >> PAGE_SHIFT)
    result[0] = physical
    result[1] = rights
    return 1


@cfunc(types.void(types.uint64, types.uint32, BLOCK), cache=True)
def exception_hook(engine, number, p):
    """An exception or software interrupt."""
    p[EXCEPTION] = np.uint64(number)
    p[STOP] = HALT_EXCEPTION
    stop_engine(engine, p)


@cfunc(types.void(types.uint64, BLOCK), cache=True)
def system_call_hook(engine, p):
    """A system-call instruction that is not an exception."""
    p[STOP] = HALT_SYSTEM_CALL
    stop_engine(engine, p)


@kernel
def deny(engine, p):
    """End the run at an instruction that user code may not execute.

    The translator finishes it and stops before the next one, which must then not be counted: its
    code hook is led to `boundary`.
    """
    p[STOP] = HALT_DENIED
    p[COUNT_LIMIT] = ZERO
    stop_engine(engine, p)


@cfunc(types.uint32(types.uint64, types.uint32, types.int32, BLOCK), cache=True)
def port_input_hook(engine, port, size, p):
    """An instruction that reads an I/O port; its value is 0.  The register it overwrites is kept in
    SAVED.
    """
    saved = p[SELF] + SAVED_AT
    call_pointer4(p[REGISTER_READ], engine, p[SAVED_NUMBER], saved, ZERO)
    p[SAVED_VALID] = ONE
    deny(engine, p)
    return 0


@cfunc(types.void(types.uint64, types.uint32, types.int32, types.uint32, BLOCK), cache=True)
def port_output_hook(engine, port, size, value, p):
    """An instruction that writes an I/O port."""
    deny(engine, p)


@cfunc(types.void(types.uint64, BLOCK), cache=True)
def plain_denied_hook(engine, p):
    """An instruction without operands."""
    deny(engine, p)


@cfunc(types.uint32(types.uint64, types.int32, types.uint64, BLOCK), cache=True)
def system_register_hook(engine, register, encoding, p):
    """A read of a system register; `encoding`: host address of five u32 (crn, crm, op0, op1, op2).

    1: denied, do not execute it.  The rows of DENIED_TABLE hold the same five u32 in three words.
    """
    row = p[DENIED_TABLE]
    for _ in range(p[DENIED_COUNT]):
        if (
            load_word(encoding) == load_word(row)
            and load_word(encoding + EIGHT) == load_word(row + EIGHT)
            and load_word(encoding + SIXTEEN) & WORD_MASK == load_word(row + SIXTEEN)
        ):
            deny(engine, p)
            return 1
        row += ROW_BYTES
    return 0


@cfunc(types.uint8(types.uint64, BLOCK), cache=True)
def invalid_hook(engine, p):
    """An undefined instruction; false: not emulated."""
    p[STOP] = HALT_INVALID
    return 0
