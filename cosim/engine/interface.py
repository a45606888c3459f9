"""The engine interface: what a node needs from whatever executes its guest instructions.

An engine runs one core.  It knows registers, translation and the reference stream; it knows no
kernel.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Reason(IntEnum):
    """Why `run` came back."""

    LIMIT = 0  # the cycle or instruction limit was reached, exactly
    SYSTEM_CALL = 1  # the system-call instruction was executed (and counted); PC is behind it
    PAGE_FAULT = 2  # translation or permission; PC is at the instruction, which was not counted
    ILLEGAL = 3  # undefined or privileged instruction; PC at it, not counted
    BREAKPOINT = 4  # int3, brk, ebreak; PC at it, not counted
    ARITHMETIC = 5  # integer division fault or similar (SIGFPE); PC at it, not counted
    CLOCK_READ = 6  # rdtsc, rdtscp, mrs CNTVCT_EL0, rdtime; PC at it, see Stop.clock_form
    MACHINE_CHECK = 7  # physical address outside the map
    ALIGNMENT = 8  # alignment fault (SIGBUS); PC at it, not counted


class Access(IntEnum):
    """What a faulting access wanted."""

    READ = 0
    WRITE = 1
    EXECUTE = 2


@dataclass(frozen=True)
class Stop:
    """One return of `run`.

    address: faulting virtual address (PAGE_FAULT, MACHINE_CHECK: physical).  access: see Access.
    present: the fault hit a present entry with too few rights.  detail: free text for reports.
    clock_form: engine-private description of a CLOCK_READ, handed back to `complete_clock_read`.
    """

    reason: Reason
    address: int = 0
    access: Access = Access.READ
    present: bool = False
    detail: str = ""
    clock_form: object = None


class Engine(Protocol):
    """One core's executor.

    Cycle accounting: busy cycles = (user + kernel instructions) * cycles per instruction + memory
    cycles.  In *inline* mode references are priced at each instruction boundary by the memory port
    and the limit is exact; in *pipelined* mode they go to the ring and `cycle_limit` is honoured
    conservatively (see pacing).
    """

    def run(self, *, instruction_limit: int, record_limit: int, cycle_limit: int) -> Stop:
        """Execute until a stop.  All limits are absolute: user instructions executed ever, records
        written ever, busy cycles ever (inline mode only; pass UNLIMITED otherwise).
        """
        ...

    @property
    def instructions(self) -> int:
        """User instructions executed so far (u64, exact)."""
        ...

    def read(self, register: str) -> int: ...
    def write(self, register: str, value: int) -> None: ...

    def save(self) -> object:
        """The whole architectural state of the running thread; opaque, for `restore` of an engine
        of the same ISA.
        """
        ...

    def restore(self, context: object) -> None: ...

    def set_translation(self, root: int, asid: int) -> None:
        """Use the page table whose root frame is at physical byte address `root`; flushes what must
        be flushed.
        """
        ...

    def flush_tlb(self, address: int | None = None) -> None:
        """Forget translations: of one page, or all."""
        ...

    def complete_clock_read(self, form: object, cycles: int) -> None:
        """Finish a CLOCK_READ instruction with this counter value: writes its registers and steps
        PC over it.
        """
        ...

    def register_words(self) -> list[int]:
        """Every architectural register as integers in a fixed order, for the state digest."""
        ...


UNLIMITED = (1 << 63) - 1
