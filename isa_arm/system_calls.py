"""System calls of AArch64 Linux: numbers, and the structures whose layout differs between ISAs.

Sources: Linux include/uapi/asm-generic/stat.h (struct stat), include/uapi/linux/eventpoll.h
(naturally aligned), arch/arm64/include/uapi/asm/fcntl.h (open flags).  The numbers are the generic
ones.
"""

from cosim.system_call_numbers import (
    GENERIC,
    GENERIC_STAT_FIELDS,
    GENERIC_STAT_FORMAT,
    PRIVATE_NUMBERS,
)

MACHINE = "aarch64"  # utsname.machine

# Open flags whose value depends on the ISA.
O_DIRECTORY = 0o040000
O_NOFOLLOW = 0o100000
O_DIRECT = 0o200000
O_LARGEFILE = 0o400000

STAT_FORMAT, STAT_FIELDS = GENERIC_STAT_FORMAT, GENERIC_STAT_FIELDS

EPOLL_EVENT_FORMAT = "<I4xQ"  # events, data: naturally aligned

# clone(flags, stack, parent_tid, thread_pointer, child_tid): positions of the last two arguments.
CLONE_CHILD_TID_ARGUMENT = 4
CLONE_THREAD_POINTER_ARGUMENT = 3

# What /proc/cpuinfo says of one core; the blank line between cores is added.
CPU_INFORMATION = """processor\t: {core}
BogoMIPS\t: 125.00
Features\t: fp asimd
CPU implementer\t: 0x00
CPU architecture: 8
"""

NUMBERS = GENERIC | PRIVATE_NUMBERS
