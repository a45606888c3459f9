"""Page tables of the small RISC-V: Sv48 however many levels are asked for."""

from isa_riscv.paging import FORMATS as ALL

FORMATS = dict.fromkeys(ALL, ALL[4])
