"""How a kernel touches simulated physical memory: every access is a record in its core's reference
stream.

So kernel data costs what it costs on the machine: it is cached, coherent with other nodes, and
counted. A load or store of at most 8 bytes is one reference; bulk operations make one reference per
64-byte line.

`core` is the core the kernel runs on at this moment.  While it is None (the machine is being put
together, or somebody only looks), nothing is recorded and nothing is charged.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from cosim.engine.stream import KIND_SHIFT, MODE_SHIFT, SIZE_SHIFT, Kind, Mode
from cosim.errors import InvariantError
from cosim.units import LINE_BYTES

RECORDS_PER_APPEND = (
    1024  # well below the ring's slack, so that a bulk operation never outruns the reader
)
LINE_OFFSETS = np.arange(RECORDS_PER_APPEND, dtype=np.uint64) * np.uint64(LINE_BYTES)
WORD_OFFSETS = np.arange(RECORDS_PER_APPEND, dtype=np.uint64) * np.uint64(8)
FEW_LINES = 4  # up to here single appends are faster than building an array


def _discard(_: object) -> None:
    """Where records and charges go while no core is set."""


class KernelMemory:
    """Loads, stores and bulk operations on physical memory, in the name of the current core.

    physical: the whole memory as a (bytes,) u8 array.  costs: instructions by primitive
    (costs.resolve). ideal: references are counted but neither cached nor priced (--ideal-kernel).
    """

    def __init__(
        self, physical: np.ndarray, costs: Mapping[str, int], *, ideal: bool = False
    ) -> None:
        self.size = len(physical)
        self.costs = dict(costs)
        self._host_address = physical.ctypes.data
        self._bytes = physical.data
        self._words = self._bytes.cast("Q")
        self._views = {
            1: self._bytes, 2: self._bytes.cast("H"), 4: self._bytes.cast("I"), 8: self._words,
        }  # fmt: skip
        mode = Mode.KERNEL_IDEAL if ideal else Mode.KERNEL
        self._prefix = {
            kind: tuple(
                int(kind) << KIND_SHIFT | int(mode) << MODE_SHIFT | max(size - 1, 0) << SIZE_SHIFT
                for size in range(LINE_BYTES + 1)
            )
            for kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC_LOAD)
        }
        self._load_prefix = self._prefix[Kind.LOAD]
        self._store_prefix = self._prefix[Kind.STORE]
        self._load_word = self._load_prefix[8]
        self._store_word = self._store_prefix[8]
        self._line_records = {
            kind: LINE_OFFSETS + np.uint64(self._prefix[kind][LINE_BYTES])
            for kind in (Kind.LOAD, Kind.STORE)
        }
        self._word_records = WORD_OFFSETS + np.uint64(self._load_word)
        self.core = None

    @property
    def core(self) -> object:
        """The cosim.core.Core whose kernel is running, or None."""
        return self._core

    @core.setter
    def core(self, core) -> None:
        """Make references and charges in the name of `core` from now on."""
        self._core = core
        self._append = core.writer.append if core is not None else _discard
        self._append_many = core.writer.append_many if core is not None else _discard
        self._charge = core.charge if core is not None else _discard

    @contextmanager
    def uncharged(self) -> Iterator[None]:
        """Inside the block accesses leave no trace: for building the machine, reports and
        digests.
        """
        core, self.core = self._core, None
        try:
            yield
        finally:
            self.core = core

    def charge(self, primitive: str, count: int = 1) -> None:
        """Charge the instructions of `count` times `primitive` (a name of costs.COSTS)."""
        self._charge(self.costs[primitive] * count)

    # --- single references ---

    def load(self, address: int, size: int = 8) -> int:
        """The little-endian unsigned value at `address`; size 1, 2, 4 or 8."""
        if size == 8 and not address & 7:
            self._append(self._load_word | address)
            return self._words[address >> 3]
        self._append(self._load_prefix[size] | address)
        return self.peek(address, size)

    def store(self, address: int, value: int, size: int = 8) -> None:
        """Write the low `size` bytes of `value`."""
        if size == 8 and not address & 7:
            self._append(self._store_word | address)
            self._words[address >> 3] = value & 0xFFFF_FFFF_FFFF_FFFF
            return
        self._append(self._store_prefix[size] | address)
        self.poke(address, value, size)

    def compare_and_swap(self, address: int, expected: int, new: int, size: int = 8) -> int:
        """Atomically replace `expected` by `new`; the value found.  Always a load and a store for
        coherence.
        """
        self._append(self._prefix[Kind.ATOMIC_LOAD][size] | address)
        self._append(self._store_prefix[size] | address)
        found = self.peek(address, size)
        if found == expected:
            self.poke(address, new, size)
        return found

    def load_words(self, address: int, count: int) -> list[int]:
        """`count` consecutive u64 at an 8-byte aligned `address`: one reference each."""
        for first in range(0, count, RECORDS_PER_APPEND):
            part = min(count - first, RECORDS_PER_APPEND)
            self._append_many(self._word_records[:part] + np.uint64(address + 8 * first))
        return self._words[address >> 3 : (address >> 3) + count].tolist()

    # --- whole lines ---

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes: one load per line touched."""
        self._check(address, length)
        self._lines(Kind.LOAD, address, length)
        return self._bytes[address : address + length].tobytes()

    def write(self, address: int, data: bytes) -> None:
        """Write `data`: one store per line touched."""
        self._check(address, len(data))
        self._lines(Kind.STORE, address, len(data))
        self._bytes[address : address + len(data)] = data

    def zero(self, address: int, length: int) -> None:
        """Clear `length` bytes: one store per line touched."""
        self._check(address, length)
        self._lines(Kind.STORE, address, length)
        ctypes.memset(self._host_address + address, 0, length)

    def copy(self, target: int, source: int, length: int) -> None:
        """Copy between places that do not overlap: all loads, then all stores, one per line
        touched.
        """
        self._check(target, length)
        self._check(source, length)
        self._lines(Kind.LOAD, source, length)
        self._lines(Kind.STORE, target, length)
        ctypes.memmove(self._host_address + target, self._host_address + source, length)

    def _check(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self.size:
            raise InvariantError(
                f"kernel memory: {address:#x}..{address + length:#x} is outside the "
                f"{self.size:#x} bytes of physical memory; a kernel structure is corrupt"
            )

    def _lines(self, kind: Kind, address: int, length: int) -> None:
        """Record one reference for each line of [address, address + length)."""
        prefix = self._prefix[kind]
        head = -address & (LINE_BYTES - 1)
        if head:
            head = min(head, length)
            self._append(prefix[head] | address)
            address += head
            length -= head
        count, tail = divmod(length, LINE_BYTES)
        if count <= FEW_LINES:
            for _ in range(count):
                self._append(prefix[LINE_BYTES] | address)
                address += LINE_BYTES
        else:
            while count:
                part = min(count, RECORDS_PER_APPEND)
                self._append_many(self._line_records[kind][:part] + np.uint64(address))
                address += part * LINE_BYTES
                count -= part
        if tail:
            self._append(prefix[tail] | address)

    # --- without a trace ---

    def peek(self, address: int, size: int = 8) -> int:
        """The value at `address`, neither charged nor recorded."""
        if address & (size - 1):
            return int.from_bytes(self._bytes[address : address + size], "little")
        return self._views[size][address >> size.bit_length() - 1]

    def poke(self, address: int, value: int, size: int = 8) -> None:
        """Write without charge or record."""
        value &= (1 << 8 * size) - 1
        if address & (size - 1):
            self._bytes[address : address + size] = value.to_bytes(size, "little")
        else:
            self._views[size][address >> size.bit_length() - 1] = value

    @property
    def words(self) -> memoryview:
        """Physical memory as u64 words, for walks that hardware would make (no record)."""
        return self._words
