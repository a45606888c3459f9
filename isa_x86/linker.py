"""How programs for x86-64 are compiled and recognised: facts only, read by the launch layer."""

TARGET = "x86_64-linux-musl"  # what the compiler calls this ISA with a static musl
ELF_MACHINE = "EM_X86_64"  # e_machine of its programs
QEMU = "qemu-x86_64"  # user-mode emulator that runs the same programs, for comparison
# The ISA's first baseline: what every tool that we compare with can run.
FLAGS = ("-mcpu=baseline",)
