"""Two bare machines with the same memory, one per engine: execute one instruction on both, compare
everything.
"""

import random
from collections.abc import Mapping, Sequence

from cosim.engine.interface import UNLIMITED, Stop
from cosim.units import PAGE_BYTES, MiB
from tests.engine.bare import ALL, READ_WRITE, Bare

CODE_AT = 0x40_0000
CODE_BYTES = 16 * PAGE_BYTES
DATA_AT = 0x0000_7000_0000_0000
DATA_BYTES = 48 * PAGE_BYTES  # the longest scaled offset goes 64 KiB
DATA_MIDDLE = DATA_AT + DATA_BYTES // 3

EDGES = (
    0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF,
    0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE,
)  # fmt: skip
# Floating point: zeros, ones, infinities, quiet and signalling NaNs, denormals, limits.
DOUBLES = (
    0x0, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x7FF0000000000000,
    0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000001234, 0x7FF0000000000001,
    0xFFF4000000000000, 0x1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF,
    0x4340000000000000, 0x3CA0000000000000, 0x43E0000000000000, 0xC3E0000000000000,
    0x41DFFFFFFFC00000, 0x3FE0000000000000, 0x4008000000000000,
)  # fmt: skip
SINGLES = (
    0x0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC01234,
    0x7F800001, 0xFFA00000, 0x1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x4B800000, 0x33800000,
    0x5F000000, 0xDF000000, 0x4F000000, 0x3F000000, 0x40400000,
)  # fmt: skip


def integer(draw: random.Random, bits: int = 64) -> int:
    """An edge, a small number, or any."""
    kind = draw.randrange(4)
    if kind == 0:
        return draw.choice(EDGES) & (1 << bits) - 1
    if kind == 1:
        return draw.getrandbits(draw.randrange(1, bits + 1))
    return draw.getrandbits(bits)


def vector(draw: random.Random) -> int:
    """128 bits of numbers of one kind, or any."""
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice(DOUBLES) | draw.choice(DOUBLES) << 64
    if kind == 1:
        return sum(draw.choice(SINGLES) << 32 * i for i in range(4))
    if kind == 2:
        return integer(draw) | integer(draw) << 64
    if kind == 3:  # doubles of ordinary size
        words = [draw.randrange(1000, 1040) << 52 | draw.getrandbits(52) for _ in range(2)]
        return words[0] | words[1] << 64
    return draw.getrandbits(128)


class Pair:
    """`reference` and `native`: two Bare machines with code at CODE_AT and data around
    DATA_MIDDLE.
    """

    def __init__(self, isa: str, *, block_instructions: int = 1) -> None:
        self.reference = Bare(isa, memory_bytes=16 * MiB, engine="unicorn")
        self.native = Bare(isa, memory_bytes=16 * MiB, engine="native")
        self.native.engine.translator.block_instructions = block_instructions
        self.isa = self.reference.isa
        for bare in (self.reference, self.native):
            bare.writer.inline = True
            bare.map_range(CODE_AT - MiB, 2 * MiB, ALL)  # what literals reach
            bare.map_range(DATA_AT, DATA_BYTES, READ_WRITE)
        pages = range(DATA_AT, DATA_AT + DATA_BYTES, PAGE_BYTES)
        self.data = [self.reference.engine.translate(page) for page in pages]

    def place(self, codes: Sequence[bytes]) -> list[int]:
        """Put them behind each other; their addresses."""
        addresses = []
        at = CODE_AT
        for code in codes:
            addresses.append(at)
            at += len(code)
        assert at < CODE_AT + CODE_BYTES - 64
        for bare in (self.reference, self.native):
            bare.write(CODE_AT, b"".join(codes) + bytes(64))
            bare.engine.flush_tlb()
        return addresses

    def fill_data(self, draw: random.Random) -> None:
        """New contents of the data pages around the middle, the same on both sides."""
        content = b"".join(vector(draw).to_bytes(16, "little") for _ in range(PAGE_BYTES // 16))
        for bare in (self.reference, self.native):
            for page in range(0, DATA_BYTES, PAGE_BYTES):
                bare.write(DATA_AT + page, content)

    def step(self, pc: int, registers: Mapping[str, int], instructions: int = 1) -> None:
        """Execute on both; AssertionError names what differs."""
        outcomes = []
        for bare in (self.reference, self.native):
            engine = bare.engine
            for name, value in registers.items():
                engine.write(name, value)
            engine.write("pc", pc)
            first = bare.writer.written
            begun = engine.instructions
            stop = engine.run(
                instruction_limit=begun + instructions,
                record_limit=UNLIMITED,
                cycle_limit=UNLIMITED,
            )
            outcomes.append(self._outcome(bare, stop, first, begun))
        for name in outcomes[0]:
            wanted, found = outcomes[0][name], outcomes[1][name]
            assert wanted == found, f"{name}: unicorn {wanted}, native {found}"

    def _outcome(self, bare: Bare, stop: Stop, first: int, begun: int) -> dict[str, object]:
        words = bare.engine.register_words()
        found: dict[str, object] = {
            "reason": stop.reason.name,
            "address": hex(stop.address),
            "instructions": bare.engine.instructions - begun,
            "records": [hex(w) for w in bare.stream.ring[first : bare.writer.written]],
        }
        at = 0
        for row in self.isa.registers.REGISTERS:
            size = 2 if row.bits > 64 else 1
            found[row.name] = [hex(word) for word in words[at : at + size]]
            at += size
        found["memory"] = hash(
            b"".join(bare.physical[page : page + PAGE_BYTES].tobytes() for page in self.data)
        )
        return found
