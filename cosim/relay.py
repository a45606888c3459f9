"""The relay: turns that nodes hand to each other, without the timebase, while nothing happens.

Which core runs next, and until when, follows from all cores' next actions alone.  They stand in a
segment that the timebase and all nodes map.  A turn that ended *quietly* - its core can go on, and
nothing left the node in it - is followed by the next at once: whoever ran it applies the rule and
hands the baton to the next core.

```text
 timebase                    node of core 3                  node of core 5
 turn 17 of core 3 ────────▶ runs, quietly
                             BATON = 5, turn 18 ───────────▶ runs, quietly
                             runs, sends an interrupt ◀───── BATON = 3, turn 19
           ◀──────────────── turned (turn 19)
 takes over clocks and counts of the turns before, and goes on as ever
```
- A core takes part when it is runnable and no interrupt is on its way to it.
- What the timebase alone can decide goes back to it: the next core takes no part, no other core can
  act at all, the end or a halt is reached, or a pause is asked for.
- Only the holder of a turn writes here, but for PAUSE, ASLEEP, MAIL and READ; the timebase when
  nobody holds one.  What is simulated is the same with and without a relay, and so are all counts.
- A node that has the baton serves first what the timebase sent it: MAIL is counted before the turn
  is granted that the baton came from, and the message may be slower than the baton.
- It says nothing when a process dies: who waits for the baton serves its sockets, too.
"""

from enum import IntEnum
from typing import NamedTuple

from cosim.protocol.control import CORES_MAX
from cosim.shared import Segment

NEVER_PS = 1 << 63  # later than any virtual time
NOBODY = CORES_MAX  # as a core: the timebase decides


class RelayWord(IntEnum):
    """u64 words at the start of the segment."""

    TURNS = 0  # granted or handed over so far: the number of the turn in progress
    CONTENDED = 1  # of them
    OVERSHOOT_PS_MAX = 2
    QUANTUM_PS = 3
    BOUND_PS = 4  # no turn begins here or later, or goes on
    CORES = 5  # rows in use
    CORE = 6  # of the turn in progress, with its times
    START_PS = 7
    UNTIL_PS = 8
    IS_CONTENDED = 9
    PAUSE = 16  # 1: hand over nothing (the timebase writes it at any time; own host cache line)
    BATON = 24  # the core that is to begin the turn in progress; NOBODY: it has, or was granted it
    ROWS = 32  # the first core's row


class RowWord(IntEnum):
    """u64 words of a core's row, a host cache line."""

    NEXT_PS = 0  # its next action
    TAKES_PART = 1
    SAFE_PS = 2  # as CoreTime.safe_until_ps, of its last turn that was handed on
    NODE = 3  # first core of its node
    # In the row of a node's first core:
    ASLEEP = 4  # 1 while it must be woken
    MAIL = 5  # messages that the timebase sent it between turns (the timebase writes it)
    READ = 6  # those it has served (the node writes it)
    WORDS = 8


RELAY_WORDS = RelayWord.ROWS + CORES_MAX * RowWord.WORDS
# Plain numbers: an attribute of an enumeration costs as much as the access.
TURNS, CONTENDED, OVERSHOOT_PS_MAX = (
    int(RelayWord.TURNS),
    int(RelayWord.CONTENDED),
    int(RelayWord.OVERSHOOT_PS_MAX),
)
CORE, START_PS, UNTIL_PS = int(RelayWord.CORE), int(RelayWord.START_PS), int(RelayWord.UNTIL_PS)
IS_CONTENDED = int(RelayWord.IS_CONTENDED)
ROWS, ROW = int(RelayWord.ROWS), int(RowWord.WORDS)
TAKES_PART, SAFE_PS = int(RowWord.TAKES_PART), int(RowWord.SAFE_PS)
MAIL, READ = int(RowWord.MAIL), int(RowWord.READ)


class Ending(IntEnum):
    """How relayed turns of a core end."""

    UNFINISHED = 0  # the turn in progress is this core's, and needs the kernel
    ANSWER = 1  # it ended quietly, and the timebase decides who is next
    ELSEWHERE = 2  # the turn in progress is another core's


class Stretch(NamedTuple):
    """Counts of turns up to now, and the one in progress: its core, times, kind."""

    turns: int
    contended: int
    overshoot_ps_max: int
    core: int
    start_ps: int
    until_ps: int
    is_contended: int


class Relay:
    """The timebase's end.

    path: of the segment, for nodes to attach.
    """

    def __init__(self) -> None:
        self._segment = Segment.create("relay", RELAY_WORDS * 8)
        self.path = self._segment.path
        self._words = memoryview(self._segment.array.view("<u8").data)
        self._words[RelayWord.BATON] = NOBODY
        for core in range(CORES_MAX):
            self.show(core, NEVER_PS, takes_part=False)

    def join(self, core: int, node: int) -> None:
        """There is a core of this number.  node: the first core of its node."""
        self._words[ROWS + core * ROW + RowWord.NODE] = node
        self._words[RelayWord.CORES] = max(self._words[RelayWord.CORES], core + 1)

    def show(self, core: int, next_ps: int, *, takes_part: bool) -> None:
        """A core's next action is known: NEVER_PS for none."""
        row = ROWS + core * ROW
        self._words[row] = next_ps
        self._words[row + TAKES_PART] = takes_part

    def post(self, node: int) -> None:
        """A message is about to be sent to a node that has no turn.  node: its first core."""
        self._words[ROWS + node * ROW + MAIL] += 1

    def grant(self, stretch: Stretch, quantum_ps: int, bound_ps: int) -> None:
        """A turn is granted by message: from it on, turns may be handed over."""
        words = self._words
        words[RelayWord.QUANTUM_PS], words[RelayWord.BOUND_PS] = quantum_ps, bound_ps
        words[TURNS], words[CONTENDED], words[OVERSHOOT_PS_MAX] = stretch[:3]
        words[CORE], words[START_PS], words[UNTIL_PS], words[IS_CONTENDED] = stretch[3:]

    @property
    def turns(self) -> int:
        """Number of the turn in progress."""
        return self._words[TURNS]

    @property
    def stretch(self) -> Stretch:
        """Where the turns stand; exact while nobody hands any over."""
        words = self._words
        return Stretch(*(words[i] for i in (*range(3), CORE, START_PS, UNTIL_PS, IS_CONTENDED)))

    def times_ps(self, core: int) -> tuple[int, int]:
        """NEXT_PS and SAFE_PS of a core."""
        row = ROWS + core * ROW
        return self._words[row], self._words[row + SAFE_PS]

    def pause(self, wanted: bool) -> None:
        """Have the turn in progress, or the next one, answered; or no longer."""
        self._words[RelayWord.PAUSE] = wanted
