"""System calls of AArch64 Linux: numbers, and the structures whose layout differs between ISAs.

Sources: Linux include/uapi/asm-generic/stat.h (struct stat), include/uapi/linux/eventpoll.h
(naturally aligned), arch/arm64/include/uapi/asm/fcntl.h (open flags).  The numbers are the generic
ones.
"""

from cosim.system_call_numbers import GENERIC, PRIVATE_NUMBERS

MACHINE = "aarch64"  # utsname.machine

# Open flags whose value depends on the ISA.
O_DIRECTORY = 0o040000
O_NOFOLLOW = 0o100000
O_DIRECT = 0o200000
O_LARGEFILE = 0o400000

# struct stat: format and the fields in order; *_time_s and *_time_ns are seconds and nanoseconds.
STAT_FORMAT = "<QQIIIIQ8xqi4xqqqqqqq8x"
STAT_FIELDS = (
    "device", "inode", "mode", "links", "user", "group", "device_number",
    "size_bytes", "block_bytes", "blocks",
    "access_time_s", "access_time_ns", "modify_time_s", "modify_time_ns",
    "change_time_s", "change_time_ns",
)  # fmt: skip

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
