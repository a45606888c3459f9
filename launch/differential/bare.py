"""A machine with one core and no kernel: memory, page tables, one engine."""

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cfunc, types

from cosim import isa as isas
from cosim.engine import choice
from cosim.engine.stream import CORE_STREAM_BYTES, CoreStream
from cosim.engine.writer import StreamWriter
from cosim.paging import EntryKind, Protection
from cosim.units import PAGE_BYTES, MiB, align_down, align_up

TABLES_AT = 1 * MiB  # first frame that is handed out
READ_WRITE = Protection.READ | Protection.WRITE
ALL = READ_WRITE | Protection.EXECUTE


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def free_port(argument, core, head, alongside):
    """A memory port: nothing costs anything."""
    return np.uint64(0)


def free_memory(stream: CoreStream) -> tuple[int, int]:
    """Port of a memory system that takes all records of a core that prices them itself."""
    return free_port.address, 0


class BareMachine:
    """`engine`, `stream`, `writer`, `isa`, `physical`; frames are handed out in order.

    name: of the ISA.  engine: see choice.  port: what makes the memory port of the core's stream.
    options: further ones of the engine.
    """

    def __init__(
        self,
        name: str,
        *,
        engine: str,
        port: Callable[[CoreStream], tuple[int, int]] = free_memory,
        levels: int = 4,
        memory_bytes: int = 16 * MiB,
        **options: Any,
    ) -> None:
        self.isa = isas.find(name)
        self.format = self.isa.paging.FORMATS[levels]
        self.physical = np.frombuffer(mmap.mmap(-1, memory_bytes), dtype=np.uint8)
        self.stream = CoreStream(np.zeros(CORE_STREAM_BYTES, dtype=np.uint8), 0)
        self.engine = choice.make(
            engine, self.isa, self.physical, self.stream, levels=levels, port=port(self.stream),
            worst_reference_cycles=20_000, **options,
        )  # fmt: skip
        self.writer = StreamWriter(self.engine.control, self.stream)
        self.next_frame = TABLES_AT
        self.root = self.frame()
        self.engine.set_translation(self.root, 0)

    def frame(self) -> int:
        """Physical address of a frame that nobody has."""
        self.next_frame += PAGE_BYTES
        return self.next_frame - PAGE_BYTES

    def word(self, address: int) -> np.ndarray:
        """The u64 at a physical address, as an array of one."""
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
        """Take a page's entry away."""
        self.word(self.entry_address(virtual))[0] = 0
        self.engine.flush_tlb()

    def map_range(self, start: int, length: int, protection: Protection = ALL) -> None:
        """Map the pages of a range that are not."""
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
            assert physical is not None, hex(virtual)
            self.physical[physical : physical + len(part)] = np.frombuffer(part, dtype=np.uint8)
            virtual += len(part)
            data = data[len(part) :]

    def read(self, virtual: int, length: int) -> bytes:
        """Bytes of one page of virtual memory."""
        physical = self.engine.translate(virtual)
        assert physical is not None and physical % PAGE_BYTES + length <= PAGE_BYTES, hex(virtual)
        return self.physical[physical : physical + length].tobytes()
