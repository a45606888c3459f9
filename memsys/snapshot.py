"""All counters of the machine at one moment of virtual time, and the difference of two moments.

Everything lies in the segments that every process maps: the memory system's counters in the
hierarchy, instructions and idle cycles in the headers of the streams.  A kernel takes a snapshot
between two instructions of its core, which has just settled; every other core settled at the end
of its last turn, and only one core runs.  So nothing is under way: the counts are exact, the same
in every repetition, and taking them costs no simulated cycle.

The idle cycles of a core that waits are those up to where it began to wait.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from cosim.engine.stream import CoreStream, Word
from cosim.units import cycles_of_instructions
from memsys import repricing, specification, state, statistics
from memsys.statistics import Counter

WORDS = (Word.INSTRUCTIONS_USER, Word.INSTRUCTIONS_KERNEL, Word.IDLE_CYCLES, Word.FETCHES_USER)

IDLE = WORDS.index(Word.IDLE_CYCLES)


class Snapshot(NamedTuple):
    """counters: (cores, COUNTERS) i64.  words: (cores, len(WORDS)) i64.  charged: (cores,
    len(CHARGES)) i64, cycles.
    """

    counters: np.ndarray
    words: np.ndarray
    charged: np.ndarray


class Snapshots:
    """Takes and compares snapshots of one machine."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        nodes: Sequence[Mapping[str, Any]],
        hierarchy: np.ndarray,
        stream: np.ndarray,
    ) -> None:
        """settings, nodes: of the run configuration.  hierarchy, stream: the segments as u8."""
        self.specification = specification.build(settings, nodes)
        words = state.layout(self.specification).words
        view = state.view(self.specification, hierarchy[: words * state.WORD_BYTES].view(np.int64))
        self._state = view
        cores = range(len(self.specification.cores))
        self._headers = [CoreStream(stream, core).header for core in cores]
        ratio = Fraction(str(settings["time.ipc"]))
        self._ipc = (ratio.numerator, ratio.denominator)

    def line_classes(self, cores: Sequence[int]) -> int:
        """Of those cores, see specification."""
        rows = self.specification.cores
        return min(self.specification.line_classes(rows[core]) for core in cores)

    def take(self) -> Snapshot:
        """All counters now."""
        words = [[int(header[word]) for word in WORDS] for header in self._headers]
        arrays = self._state
        return Snapshot(
            arrays.counters.copy(), np.array(words, np.int64), repricing.charged(arrays)
        )

    def difference(self, before: Snapshot, after: Snapshot) -> dict[str, int]:
        """What was counted between two snapshots, by the names of stats.json.  A counter that did
        not move is not named.  Cores that were not there before counted nothing then.
        """
        more = len(after.words) - len(before.words)
        before = Snapshot(*(np.pad(array, ((0, more), (0, 0))) for array in before))
        found = self._named(Snapshot(*(b - a for a, b in zip(before, after, strict=True))))
        for core in self.specification.cores:
            busy = self._busy(after, core.index) - self._busy(before, core.index)
            found[f"{core.name}.cycles"] = busy
        return {name: value for name, value in found.items() if value}

    def everything(self) -> dict[str, int]:
        """All that was counted until now, by the names of stats.json."""
        now = self.take()
        cycles = {f"{c.name}.cycles": self._busy(now, c.index) for c in self.specification.cores}
        return self._named(now) | cycles

    def clock_cycles(self, snapshot: Snapshot, core: int) -> int:
        """The local clock of a core at that moment: busy and idle cycles."""
        return self._busy(snapshot, core) + int(snapshot.words[core, IDLE])

    def _named(self, counts: Snapshot) -> dict[str, int]:
        fetches = counts.words[:, 3].tolist()
        found = statistics.report(self.specification, counts.counters, fetches, counts.charged)
        for core, row in zip(self.specification.cores, counts.words.tolist(), strict=True):
            found[f"{core.name}.instructions_user"] = row[0]
            found[f"{core.name}.instructions_kernel"] = row[1]
            found[f"{core.name}.idle_cycles"] = row[2]
        return found

    def _busy(self, snapshot: Snapshot, core: int) -> int:
        """Busy cycles of a core, as cosim.core counts them."""
        row = snapshot.counters[core]
        memory = int(row[Counter["CYCLES_USER"]] + row[Counter["CYCLES_KERNEL"]])
        instructions = int(snapshot.words[core, 0] + snapshot.words[core, 1])
        return cycles_of_instructions(instructions, self._ipc) + memory
