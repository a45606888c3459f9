"""The processor that a node of AArch64 has under each preset: costs, size of its L3, clock.

Costs are cycles of the core that pays.  Not formatted automatically, so that the columns stay
aligned.
"""

from cosim.presets import Processor
from cosim.units import MiB

# The Cortex-A72 has no L3: its l3 price (the E5's) counts only where all nodes share one L3.
PROCESSORS = (
    #         preset         l1  l2  l3 mem  remote L3 bytes clock          source
    Processor("paper",       4,  9, 30, 300, 620, 4 * MiB, 2_000_000_000, "paper, Tables 1, 2: ThunderX2"),
    Processor("paper-small", 4,  9, 38, 300, 780, 0,       3_000_000_000, "paper, Tables 1, 2: Cortex-A72"),
    Processor("artifact",    4,  9, 50, 360, 660, 4 * MiB, 1_000_000_000, "published plugin's constants"),
)
