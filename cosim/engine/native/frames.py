"""Frames as they were before a stretch of a checked engine: whoever is about to write to one for
the first time has it copied.

Both engines learn of a write where they ask for its translation, so all translations of data are
forgotten when a stretch begins, and a page that was only read is not given for writing yet.
"""

import mmap
from enum import IntEnum
from typing import Any

import numpy as np
from numba import cfunc, types

from cosim.compiled import kernel, load_word, store_byte, store_word
from cosim.engine import hooks
from cosim.engine.control import Control
from cosim.engine.interface import Access
from cosim.engine.native import runtime
from cosim.engine.native.state import NO_PAGE, Fill, StateWord, TlbWord
from cosim.paging import Protection
from cosim.units import PAGE_BYTES, PAGE_SHIFT

MOST_FRAMES = 4096  # in one stretch; a stretch that is about to write to more ends early
SPARE_FRAMES = 128  # room for what follows until it has ended


class KeptWord(IntEnum):
    """Words through which the hooks and Python talk."""

    COUNT = 0  # frames kept
    MOST = 1  # when the stretch is to end
    ROOM = 2
    NUMBERS = 3  # host address of the frames' numbers, u64
    CONTENTS = 4  # host address of what was in them
    FLAGS = 5  # host address of one byte per frame: 1 when it is kept
    WORDS = 6


U = np.uint64
ZERO, ONE, EIGHT = U(0), U(1), U(8)
FRAME_SHIFT, FRAME_BYTES = U(PAGE_SHIFT), U(PAGE_BYTES)
PAGE_MASK = ~U(PAGE_BYTES - 1)
COUNT_AT, MOST_AT, ROOM_AT, NUMBERS_AT, CONTENTS_AT, FLAGS_AT = (
    U(8 * word) for word in list(KeptWord)[:6]
)
KEPT_AT, MEMORY_BASE_AT = U(8 * Control.KEPT), U(8 * Control.MEMORY_BASE)
COUNT_LIMIT_AT, INSTRUCTION_LIMIT_AT = U(8 * Control.COUNT_LIMIT), U(8 * Control.INSTRUCTION_LIMIT)
CONTROL_AT = U(8 * StateWord.CONTROL)
WRITE_TAG_AT = U(8 * TlbWord.WRITE_TAG)
WRITE_ACCESS, WRITE_RIGHT = U(Access.WRITE), U(Protection.WRITE)
EXECUTE_ACCESS, EXECUTE_RIGHT = U(Access.EXECUTE), U(Protection.EXECUTE)
FILLED, NOTHING = U(Fill.FILLED), U(NO_PAGE)
KEPT_BLOCK = hooks.BLOCK


@kernel
def is_kept(control, physical):
    """Has the frame of physical byte address `physical` been copied?"""
    flags = load_word(load_word(control + KEPT_AT) + FLAGS_AT)
    return runtime.load_byte(flags + (physical >> FRAME_SHIFT)) != ZERO


@kernel
def keep(control, physical):
    """Copy the frame of physical byte address `physical` unless that was done.

    control: host address of the control block; its run ends soon when there is little room left.
    """
    if is_kept(control, physical):
        return
    kept = load_word(control + KEPT_AT)
    count = load_word(kept + COUNT_AT)
    if count >= load_word(kept + MOST_AT):
        store_word(control + COUNT_LIMIT_AT, ZERO)
        store_word(control + INSTRUCTION_LIMIT_AT, ZERO)
        if count >= load_word(kept + ROOM_AT):
            return
    number = physical >> FRAME_SHIFT
    store_byte(load_word(kept + FLAGS_AT) + number, ONE)
    store_word(load_word(kept + NUMBERS_AT) + count * EIGHT, number)
    target = load_word(kept + CONTENTS_AT) + count * FRAME_BYTES
    source = load_word(control + MEMORY_BASE_AT) + (number << FRAME_SHIFT)
    for at in range(0, PAGE_BYTES, 8):
        store_word(target + U(at), load_word(source + U(at)))
    store_word(kept + COUNT_AT, count + ONE)


@cfunc(types.uint8(types.uint64, types.uint64, types.int32, KEPT_BLOCK, KEPT_BLOCK), cache=True)
def translation_hook(engine, address, kind, result, p):
    """hooks.translation_hook that keeps frames before they are written to."""
    access = U(kind) - hooks.FIRST_TYPE
    outcome, physical, rights = hooks.translate(p, address)
    if outcome != hooks.MAPPED or rights & (ONE << access) == ZERO:
        hooks.note_fault(p, outcome, physical, address, access)
        return 0
    if access == EXECUTE_ACCESS:
        if not hooks.code_is_current(p, physical):
            p[hooks.FAULT] = hooks.FAULT_STALE
            return 0
    else:
        rights &= ~EXECUTE_RIGHT
    if access == WRITE_ACCESS:
        keep(p[hooks.SELF], physical)
    elif rights & WRITE_RIGHT != ZERO and not is_kept(p[hooks.SELF], physical):
        rights &= ~WRITE_RIGHT
    place = p[hooks.PAGE_OF_FRAME] + ((physical >> FRAME_SHIFT) << hooks.THREE)
    store_word(place, address >> FRAME_SHIFT)
    result[0] = physical
    result[1] = rights
    return 1


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64), cache=True)
def fill_function(state, address, access):
    """runtime.fill that keeps frames before they are written to."""
    answer = runtime.fill(state, address, access)
    if answer != FILLED:
        return answer
    control = load_word(state + CONTROL_AT)
    physical, _, writable = runtime.reachable(state, address)
    if access == WRITE_ACCESS:
        keep(control, physical)
    elif writable and not is_kept(control, physical):
        slot = ((address >> FRAME_SHIFT) & runtime.SLOT_MASK) * runtime.TLB_ENTRY
        store_word(state + runtime.TLB_START + slot + WRITE_TAG_AT, NOTHING)
    return answer


@cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)
def reach_function(state, address, size, access):
    """runtime.reach_function that keeps frames before they are written to."""
    for at in (address, address + size - ONE):
        _, readable, writable = runtime.reachable(state, at)
        if not (writable if access == WRITE_ACCESS else readable):
            return ZERO
    if access == WRITE_ACCESS:
        for at in (address, address + size - ONE):
            physical, _, _ = runtime.reachable(state, at)
            keep(load_word(state + CONTROL_AT), physical)
    return ONE


class KeptFrames:
    """What a stretch wrote to, as it was before.  `words` is what the hooks see."""

    def __init__(self, physical: np.ndarray) -> None:
        """physical: all of memory, (bytes,) u8."""
        frames = len(physical) >> PAGE_SHIFT
        self._frames = physical[: frames << PAGE_SHIFT].reshape(frames, PAGE_BYTES)
        room = MOST_FRAMES + SPARE_FRAMES
        self._numbers = np.zeros(room, dtype=np.uint64)
        self._room = mmap.mmap(-1, room * PAGE_BYTES)  # what is not used takes no memory
        self._contents = np.frombuffer(self._room, dtype=np.uint8).reshape(room, PAGE_BYTES)
        self._flags = np.zeros(frames + 8, dtype=np.uint8)
        self.words = np.zeros(KeptWord.WORDS, dtype=np.uint64)
        for place, value in {
            KeptWord.MOST: MOST_FRAMES,
            KeptWord.ROOM: room,
            KeptWord.NUMBERS: self._numbers.ctypes.data,
            KeptWord.CONTENTS: self._contents.ctypes.data,
            KeptWord.FLAGS: self._flags.ctypes.data,
        }.items():
            self.words[place] = value

    def __len__(self) -> int:
        return int(self.words[KeptWord.COUNT])

    @property
    def numbers(self) -> np.ndarray:
        """Numbers of the frames, in the order of their first write."""
        return self._numbers[: len(self)].astype(np.int64)

    @property
    def before(self) -> np.ndarray:
        """What was in them, (frames, PAGE_BYTES) u8."""
        return self._contents[: len(self)]

    def now(self) -> np.ndarray:
        """A copy of what is in them now, (frames, PAGE_BYTES) u8."""
        return self._frames[self.numbers]

    def forget(self) -> None:
        """A new stretch begins."""
        self._flags[self.numbers] = 0
        self.words[KeptWord.COUNT] = 0

    def put_back(self) -> None:
        """Memory is as it was before the stretch; the frames stay kept."""
        self._frames[self.numbers] = self.before

    def completed(self, memory: np.ndarray) -> np.ndarray:
        """`memory`, contents of the first frames, with the others as they were before."""
        return np.concatenate([memory, self.before[len(memory) :]])

    def write(self, memory: np.ndarray) -> None:
        """Put `memory`, contents of the first frames, there; the others are as before."""
        self._frames[self.numbers] = self.completed(memory)

    def attach(self, control: Any) -> None:
        """Have the engine of this control block keep its frames here."""
        control[Control.KEPT] = self.words.ctypes.data
