"""A message ring in shared memory: one writer, one reader, one per ordered pair of nodes.

The rings divide the message area of the physical map; those of a node that joins later take half of
what is left.  Source of the form: the artifact's shm
message layer, one-way windows with head, tail and slots of fixed size.

```text
 ring:  | head (writer's line) | tail (reader's line) | slot 0 | slot 1 | ...
 slot:  | MESSAGE: kind, length, sequence, words | up to DATA_BYTES_MAX bytes |
```
"""

from collections.abc import Sequence
from typing import NamedTuple

from cosim.errors import InputError, InvariantError
from cosim.kernel.layout import Field, Structure
from cosim.kernel.memory import KernelMemory
from cosim.units import LINE_BYTES, align_down, align_up

WORDS = 12
SLOT_BYTES = 8192  # a page and its header fit twice over; Popcorn's slots have 32 KiB
SLOTS_MAX = 1024  # as in the artifact

# fmt: off
RING = Structure("RING", 128, "one-way message ring, the slots follow", (
    Field("head",      0, 8, "messages written, ever (the writer's line)"),
    Field("tail",     64, 8, "messages read, ever (the reader's line)"),
))
MESSAGE = Structure("MESSAGE", 128, "a message in its slot; its bytes follow", (
    Field("kind",      0, 4, "MessageKind"),
    Field("length",    4, 4, "bytes that follow the header"),
    Field("sequence",  8, 8, "number of the message in its ring, from 0"),
    Field("words",    16, WORDS * 8, "arguments; what they mean follows from the kind"),
))
# fmt: on
HEAD, TAIL = RING.offset("head"), RING.offset("tail")
KIND, LENGTH = MESSAGE.offset("kind"), MESSAGE.offset("length")
SEQUENCE, FIRST_WORD = MESSAGE.offset("sequence"), MESSAGE.offset("words")
DATA_BYTES_MAX = SLOT_BYTES - MESSAGE.size


class Message(NamedTuple):
    """A message as received.  words: as many as were sent, then zeroes.  source: index of the
    node.
    """

    source: int
    kind: int
    words: tuple[int, ...]
    data: bytes


class Ring:
    """The ring at physical address `base`, for either end.  source: the writer's node."""

    def __init__(self, memory: KernelMemory, base: int, slots: int, source: int) -> None:
        self._memory = memory
        self._base = base
        self._slots = slots
        self._source = source

    def _slot(self, number: int) -> int:
        return self._base + RING.size + number % self._slots * SLOT_BYTES

    def put(self, kind: int, words: Sequence[int], data: bytes) -> bool:
        """Write a message; False when the ring is full."""
        if len(words) > WORDS or len(data) > DATA_BYTES_MAX:
            raise InvariantError(
                f"message of kind {kind}: {len(words)} words and {len(data)} bytes, at most "
                f"{WORDS} and {DATA_BYTES_MAX} fit into a slot"
            )
        memory = self._memory
        head = memory.load(self._base + HEAD)
        if head - memory.load(self._base + TAIL) >= self._slots:
            return False
        slot = self._slot(head)
        if data:
            memory.charge("copy_line", -(-len(data) // LINE_BYTES))
            memory.write(slot + MESSAGE.size, data)
        memory.store(slot + KIND, kind, 4)
        memory.store(slot + LENGTH, len(data), 4)
        memory.store(slot + SEQUENCE, head)
        for place in range(WORDS):  # all of them, so that nothing of an older message is left
            value = words[place] if place < len(words) else 0
            memory.store(slot + FIRST_WORD + 8 * place, value)
        memory.store(self._base + HEAD, head + 1)
        return True

    @property
    def is_empty(self) -> bool:
        """Has everything been read?  Without charge."""
        peek = self._memory.peek
        return peek(self._base + HEAD) == peek(self._base + TAIL)

    def get(self) -> Message | None:
        """The oldest message; None when there is none."""
        memory = self._memory
        tail = memory.load(self._base + TAIL)
        if tail == memory.load(self._base + HEAD):
            return None
        slot = self._slot(tail)
        if memory.load(slot + SEQUENCE) != tail:
            raise InvariantError(
                f"message ring at {self._base:#x}: slot of message {tail} holds message "
                f"{memory.peek(slot + SEQUENCE)}; somebody else wrote into the message area"
            )
        kind, length = memory.load(slot + KIND, 4), memory.load(slot + LENGTH, 4)
        words = tuple(memory.load_words(slot + FIRST_WORD, WORDS))
        data = b""
        if length:
            memory.charge("copy_line", -(-length // LINE_BYTES))
            data = memory.read(slot + MESSAGE.size, length)
        memory.store(self._base + TAIL, tail + 1)
        return Message(self._source, kind, words, data)


class Place(NamedTuple):
    """Where a ring begins, and its slots."""

    base: int
    slots: int


def place(start: int, end: int, nodes: int, joined: int = 0) -> dict[tuple[int, int], Place]:
    """The ring of each ordered pair (source, target) of nodes in [start, end): of the `nodes` that
    were there from the start, and of as many as `joined`, one after the other.

    Raises InputError when there is no room for one slot per ring.
    """
    pairs = [(a, b) for a in range(nodes) for b in range(nodes) if a != b]
    found = _divide(pairs, start, end, end - start)
    for node in range(nodes, nodes + joined):
        pairs = [pair for other in range(node) for pair in ((other, node), (node, other))]
        free = max((row.base + _stride(row.slots) for row in found.values()), default=start)
        found |= _divide(pairs, free, end, (end - free) // 2)
    return found


def _stride(slots: int) -> int:
    return RING.size + slots * SLOT_BYTES


def _divide(
    pairs: Sequence[tuple[int, int]], start: int, end: int, share: int
) -> dict[tuple[int, int], Place]:
    """Rings for `pairs` from `start` on, in `share` bytes."""
    if not pairs:
        return {}
    room = align_down(share // len(pairs), LINE_BYTES)
    slots = min(SLOTS_MAX, (room - RING.size) // SLOT_BYTES)
    if slots < 1:
        raise InputError(
            f"memory.message_area: {end - start:#x} bytes are too few for {len(pairs)} message "
            f"rings; give it at least {align_up(len(pairs) * _stride(1), 1 << 20):#x} more"
        )
    return {
        pair: Place(start + number * _stride(slots), slots) for number, pair in enumerate(pairs)
    }
