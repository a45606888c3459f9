"""References that need no record: hits in the first level of which the caches would not notice.

In a cache with true LRU, a load of the line its set used last changes nothing, nor does a store to
it when it is in state M, nor a fetch.  Blocks know such lines without asking anybody, and count the
references instead (Kind.HITS): of NPB's, two thirds.  What makes it exact:

- Lines are put into RECENT_CLASSES classes by their lowest bits.  Where every cache and snoop
  filter has a multiple of so many sets, whatever an access changes, evicts or invalidates, in any
  level, is of its own class (memsys.specification, `line_classes`).
- One line a class is known for loads and stores, one for fetches.  A reference that gets a record
  makes its line the known one, and since it may miss in a level that code and data share, it makes
  the other kind forget the class.
- Nothing is known at the beginning of a run of blocks: the kernel's references, Unicorn's, and
  other cores' turns lie between two of them.
- An instruction that is left after it wrote records takes them back, and forgets their classes.
"""

from typing import Any

from llvmlite import ir

from cosim.engine.native.state import RECENT_AT, RECENT_BYTES, RECENT_CLASSES, RecentWord, StateWord
from cosim.engine.native.values import Value
from cosim.engine.stream import HIT, KIND_SHIFT, SIZE_SHIFT, STORE_HIT, Kind
from cosim.units import LINE_BYTES

RECORD_BYTES = 8
PART_BYTES = 8  # of a reference, that one record is for
CLASS_SHIFT = LINE_BYTES.bit_length() - RECENT_BYTES.bit_length()
CLASS_MASK = (RECENT_CLASSES - 1) * RECENT_BYTES
NOT_KNOWN = -1
I8, I64 = ir.IntType(8), ir.IntType(64)
MOSTLY = (8, 1)  # weights of a branch


def entry_at(address: int) -> int:
    """Byte offset in the state of the entry of an address: its class is that of its page offset."""
    return RECENT_AT + (address >> CLASS_SHIFT & CLASS_MASK)


class Recency:
    """What an instruction in the making refers to, and how it is noted.

    e: the Emitter, whose `ring` and `hits` move on.
    """

    def __init__(self, e: Any) -> None:
        self._e = e
        self._changed: list[Value] = []  # addresses whose entries may have been changed

    def reference(self, virtual: Value, delta: Value, bytes_: int, kind: Kind) -> None:
        """Emit: `bytes_` bytes are referenced, with as many records as are needed, or none."""
        e = self._e
        parts = -(-bytes_ // PART_BYTES)
        each = e.constant(HIT if kind == Kind.LOAD else STORE_HIT)
        physical = virtual + delta
        end = physical + (bytes_ - 1) if bytes_ > 1 else physical
        out, on = (e.function.append_basic_block(name) for name in ("record", "recorded"))
        before = e.noted()
        ways = []
        if kind == Kind.ATOMIC_LOAD:
            e.b.branch(out)
        else:
            word = RecentWord.LOADABLE if kind == Kind.LOAD else RecentWord.STORABLE
            known = e.value(e.b.load(self._word(virtual, word), typ=I64))
            # One comparison for both ends: the class is the first byte's, the line the last one's.
            certain = (known ^ end).ult(LINE_BYTES)
            ways.append(before._replace(hits=(e.hits + each * parts).raw))
            e.b.cbranch(certain.raw, on, out).set_weights(MOSTLY)
        e.b.position_at_end(out)
        if bytes_ > 1:
            wide, out = (e.function.append_basic_block(name) for name in ("wide", "narrow"))
            # Into the next line; and always where no reference may be left out.
            start = (physical & LINE_BYTES - 1) | self._unknown()
            crosses = e.constant(LINE_BYTES - bytes_).ult(start)
            e.b.cbranch(crosses.raw, wide, out).set_weights(MOSTLY[::-1])
            e.b.position_at_end(wide)
            ring = self._records(physical, bytes_, parts, kind)
            self._know(end, end, kind)
            self._know(virtual, physical, kind)
            ways.append(before._replace(block=wide, ring=ring))
            e.b.branch(on)
            e.b.position_at_end(out)
        ring = self._records(physical, bytes_, 1, kind)
        self._know(virtual, physical, kind)
        hits = e.hits + each * (parts - 1) if parts > 1 else e.hits
        ways.append(before._replace(block=out, ring=ring, hits=hits.raw))
        e.b.branch(on)
        e.b.position_at_end(on)
        e.join(*ways)
        self._changed += [virtual, end]

    def forget(self) -> None:
        """Emit: the records of this instruction are taken back."""
        for address in self._changed:
            for word in (RecentWord.LOADABLE, RecentWord.STORABLE):
                self._e.b.store(self._e.constant(NOT_KNOWN).raw, self._word(address, word))

    def _word(self, address: Value, word: RecentWord) -> ir.Value:
        offset = ((address >> CLASS_SHIFT) & CLASS_MASK) + (RECENT_AT + 8 * word)
        return self._e.b.gep(self._e.state, [offset.raw], source_etype=I8)

    def _unknown(self) -> Value:
        return self._e.value(self._e.b.load(self._e.word_at(StateWord.UNKNOWN), typ=I64))

    def _records(self, physical: Value, bytes_: int, parts: int, kind: Kind) -> ir.Value:
        """Write the records of so many parts; where the next one goes."""
        e = self._e
        size = min(bytes_, PART_BYTES)
        head = kind << KIND_SHIFT | (size - 1) << SIZE_SHIFT
        for part in range(parts):
            place = e.b.gep(e.ring, [ir.Constant(I64, part)], source_etype=I64)
            e.b.store(((physical + part * PART_BYTES) | head).raw, place)
        return e.b.gep(e.ring, [ir.Constant(I64, parts)], source_etype=I64)

    def _know(self, address: Value, physical: Value, kind: Kind) -> None:
        """The line is from now on the one of its class that loads and stores used last."""
        e = self._e
        line = (physical & -LINE_BYTES) | self._unknown()
        storable = e.constant(NOT_KNOWN) if kind == Kind.LOAD else line
        for word, value in (
            (RecentWord.LOADABLE, line),
            (RecentWord.STORABLE, storable),
            (RecentWord.FETCHED, e.constant(0)),
        ):
            e.b.store(value.raw, self._word(address, word))
