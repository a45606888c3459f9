"""Barriers, hints and the system registers that user code has."""

from cosim.engine.native.emitter import VOID
from cosim.engine.native.table import Row
from isa_arm.instructions.layout import set_x, x


def nothing(e, f):
    """nop, barriers, hints.  Pointer authentication is off: its hints are no operations."""


# yield, wfe, wfi, dgh and xpaclri are Unicorn's.
OTHER_HINTS = (1, 2, 3, 6, 7)


def is_nothing(w) -> bool:
    """A hint without an effect."""
    return (w["m"] << 3 | w["p"]) not in OTHER_HINTS


def read_thread_pointer(e, f):
    """mrs of tpidr_el0."""
    set_x(e, "t", e.get("tpidr_el0"))


def write_thread_pointer(e, f):
    """msr of tpidr_el0."""
    e.set("tpidr_el0", x(e, "t"))


def read_flags(e, f):
    """mrs of nzcv."""
    negative = e.get("negative") >> 63 << 31
    zero_result = e.get("zero_result").eq(0).zext(64) << 30
    set_x(e, "t", negative | zero_result | e.get("carry") << 29 | e.get("overflow") << 28)


def write_flags(e, f):
    """msr of nzcv."""
    value = x(e, "t")
    e.set("negative", value << 32)
    e.set("zero_result", ((value >> 30) & 1) ^ 1)
    e.set("carry", (value >> 29) & 1)
    e.set("overflow", (value >> 28) & 1)


def read_control(e, f):
    """mrs of fpcr."""
    set_x(e, "t", e.get("fpcr", 32))


def write_control(e, f):
    """msr of fpcr: to change how the host rounds is not a block's."""
    e.leave_if(x(e, "t").ne(e.get("fpcr", 32).zext(64)))


# The sticky flags that blocks raise are the host's: MXCSR's bits 0 and 2 to 5 are FPSR's 0 to 4.
HOST_FLAGS = 0x3F
STATUS = 0xF800_009F  # bits that FPSR has


def host_control(e):
    """MXCSR."""
    e.call("llvm.x86.sse.stmxcsr", VOID, e.pointer("host_control"))
    return e.get("host_control", 32)


def read_status(e, f):
    """mrs of fpsr."""
    host = host_control(e)
    set_x(e, "t", e.get("fpsr", 32) | (host & 1) | ((host >> 1) & 0x1E))


def write_status(e, f):
    """msr of fpsr."""
    e.set("host_control", host_control(e) & ~HOST_FLAGS)
    e.call("llvm.x86.sse.ldmxcsr", VOID, e.pointer("host_control"))
    e.set("fpsr", x(e, "t", 32) & STATUS)


# What kind of processor it is: the values of the reference engine's.
CACHE_TYPE = 0x8444_C004
ZERO_BLOCK = 0x14  # dc zva is not there: see traps


def identify(number: int):
    """mrs of a register that never changes."""
    return lambda e, f: set_x(e, "t", e.constant(number))


# fmt: off
ROWS = (
    Row("barrier", "11010101000000110011 mmmm 10 p 11111", "C6.2.108", nothing, where=lambda v: v["p"] == 1 or v["m"] not in (0, 4)),
    Row("read_thread_pointer", "110101010011 1011 1101 0000 010 ttttt", "C6.2.228", read_thread_pointer),
    Row("write_thread_pointer", "110101010001 1011 1101 0000 010 ttttt", "C6.2.230", write_thread_pointer),
    Row("instruction_barrier", "11010101000000110011 mmmm 110 11111", "C6.2.137", nothing),
    Row("hint", "11010101000000110010 mmmm ppp 11111", "C6.2.126", nothing, where=is_nothing),
    Row("read_flags", "110101010011 1011 0100 0010 000 ttttt", "C6.2.228", read_flags),
    Row("write_flags", "110101010001 1011 0100 0010 000 ttttt", "C6.2.230", write_flags),
    Row("read_control", "110101010011 1011 0100 0100 000 ttttt", "C6.2.228", read_control),
    Row("write_control", "110101010001 1011 0100 0100 000 ttttt", "C6.2.230", write_control),
    Row("read_status", "110101010011 1011 0100 0100 001 ttttt", "C6.2.228", read_status),
    Row("write_status", "110101010001 1011 0100 0100 001 ttttt", "C6.2.230", write_status),
    Row("read_cache_type", "110101010011 1011 0000 0000 001 ttttt", "D17.2.34", identify(CACHE_TYPE)),
    Row("read_zero_block", "110101010011 1011 0000 0000 111 ttttt", "D17.2.36", identify(ZERO_BLOCK)),
)
# fmt: on
