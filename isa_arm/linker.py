"""How programs for AArch64 are compiled and recognised: facts only, read by the launch layer."""

TARGET = "aarch64-linux-musl"  # what the compiler calls this ISA with a static musl
ELF_MACHINE = "EM_AARCH64"  # e_machine of its programs
QEMU = "qemu-aarch64"  # user-mode emulator that runs the same programs, for comparison
# Armv8.0; atomics inline, not through helpers that ask the kernel which CPU this is.
FLAGS = ("-mcpu=baseline", "-mno-outline-atomics")

# Programs for several ISAs at once are compiled by plain clang and linked by plain lld.
ALIGNED_FLAGS = ("-march=armv8-a", "-mno-outline-atomics")
EMULATION = "aarch64linux"  # what the linker calls this ISA
MUSL_FOLDER = "aarch64"  # its folder in musl's sources
LINUX_FOLDER = "aarch64-linux-any"  # its folder of Linux headers
CALL_RELOCATIONS = frozenset({282, 283})  # relocation types: JUMP26, CALL26
# (a, b): the thread pointer is td - a * S - b, where td is the thread's descriptor and S the bytes
# of its thread-local variables, which end at td.  Variables follow 16 bytes behind the
# register, rounded up to their alignment of 64.
THREAD_POINTER_OFFSET = (1, 64)
# (path, old, new) in the copy of musl that such programs get: struct pthread in x86-64's layout
# with variables below it, and no pointer to the kernel's own code, which some ISAs lack.
MUSL_EDITS = (
    ("arch/aarch64/pthread_arch.h", "#define TLS_ABOVE_TP\n#define GAP_ABOVE_TP 16\n", ""),
    ("arch/aarch64/syscall_arch.h", "#define VDSO_CGT_SYM ", "// "),
)
