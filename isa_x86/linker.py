"""How programs for x86-64 are compiled and recognised: facts only, read by the launch layer."""

TARGET = "x86_64-linux-musl"  # what the compiler calls this ISA with a static musl
ELF_MACHINE = "EM_X86_64"  # e_machine of its programs
QEMU = "qemu-x86_64"  # user-mode emulator that runs the same programs, for comparison
# The ISA's first baseline: what every tool that we compare with can run.
FLAGS = ("-mcpu=baseline",)

# Programs for several ISAs at once are compiled by plain clang and linked by plain lld.
# musl's sigaction names both restorers; x86-64 has only the one that serves every handler.
ALIGNED_FLAGS = ("-march=x86-64", "-D__restore=__restore_rt")
EMULATION = "elf_x86_64"  # what the linker calls this ISA
MUSL_FOLDER = "x86_64"  # its folder in musl's sources
LINUX_FOLDER = "x86-linux-any"  # its folder of Linux headers
CALL_RELOCATIONS = frozenset({4})  # relocation types: PLT32
# (a, b): the thread pointer is td - a * S - b, where td is the thread's descriptor and S the bytes
# of its thread-local variables, which end at td.  The register points at td itself.
THREAD_POINTER_OFFSET = (0, 0)
# (path, old, new) in the copy of musl that such programs get: a pointer to the kernel's own code
# would exist on some ISAs only.
MUSL_EDITS = (
    ("arch/x86_64/syscall_arch.h", "#define VDSO_CGT_SYM ", "// "),
    ("arch/x86_64/syscall_arch.h", "#define VDSO_GETCPU_SYM ", "// "),
)
