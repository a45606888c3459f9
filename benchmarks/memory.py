"""How fast is the memory system alone?  References per second of the compiled kernel, as JSON.

The kernel that serves the cores' rings consumes records of one core on the default pair, full
hierarchy, coherence and costs on: once from a stream that stays in L1D, once uniformly over a range
that only memory holds.  Thread time is given beside wall time: hosts are shared.

    python benchmarks/memory.py [--references 20e6]
"""

import argparse
import json
import time

import numpy as np

from cosim import settings
from cosim.engine.stream import RING_RECORDS, Kind, Mode, record
from cosim.units import KiB, MiB
from memsys import laws, replay, specification
from memsys.kernels import consume_at

NODES = [
    {"name": "x86", "isa": "x86_64", "cores": 1, "index": 0},
    {"name": "arm", "isa": "aarch64", "cores": 1, "index": 1},
]
STREAMS = {"hits in L1D": 16 * KiB, "random over 16 MiB": 16 * MiB}
STORES_EVERY = 4
SEED = 20261123


def stream(range_bytes: int) -> np.ndarray:
    """(64 rings of records,) u64: uniform 8-byte references, every fourth one a store."""
    random = np.random.default_rng(SEED)
    count = 64 * RING_RECORDS
    words = random.integers(0, range_bytes // 8, count, dtype=np.uint64) * np.uint64(8)
    words |= np.uint64(record(Kind.LOAD, Mode.USER, 8, 0))
    words[::STORES_EVERY] |= np.uint64(record(Kind.STORE, Mode.USER, 1, 0))
    return words


def measure(range_bytes: int, references: int) -> dict[str, float]:
    """References per second over `range_bytes`, after one pass to warm caches and code."""
    target = specification.build(settings.resolve({}, NODES), NODES)
    state = replay.new_state(target)
    rings = stream(range_bytes).reshape(64, RING_RECORDS)
    words = np.uint64(state.words.ctypes.data)
    addresses = [np.uint64(ring.ctypes.data) for ring in rings]
    for address in addresses:
        consume_at(words, 0, address, 0, RING_RECORDS)
    rounds = max(1, references // RING_RECORDS)
    wall, thread = time.perf_counter(), time.thread_time()
    for number in range(rounds):
        consume_at(words, 0, addresses[number % 64], 0, RING_RECORDS)
    wall, thread = time.perf_counter() - wall, time.thread_time() - thread
    assert laws.violations(target, state) == []
    done = rounds * RING_RECORDS
    return {
        "references": done,
        "million_per_second": round(done / wall / 1e6, 2),
        "million_per_thread_second": round(done / thread / 1e6, 2),
        "ns_per_reference": round(thread / done * 1e9, 2),
    }


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--references", type=float, default=20e6)
    references = int(parser.parse_args().references)
    found = {name: measure(size, references) for name, size in STREAMS.items()}
    print(json.dumps({"seed": SEED, "streams": found}, indent=1))


if __name__ == "__main__":
    main()
