"""A memory system of three lines: every record costs the same.  Inline as a port, pipelined as a
thread.

`state` is one u64 array: see Slot.  Counts are kept by Kind, so tests can ask for loads, stores and
fetches.
"""

import threading
from enum import IntEnum

import numpy as np
from numba import cfunc, types

from cosim.compiled import kernel, load_acquire, load_word, store_release, store_word
from cosim.engine.stream import KIND_SHIFT, RING_RECORDS, Alongside, CoreStream, Kind, Word


class Slot(IntEnum):
    """Words of the state: counts by kind first."""

    COUNTS = 0
    HEADER = 16
    RING = 17
    COST = 18
    END = 19  # the thread stops when this is 1
    HASH = 20  # of all records in their order
    WORDS = 24


U = np.uint64
HEAD_AT, TAIL_AT, CYCLES_AT = U(Word.HEAD * 8), U(Word.TAIL * 8), U(Word.CYCLES * 8)
MASK = U(RING_RECORDS - 1)
ONE, THREE, EIGHT = U(1), U(3), U(8)
NOBODY = U(Alongside.NOBODY)
SHIFT = U(KIND_SHIFT)
HEADER_AT, RING_AT, COST_AT, END_AT, HASH_AT = (
    U(s * 8) for s in (Slot.HEADER, Slot.RING, Slot.COST, Slot.END, Slot.HASH)
)
MULTIPLIER = U(0x9E3779B97F4A7C15)


@kernel
def consume(state, head):
    """Consume the ring up to record `head`; memory cycles so far.  state: host address of the
    words.
    """
    header = load_word(state + HEADER_AT)
    ring = load_word(state + RING_AT)
    tail = load_word(header + TAIL_AT)
    cycles = load_word(header + CYCLES_AT)
    if tail >= head:
        return cycles  # in inline mode HEAD stands still and TAIL belongs to the port
    total = load_word(state + HASH_AT)
    while tail < head:
        record = load_word(ring + ((tail & MASK) << THREE))
        place = state + ((record >> SHIFT) << THREE)
        store_word(place, load_word(place) + ONE)
        cycles += load_word(state + COST_AT)
        total = (total ^ record) * MULTIPLIER
        tail += ONE
    store_word(state + HASH_AT, total)
    store_word(header + CYCLES_AT, cycles)
    store_release(header + TAIL_AT, tail)
    return cycles


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def port(state, core, head, alongside):
    """The memory port.  It leaves what is published to the thread."""
    return consume(state, head) if alongside == NOBODY else U(0)


@kernel
def consume_until_end(state):
    """What the memory system's process does: consume what is published, until END is set."""
    header = load_word(state + HEADER_AT)
    while load_acquire(state + END_AT) == U(0):
        consume(state, load_acquire(header + HEAD_AT))


class FakeMemory:
    """Port and consumer of one core's stream."""

    def __init__(self, stream: CoreStream, cost_cycles: int = 1) -> None:
        self.state = np.zeros(Slot.WORDS, dtype=np.uint64)
        self.state[Slot.HEADER] = stream.header_address
        self.state[Slot.RING] = stream.ring_address
        self.state[Slot.COST] = cost_cycles
        self.address = self.state.ctypes.data
        self.port = (port.address, self.address)
        self._thread: threading.Thread | None = None

    def count(self, kind: Kind) -> int:
        return int(self.state[kind])

    @property
    def stream_hash(self) -> int:
        """Of all records consumed, in their order."""
        return int(self.state[Slot.HASH])

    @property
    def data_references(self) -> int:
        return sum(self.count(kind) for kind in (Kind.LOAD, Kind.STORE, Kind.ATOMIC_LOAD))

    def __enter__(self) -> "FakeMemory":
        """Consume in a thread from now on."""
        self._thread = threading.Thread(target=consume_until_end, args=(np.uint64(self.address),))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.state[Slot.END] = 1
        assert self._thread is not None
        self._thread.join()
