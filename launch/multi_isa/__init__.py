"""Programs that migrate between instruction sets: one C source becomes one ELF per ISA, with every
function, variable, string literal and thread-local variable at the same address.
"""

from launch.multi_isa.pair import check_pair, layout_of
from launch.multi_isa.program import build
from launch.multi_isa.toolchain import ISAS

__all__ = ["ISAS", "build", "check_pair", "layout_of"]
