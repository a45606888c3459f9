"""How programs for AArch64 are compiled and recognised: facts only, read by the launch layer."""

TARGET = "aarch64-linux-musl"  # what the compiler calls this ISA with a static musl
ELF_MACHINE = "EM_AARCH64"  # e_machine of its programs
QEMU = "qemu-aarch64"  # user-mode emulator that runs the same programs, for comparison
# Armv8.0; atomics inline, not through helpers that ask the kernel which CPU this is.
FLAGS = ("-mcpu=baseline", "-mno-outline-atomics")
