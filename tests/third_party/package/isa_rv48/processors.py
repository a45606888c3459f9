"""The one processor that the small RISC-V has."""

from cosim.presets import Processor
from cosim.units import MiB

PROCESSORS = (Processor("paper", 2, 8, 20, 200, 500, 1 * MiB, 1_000_000_000, "an example"),)
