"""One core of a node: its engine, its reference stream and its clock.

The local clock counts cycles: busy (instructions of user and kernel at the fixed rate, plus what
the memory system charged) and idle (the clock was moved forward while nothing ran).
"""

import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from cosim.engine import choice, pacing
from cosim.engine.control import Control
from cosim.engine.interface import UNLIMITED, Reason, Stop
from cosim.engine.stream import CoreStream, Word
from cosim.engine.writer import StreamWriter
from cosim.isa import Isa
from cosim.units import cycles_of_instructions, ps_of_cycles

POLL_SECONDS = 0.05
SLICE_INSTRUCTIONS_FIRST = 500_000
SLICE_INSTRUCTIONS_MIN = 20_000
SLICE_INSTRUCTIONS_MAX = 50_000_000
# Plain numbers: an attribute of an enumeration costs as much as the write.
COUNT, KERNEL_COUNT = int(Control.COUNT), int(Control.KERNEL_COUNT)
INSTRUCTIONS_USER, FETCHES_USER = int(Word.INSTRUCTIONS_USER), int(Word.FETCHES_USER)
INSTRUCTIONS_KERNEL, IDLE_CYCLES = int(Word.INSTRUCTIONS_KERNEL), int(Word.IDLE_CYCLES)
# So many instructions after a kernel event are priced by the core itself, and only then by the
# memory system beside it.  A wait for another process costs 20 us on an idle host and milliseconds
# on a busy one: NPB IS W with a page by message every 10,000 instructions spent 46 of 80 s in them.
INLINE_INSTRUCTIONS = 200_000


class Core:
    """A core: `engine`, `writer`, and exact accounting of its cycles.

    index: number in the machine.  name: for messages, for example "x86.core0".
    node_configuration: frequency_hz and, if known, worst_reference_cycles are used, and `inline`:
    True where the memory system cannot see the ring, so that every reference is priced here, and
    `line_classes`, see cosim.engine.native.recency.
    settings: flat and resolved; engine, kernel.levels, time.guest_clock and time.ipc are used.
    segments: physical and stream, each with `.array` (u8).
    port: (function address, argument address, anything to keep alive) of the memory port.
    """

    def __init__(
        self,
        index: int,
        name: str,
        node_configuration: Mapping[str, Any],
        settings: Mapping[str, Any],
        isa: Isa,
        segments: Mapping[str, Any],
        port: tuple[int, int, object],
    ) -> None:
        self.index = index
        self.name = name
        self.frequency_hz = int(node_configuration["frequency_hz"])
        self.stream = CoreStream(segments["stream"].array, index)
        self.idle_cycles = 0
        ratio = Fraction(str(settings["time.ipc"]))
        self._ipc = (ratio.numerator, ratio.denominator)
        self._clock_counts_instructions = settings.get("time.guest_clock") == "instructions"
        self._worst_reference_cycles = int(
            node_configuration.get("worst_reference_cycles", pacing.WORST_REFERENCE_CYCLES)
        )
        self._inline_instructions = (
            UNLIMITED if node_configuration.get("inline") else INLINE_INSTRUCTIONS
        )
        self._keep_alive = (segments, port)
        line_classes = int(node_configuration.get("line_classes", 0))
        if not settings["engine.recency"]:
            line_classes = 0
        self.engine = choice.make(
            str(settings["engine"]),
            isa,
            segments["physical"].array,
            self.stream,
            levels=int(settings["kernel.levels"]),
            core=index,
            port=(int(port[0]), int(port[1])),
            ipc=self._ipc,
            frequency_hz=self.frequency_hz,
            worst_reference_cycles=self._worst_reference_cycles,
            hot_after=int(settings["engine.hot_after"]),
            line_classes=line_classes,
            check_every=int(settings["engine.check_every"]),
        )
        self.writer = StreamWriter(self.engine.control, self.stream)
        self._words = self.engine.words
        # A view of plain words: writing four of them through numpy took 4 us, four times a turn.
        self._progress = memoryview(self.stream.header.data)
        self._contended = False
        self._slice_instructions = SLICE_INSTRUCTIONS_FIRST
        self._poll_at = 0.0
        self.yields = False  # somebody asked for the end of the turn: `run` comes back soon
        self.engine_seconds = 0.0  # host time: for people, never for the simulated world

    # The clock.

    @property
    def instructions_kernel(self) -> int:
        """Kernel instructions charged so far."""
        return self._words[Control.KERNEL_COUNT]

    def charge(self, instructions: int) -> None:
        """Charge kernel instructions."""
        self._words[Control.KERNEL_COUNT] += instructions

    def settle(self) -> int:
        """Have everything priced; exact busy cycles."""
        memory_cycles = self.writer.settle()
        self._publish_progress()
        instructions = self._words[COUNT] + self._words[KERNEL_COUNT]
        return cycles_of_instructions(instructions, self._ipc) + memory_cycles

    def now_cycles(self) -> int:
        """The local clock: busy + idle cycles, exact."""
        return self.settle() + self.idle_cycles

    def now_ps(self) -> int:
        """The local clock as virtual time."""
        return ps_of_cycles(self.now_cycles(), self.frequency_hz)

    def shown_busy_cycles(self) -> int:
        """Busy cycles as clocks show them to guests: exact ones, or those of instructions alone."""
        if not self._clock_counts_instructions:
            return self.settle()
        return cycles_of_instructions(self._words[COUNT] + self._words[KERNEL_COUNT], self._ipc)

    def shown_cycles(self) -> int:
        """The local clock as guests read it, see time.guest_clock."""
        return self.shown_busy_cycles() + self.idle_cycles

    def idle_until(self, cycles: int) -> None:
        """Move the local clock forward to `cycles`; nothing when it is already there."""
        self.idle_cycles += max(cycles - self.now_cycles(), 0)
        self._publish_progress()

    def _publish_progress(self) -> None:
        header = self._progress
        header[INSTRUCTIONS_USER] = header[FETCHES_USER] = self._words[COUNT]
        header[INSTRUCTIONS_KERNEL] = self._words[KERNEL_COUNT]
        header[IDLE_CYCLES] = self.idle_cycles

    # Running.

    def relayed(self, baton: Any) -> Any:
        """What runs relayed turns of this core without Python (cosim/baton.py); None when nothing
        does.
        """
        return choice.relayed(self, baton)

    @property
    def contended(self) -> bool:
        """True while another core may act within this turn: references are priced inline."""
        return self._contended

    @contended.setter
    def contended(self, value: bool) -> None:
        """Switch, at the start of a turn.  Every turn begins inline: see INLINE_INSTRUCTIONS."""
        self._contended = bool(value)
        self.writer.inline = True

    def run(self, limit_cycles: int, poll: Callable[[], None]) -> Stop:
        """Run user code until the local clock reaches `limit_cycles`, or something stops it.

        A LIMIT stop means: the clock is at or after the limit, by less than one instruction with
        its references, or `yields` was set.  UNLIMITED is allowed.  `poll` is called about every
        POLL_SECONDS of host time.
        """
        begun = self.engine.instructions
        while True:
            self._poll_sometimes(poll)
            done = self.engine.instructions - begun
            stop = self._run_stretch(limit_cycles, self._inline_instructions - done)
            if stop.reason != Reason.LIMIT or self.yields:
                return stop
            if limit_cycles < UNLIMITED and self.now_cycles() >= limit_cycles:
                return stop

    def _run_stretch(self, limit_cycles: int, inline_instructions: int) -> Stop:
        """One call of the engine: as far as the limit's policy and the time slice allow.

        inline_instructions: how many are left of those that are priced at once, 0 or less for none.
        """
        engine = self.engine
        cycle_limit = limit_cycles
        plan = pacing.Stretch(self._contended, UNLIMITED, UNLIMITED)
        if limit_cycles < UNLIMITED:
            cycle_limit = limit_cycles - self.idle_cycles
            if not self._contended and inline_instructions <= 0:
                remaining = cycle_limit - self.settle()
                plan = pacing.stretch(remaining, self._worst_reference_cycles, self._ipc)
        if not self._contended and inline_instructions > 0:
            plan = pacing.Stretch(True, inline_instructions, UNLIMITED)
        self.writer.inline = plan.inline
        begun = engine.instructions
        instructions = min(plan.instructions, self._slice_instructions)
        since = time.perf_counter()
        stop = engine.run(
            instruction_limit=begun + instructions,
            record_limit=min(self.writer.written + plan.records, UNLIMITED),
            cycle_limit=cycle_limit if plan.inline else UNLIMITED,
        )
        seconds = time.perf_counter() - since
        self.engine_seconds += seconds
        if engine.instructions - begun == self._slice_instructions:
            self._adapt_slice(seconds)
        return stop

    def _adapt_slice(self, seconds: float) -> None:
        """Make the next full slice last about POLL_SECONDS of host time."""
        fitting = int(self._slice_instructions * POLL_SECONDS / max(seconds, 1e-6))
        bounded = min(max(fitting, SLICE_INSTRUCTIONS_MIN), SLICE_INSTRUCTIONS_MAX)
        self._slice_instructions = min(bounded, self._slice_instructions * 2)

    def _poll_sometimes(self, poll: Callable[[], None]) -> None:
        now = time.monotonic()
        if now >= self._poll_at:
            self._publish_progress()
            poll()
            self._poll_at = now + POLL_SECONDS
