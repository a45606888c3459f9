"""RISC-V 64 for the native engine: the register file, the holes, and the table of forms.

Source: The RISC-V Instruction Set Manual, volume I, 20191213; a row's section is one of its.
"""

from typing import Any

from cosim.engine.native.state import StateWord
from cosim.engine.native.table import Instruction
from isa_riscv.instructions import (
    atomics,
    branches,
    compressed,
    floating,
    integer,
    memory,
    system,
)
from isa_riscv.instructions.decoder import Decoder
from isa_riscv.instructions.layout import HOLES, LAYOUT
from isa_riscv.instructions.system import (
    HOST_FLAGS,
    HOST_MASK,
    ROUNDING_BITS,
    ROUNDING_SHIFT,
)

MEMORY_ROWS = (*memory.ROWS, *atomics.ROWS)
ROWS = (
    *integer.ROWS,
    *branches.ROWS,
    *system.ROWS,
    *MEMORY_ROWS,
    *floating.ROWS,
    *compressed.ROWS,
)
DECODER = Decoder(ROWS)

MONITOR = LAYOUT.word("monitor")  # its address and value follow
FCSR = LAYOUT.word("fcsr")

__all__ = [
    "DECODER",
    "HOLES",
    "LAYOUT",
    "MEMORY_ROWS",
    "ROWS",
    "decode",
    "name_of",
    "pack",
    "unpack",
    "usable",
]

LONG = 3  # the lowest bits of an instruction of 32 bits
SYSTEM = 0x73  # opcode of those that name a control and status register


def decode(code: bytes, pc: int) -> Instruction | None:
    """The instruction at the start of `code`; None: it has no row."""
    found = DECODER.decode(code)
    if found is None:
        return None
    found.pc = pc
    if found.row.ends:
        found.target = branches.target(found)
    return found


def name_of(code: bytes) -> str:
    """What a form without a row is called: the bits that choose it."""
    word = int.from_bytes(code[:4], "little")
    if word & LONG != LONG:
        return f"{word & 0xFFFF:#06x}"
    return f"{word & (0xFFF0707F if word & 0x7F == SYSTEM else 0xFE00707F):#010x}"


def unpack(words: Any) -> None:
    """Registers came from Unicorn: host flags clear, the reservation is Unicorn's."""
    words[StateWord.FLOATING] &= ~HOST_MASK
    words[MONITOR] = 0


def pack(words: Any) -> None:
    """Registers go back to Unicorn."""
    raised = words[StateWord.FLOATING] & HOST_MASK
    if raised:
        words[FCSR] |= sum(ours for host, ours in HOST_FLAGS.items() if raised & host)


def exclusive(words: Any) -> tuple[int, int] | None:
    """Address and value of the reservation if blocks changed it."""
    return (words[MONITOR + 1], words[MONITOR + 2]) if words[MONITOR] else None


def usable(words: Any) -> bool:
    """False: this thread does not round to nearest."""
    return words[FCSR] >> ROUNDING_SHIFT & ROUNDING_BITS == 0
