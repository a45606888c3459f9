"""Turn after turn of one core without Python: quiet ones, by translated blocks alone.

In a contended turn that ends at its limit, in code that blocks can execute, the kernel has nothing
to do.  Such turns are run here, and handed on by the rule of cosim/baton.py, while nothing else
happens to the core.  A turn that needs more is left as it is, in the middle if need be: the kernel
goes on with it as with any other.
"""

from enum import IntEnum
from typing import Any

import numpy as np

from cosim.baton import (
    BATON,
    LOOKS,
    NODE,
    ROW,
    ROWS,
    UNTIL,
    Baton,
    following_core,
    hand_over,
    wait,
    wake,
    wake_following,
)
from cosim.compiled import call_pointer4, kernel, load_word, store_word
from cosim.engine.hooks import (
    COUNT,
    CYCLE_LIMIT,
    CYCLES,
    FOREVER,
    HEADER,
    INSTRUCTION_LIMIT,
    IPC_DENOMINATOR,
    IPC_NUMERATOR,
    KERNEL_COUNT,
    RECORD_LIMIT,
)
from cosim.engine.native.engine import NativeEngine
from cosim.engine.native.runtime import LIMIT, NEVER, R_CHOOSE, R_PC, R_PENDING, R_WHOLE, run_blocks
from cosim.engine.native.translator import LONGEST_BYTES
from cosim.engine.stream import Word
from cosim.relay import NOBODY, Ending
from cosim.units import PAGE_BYTES

WAIT_MS = 20  # for the next turn, before the node looks at its other sockets


class RelayedWord(IntEnum):
    """Words through which `relay` and Python talk, u64."""

    CORE = 0
    NODE = 1  # first core of its node
    FREQUENCY_HZ = 2
    IDLE_CYCLES = 3
    EVENT_CYCLES = 4  # a turn that reaches this has something to handle
    GENERATION_AT = 5  # host address of the word that moves when translations become void
    GENERATION = 6  # its value up to now
    CROSSES = 7  # 1: instructions may go over the end of a page
    DEADLINE_NS = 8  # of the host's monotonic clock: look at the control socket then
    NOW_PS = 9  # ANSWER: the core's clock
    TURNS = 10  # that ended here
    RUN_NS = 11  # host time in them
    CLOCK = 12  # struct timespec
    WORDS = 14


U, S64 = np.uint64, np.int64
# Of a turn that are priced inline; so long turns are not contended, and Core.run knows more ways.
MOST_INSTRUCTIONS = U(200_000)
ZERO, ONE = U(0), U(1)
MILLION, PS_PER_SECOND, NS_PER_SECOND = U(10**6), U(10**12), U(10**9)
USER_AT, FETCHES_AT = U(8 * Word.INSTRUCTIONS_USER), U(8 * Word.FETCHES_USER)
PAGE_OFFSET, LAST_WHOLE = U(PAGE_BYTES - 1), U(PAGE_BYTES - LONGEST_BYTES)
UNFINISHED, ANSWER, ELSEWHERE = (int(ending) for ending in Ending)
(
    OWN_CORE, OWN_NODE, FREQUENCY, IDLE, EVENT, GENERATION_AT, GENERATION, CROSSES, DEADLINE,
    NOW_PS, TURNS, RUN_NS, CLOCK,
) = (int(word) for word in list(RelayedWord)[:13])  # fmt: skip


@kernel
def ps_of_cycles(cycles, frequency_hz):
    """units.ps_of_cycles in 64 bits."""
    seconds, rest = cycles // frequency_hz, cycles % frequency_hz
    scaled = rest * MILLION
    whole, part = scaled // frequency_hz, scaled % frequency_hz
    return seconds * PS_PER_SECOND + whole * MILLION + part * MILLION // frequency_hz


@kernel
def cycles_of_ps(ps, frequency_hz):
    """units.cycles_of_ps in 64 bits."""
    seconds, rest = ps // PS_PER_SECOND, ps % PS_PER_SECOND
    high, low = rest // MILLION, rest % MILLION
    product = high * frequency_hz
    tail = product % MILLION * MILLION + low * frequency_hz
    whole = (tail + PS_PER_SECOND - ONE) // PS_PER_SECOND
    return seconds * frequency_hz + product // MILLION + whole


@kernel
def now_ns(own, clock_gettime):
    """The host's monotonic clock."""
    call_pointer4(clock_gettime, ONE, U(own.ctypes.data) + U(8 * CLOCK), ZERO, ZERO)
    return own[CLOCK] * NS_PER_SECOND + own[CLOCK + 1]


@kernel
def run_turn(words, own, p, s, run, sites, blocks, table):
    """Run the turn in progress by blocks; True when it ended at its limit, and nothing is due."""
    limit = cycles_of_ps(words[UNTIL], own[FREQUENCY])
    if limit >= own[EVENT] or load_word(own[GENERATION_AT]) != own[GENERATION]:
        return False
    p[INSTRUCTION_LIMIT], p[RECORD_LIMIT] = p[COUNT] + MOST_INSTRUCTIONS, FOREVER
    p[CYCLE_LIMIT] = limit - own[IDLE] if limit > own[IDLE] else ZERO
    run[R_PENDING] = run[R_WHOLE] = NEVER
    run[R_CHOOSE] = ONE
    if run_blocks(p, s, run, sites, blocks, table) != LIMIT:
        return False
    if own[CROSSES] != ZERO and run[R_PC] & PAGE_OFFSET > LAST_WHOLE:
        return False
    instructions = p[COUNT] + p[KERNEL_COUNT]
    now = instructions * p[IPC_DENOMINATOR] // p[IPC_NUMERATOR] + p[CYCLES] + own[IDLE]
    if now < limit or now >= own[EVENT]:
        return False
    store_word(p[HEADER] + USER_AT, p[COUNT])
    store_word(p[HEADER] + FETCHES_AT, p[COUNT])
    own[NOW_PS] = ps_of_cycles(now, own[FREQUENCY])
    return True


@kernel
def relay(words, own, sockets, descriptors, functions, p, s, run, sites, blocks, table):
    """Run turns of this core as long as they are quiet and its own: an Ending.

    words: the relay's.  own: RelayedWord.  sockets, descriptors, functions: see cosim/baton.py.
    The others: see run_blocks.
    """
    core, node = S64(own[OWN_CORE]), S64(own[OWN_NODE])
    send, clock = functions[2], functions[4]
    began = now_ns(own, clock)
    while True:
        wake_following(words, core, NOBODY, node, sockets, send)
        if not run_turn(words, own, p, s, run, sites, blocks, table):
            return UNFINISHED
        following = hand_over(words, core, own[NOW_PS])
        if following == NOBODY:
            return ANSWER
        ended = now_ns(own, clock)
        own[TURNS] += ONE
        own[RUN_NS] += ended - began
        began = ended
        if following != core:
            target = S64(words[ROWS + following * ROW + NODE])
            if target == node:
                return ELSEWHERE
            wake(words, target, sockets, send)
            if ended >= own[DEADLINE]:
                return ELSEWHERE
            looks = LOOKS if following_core(words, following, NOBODY) == core else 0
            if not wait(words, node, sockets, descriptors, functions, looks, WAIT_MS):
                return ELSEWHERE
            if S64(words[BATON]) != core:
                return ELSEWHERE
            began = now_ns(own, clock)
        elif ended >= own[DEADLINE]:
            return UNFINISHED


class Relayed:
    """The relayed turns of one core.

    core: cosim.core.Core.  turns, seconds: that ended here, and host time in them.
    """

    def __init__(self, core: Any, engine: NativeEngine, baton: Baton) -> None:
        self.core = core
        self._engine, self._baton = engine, baton
        self._own = np.zeros(RelayedWord.WORDS, dtype=np.uint64)
        self._words = memoryview(self._own.data)
        self._words[OWN_CORE], self._words[OWN_NODE] = core.index, baton.node
        self._words[FREQUENCY] = core.frequency_hz
        self._words[CROSSES] = engine.may_cross

    def run(self, idle_cycles: int, undisturbed: tuple[int, int, int], deadline_ns: int) -> Ending:
        """Run the turn in progress, and those that follow for this core.

        undisturbed: event_cycles, generation_at, generation.  deadline_ns: of the host's monotonic
        clock, when somebody must look at the control socket.
        """
        words, baton = self._words, self._baton
        words[IDLE], words[DEADLINE] = idle_cycles, deadline_ns
        words[EVENT], words[GENERATION_AT], words[GENERATION] = undisturbed
        baton.meet()
        ways = (baton.words, self._own, baton.sockets, baton.descriptors, baton.functions)
        ending = self._engine.among_blocks(relay, ways)
        return Ending.UNFINISHED if ending is None else Ending(ending)

    @property
    def turns(self) -> int:
        """Turns that ended here."""
        return self._words[TURNS]

    @property
    def seconds(self) -> float:
        """Host time in them."""
        return self._words[RUN_NS] / 1e9

    @property
    def now_ps(self) -> int:
        """The core's clock at the end of its last turn."""
        return self._words[NOW_PS]
