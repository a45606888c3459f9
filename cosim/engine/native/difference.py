"""What a stretch of instructions left behind, and in what two engines differ: data and text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosim.engine.control import NONE
from cosim.engine.interface import Reason, Stop
from cosim.engine.stream import Kind, decode
from cosim.engine.unicorn_translator import RegisterBatch, Translator
from cosim.isa import Isa
from cosim.units import PAGE_BYTES, PAGE_SHIFT

SHOWN = 6  # differences in the line; the others are counted
SAME_OUTCOME = ("reason", "address", "access", "present")  # of a Stop


@dataclass(frozen=True)
class Outcome:
    """What an engine did.

    instructions: executed.  pc: where it stopped.  registers: (rows of the ISA's table, 2) u64,
    low words first.  records: (n,) u64.  memory: contents of the frames it may have written to,
    (frames, PAGE_BYTES) u8.
    """

    stop: Stop
    instructions: int
    pc: int
    registers: np.ndarray
    records: np.ndarray
    memory: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Difference:
    """One thing in which the native engine differs from Unicorn; both values as text."""

    name: str
    unicorn: str
    native: str

    def __str__(self) -> str:
        return f"{self.name}: unicorn {self.unicorn}, native {self.native}"


class RegisterImage:
    """All registers of an instance, in one call."""

    def __init__(self, isa: Isa, translator: Translator) -> None:
        rows = isa.registers.REGISTERS
        self._words = np.zeros((len(rows), 2), dtype=np.uint64)
        ones = [(1 << row.bits) - 1 for row in rows]
        self._masks = np.array([(one & NONE, one >> 64) for one in ones], dtype=np.uint64)
        places = [(row.name, self._words[n].ctypes.data) for n, row in enumerate(rows)]
        self._batch = RegisterBatch(translator, places)

    def read(self) -> np.ndarray:
        """See Outcome.registers."""
        self._batch.read()
        return self._words & self._masks


def compare(isa: Isa, unicorn: Outcome, native: Outcome, frames: np.ndarray) -> list[Difference]:
    """Everything in which they differ.  frames: numbers of the frames in `memory`."""
    found = _stops(unicorn.stop, native.stop)
    if unicorn.instructions != native.instructions:
        counts = str(unicorn.instructions), str(native.instructions)
        found.append(Difference("instructions", *counts))
    for place in np.nonzero((unicorn.registers != native.registers).any(axis=1))[0]:
        values = (
            int(part[0]) | int(part[1]) << 64
            for part in (unicorn.registers[place], native.registers[place])
        )
        found.append(Difference(isa.registers.REGISTERS[place].name, *map(hex, values)))
    found += _records(unicorn.records, native.records)
    return found + _memory(unicorn.memory, native.memory, frames)


def _stops(unicorn: Stop, native: Stop) -> list[Difference]:
    wanted, found = ([getattr(stop, name) for name in SAME_OUTCOME] for stop in (unicorn, native))
    return [] if wanted == found else [Difference("stop", _stop_text(unicorn), _stop_text(native))]


def _stop_text(stop: Stop) -> str:
    if stop.reason == Reason.LIMIT:
        return "goes on"
    return f"{stop.reason.name} at {stop.address:#x} ({stop.access.name}, present {stop.present})"


def _records(unicorn: np.ndarray, native: np.ndarray) -> list[Difference]:
    """The first record that differs, and their number."""
    if np.array_equal(unicorn, native):
        return []
    found = []
    if len(unicorn) != len(native):
        found.append(Difference("records", str(len(unicorn)), str(len(native))))
    shorter = min(len(unicorn), len(native))
    other = np.nonzero(unicorn[:shorter] != native[:shorter])[0]
    place = int(other[0]) if len(other) else shorter
    texts = [
        record_text(part[place]) if place < len(part) else "none" for part in (unicorn, native)
    ]
    return [*found, Difference(f"record {place}", *texts)]


def record_text(record: Any) -> str:
    """A record of the reference stream, for people."""
    kind, _, size, address = decode(int(record))
    return f"{Kind(kind).name.lower()} of {size} at {address:#x}"


def _memory(unicorn: np.ndarray, native: np.ndarray, frames: np.ndarray) -> list[Difference]:
    """A word for each frame that differs."""
    if np.array_equal(unicorn, native):
        return []
    wanted, found = (
        part.reshape(len(frames), PAGE_BYTES).view(np.uint64) for part in (unicorn, native)
    )
    rows, first = [], {}
    for row, word in zip(*np.nonzero(wanted != found), strict=True):
        if row not in first:
            first[row] = word
            rows.append(row)
    return [
        Difference(
            f"memory {(int(frames[row]) << PAGE_SHIFT) + 8 * int(first[row]):#x}",
            f"{int(wanted[row, first[row]]):#x}",
            f"{int(found[row, first[row]]):#x}",
        )
        for row in rows
    ]


def shown(differences: Sequence[Difference]) -> str:
    """All in one line, the first few in full."""
    text = "; ".join(str(difference) for difference in differences[:SHOWN])
    more = len(differences) - SHOWN
    return f"{text}; and {more} more" if more > 0 else text
