"""The kernel's end of a core's reference stream: it writes behind the hooks, into the same ring.

Also the place where a core changes between the two modes of the stream: *pipelined*, where the
memory system consumes what is published while the core goes on, and *inline*, where the core prices
its records itself through the memory port, so that its cycle count is exact at every instruction.
"""

import time

import numpy as np

from cosim.compiled import (
    call_pointer,
    call_pointer4,
    kernel,
    load_acquire,
    load_word,
    store_release,
)
from cosim.engine.control import Control
from cosim.engine.stream import (
    PUBLISH_RECORDS,
    RING_RECORDS,
    RING_SLACK,
    Alongside,
    CoreStream,
    Word,
)
from cosim.errors import MachineError

MASK = RING_RECORDS - 1
ROOM_RECORDS = RING_RECORDS - RING_SLACK
SPINS = np.int64(20_000)  # about 10 ms of waiting before Python looks at signals and time again
STALL_SECONDS_MAX = 60.0  # the memory system consumes millions of records a second

TAIL_AT = np.uint64(Word.TAIL * 8)
HEAD_AT = np.uint64(Word.HEAD * 8)
STOP_AT = np.uint64(Word.STOP * 8)
ZERO = np.uint64(0)
NOBODY, MEMORY_SYSTEM = (np.uint64(who) for who in Alongside)


@kernel
def publish(header, head):
    """Let the memory system see records up to `head`.  header: host address, u64."""
    store_release(header + HEAD_AT, head)


@kernel
def wait_for_tail(header, wanted, sched_yield, spins, port, argument, core):
    """Have records consumed until TAIL >= wanted, by this process when the memory system's is not
    at it; False if not after `spins` looks, or at the machine's end.
    """
    for _ in range(spins):
        if load_acquire(header + TAIL_AT) >= wanted:
            return True
        if load_word(header + STOP_AT) != ZERO:
            return False
        call_pointer4(port, argument, core, wanted, MEMORY_SYSTEM)
        if load_acquire(header + TAIL_AT) < wanted:
            call_pointer(sched_yield, ZERO)
    return False


@kernel
def price(port, argument, core, head):
    """Consume the ring up to `head` through the memory port; memory cycles so far, u64."""
    return call_pointer4(port, argument, core, head, NOBODY)


class StreamWriter:
    """Appends kernel references and settles the stream of one core.

    control: the block shared with the hooks, (CONTROL_WORDS,) u64.  stream: the core's header and
    ring.
    """

    def __init__(self, control: np.ndarray, stream: CoreStream) -> None:
        self._words = memoryview(control.data)
        self._header = memoryview(stream.header.data)
        self._ring = memoryview(stream.ring.data)
        self._ring_array = stream.ring
        self._header_address = np.uint64(stream.header_address)
        self._yield = control[Control.SCHED_YIELD]
        self._port = tuple(
            control[place] for place in (Control.PORT, Control.PORT_ARGUMENT, Control.CORE)
        )
        self._publish_at = PUBLISH_RECORDS
        self.waiting_seconds = 0.0  # host time spent waiting for the memory system

    @property
    def written(self) -> int:
        """Records written ever."""
        return self._words[Control.WRITE]

    @property
    def inline(self) -> bool:
        """True while records are priced by the core itself."""
        return bool(self._words[Control.INLINE])

    @inline.setter
    def inline(self, wanted: bool) -> None:
        """Change the mode; the stream is settled first, so every record belongs to one mode."""
        if wanted == self.inline:
            return
        cycles = self.settle()
        words = self._words
        words[Control.INLINE] = int(wanted)
        words[Control.CYCLES] = cycles
        words[Control.PRICED] = words[Control.PUBLISHED] = words[Control.WRITE]
        publish(self._header_address, np.uint64(words[Control.WRITE]))

    def append(self, record: int) -> None:
        """Write one record."""
        write = self._words[Control.WRITE]
        self._ring[write & MASK] = record
        self._words[Control.WRITE] = write = write + 1
        if write >= self._publish_at:
            self._make_room(write)

    def append_many(self, records: np.ndarray) -> None:
        """Write many records, (n,) u64 with n <= RING_SLACK."""
        count = len(records)
        if count > RING_SLACK:
            raise ValueError(f"append_many: {count} records, at most {RING_SLACK} at once")
        write = self._words[Control.WRITE]
        place = write & MASK
        first = min(count, RING_RECORDS - place)
        self._ring_array[place : place + first] = records[:first]
        self._ring_array[: count - first] = records[first:]
        self._words[Control.WRITE] = write = write + count
        if write >= self._publish_at:
            self._make_room(write)

    def _make_room(self, write: int) -> None:
        """Price or publish what is written; wait until the ring has room for one primitive."""
        if self.inline:
            self.settle()
        else:
            self._words[Control.PUBLISHED] = write
            publish(self._header_address, np.uint64(write))
            if write - self._header[Word.TAIL] > ROOM_RECORDS:
                self._wait(write - ROOM_RECORDS)
        self._publish_at = write + PUBLISH_RECORDS

    def settle(self) -> int:
        """Have every record written so far priced; memory cycles of this core so far, exact."""
        words = self._words
        write = words[Control.WRITE]
        if words[Control.INLINE]:
            if write != words[Control.PRICED]:
                words[Control.CYCLES] = int(price(*self._port, np.uint64(write)))
                words[Control.PRICED] = words[Control.PUBLISHED] = write
            return words[Control.CYCLES]
        if write != words[Control.PUBLISHED]:
            words[Control.PUBLISHED] = write
            publish(self._header_address, np.uint64(write))
        if self._header[Word.TAIL] < write:
            self._wait(write)
        words[Control.CYCLES] = cycles = self._header[Word.CYCLES]
        return cycles

    def _wait(self, tail: int) -> None:
        """Wait for the memory system to consume `tail` records.  MachineError if it stalls."""
        seen = self._header[Word.TAIL]
        began = since = time.monotonic()
        wanted = np.uint64(tail)
        while not wait_for_tail(self._header_address, wanted, self._yield, SPINS, *self._port):
            core = self._words[Control.CORE]
            if self._header[Word.STOP]:
                raise MachineError(f"core {core}: the machine is going down")
            if self._header[Word.TAIL] != seen:
                seen = self._header[Word.TAIL]
                since = time.monotonic()
            elif time.monotonic() - since > STALL_SECONDS_MAX:
                raise MachineError(
                    f"core {core}: the memory system stopped at record {seen} of {tail}, "
                    f"{STALL_SECONDS_MAX:.0f} s without progress; its log says why"
                )
        self.waiting_seconds += time.monotonic() - began
