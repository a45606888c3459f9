"""How programs for RISC-V 64 are compiled and recognised: facts only, read by the launch layer."""

TARGET = "riscv64-linux-musl"  # what the compiler calls this ISA with a static musl
ELF_MACHINE = "EM_RISCV"  # e_machine of its programs
QEMU = "qemu-riscv64"  # user-mode emulator that runs the same programs, for comparison
# The general-purpose set: integers, multiplication, atomics, both float widths, short encodings.
FLAGS = ("-mcpu=baseline_rv64",)

# Programs for several ISAs at once are compiled by plain clang and linked by plain lld.
ALIGNED_FLAGS = ("-march=rv64imafdc", "-mabi=lp64d")
EMULATION = "elf64lriscv"  # what the linker calls this ISA
MUSL_FOLDER = "riscv64"  # its folder in musl's sources
LINUX_FOLDER = "riscv-linux-any"  # its folder of Linux headers
# Relocation types of calls and jumps: BRANCH, JAL, CALL, CALL_PLT, RVC_BRANCH, RVC_JUMP.  With
# relaxation a function's branches within itself are relocations too.
CALL_RELOCATIONS = frozenset({16, 17, 18, 19, 44, 45})
# (a, b): the thread pointer is td - a * S - b, where td is the thread's descriptor and S the bytes
# of its thread-local variables, which end at td.  Variables start at the register.
THREAD_POINTER_OFFSET = (1, 0)
# (path, old, new) in the copy of musl that such programs get: struct pthread in x86-64's layout
# with variables below it.
MUSL_EDITS = (
    (
        "arch/riscv64/pthread_arch.h",
        "#define TLS_ABOVE_TP\n#define GAP_ABOVE_TP 0\n\n#define DTP_OFFSET 0x800\n",
        "",
    ),
)
