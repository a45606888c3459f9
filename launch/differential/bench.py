"""Where sequences of instructions are compared: a bare machine with a checked engine, code in one
place and data in another.
"""

from collections.abc import Mapping, Sequence

from cosim.engine.interface import Stop
from cosim.engine.native.examples import Draw, vector
from cosim.units import PAGE_BYTES, MiB
from launch.differential.bare import ALL, READ_WRITE, BareMachine

CODE_AT = 0x40_0000
CODE_BYTES = 1 * MiB  # and as much below: what literals reach
DATA_AT = 0x0000_7000_0000_0000
DATA_BYTES = 48 * PAGE_BYTES  # the longest scaled offset goes 64 KiB
DATA_MIDDLE = DATA_AT + DATA_BYTES // 3
EVERY = 1 << 20  # instructions between comparisons: whatever is executed at once
SPARE_BYTES = 64  # of zeros behind code


def nearness(draw: Draw) -> int:
    """Where in the data the accesses of an example go: some over the end of a page."""
    return draw.choice((0, 0, 8, 16, 1, draw.randrange(4096), 4096 - draw.randrange(1, 32)))


class Bench(BareMachine):
    """Code at CODE_AT, data around DATA_MIDDLE.  block_instructions: most that a block has."""

    def __init__(
        self, isa: str, *, engine: str = "checked", block_instructions: int | None = None
    ) -> None:
        super().__init__(isa, engine=engine, check_every=EVERY)
        self._written: list[tuple[int, int]] = []
        if block_instructions is not None:
            self.engine.translator.block_instructions = block_instructions
        self.writer.inline = True
        self.map_range(CODE_AT - CODE_BYTES, 2 * CODE_BYTES, ALL)
        self.map_range(DATA_AT, DATA_BYTES, READ_WRITE)

    def place(self, codes: Sequence[bytes]) -> list[int]:
        """Put them behind each other; their addresses."""
        addresses = []
        at = CODE_AT
        for code in codes:
            addresses.append(at)
            at += len(code)
        assert at < CODE_AT + CODE_BYTES - SPARE_BYTES, "too much code"
        self.put([(CODE_AT, b"".join(codes))])
        return addresses

    def put(self, codes: Sequence[tuple[int, bytes]], *, more: bool = False) -> None:
        """Put code at these addresses; what was put before is cleared, unless there is more."""
        if not more:
            for address, length in self._written:
                self.write(address, bytes(length))
            self._written.clear()
        for address, code in codes:
            self.write(address, code)
            self._written.append((address, len(code)))
        self.engine.flush_tlb()

    def fill_data(self, draw: Draw) -> None:
        """New contents of the data pages, all alike."""
        content = b"".join(vector(draw).to_bytes(16, "little") for _ in range(PAGE_BYTES // 16))
        for page in range(0, DATA_BYTES, PAGE_BYTES):
            self.write(DATA_AT + page, content)

    def step(self, pc: int, registers: Mapping[str, int], instructions: int = 1) -> Stop:
        """Execute on both; EnginesDiffer names what differs."""
        for name, value in registers.items():
            self.engine.write(name, value)
        self.engine.write("pc", pc)
        return self.engine.run(instruction_limit=self.engine.instructions + instructions)
