"""Row types of the `traps` tables of ISA packages."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Clock(IntEnum):
    """What a clock-reading instruction returns."""

    COUNTER = 0  # the cycle counter
    FREQUENCY = 1  # its frequency in Hz


@dataclass(frozen=True)
class ClockRead:
    """An instruction that reads a clock: (first bytes, little endian) & mask == value.

    length: bytes of the instruction.  low_high: registers that get the two 32-bit halves; or, when
    empty, the destination is register number (word >> field[0]) & (2**field[1] - 1) of the general
    registers.  zeroed: registers set to 0.
    """

    length: int
    mask: int
    value: int
    clock: Clock
    low_high: tuple[str, ...] = ()
    zeroed: tuple[str, ...] = ()
    field: tuple[int, int] = (0, 0)


class DeniedForm(IntEnum):
    """Shape of an instruction the translator has to ask about."""

    PLAIN = 0  # no operands
    PORT_INPUT = 1
    PORT_OUTPUT = 2
    SYSTEM_REGISTER = 3  # denied only for the registers in DENIED_SYSTEM_REGISTERS


@dataclass(frozen=True)
class DeniedInstruction:
    """An instruction the translator executes in user mode though it must not: its constant."""

    engine_name: str
    form: DeniedForm


@dataclass(frozen=True)
class AtomicForms:
    """How to tell an atomic read-modify-write from its first bytes.

    byte_classes: 256 classes for byte-coded ISAs (0 other, 1 prefix, 2 atomic), empty otherwise.
    word_patterns: (mask, value, is atomic) rows of 32-bit ISAs, first match decides.
    class_byte: which byte of a word, 0 the lowest, tells most others apart: no row is tried when it
    fits none.
    """

    byte_classes: bytes
    word_patterns: tuple[tuple[int, int, bool], ...]
    class_byte: int = 3


@dataclass(frozen=True)
class UserEntry:
    """Code that brings the translator from its reset state to user mode.

    code: machine code that ends in user mode right behind itself.
    registers: values to set before (None: the address right behind the code).
    model_registers: number -> value of registers that exist by number only.
    hidden_words: (words, other words): what to change in the translator's state that no register
    shows; the words of 8 bytes stand there once, one behind the other.  Done in user mode.
    """

    code: bytes
    registers: Mapping[str, int | None]
    model_registers: Mapping[int, int]
    hidden_words: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class MonitorProbe:
    """A load exclusive of 8 bytes, to find the translator's monitor."""

    code: bytes
    address_register: str
