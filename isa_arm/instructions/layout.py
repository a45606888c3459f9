"""Where the registers of A64 are in the native engine's state, and what can be patched."""

from collections.abc import Callable

from cosim.engine.native.table import Instruction, Layout
from isa_arm.registers import REGISTERS

# Flags as QEMU keeps them: N is the sign of `negative`, Z says `zero_result` is 0, C and V are 0 or
# 1. `monitor` is 1 after an exclusive access of a block, and then the next two are valid; 0: Unicorn
# has the monitor. Register 31 reads as `zero` and is written to `sink`.
OWN = (
    "zero",
    "sink",
    "negative",
    "zero_result",
    "carry",
    "overflow",
    "monitor",
    "monitor_address",
    "monitor_value",
    "host_control",  # room for the host's floating-point control and status
)
LAYOUT = Layout([(row.name, row.bits) for row in REGISTERS], [(name, 64) for name in OWN])

X = [LAYOUT[f"x{i}"] for i in range(31)]
READ = (*X, LAYOUT["zero"])
WRITE = (*X, LAYOUT["sink"])
BASE = (*X, LAYOUT["sp"])
VECTOR = tuple(LAYOUT[f"v{i}"] for i in range(32))

HOLES: dict[str, Callable[[Instruction, str], int]] = {
    "read": lambda i, f: READ[i.fields[f]],
    "write": lambda i, f: WRITE[i.fields[f]],
    "base": lambda i, f: BASE[i.fields[f]],
    "vector": lambda i, f: VECTOR[i.fields[f]],
    "vector0": lambda i, f: VECTOR[i.fields[f]],
    "vector1": lambda i, f: VECTOR[(i.fields[f] + 1) % 32],
    "vector2": lambda i, f: VECTOR[(i.fields[f] + 2) % 32],
    "vector3": lambda i, f: VECTOR[(i.fields[f] + 3) % 32],
    "unsigned": lambda i, f: i.fields[f],
}


def hole(function: Callable[[Instruction, str], int]) -> Callable[[Instruction, str], int]:
    """Register a kind of hole by the function's name."""
    HOLES[function.__name__] = function
    return function


def signed(value: int, bits: int) -> int:
    """The two's complement number of so many bits."""
    return value - (value >> bits - 1 << bits)


# Reading and writing registers in semantics functions.


def x(e, field: str, bits: int = 64):
    """General register; 31 is zero."""
    return e.read("read", field, bits)


def set_x(e, field: str, value) -> None:
    """General register, zero-extended; 31 is dropped."""
    e.write("write", field, value.zext(64))


def base(e, field: str, bits: int = 64):
    """General register; 31 is SP."""
    return e.read("base", field, bits)


def set_base(e, field: str, value) -> None:
    """General register, zero-extended; 31 is SP."""
    e.write("base", field, value.zext(64))


def v(e, field: str, shape):
    """The low bits of a SIMD and FP register, as a type."""
    return e.read("vector", field, shape=shape)


def set_v(e, field: str, value) -> None:
    """SIMD and FP register: an integer, zero-extended to 128 bits."""
    e.write("vector", field, value.zext(128))
