"""The processor that a node of x86-64 has under each preset: costs, size of its L3, clock.

Costs are cycles of the core that pays.  Not formatted automatically, so that the columns stay
aligned.
"""

from cosim.presets import Processor
from cosim.units import MiB

PROCESSORS = (
    #         preset         l1  l2  l3 mem  remote L3 bytes clock          source
    Processor("paper",       4, 14, 50, 300, 640, 4 * MiB, 2_100_000_000, "paper, Tables 1, 2: Xeon Gold"),
    Processor("paper-small", 4, 12, 38, 300, 640, 4 * MiB, 2_100_000_000, "paper, Tables 1, 2: E5-2620 v4"),
    Processor("artifact",    4, 14, 70, 360, 660, 4 * MiB, 1_000_000_000, "published plugin's constants"),
)
