"""System calls of RISC-V Linux: numbers, and the structures whose layout differs between ISAs.

Sources: Linux include/uapi/asm-generic/stat.h (struct stat), include/uapi/linux/eventpoll.h
(naturally aligned), include/uapi/asm-generic/fcntl.h (open flags; RISC-V has no fcntl.h of its
own), arch/riscv/kernel/Makefile.syscalls (which of the generic numbers it has, and its own two).
"""

from cosim.system_call_numbers import (
    GENERIC,
    GENERIC_STAT_FIELDS,
    GENERIC_STAT_FORMAT,
    PRIVATE_NUMBERS,
)

MACHINE = "riscv64"  # utsname.machine

# Open flags whose value depends on the ISA.
O_DIRECT = 0o040000
O_LARGEFILE = 0o100000
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000

STAT_FORMAT, STAT_FIELDS = GENERIC_STAT_FORMAT, GENERIC_STAT_FIELDS

EPOLL_EVENT_FORMAT = "<I4xQ"  # events, data: naturally aligned

# clone(flags, stack, parent_tid, thread_pointer, child_tid): positions of the last two arguments.
CLONE_CHILD_TID_ARGUMENT = 4
CLONE_THREAD_POINTER_ARGUMENT = 3

# What /proc/cpuinfo says of one core; the blank line between cores is added.
CPU_INFORMATION = """processor\t: {core}
hart\t\t: {core}
isa\t\t: rv64imafdc_zicntr_zicsr_zifencei
uarch\t\t: stramash
"""

_OWN = {258: "riscv_hwprobe", 259: "riscv_flush_icache"}
NUMBERS = GENERIC | _OWN | PRIVATE_NUMBERS
del NUMBERS[38]  # renameat: renameat2 was there first
