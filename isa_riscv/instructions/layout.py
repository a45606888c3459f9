"""Where the registers of RISC-V are in the native engine's state, and what can be patched.

Fields of all forms: d the destination, n, m and a the sources (rs1, rs2, rs3), i the immediate,
already put together, with its sign.
"""

from collections.abc import Callable

from cosim.engine.native.table import Instruction, Layout
from isa_riscv.registers import NAMES, REGISTERS

# `monitor` is 1 after a block made or used a reservation, and then the next two are valid; 0: Unicorn
# has the reservation.  Register 0 reads as `zero` and is written to `sink`.
OWN = (
    "zero",
    "sink",
    "monitor",
    "monitor_address",
    "monitor_value",
    "host_control",  # room for the host's floating-point control and status
)
LAYOUT = Layout([(row.name, row.bits) for row in REGISTERS], [(name, 64) for name in OWN])

READ = (LAYOUT["zero"], *(LAYOUT[name] for name in NAMES))
WRITE = (LAYOUT["sink"], *READ[1:])
FLOAT = tuple(LAYOUT[f"f{i}"] for i in range(32))
ADDRESSES = 0xFFFF_FFFF_FFFF_FFFF

HOLES: dict[str, Callable[[Instruction, str], int]] = {
    "read": lambda i, f: READ[i.fields[f]],
    "write": lambda i, f: WRITE[i.fields[f]],
    "float": lambda i, f: FLOAT[i.fields[f]],
    "number": lambda i, f: i.fields[f],
    "behind": lambda i, f: i.pc + i.length,
    "ahead": lambda i, f: i.pc + i.fields[f] & ADDRESSES,
}


# Reading and writing registers in semantics functions.


def x(e, field: str, bits: int = 64):
    """The low bits of an integer register; 0 is zero."""
    return e.read("read", field, bits)


def set_x(e, field: str, value) -> None:
    """Integer register, sign-extended; 0 is dropped."""
    e.write("write", field, value.sext(64))


def number(e, field: str = "i", bits: int = 64):
    """The immediate."""
    return e.immediate("number", field, bits)


def fp(e, field: str, shape):
    """The low bits of a floating-point register, as a type."""
    return e.read("float", field, shape=shape)


def set_fp(e, field: str, value) -> None:
    """Floating-point register: an integer.

    The reference engine puts zeros above a result of single precision, where the manual has ones
    (12.2, NaN boxing), and does not look at what is above an operand.
    """
    e.write("float", field, value.zext(64))
