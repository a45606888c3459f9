"""A machine with one core and no kernel: memory, page tables, one engine, a fake memory system."""

import mmap
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile

from cosim import isa as isas
from cosim.engine import choice
from cosim.engine.interface import UNLIMITED, Reason, Stop
from cosim.engine.stream import CORE_STREAM_BYTES, CoreStream
from cosim.engine.writer import StreamWriter
from cosim.paging import EntryKind, Protection
from cosim.units import PAGE_BYTES, MiB, align_down, align_up
from tests.engine.fake_port import FakeMemory

READ_WRITE = Protection.READ | Protection.WRITE
CODE = Protection.READ | Protection.EXECUTE
ALL = READ_WRITE | Protection.EXECUTE
STACK_TOP = 0x7FFF_FFFF_F000
STACK_BYTES = 1 * MiB
ENGINE = "unicorn"  # of machines that do not say; see conftest
TABLES_AT = 1 * MiB  # first frame that is handed out


class Bare:
    """The machine.  `engine`, `memory` (FakeMemory), `writer`, `isa`; frames are handed out in
    order.
    """

    def __init__(
        self, name: str, *, levels: int = 4, memory_bytes: int = 128 * MiB, **options
    ) -> None:
        self.isa = isas.find(name)
        self.format = self.isa.paging.FORMATS[levels]
        self.physical = np.frombuffer(mmap.mmap(-1, memory_bytes), dtype=np.uint8)
        self.stream = CoreStream(np.zeros(CORE_STREAM_BYTES, dtype=np.uint8), 0)
        self.memory = FakeMemory(self.stream, options.pop("cost_cycles", 1))
        self.engine = choice.make(
            options.pop("engine", ENGINE),
            self.isa,
            self.physical,
            self.stream,
            levels=levels,
            port=self.memory.port,
            worst_reference_cycles=20_000,
            **options,
        )
        self.writer = StreamWriter(self.engine.control, self.stream)
        self.next_frame = TABLES_AT
        self.root = self.frame()
        self.engine.set_translation(self.root, 0)

    def frame(self) -> int:
        self.next_frame += PAGE_BYTES
        return self.next_frame - PAGE_BYTES

    def word(self, address: int) -> np.ndarray:
        return self.physical[address : address + 8].view(np.uint64)

    def entry_address(self, virtual: int) -> int:
        """Physical address of the last-level entry for `virtual`; tables are made on the way."""
        table = self.root
        for number, level in enumerate(self.format.levels[:-1]):
            at = table + 8 * level.index(virtual)
            kind, physical, _ = level.decode(int(self.word(at)[0]))
            if kind == EntryKind.INVALID:
                physical = self.frame()
                self.word(at)[0] = self.format.encode_table(number, physical)
            table = physical
        return table + 8 * self.format.levels[-1].index(virtual)

    def map(self, virtual: int, protection: Protection = ALL, physical: int | None = None) -> int:
        """Map one page; its frame."""
        physical = self.frame() if physical is None else physical
        entry = self.format.encode_page(physical, protection)
        self.word(self.entry_address(virtual))[0] = entry
        return physical

    def unmap(self, virtual: int) -> None:
        self.word(self.entry_address(virtual))[0] = 0
        self.engine.flush_tlb()

    def map_range(self, start: int, length: int, protection: Protection = ALL) -> None:
        for page in range(
            align_down(start, PAGE_BYTES), align_up(start + length, PAGE_BYTES), PAGE_BYTES
        ):
            if self.engine.translate(page) is None:
                self.map(page, protection)

    def write(self, virtual: int, data: bytes) -> None:
        """Copy into virtual memory, page by page, whatever its rights."""
        while data:
            part = data[: PAGE_BYTES - virtual % PAGE_BYTES]
            physical = self.engine.translate(virtual)
            assert physical is not None
            self.physical[physical : physical + len(part)] = np.frombuffer(part, dtype=np.uint8)
            virtual += len(part)
            data = data[len(part) :]

    def read(self, virtual: int, length: int) -> bytes:
        physical = self.engine.translate(virtual)
        assert physical is not None and physical % PAGE_BYTES + length <= PAGE_BYTES
        return self.physical[physical : physical + length].tobytes()

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
