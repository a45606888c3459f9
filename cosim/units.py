"""Units, and the only place where cycles, picoseconds and nanoseconds are converted.

A core counts *cycles* of its own clock; the machine orders cores by *virtual time* in integer
picoseconds. Both are plain Python integers, so nothing rounds differently on another host.
"""

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30

LINE_BYTES = 64
LINE_SHIFT = 6
PAGE_BYTES = 4096
PAGE_SHIFT = 12

PS_PER_SECOND = 10**12
PS_PER_NS = 1000

FOREVER_PS = (1 << 63) - 1  # later than any instant a run can reach: 106 days of virtual time


def ps_of_cycles(cycles: int, frequency_hz: int) -> int:
    """Virtual time, in ps, at which `cycles` of a clock of `frequency_hz` have passed (rounded
    down).
    """
    return cycles * PS_PER_SECOND // frequency_hz


def cycles_of_ps(ps: int, frequency_hz: int) -> int:
    """The first cycle of a clock of `frequency_hz` that is not before `ps` (rounded up).

    Inverse of ps_of_cycles in the sense the scheduler needs: ps_of_cycles(cycles_of_ps(t)) >= t.
    """
    return -(-ps * frequency_hz // PS_PER_SECOND)


def cycles_of_instructions(instructions: int, ipc: tuple[int, int]) -> int:
    """Cycles that instructions take by themselves.  ipc: numerator and denominator."""
    return instructions * ipc[1] // ipc[0]


def page_of(address: int) -> int:
    """Page number (frame number when the address is physical)."""
    return address >> PAGE_SHIFT


def align_down(value: int, alignment: int) -> int:
    """The largest multiple of `alignment` that is not above `value`."""
    return value - value % alignment


def align_up(value: int, alignment: int) -> int:
    """The smallest multiple of `alignment` that is not below `value`."""
    return -(-value // alignment) * alignment
