"""The memory system's process: makes the segments, consumes the cores' rings, answers for the
counts.

`MemorySystem` is the whole of it without sockets; `main` gives it to the shell of a process.  A
node that runs alone publishes records, and this process consumes them at the same time; a node that
needs exact prices consumes its own through memsys.port, and this process finds nothing to do.
"""

import ctypes
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from cosim.engine.stream import CORE_STREAM_BYTES, CoreStream, Word
from cosim.process import Shell
from cosim.shared import Segment
from memsys import departure, growth, laws, port, repricing, specification, state, statistics
from memsys.pages import DIGEST_BYTES, add_pages
from memsys.variants import Variants

CORES_MAX = 64
LOOKS = 100  # at the rings before the sockets get a turn: 10 to 15 ms when nothing comes
# So many turns of the sockets without a record between, then longer sleeps, and much longer ones
# where cores price every reference themselves: with 1 ms, 9 % of a host's core went into looking.
# A ring that is full before is consumed by its core.
IDLE_CALLS = 2
SLEEP_MS = 1
IDLE_CALLS_LONG = 20
SLEEP_LONG_MS = 5


class MemorySystem:
    """Segments and kernels of one machine.

    segments: physical, stream, hierarchy and perhaps also, by name.  specification, state: see
    their modules.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        nodes: Sequence[Mapping[str, Any]],
        also: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """settings, nodes: of the run configuration.  also: settings of further memory systems
        that are fed the same references.  Raises InputError for what does not fit.
        """
        self.specification = specification.build(settings, nodes)
        self.segments = {
            "physical": Segment.create("physical", self.specification.map.size_bytes),
            "stream": Segment.create("stream", CORES_MAX * CORE_STREAM_BYTES),
            "hierarchy": Segment.create("hierarchy", growth.room_bytes(self.specification)),
        }
        self.state = state.build(self.specification, self.segments["hierarchy"].array)
        self.streams = self._streams()
        self._left: set[int] = set()
        self.variants = Variants(also, nodes, self.segments["stream"].array) if also else None
        if self.variants is not None:
            self.segments["also"] = self.variants.segment
        names = [name for name in ("hierarchy", "stream", "also") if name in self.segments]
        arrays = (self.segments[name].array for name in names)
        self.port_address, argument, self._keep_alive = port.attach(*arrays)
        self._argument = np.uint64(argument)
        self._usleep = np.uint64(ctypes.cast(ctypes.CDLL(None).usleep, ctypes.c_void_p).value or 0)

    def reshape(self, settings: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> None:
        """The machine has these nodes and prices from now on: the nodes it had, and perhaps more
        behind them; a node that left has nothing in its caches any more.

        InputError, and nothing has changed, when it cannot have them.
        """
        while self.consume():
            pass
        grown = specification.build(settings, nodes)
        if len(grown.nodes) > len(self.specification.nodes):
            segment = self.segments["hierarchy"]
            self.state = growth.grow(self.specification, self.state, grown, segment)
        else:
            repricing.reprice(grown, self.state)
        self.specification = grown
        self.streams = self._streams()
        for index, node in enumerate(nodes):
            if "left_ps" in node and index not in self._left:
                departure.empty(self.specification, self.state, index)
                self._left.add(index)

    def _streams(self) -> list[CoreStream]:
        count = len(self.specification.cores)
        return [CoreStream(self.segments["stream"].array, core) for core in range(count)]

    @property
    def paths(self) -> dict[str, str]:
        """Where others attach the segments."""
        return {name: segment.path for name, segment in self.segments.items()}

    @property
    def facts(self) -> dict[str, int]:
        """Numbers that nodes need."""
        return {"worst_reference_cycles": self.specification.worst_reference_cycles}

    def consume(self, rounds: int = 1) -> int:
        """Look at every core's ring `rounds` times and consume what is there; records consumed."""
        return port.watch(self._argument, len(self.streams), rounds, self._usleep)

    def pending(self) -> dict[str, int]:
        """Records published and not yet consumed, by core."""
        return {
            core.name: int(stream.header[Word.HEAD]) - int(stream.header[Word.TAIL])
            for core, stream in zip(self.specification.cores, self.streams, strict=True)
        }

    def statistics(self) -> dict[str, int]:
        """Every statistic of the memory system by its dotted name."""
        return statistics.report(
            self.specification,
            self.state.counters,
            self._words(Word.FETCHES_USER),
            repricing.charged(self.state),
        )

    def violations(self) -> list[str]:
        """Every law that does not hold, one line each; call it when all rings are consumed."""
        return laws.violations(
            self.specification, self.state, self._words(Word.CYCLES), self._words(Word.FETCHES_USER)
        )

    def digest(self) -> str:
        """Hex digest of every page of physical memory that is not zero, and of all counters."""
        return self._digest_of(self._content())

    def _content(self) -> blake2b:
        digest = blake2b(digest_size=DIGEST_BYTES)
        physical = self.segments["physical"]
        add_pages(digest, physical.array, physical.path)
        return digest

    def _digest_of(self, content: blake2b) -> str:
        digest = content.copy()
        digest.update(np.ascontiguousarray(self.state.counters).tobytes())
        return digest.hexdigest()

    def collected(self) -> dict[str, Any]:
        """The fields of a `collected` message."""
        while self.consume():
            pass
        content, counted = self._content(), self.statistics()
        reports: dict[str, Any] = {
            "digest": self._digest_of(content),
            "violations": self.violations(),
        }
        if self.variants is not None:
            reports |= {"names": list(counted), "also": self.variants.reports(content)}
        return {"statistics": counted, "reports": reports}

    def close(self) -> None:
        """Give the segments back."""
        for segment in self.segments.values():
            segment.close()

    def _words(self, word: Word) -> list[int]:
        return [int(stream.header[word]) for stream in self.streams]


def reshape(system: MemorySystem, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Answer `reshape`."""
    system.reshape(machine["settings"], machine["nodes"])
    return {}


def main(shell: Shell) -> None:
    """Entry of the role `memsys`."""
    shell.doing = "compiling the kernels"
    configuration = shell.configuration
    also = [variant["settings"] for variant in configuration.get("also", ())]
    system = MemorySystem(configuration["settings"], configuration["nodes"], also)
    system.consume()
    shell.statistics = system.statistics
    shell.answer("collect", lambda message: system.collected())
    shell.answer("dump", lambda message: {"records pending": system.pending()})
    shell.answer("reshape", lambda message: reshape(system, message["machine"]))
    dearest = configuration.get("run", {}).get("worst_reference_cycles", 0)
    worst = max(dearest, system.facts["worst_reference_cycles"])
    shell.ready(system.paths, {"worst_reference_cycles": worst})
    idle_calls = 0
    while True:
        idle_calls = (
            0 if system.consume(LOOKS if idle_calls <= IDLE_CALLS else 1) else idle_calls + 1
        )
        if idle_calls > IDLE_CALLS:
            shell.wait(SLEEP_MS if idle_calls <= IDLE_CALLS_LONG else SLEEP_LONG_MS)
        else:
            shell.poll_sometimes()
