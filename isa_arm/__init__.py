"""AArch64: register, paging, trap, system-call, signal, interrupt and linker tables."""

from cosim.isa import Isa

ISA = Isa(name="aarch64", node_name="arm", elf_machine="EM_AARCH64", package="isa_arm")
