"""Cache geometries and snoop costs that runs start from, and the names of the presets.  A pure
table: nothing computed.

What a core of an instruction set costs under each preset is in that set's own package
(`processors.py`).  Not formatted automatically, so that the columns stay aligned.
"""

from typing import NamedTuple

from cosim.units import KiB, MiB


class Processor(NamedTuple):
    """What one core pays for the level that serves an access, in its own cycles, and its clock."""

    preset: str
    l1: int
    l2: int
    l3: int
    memory: int
    remote: int
    l3_size_bytes: int  # 0: the processor has no third level
    frequency_hz: int
    source: str


# fmt: off
# Same in every preset.  Source: the published plugin's geometry and its one snoop cost.
GEOMETRY = {
    #       bytes      ways
    "l1i": (32 * KiB,  8),
    "l1d": (32 * KiB,  8),
    "l2":  (1 * MiB,   16),
    "l3":  (4 * MiB,   16),
}
SNOOP_COSTS = {
    "cost.snoop_data": 70,
    "cost.snoop_invalidate": 70,
    "cost.back_invalidate": 70,
}
FETCH_HIT_CYCLES = 0  # a fetch that hits L1I is inside the one cycle of its instruction
# fmt: on
PRESETS = ("paper", "paper-small", "artifact")
DEFAULT_PRESET = "paper"
