"""Registers of AArch64 that user code sees, and their values in a new process.

Source: Arm ARM DDI 0487J, B1.2 (registers in AArch64 execution state), C5.2 (special-purpose
registers).
"""

from cosim.register_tables import R

ENGINE_ARCHITECTURE = "UC_ARCH_ARM64"
ENGINE_MODE = "UC_MODE_ARM"
ENGINE_MODEL = "UC_CPU_ARM64_MAX"  # the only model with the LSE atomics

GENERAL = tuple(R(f"x{i}", f"UC_ARM64_REG_X{i}", 64) for i in range(31))
CONTROL = (
    R("sp", "UC_ARM64_REG_SP", 64),
    R("pc", "UC_ARM64_REG_PC", 64),
    R("nzcv", "UC_ARM64_REG_NZCV", 32),
    R("tpidr_el0", "UC_ARM64_REG_TPIDR_EL0", 64),
)
FLOATING_POINT = (
    R("fpcr", "UC_ARM64_REG_FPCR", 32),
    R("fpsr", "UC_ARM64_REG_FPSR", 32),
    *(R(f"v{i}", f"UC_ARM64_REG_Q{i}", 128) for i in range(32)),
)
REGISTERS = GENERAL + CONTROL + FLOATING_POINT

OUTSIDE_CONTEXT = ()  # the engine's contexts hold all registers

# Not user state, but set once to bring the translator into user mode (traps.USER_ENTRY).
SYSTEM = ()

# Names every ISA has.
ALIASES = {"flags": "nzcv", "thread_pointer": "tpidr_el0"}

# Base registers by number (31 is the stack pointer).
BASE_BY_NUMBER = (*(f"x{i}" for i in range(31)), "sp")

# General registers by the number instructions use; None: reads as zero, writes are lost.
BY_NUMBER = (*(f"x{i}" for i in range(31)), None)

# Calling a function: registers of the first arguments, and what the stack pointer is modulo 16 when
# it begins (x86-64 has pushed a return address).
FUNCTION_ARGUMENTS = ("x0", "x1")
FUNCTION_STACK_BIAS_BYTES = 0
