"""Registers of RISC-V 64 that user code sees, and their values in a new process.

Sources: RISC-V Unprivileged ISA, chapters "RV64I" and "F Standard Extension" (fcsr); names of the
integer registers: RISC-V ELF psABI, "Integer Register Convention".
"""

from cosim.register_tables import R

ENGINE_ARCHITECTURE = "UC_ARCH_RISCV"
ENGINE_MODE = "UC_MODE_RISCV64"
# RV64GC.  The models of real chips differ in what the machine mode has, for example memory
# protection that would have to be opened.
ENGINE_MODEL = "UC_CPU_RISCV64_ANY"

# x1 to x31; x0 is always zero.
NAMES = (
    "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
    "t3", "t4", "t5", "t6",
)
GENERAL = tuple(R(name, f"UC_RISCV_REG_X{i}", 64) for i, name in enumerate(NAMES, 1))
CONTROL = (
    R("pc", "UC_RISCV_REG_PC", 64),
)
FLOATING_POINT = (
    R("fcsr", "UC_RISCV_REG_FCSR", 32),
    *(R(f"f{i}", f"UC_RISCV_REG_F{i}", 64) for i in range(32)),
)
REGISTERS = GENERAL + CONTROL + FLOATING_POINT

# Parts that the engine's contexts do not hold: the sticky flags are kept beside the registers and
# put into fcsr when it is read.
OUTSIDE_CONTEXT = ("fcsr",)

# Not user state, but set once to bring the translator into user mode (traps.USER_ENTRY).
SYSTEM = (
    R("mstatus", "UC_RISCV_REG_MSTATUS", 64),
    R("mepc", "UC_RISCV_REG_MEPC", 64),
    R("mcounteren", "UC_RISCV_REG_MCOUNTEREN", 64),
)

# Names every ISA has.  There is no register of flags.
ALIASES = {"thread_pointer": "tp"}

# General registers by the number instructions use; None: reads as zero, writes are lost.
BASE_BY_NUMBER = BY_NUMBER = (None, *NAMES)

# Calling a function: registers of the first arguments, and what the stack pointer is modulo 16 when
# it begins (x86-64 has pushed a return address).
FUNCTION_ARGUMENTS = ("a0", "a1")
FUNCTION_STACK_BIAS_BYTES = 0
