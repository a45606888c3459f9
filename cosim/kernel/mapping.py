"""Numbers that mmap and its relatives are called with, the fixed places of the user address space,
and fault signals.

The numbers are Linux' generic ones (include/uapi/asm-generic/mman-common.h, mman.h, siginfo.h);
x86-64, AArch64 and RISC-V agree on them.  The places are the same on every ISA, so that an address
means the same wherever a thread runs.

```text
 0x0000_0001_0000  MINIMUM      lowest address a mapping may have
 0x5555_5555_4000  PIE_BASE     static-pie programs; heap behind the image, growing up
 0x7fff_0000_0000  MMAP_BASE    mappings, growing down
 0x7fff_fffe_f000  STACK_TOP    main stack, growing down, 8 MiB at most
 0x7fff_ffff_f000  USER_END     (the 64 KiB between stay empty)
```
"""

from typing import NamedTuple

from cosim.units import PAGE_BYTES, KiB, MiB

PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 0, 1, 2, 4
PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC

MAP_SHARED = 0x01
MAP_PRIVATE = 0x02
MAP_TYPE = 0x0F
MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20
MAP_GROWSDOWN = 0x100
MAP_NORESERVE = 0x4000
MAP_POPULATE = 0x8000
MAP_STACK = 0x20000
MAP_FIXED_NOREPLACE = 0x100000

MREMAP_MAYMOVE = 1
MREMAP_FIXED = 2

MINIMUM = 64 * KiB
PIE_BASE = 0x5555_5555_4000
MMAP_BASE = 0x7FFF_0000_0000
USER_END = (1 << 47) - PAGE_BYTES
STACK_TOP = USER_END - 64 * KiB
STACK_BYTES_MAX = 8 * MiB
STACK_BYTES_FIRST = 132 * KiB
STACK_GUARD_BYTES = (
    256 * PAGE_BYTES
)  # kept free below a stack that may grow (Linux' stack_guard_gap)
AREAS_MAX = 65530  # Linux' vm.max_map_count

SIGBUS = 7
SIGKILL = 9
SIGSEGV = 11
SEGV_MAPERR = 1  # nothing is mapped there
SEGV_ACCERR = 2  # it is mapped without that right
BUS_ADRERR = 2  # the page lies behind the end of its file
SI_KERNEL = 0x80  # sent by the kernel: out of memory


class Signal(NamedTuple):
    """The signal a fault becomes: number, si_code, faulting address."""

    number: int
    code: int
    address: int
