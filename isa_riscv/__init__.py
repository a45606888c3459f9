"""RISC-V 64: register, paging, trap, system-call, signal, interrupt and linker tables."""

from cosim.isa import Isa

ISA = Isa(name="riscv64", node_name="riscv", elf_machine="EM_RISCV", package="isa_riscv")
