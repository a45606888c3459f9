"""x86-64 for the native engine: the register file, the holes, and the table of forms.

Source: Intel SDM volume 2 (a row's section is the heading of its instruction), volume 1, 3.4 and 10.2.
"""

from typing import Any

import numpy as np

from cosim.engine.native.state import HOST_ROUNDING, StateWord
from cosim.engine.native.table import Instruction
from isa_x86.instructions import branches, extensions, floating, integer, memory, vector
from isa_x86.instructions.decoder import Decoder
from isa_x86.instructions.flags import STATUS, helper, settle
from isa_x86.instructions.layout import HOLES, LAYOUT
from isa_x86.instructions.plan import plan

ROWS = (
    *integer.ROWS,
    *branches.ROWS,
    *memory.ROWS,
    *vector.ROWS,
    *floating.ROWS,
    *extensions.ROWS,
)
DECODER = Decoder(ROWS)
HELPER_ADDRESS = helper.address

RFLAGS, KIND, WORD, MXCSR = (
    LAYOUT.word(name) for name in ("rflags", "flags_kind", "flags_word", "mxcsr")
)
MXCSR_CONTROL = 0xFFC0 & ~HOST_ROUNDING  # without the sticky flags and the rounding mode
MXCSR_DEFAULT = 0x1F80

__all__ = [
    "DECODER",
    "HELPER_ADDRESS",
    "HOLES",
    "LAYOUT",
    "ROWS",
    "decode",
    "name_of",
    "pack",
    "plan",
    "unpack",
    "usable",
]


def decode(code: bytes, pc: int) -> Instruction | None:
    """The instruction at the start of `code`; None: it has no row."""
    return DECODER.decode(code, pc)


def name_of(code: bytes) -> str:
    """What a form without a row is called."""
    return DECODER.name_of(code)


def unpack(words: Any) -> None:
    """Registers came from Unicorn: all flags stand in one word, the host rounds as the guest."""
    words[WORD] = words[RFLAGS] & STATUS
    words[KIND] = 0
    others = words[StateWord.FLOATING] & ~HOST_ROUNDING
    words[StateWord.FLOATING] = others | words[MXCSR] & HOST_ROUNDING


def pack(words: Any) -> None:
    """Registers go back to Unicorn."""
    if words[KIND]:
        settle(np.uint64(np.frombuffer(words, dtype=np.uint64).ctypes.data))
    words[RFLAGS] = words[RFLAGS] & ~STATUS | words[WORD] & STATUS


def usable(words: Any) -> bool:
    """False: this thread's floating-point control is not the default one, but for rounding."""
    return words[MXCSR] & MXCSR_CONTROL == MXCSR_DEFAULT
