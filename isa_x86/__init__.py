"""x86-64: register, paging, trap, system-call, signal, interrupt and linker tables."""

from cosim.isa import Isa

ISA = Isa(name="x86_64", node_name="x86", elf_machine="EM_X86_64", package="isa_x86")
