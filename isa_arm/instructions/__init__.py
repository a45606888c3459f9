"""A64 for the native engine: the register file, the holes, and the table of forms.

Source: Arm ARM DDI 0487J, C4.1 (encodings), C6.2 (base instructions), C7.2 (SIMD and FP).
"""

from typing import Any

from cosim.engine.native.state import HOST_ROUNDING, HOST_ROUNDING_SHIFT, StateWord
from cosim.engine.native.table import Instruction, WordDecoder
from isa_arm.instructions import (
    atomics,
    branches,
    floating,
    integer,
    memory,
    structures,
    system,
    vector_arithmetic,
    vector_floating,
    vector_logic,
    vector_permutes,
    vector_shifts,
    vector_widths,
)
from isa_arm.instructions.floats import ROUNDING_SHIFT
from isa_arm.instructions.layout import HOLES, LAYOUT

MEMORY_ROWS = (*memory.ROWS, *atomics.ROWS, *structures.ROWS)
VECTORS = (
    vector_permutes,
    vector_logic,
    vector_arithmetic,
    vector_widths,
    vector_shifts,
    vector_floating,
)
ROWS = (
    *integer.ROWS,
    *branches.ROWS,
    *system.ROWS,
    *MEMORY_ROWS,
    *floating.ROWS,
    *(row for module in VECTORS for row in module.ROWS),
)
DECODER = WordDecoder(ROWS)

FLAGS = tuple(LAYOUT.word(name) for name in ("negative", "zero_result", "carry", "overflow"))
MONITOR = LAYOUT.word("monitor")  # its address and value follow
NZCV, FPCR, FPSR = (LAYOUT.word(name) for name in ("nzcv", "fpcr", "fpsr"))

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

SYSTEM = 0b1101010100  # instructions that name a system register


def decode(code: bytes, pc: int) -> Instruction | None:
    """The instruction at the start of `code`; None: it has no row."""
    found = DECODER.decode(int.from_bytes(code[:4], "little"))
    if found is None:
        return None
    found.pc = pc
    if found.row.ends:
        found.target = branches.target(found)
    return found


def name_of(code: bytes) -> str:
    """What a form without a row is called: the bits of its encoding class, or the register."""
    word = int.from_bytes(code[:4], "little")
    if word >> 22 == SYSTEM:
        return f"{word & ~0x1F:#010x}"
    return f"{word >> 21 << 21 | word & 0xFC00:#010x}"


# Sticky flags of MXCSR -> of FPSR (C5.2.8).  The host's denormal flag has no counterpart.
HOST_FLAGS = {1 << 0: 1 << 0, 1 << 2: 1 << 1, 1 << 3: 1 << 2, 1 << 4: 1 << 3, 1 << 5: 1 << 4}
HOST_MASK = 0x3F
FPCR_ROUNDING = 3 << ROUNDING_SHIFT
# FPCR.RMode (nearest, up, down, zero) -> MXCSR's rounding control.
HOST_ROUNDINGS = (0, 2, 1, 3)


def unpack(words: Any) -> None:
    """Registers came from Unicorn: NZCV into four slots; the host's flags are clear, and it rounds
    as the guest.
    """
    nzcv = words[NZCV]
    negative, zero_result, carry, overflow = FLAGS
    words[negative] = (nzcv >> 31 & 1) << 63
    words[zero_result] = ~nzcv >> 30 & 1
    words[carry] = nzcv >> 29 & 1
    words[overflow] = nzcv >> 28 & 1
    rounding = HOST_ROUNDINGS[words[FPCR] >> ROUNDING_SHIFT & 3]
    others = words[StateWord.FLOATING] & ~(HOST_MASK | HOST_ROUNDING)
    words[StateWord.FLOATING] = others | rounding << HOST_ROUNDING_SHIFT
    words[MONITOR] = 0


def pack(words: Any) -> None:
    """Registers go back to Unicorn."""
    negative, zero_result, carry, overflow = FLAGS
    words[NZCV] = (
        words[negative] >> 63 << 31
        | (words[zero_result] == 0) << 30
        | words[carry] << 29
        | words[overflow] << 28
    )
    raised = words[StateWord.FLOATING] & HOST_MASK
    if raised:
        words[FPSR] |= sum(ours for host, ours in HOST_FLAGS.items() if raised & host)


def exclusive(words: Any) -> tuple[int, int] | None:
    """Address and value of the exclusive monitor if blocks changed it."""
    return (words[MONITOR + 1], words[MONITOR + 2]) if words[MONITOR] else None


def usable(words: Any) -> bool:
    """False: this thread's floating-point control is not the default one, but for rounding."""
    return words[FPCR] & ~FPCR_ROUNDING == 0
