"""Unicorn beside a native engine, over the same memory and from the same state, seen by nobody: its
records go to a stream of its own, its stores are taken back from the kept frames.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cosim.engine.control import NONE, Control
from cosim.engine.interface import UNLIMITED
from cosim.engine.native import frames
from cosim.engine.native.difference import Outcome, RegisterImage
from cosim.engine.stream import CORE_STREAM_BYTES, RING_RECORDS, RING_SLACK, CoreStream
from cosim.engine.unicorn_engine import UnicornEngine
from cosim.isa import Isa

MOST_RECORDS = RING_RECORDS - 2 * RING_SLACK  # in one stretch: nobody consumes them meanwhile


@dataclass(frozen=True)
class Start:
    """Where a stretch begins: registers, instructions executed ever, the fetch buffer's line."""

    context: Any
    count: int
    fetched: tuple[int, int]  # virtual and physical line


class KeepingUnicorn(UnicornEngine):
    """The engine on Unicorn; frames are kept before it writes to them."""

    translation_hook: Any = frames.translation_hook


class Oracle(KeepingUnicorn):
    """What a stretch should do."""

    def __init__(
        self, isa: Isa, physical: np.ndarray, kept: frames.KeptFrames, **options: Any
    ) -> None:
        """options: as UnicornEngine's; without a port."""
        stream = CoreStream(np.zeros(CORE_STREAM_BYTES, dtype=np.uint8), 0)
        super().__init__(isa, physical, stream, **options)
        self._ring = stream.ring
        self._kept = kept
        self._image = RegisterImage(isa, self.translator)
        kept.attach(self.control)

    def outcome(self, start: Start, limit: int) -> Outcome:
        """Execute from `start` until `limit` instructions were executed ever, its ring is full, or
        something stops it.  Memory is as before.
        """
        words = self.words
        self.flush_tlb()
        self.restore(start.context)
        words[Control.COUNT] = start.count
        words[Control.WRITE] = words[Control.PUBLISHED] = 0
        words[Control.FETCH_VIRTUAL], words[Control.FETCH_PHYSICAL] = start.fetched
        words[Control.CHANGED_AT] = NONE
        stop = self.run(instruction_limit=limit, record_limit=MOST_RECORDS, cycle_limit=UNLIMITED)
        found = Outcome(
            stop,
            self.instructions - start.count,
            self.read("pc"),
            self._image.read(),
            self._ring[: words[Control.WRITE]].copy(),
            self._kept.now(),
        )
        self._kept.put_back()
        if self._signatures[self._kept.numbers].any():
            self.translator.flush_code()  # what it stored to code is not there any more
        return found
