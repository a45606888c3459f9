"""Registers of x86-64 that user code sees, and their values in a new process.

Sources: Intel SDM volume 1, chapters 3.4 (general), 8.1 (x87), 10.2 (SSE); initial values: the
psABI, section "Process Initialization" (x87 control word 0x37f, MXCSR 0x1f80, flags with interrupts
enabled).
"""

from cosim.register_tables import R

ENGINE_ARCHITECTURE = "UC_ARCH_X86"
ENGINE_MODE = "UC_MODE_64"
# SSE4.2, POPCNT, AES: everything the translator really executes, and no random-number instruction
# of the host.
ENGINE_MODEL = "UC_CPU_X86_WESTMERE"

GENERAL = tuple(
    R(name, f"UC_X86_REG_{name.upper()}", 64)
    for name in ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                 "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
)
CONTROL = (
    R("rip", "UC_X86_REG_RIP", 64),
    R("rflags", "UC_X86_REG_EFLAGS", 64, 0x202),
    R("fs_base", "UC_X86_REG_FS_BASE", 64),
    R("gs_base", "UC_X86_REG_GS_BASE", 64),
)
FLOATING_POINT = (
    R("fpcw", "UC_X86_REG_FPCW", 16, 0x37F),
    R("fpsw", "UC_X86_REG_FPSW", 16),
    R("fptag", "UC_X86_REG_FPTAG", 16, 0xFFFF),
    R("mxcsr", "UC_X86_REG_MXCSR", 32, 0x1F80),
    *(R(f"st{i}", f"UC_X86_REG_FP{i}", 80) for i in range(8)),
    *(R(f"xmm{i}", f"UC_X86_REG_XMM{i}", 128) for i in range(16)),
)
REGISTERS = GENERAL + CONTROL + FLOATING_POINT

OUTSIDE_CONTEXT = ()  # the engine's contexts hold all registers

# Not user state, but set once to bring the translator into user mode (traps.USER_ENTRY).
SYSTEM = (
    R("cr0", "UC_X86_REG_CR0", 64),
    R("cr4", "UC_X86_REG_CR4", 64),
)

# Names every ISA has.
ALIASES = {"pc": "rip", "sp": "rsp", "flags": "rflags", "thread_pointer": "fs_base"}

# Registers by the number instructions use, as base and as operand.
BASE_BY_NUMBER = BY_NUMBER = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
             "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")

# Calling a function: registers of the first arguments, and what the stack pointer is modulo 16 when
# it begins (x86-64 has pushed a return address).
FUNCTION_ARGUMENTS = ("rdi", "rsi")
FUNCTION_STACK_BIAS_BYTES = 8
