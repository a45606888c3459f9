"""A machine with one core and no kernel, with a fake memory system, that loads programs."""

from pathlib import Path

from elftools.elf.elffile import ELFFile

from cosim.engine.interface import UNLIMITED, Reason, Stop
from cosim.engine.stream import CoreStream
from cosim.paging import Protection
from cosim.units import PAGE_BYTES, MiB
from launch.differential.bare import ALL, READ_WRITE, BareMachine
from tests.engine.fake_port import FakeMemory

__all__ = ["ALL", "CODE", "READ_WRITE", "STACK_TOP", "Bare"]

CODE = Protection.READ | Protection.EXECUTE
STACK_TOP = 0x7FFF_FFFF_F000
STACK_BYTES = 1 * MiB
ENGINE = "unicorn"  # of machines that do not say; see conftest


class Bare(BareMachine):
    """The machine.  `memory`: FakeMemory."""

    def __init__(self, name: str, *, memory_bytes: int = 128 * MiB, **options) -> None:
        cost = options.pop("cost_cycles", 1)

        def port(stream: CoreStream) -> tuple[int, int]:
            self.memory = FakeMemory(stream, cost)
            return self.memory.port

        engine = options.pop("engine", ENGINE)
        super().__init__(name, engine=engine, port=port, memory_bytes=memory_bytes, **options)

    def load(self, path: Path) -> None:
        """Map and copy a static ELF, and a stack."""
        with path.open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                self.map_range(segment["p_vaddr"], segment["p_memsz"])
                self.write(segment["p_vaddr"], segment.data())
            self.entry = elf["e_entry"]
        self.map_range(STACK_TOP - STACK_BYTES, STACK_BYTES, READ_WRITE)
        self.start(self.entry, STACK_TOP - 256)

    def program(self, code: bytes, at: int = 0x40_0000) -> None:
        """Map a little program and a stack, ready to run."""
        self.map_range(at, len(code) + 16)
        self.write(at, code)
        self.map_range(STACK_TOP - PAGE_BYTES, PAGE_BYTES, READ_WRITE)
        self.start(at, STACK_TOP - 256)

    def start(self, pc: int, sp: int) -> None:
        self.engine.reset()
        self.engine.write("pc", pc)
        self.engine.write("sp", sp)

    def run(self, budget: int = UNLIMITED) -> Stop:
        """Run in slices of `budget` instructions until something other than the limit stops it."""
        while True:
            limit = min(self.engine.instructions + budget, UNLIMITED)
            stop = self.engine.run(
                instruction_limit=limit, record_limit=UNLIMITED, cycle_limit=UNLIMITED
            )
            if stop.reason != Reason.LIMIT:
                return stop
            assert self.engine.instructions == limit

    def arguments(self) -> tuple[int, int]:
        """Number and first argument of the system call it stopped at."""
        traps = self.isa.traps
        return self.engine.read(traps.SYSTEM_CALL_NUMBER), self.engine.read(
            traps.SYSTEM_CALL_ARGUMENTS[0]
        )
