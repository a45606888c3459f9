"""How fast is the memory system alone?  References per second of the compiled kernel, as JSON.

The kernel that serves the cores' rings consumes records of one core on the default pair, full
hierarchy, coherence and costs on, from streams that end in each of the levels.  Then the stream of
hits through the memory port with one and two records a call, as a core does in contended turns.
Times are those of the thread, the best of --repeat: hosts are shared.

    python -m benchmarks.memory [--references 2e6] [--repeat 5]
"""

import argparse
import json
import time

import numpy as np

from cosim import settings
from cosim.compiled import call_pointer4, kernel
from cosim.engine.stream import (
    CORE_STREAM_BYTES,
    RING_RECORDS,
    CoreStream,
    Kind,
    Mode,
    Word,
    record,
)
from cosim.units import LINE_BYTES, KiB, MiB
from memsys import laws, port, replay, specification, state
from memsys.kernels import consume_at

NODES = [
    {"name": "x86", "isa": "x86_64", "cores": 1, "index": 0},
    {"name": "arm", "isa": "aarch64", "cores": 1, "index": 1},
]
RANDOM = {
    "hits in L1D": 16 * KiB,
    "random over 512 KiB": 512 * KiB,  # L2
    "random over 2 MiB": 2 * MiB,  # L2 and L3
    "random over 16 MiB": 16 * MiB,  # memory
}
LINE_BY_LINE = "line by line over 16 MiB"
PORT_CALLS = (1, 2, 16)  # records a call
RINGS = 64
STORES_EVERY = 4
SEED = 20261123


def records(addresses: np.ndarray) -> np.ndarray:
    """(RINGS, RING_RECORDS) u64: 8-byte references, every fourth one a store."""
    words = addresses.astype(np.uint64) | np.uint64(record(Kind.LOAD, Mode.USER, 8, 0))
    words[::STORES_EVERY] |= np.uint64(record(Kind.STORE, Mode.USER, 1, 0))
    return words.reshape(RINGS, RING_RECORDS)


def streams() -> dict[str, np.ndarray]:
    """Every stream by name."""
    random = np.random.default_rng(SEED)
    count = RINGS * RING_RECORDS
    found = {
        name: records(random.integers(0, size // 8, count) * 8) for name, size in RANDOM.items()
    }
    found[LINE_BY_LINE] = records(np.arange(count) * LINE_BYTES % (16 * MiB))
    return found


@kernel
def call_port(port, argument, head, calls, records_a_call):
    """Call the memory port of core 0 for the next records, again and again."""
    for _ in range(calls):
        head += records_a_call
        call_pointer4(port, argument, np.uint64(0), head, np.uint64(0))


def through_port(hits: np.ndarray, references: int) -> dict[int, float]:
    """Thread seconds a record, by records a call; the ring is gone round and round."""
    target = specification.build(settings.resolve({}, NODES), NODES)
    stream = np.zeros(CORE_STREAM_BYTES, np.uint8)
    core = CoreStream(stream, 0)
    core.ring[:] = hits
    hierarchy = np.zeros(state.size_bytes(target), np.uint8)
    state.build(target, hierarchy)
    address, argument, keep = port.attach(hierarchy, stream)
    found = {}
    for size in PORT_CALLS:
        calls = references // size
        for number in (RING_RECORDS // size, calls):
            head = core.header[Word.TAIL]
            began = time.thread_time()
            call_port(
                np.uint64(address), np.uint64(argument), head, np.int64(number), np.uint64(size)
            )
            seconds = time.thread_time() - began
        found[size] = seconds / calls / size
    assert keep
    return found


def through_ring(rings: np.ndarray, references: int) -> float:
    """Thread seconds a record, after one pass to warm caches and code."""
    target = specification.build(settings.resolve({}, NODES), NODES)
    found = replay.new_state(target)
    words = np.uint64(found.words.ctypes.data)
    addresses = [np.uint64(ring.ctypes.data) for ring in rings]
    for ring in addresses:
        consume_at(words, 0, ring, 0, RING_RECORDS)
    rounds = max(1, references // RING_RECORDS)
    began = time.thread_time()
    for number in range(rounds):
        consume_at(words, 0, addresses[number % RINGS], 0, RING_RECORDS)
    seconds = time.thread_time() - began
    assert laws.violations(target, found) == []
    return seconds / (rounds * RING_RECORDS)


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--references", type=float, default=2e6)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    references = int(options.references)
    given = streams()
    best = {
        name: min(through_ring(rings, references) for _ in range(options.repeat))
        for name, rings in given.items()
    }
    ports = [through_port(given["hits in L1D"][0], references) for _ in range(options.repeat)]
    report = {
        name: {
            "ns_per_reference": round(seconds * 1e9, 2),
            "million_per_thread_second": round(1e-6 / seconds, 2),
        }
        for name, seconds in best.items()
    }
    calls = {
        f"{size} a call": round(min(found[size] for found in ports) * size * 1e9, 2)
        for size in PORT_CALLS
    }
    print(json.dumps({"seed": SEED, "streams": report, "port.ns_per_call": calls}, indent=1))


if __name__ == "__main__":
    main()
