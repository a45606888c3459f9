"""A RISC-V with 48-bit addresses only: what somebody else's package may look like.

It runs the programs of `riscv64`, and takes from its package all that it does not have itself.
"""

from cosim.isa import Isa

ISA = Isa(
    name="rv48",
    node_name="small",
    elf_machine="EM_RISCV",
    package="isa_rv48",
    variant=1,
    base="isa_riscv",
)
