"""Further memory systems of one machine: they price the same references, and nobody waits for them.

Their hierarchies lie one after the other in one segment, `also`, each as memsys.state lays it out:

```text
 word 0       how many there are
 words 1, 2   first byte of the first one and the byte behind it; then those of the second, ...
 page 1 ..    the hierarchies, each on pages of its own
```
What the cores do must be the same whatever a reference costs; cosim.kernel.time_dependence ends a
run that cannot promise it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numba import cfunc, types

from cosim.compiled import load_word
from cosim.engine.stream import CoreStream, Word
from cosim.errors import InputError
from cosim.shared import Segment
from cosim.units import PAGE_BYTES
from memsys import header, laws, specification, state
from memsys.kernels import consume
from memsys.pointers import records_at, words_at
from memsys.snapshot import Snapshots
from memsys.state import CORE_BLOCK, WORD_BYTES, CoreWord

VARIANTS_MAX = 16
CHARGED, FED = int(CoreWord.CHARGED), int(CoreWord.FED)
WORD = np.uint64(WORD_BYTES)
WORKED = (
    Word.TAIL,
    Word.INSTRUCTIONS_USER,
    Word.INSTRUCTIONS_KERNEL,
)  # of a core that did anything


class Variants:
    """The further memory systems, and what came of them.

    segment: where they are.  snapshots: of each one.
    """

    def __init__(
        self,
        settings: Sequence[Mapping[str, Any]],
        nodes: Sequence[Mapping[str, Any]],
        stream: np.ndarray,
    ) -> None:
        """settings: flat and complete, of each one.  nodes: of the run configuration.  stream: the
        shared segment as u8.  Raises InputError for what does not fit.
        """
        built = [specification.build(one, nodes) for one in settings]
        sizes = [-(-state.size_bytes(one) // PAGE_BYTES) * PAGE_BYTES for one in built]
        bounds = list(accumulate(sizes, initial=PAGE_BYTES))
        self.segment = Segment.create("also", bounds[-1])
        words = self.segment.array[:PAGE_BYTES].view(np.int64)
        words[0] = len(built)
        words[1 : 1 + 2 * len(built)] = [bound for pair in pairwise(bounds) for bound in pair]
        self._states = [
            state.build(one, part)
            for one, part in zip(built, parts(self.segment.array), strict=True)
        ]
        self.snapshots = snapshots(settings, nodes, self.segment.array, stream)
        self._headers = [CoreStream(stream, core).header for core in range(len(built[0].cores))]

    def reports(self, content: Any) -> list[dict[str, Any]]:
        """Of each one, when all rings are consumed: its statistics with those that follow from
        them, the digest, violated laws, and the latest clock of any core.

        content: blake2b of physical memory.  Raises InputError when more than one core did
        anything, because which of them went first may have depended on prices.
        """
        worked = [
            core.name
            for core, header in zip(
                self.snapshots[0].specification.cores, self._headers, strict=True
            )
            if any(header[word] for word in WORKED)
        ]
        if len(worked) > 1:
            raise InputError(
                f"--also: {' and '.join(worked)} did something, in an order that may depend on "
                "what references cost; run each memory system by itself"
            )
        return [self._report(number, content.copy()) for number in range(len(self._states))]

    def _report(self, number: int, digest: Any) -> dict[str, Any]:
        found, arrays = self.snapshots[number], self._states[number]
        digest.update(np.ascontiguousarray(arrays.counters).tobytes())
        blocks = arrays.words[state.layout(found.specification).cores :]
        charged = [int(blocks[core * CORE_BLOCK + CHARGED]) for core in range(len(self._headers))]
        fetches = [int(header[Word.FETCHES_USER]) for header in self._headers]
        return {
            "statistics": found.everything(),
            "digest": digest.hexdigest(),
            "violations": laws.violations(found.specification, arrays, charged, fetches),
        }


def feed(argument, core, ring, head):
    """Serve a core's records up to `head` in every hierarchy, one after the other; how many there
    are.  All u64.

    argument: host address of their number and of the addresses of their words, as `attach` made.
    ring: host address of the core's ring.
    """
    count = load_word(argument)
    last = np.int64(head)
    for number in range(np.int64(count)):
        h = words_at(load_word(argument + np.uint64(number + 1) * WORD))
        at = h[header.CORE_BLOCKS] + np.int64(core) * CORE_BLOCK
        h[at + CHARGED] += consume(h, np.int64(core), records_at(ring), h[at + FED], last)
        h[at + FED] = last
    return count


@cache
def compiled_feed() -> Any:
    """`feed` as a C function.  Compiled on demand: most machines have no variants."""
    return cfunc(types.uint64(*[types.uint64] * 4), cache=True)(feed)


def attach(segment: np.ndarray) -> tuple[int, int, object]:
    """(address of `feed`, address of its first argument, object to keep alive).

    segment: as it is mapped in this process, u8.
    """
    hierarchies = parts(segment)
    addresses = [part.ctypes.data for part in hierarchies]
    argument = np.array([len(addresses), *addresses], dtype=np.uint64)
    function = compiled_feed()
    return function.address, argument.ctypes.data, (argument, segment, function)


def parts(segment: np.ndarray) -> list[np.ndarray]:
    """The hierarchies in a segment, each as u8."""
    words = segment[:PAGE_BYTES].view(np.int64)
    bounds = words[1 : 1 + 2 * int(words[0])].reshape(-1, 2).tolist()
    return [segment[first:end] for first, end in bounds]


def snapshots(
    settings: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]],
    segment: np.ndarray,
    stream: np.ndarray,
) -> list[Snapshots]:
    """Readers of each one's counters.  Arguments as in Variants."""
    found = zip(settings, parts(segment), strict=True)
    return [Snapshots(one, nodes, part, stream) for one, part in found]
