"""Cache geometries, access costs and clocks that runs start from.  A pure table: nothing computed.

Costs are cycles of the core that pays.  `other` is the column of every instruction set without one
of its own.  Not formatted automatically, so that the columns stay aligned.
"""

from typing import NamedTuple

from cosim.units import KiB, MiB


class CostRow(NamedTuple):
    """What one core pays for the level that serves an access, and the clock it counts in."""

    preset: str
    isa: str
    l1: int
    l2: int
    l3: int
    memory: int
    remote: int
    l3_size_bytes: int  # 0: the processor has no third level
    frequency_hz: int
    source: str


# fmt: off
# The Cortex-A72 has no L3: its l3 price (the E5's) counts only where all nodes share one L3.
COSTS = (
    #       preset         isa       l1  l2  l3 mem  remote L3 bytes clock          source
    CostRow("paper",       "x86_64", 4, 14, 50, 300, 640, 4 * MiB, 2_100_000_000, "paper, Tables 1, 2: Xeon Gold"),
    CostRow("paper",       "other",  4,  9, 30, 300, 620, 4 * MiB, 2_000_000_000, "paper, Tables 1, 2: ThunderX2"),
    CostRow("paper-small", "x86_64", 4, 12, 38, 300, 640, 4 * MiB, 2_100_000_000, "paper, Tables 1, 2: E5-2620 v4"),
    CostRow("paper-small", "other",  4,  9, 38, 300, 780, 0,       3_000_000_000, "paper, Tables 1, 2: Cortex-A72"),
    CostRow("artifact",    "x86_64", 4, 14, 70, 360, 660, 4 * MiB, 1_000_000_000, "published plugin's constants"),
    CostRow("artifact",    "other",  4,  9, 50, 360, 660, 4 * MiB, 1_000_000_000, "published plugin's constants"),
)

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
DEFAULT_PRESET = "paper"
PRESETS = tuple(dict.fromkeys(row.preset for row in COSTS))
BY_NAME = {(row.preset, row.isa): row for row in COSTS}
