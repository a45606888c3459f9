"""How far a core may run before it has to look at its exact clock.

A finite limit must not be passed, but in pipelined mode the price of recent references is not known
yet.  So the core runs only as far as is safe at the worst possible price, settles, and goes on;
near the limit it prices inline, where every instruction boundary is exact.
"""

from typing import NamedTuple

from cosim.engine.interface import UNLIMITED

INLINE_BELOW_CYCLES = 200_000  # nearer to the limit, waiting costs more than inline pricing
RECORDS_MIN = 512  # a pipelined stretch shorter than one publication is not worth its wait
WORST_REFERENCE_CYCLES = 20_000  # when the memory system did not say: ten times any preset's worst


class Stretch(NamedTuple):
    """One run of the engine: its mode, and the most instructions and records it may take."""

    inline: bool
    instructions: int
    records: int


def stretch(remaining_cycles: int, worst_reference_cycles: int, ipc: tuple[int, int]) -> Stretch:
    """The next stretch of an uncontended core that may use `remaining_cycles` busy cycles.

    Half of them pays for instructions (ipc: numerator, denominator), half for records at the worst
    price; one instruction may go over the record limit by its own records, which the inline rest
    absorbs.
    """
    if remaining_cycles >= UNLIMITED // 2:
        return Stretch(False, UNLIMITED, UNLIMITED)
    half = remaining_cycles // 2
    records = half // worst_reference_cycles
    if remaining_cycles < INLINE_BELOW_CYCLES or records < RECORDS_MIN:
        return Stretch(True, UNLIMITED, UNLIMITED)
    return Stretch(False, half * ipc[0] // ipc[1], records - RECORDS_MIN // 2)
