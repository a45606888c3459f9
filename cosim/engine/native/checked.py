"""The checked engine: the native one, compared with Unicorn after every so many instructions.

```text
 state and frames ─▶ oracle: up to n instructions ─▶ outcome, frames put back
                  └▶ native engine: as many        ─▶ outcome, which stands
                                                       equal?  no ─▶ bisection ─▶ EnginesDiffer
```
Each stretch begins with the native engine's state, so kernels may do to it what they like between
two.  What is known to be Unicorn's fault is not reported:

- it loses x86 flags when an instruction of a translated block faults behind one that set them: what
  registers were is found by running it again up to there;
- a store into the block that is being executed begins the instruction again, and it is counted
  twice: such a stretch is not compared.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from cosim.engine.control import Control
from cosim.engine.interface import UNLIMITED, Reason, Stop
from cosim.engine.native import bisection, frames
from cosim.engine.native.difference import (
    Difference,
    Outcome,
    RegisterImage,
    compare,
    shown,
)
from cosim.engine.native.engine import NativeEngine
from cosim.engine.native.oracle import KeepingUnicorn, Oracle, Start
from cosim.engine.native.runtime import clear_tlb
from cosim.engine.native.state import StateWord
from cosim.engine.native.translator import LONGEST_BYTES
from cosim.engine.stream import ADDRESS_MASK, KIND_SHIFT, RING_RECORDS, Kind
from cosim.errors import EnginesDiffer
from cosim.isa import Isa
from cosim.units import LINE_BYTES

LINE_SHIFT = LINE_BYTES.bit_length() - 1
COMPLETED = (Reason.LIMIT, Reason.SYSTEM_CALL)  # the last instruction was executed
STORES = (Kind.STORE, Kind.STORE_REST)


class CheckedEngine(NativeEngine):
    """One core.  Takes what NativeEngine takes.

    check_every: instructions in a stretch.  compared: instructions that were compared; unchecked:
    executed where Unicorn cannot say what is right.
    """

    reference_class = KeepingUnicorn

    def __init__(
        self, isa: Isa, physical: np.ndarray, stream: Any, *, check_every: int, port: Any = (0, 0),
        worst_reference_cycles: int = 20_000, hot_after: int = 1, **options: Any,
    ) -> None:  # fmt: skip
        self._kept = frames.KeptFrames(physical)
        self._oracle = Oracle(isa, physical, self._kept, **options)
        self.check_every = check_every
        self.compared = self.unchecked = self.stretches = 0
        super().__init__(
            isa, physical, stream, port=port, worst_reference_cycles=worst_reference_cycles,
            hot_after=hot_after, **options,
        )  # fmt: skip
        self._image = RegisterImage(isa, self.reference.translator)
        self._kept.attach(self.control)
        self._state[StateWord.FILL] = frames.fill_function.address
        self._state[StateWord.REACH] = frames.reach_function.address

    def set_translation(self, root: int, asid: int) -> None:
        """See interface.Engine."""
        super().set_translation(root, asid)
        self._oracle.set_translation(root, asid)

    # Running.

    def run(
        self,
        *,
        instruction_limit: int = UNLIMITED,
        record_limit: int = UNLIMITED,
        cycle_limit: int = UNLIMITED,
    ) -> Stop:
        """See interface.Engine.  Raises EnginesDiffer."""
        limits = {"record_limit": record_limit, "cycle_limit": cycle_limit}
        while True:
            stretch = min(instruction_limit, self.instructions + self.check_every)
            stop, reached = self._stretch(stretch, limits)
            if stop.reason != Reason.LIMIT or reached == instruction_limit:
                return stop
            if self.instructions < reached:  # another limit
                return stop

    def _stretch(self, limit: int, limits: dict[str, int]) -> tuple[Stop, int]:
        """Execute up to `limit` on both; how the native engine stopped, and its own limit."""
        start = self._begin()
        wanted = self._oracle.outcome(start, limit)
        reached = start.count + wanted.instructions
        if wanted.stop.reason != Reason.LIMIT:
            reached = min(limit, reached + 1)
        stop = super().run(instruction_limit=reached, **limits)
        found = self._outcome(start, stop)
        if stop.reason == Reason.LIMIT and self.instructions < reached:  # by the clock
            wanted = self._again(start, found)
        differences = self._differences(start, wanted, found)
        self.stretches += 1
        if not differences:
            self.compared += found.instructions
        elif _stores_into_its_code(start, wanted):
            self.unchecked += found.instructions
        else:
            self._fail(start, max(wanted.instructions, found.instructions) + 1, differences)
        return stop, reached

    def _begin(self) -> Start:
        """A stretch begins: frames are kept anew from here on."""
        words = self.words
        self._kept.forget()
        start = Start(
            self.save(),
            words[Control.COUNT],
            (words[Control.FETCH_VIRTUAL], words[Control.FETCH_PHYSICAL]),
        )
        self._first_record = words[Control.WRITE]
        self._ask_again()
        return start

    def _ask_again(self) -> None:
        """Have both engines ask before they write to a frame."""
        clear_tlb(self._state)
        self.reference.flush_tlb()

    def _outcome(self, start: Start, stop: Stop) -> Outcome:
        """What the native engine did since `start`."""
        first, last = self._first_record, self.words[Control.WRITE]
        places = np.arange(first, last) % RING_RECORDS
        return Outcome(
            stop,
            self.instructions - start.count,
            self.read("pc"),
            self._image.read(),
            self._stream.ring[places],
            self._kept.now(),
        )

    def _again(self, start: Start, found: Outcome) -> Outcome:
        """What Unicorn does in as many instructions; memory stays as the native engine left it."""
        self._kept.put_back()
        wanted = self._oracle.outcome(start, start.count + found.instructions)
        self._kept.write(found.memory)
        return wanted

    def _differences(self, start: Start, wanted: Outcome, found: Outcome) -> list[Difference]:
        """See difference.compare; registers at a fault are those before the instruction."""

        def now() -> list[Difference]:
            complete = self._kept.completed
            return compare(
                self.isa,
                replace(wanted, memory=complete(wanted.memory)),
                replace(found, memory=complete(found.memory)),
                self._kept.numbers,
            )

        differences = now()
        if differences and wanted.stop.reason not in COMPLETED:
            before = self._again(start, wanted)
            self._kept.write(found.memory)
            wanted = replace(wanted, registers=before.registers)
            differences = now()
        return differences

    # A difference.

    def _fail(self, start: Start, most: int, differences: list[Difference]) -> None:
        """Find the first instruction that differs; raise EnginesDiffer."""
        begun = start.count
        core = f"{self.isa.name} core {self.words[Control.CORE]}"
        found = bisection.first(lambda count: self._probe(start, count), most)
        if found is None:
            line = (
                f"{core}: the engines differ after instruction {begun + most - 1}, not when they"
                f" execute the {most - 1} from {begun} on again; {shown(differences)}"
            )
            raise EnginesDiffer(line, begun + most - 1, "", differences)
        number, differences = found[0], list(found[1])
        self._probe(start, number - 1)
        pc = self.read("pc")
        code, form = self._instruction(pc)
        line = (
            f"{core}: the engines differ at instruction {begun + number}, pc {pc:#x},"
            f" {form} ({code.hex()}); {shown(differences)}"
        )
        raise EnginesDiffer(line, begun + number, form, differences)

    def _probe(self, start: Start, count: int) -> list[Difference]:
        """Both engines execute `count` instructions from `start` again; what differs."""
        self._kept.put_back()
        wanted = self._oracle.outcome(start, start.count + count)
        words = self.words
        self.restore(start.context)
        self._flush()
        self.reference.flush_tlb()
        self.reference.translator.flush_code()
        words[Control.FETCH_VIRTUAL], words[Control.FETCH_PHYSICAL] = start.fetched
        self._first_record = words[Control.WRITE]
        begun = replace(start, count=self.instructions)
        stop = super().run(instruction_limit=begun.count + count)
        return self._differences(start, wanted, self._outcome(begun, stop))

    def _instruction(self, pc: int) -> tuple[bytes, str]:
        """Bytes and form of the instruction at `pc`."""
        code = b""
        for at in range(LONGEST_BYTES):
            physical = self.translate(pc + at)
            if physical is None:
                break
            code += self._physical[physical : physical + 1].tobytes()
        found = self._table.decode(code, pc) if code else None
        if found is None:
            return code, self._table.name_of(code) if code else "not mapped"
        return code[: found.length], found.row.name

    def host_statistics(self) -> dict[str, int]:
        """See NativeEngine; what was compared too."""
        return {
            **super().host_statistics(),
            "checked.instructions": self.compared,
            "checked.unchecked": self.unchecked,
            "checked.stretches": self.stretches,
        }


def _stores_into_its_code(start: Start, outcome: Outcome) -> bool:
    """Is there a store to a line that was executed?"""
    kinds = outcome.records >> np.uint64(KIND_SHIFT)
    lines = (outcome.records & np.uint64(ADDRESS_MASK)) >> np.uint64(LINE_SHIFT)
    executed = {start.fetched[1], *lines[kinds == Kind.FETCH].tolist()}
    return not executed.isdisjoint(lines[np.isin(kinds, STORES)].tolist())
