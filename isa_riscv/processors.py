"""The processor that a node of RISC-V has under each preset: costs, size of its L3, clock.

Costs are cycles of the core that pays.  Not formatted automatically, so that the columns stay
aligned.

The paper has no RISC-V.  The core is SiFive's P550 as in ESWIN's EIC7700X: 1.4 GHz, 4 MiB of L3.
The latencies of its caches are estimates.  Memory and remote memory cost what the paper's other
processor beside the Xeon pays.
"""

from cosim.presets import Processor
from cosim.units import MiB

PROCESSORS = (
    #         preset         l1  l2  l3 mem  remote L3 bytes clock          source
    Processor("paper",       3, 13, 38, 300, 620, 4 * MiB, 1_400_000_000, "estimate: SiFive P550; memory: paper, ThunderX2"),
    Processor("paper-small", 3, 13, 38, 300, 780, 4 * MiB, 1_400_000_000, "estimate: SiFive P550; memory: paper, Cortex-A72"),
    Processor("artifact",    4,  9, 50, 360, 660, 4 * MiB, 1_000_000_000, "published plugin's constants for what is not x86"),
)
