"""Memory systems under test: small machines, random accesses, and the comparison with the
reference."""

import numpy as np

from cosim import settings
from cosim.engine.stream import RING_RECORDS
from cosim.units import GiB, KiB, MiB
from memsys import entries, laws, replay, specification
from memsys.kernels import consume_at
from memsys.reference import ReferenceMemory
from memsys.sets import FLAG_BITS
from memsys.specification import Specification
from memsys.state import State, copies
from memsys.statistics import Counter

NAMES = (("x86", "x86_64"), ("arm", "aarch64"), ("riscv", "riscv64"), ("more", "x86_64"))
TINY = {
    "cache.l1i.size": 256, "cache.l1i.ways": 2,  # 2 sets
    "cache.l1d.size": 256, "cache.l1d.ways": 2,
    "cache.l2.size": KiB, "cache.l2.ways": 4,  # 4 sets
    "cache.l3.size": 4 * KiB, "cache.l3.ways": 8,  # 8 sets
    "memory.size": 256 * MiB, "memory.message_area": MiB, "memory.shared_window": MiB,
}  # fmt: skip
WIDE = {  # sets of several rows, and of a part of a row
    "cache.l1i.size": 640, "cache.l1i.ways": 10,
    "cache.l1d.size": 1280, "cache.l1d.ways": 20,
    "cache.l2.size": 4352, "cache.l2.ways": 34,
    "cache.l3.size": 8 * KiB, "cache.l3.ways": 64,
}  # fmt: skip
PRICES = {"cost.x86.memory": 301, "cost.snoop_data": 71, "cost.snoop_invalidate": 73}
PRICES |= {"cost.back_invalidate": 79, "cost.x86.fetch_hit": 2, "cost.x86.l3_transfer": 53}


def nodes_of(*cores: int) -> list[dict]:
    """A node for each number of cores."""
    return [
        {"name": name, "isa": isa, "cores": count, "index": index}
        for index, ((name, isa), count) in enumerate(zip(NAMES, cores, strict=False))
    ]


def machine(*cores: int, **overrides: object) -> Specification:
    """A machine with these cores a node; overrides: settings with `__` for dots."""
    nodes = nodes_of(*cores)
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return specification.build(settings.resolve(given, nodes), nodes)


def random_machine(seed: int) -> Specification:
    """Tiny caches, so that everything collides; every switch and shape comes up in a few seeds."""
    random = np.random.default_rng([20261124, seed])

    def pick(*choices: object) -> object:
        return choices[int(random.integers(len(choices)))]

    cores = [int(random.integers(1, 3)) for _ in range(int(random.integers(1, 5)))]
    nodes = nodes_of(*cores)
    given = TINY | PRICES | {
        "memory.model": pick("separated", "shared", "fully-shared"),
        "memory.size": pick(256 * MiB, 5 * GiB),
        "cache.inclusion": pick("inclusive", "nine"),
        "cache.remote_load_drops_owner_l1": pick(True, False),
        "cache.silent_shared_eviction": pick(True, False),
        "cache.snoop_filter.entries": pick(0, 0, 8, 32, 128),
        "cache.snoop_filter.ways": pick(2, 4),
    }  # fmt: skip
    if random.random() < 0.2:
        given |= {
            "cache.l1d.size": 64,
            "cache.l1d.ways": 1,
            "cache.l2.size": 128,
            "cache.l2.ways": 1,
        }
    for node in nodes:
        if random.random() < 0.25:
            given[f"cache.{node['name']}.l3.size"] = 0
    if random.random() < 0.1:
        given["cache.l3.size"] = 0
    if random.random() < 0.25:
        given |= WIDE
    return specification.build(settings.resolve(given, nodes), nodes)


def random_accesses(target: Specification, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """(cores, kinds, addresses) over a few hundred lines of several regions, one of them hot."""
    random = np.random.default_rng([20261125, seed])
    bases = [0, 3 * 4096, 40 * MiB, 200 * MiB]
    if target.map.size_bytes > 4 * GiB:
        bases += [4 * GiB, 4 * GiB + 700 * MiB]
    base = np.array(bases)[random.integers(0, len(bases), count)]
    line = random.integers(0, int(random.choice([4, 30, 60])), count)
    hot = random.random(count) < 0.3
    address = np.where(hot, line % 4 * 64, base + line * 64)
    cores = random.integers(0, len(target.cores), count).astype(np.uint8)
    kinds = random.choice([0, 0, 0, 1, 1, 2, 3], count).astype(np.uint8)
    return cores, kinds, address.astype(np.uint64)


def random_records(target: Specification, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(cores, records): every kind, mode and size, splits and device registers among them."""
    cores, kinds, addresses = random_accesses(target, count, seed)
    random = np.random.default_rng([20261126, seed])
    sizes = random.choice([1, 2, 4, 8, 8, 16, 64], count).astype(np.uint64)
    modes = random.choice([0, 0, 0, 1, 1, 2, 3], count).astype(np.uint64)
    modes[kinds == 3] = 0
    addresses = addresses + random.integers(0, 64, count).astype(np.uint64)
    device = (modes == 3) & (random.random(count) < 0.7)
    addresses[device] = 0xC000_0000 + random.integers(0, 5, device.sum()).astype(np.uint64) * 4096
    words = kinds.astype(np.uint64) << np.uint64(60) | modes << np.uint64(58)
    return cores, words | (sizes - np.uint64(1)) << np.uint64(52) | addresses


def feed(target: State, cores: np.ndarray, records: np.ndarray) -> list[int]:
    """Consume each record on its own; cycles each."""
    ring = np.zeros(RING_RECORDS, np.uint64)
    addresses = np.uint64(target.words.ctypes.data), np.uint64(ring.ctypes.data)
    cycles = []
    for number, (core, record) in enumerate(zip(cores.tolist(), records, strict=True)):
        ring[number % RING_RECORDS] = record
        cycles.append(consume_at(addresses[0], core, addresses[1], number, number + 1))
    return cycles


def assert_same(reference: ReferenceMemory, state: State) -> None:
    """Counters, caches with their LRU order, and directories are equal."""
    for core, (tally, row) in enumerate(
        zip(reference.tallies, state.counters.tolist(), strict=True)
    ):
        found = {Counter(index).name: value for index, value in enumerate(row) if value}
        expected = {Counter(index).name: value for index, value in tally.items() if value}
        assert found == expected, f"core {core}"
    for name, cache in reference.caches():
        found = [
            [(line, state) for line, state in zip(*ways, strict=True) if state]
            for ways in zip(
                *(column.tolist() for column in copies(state.caches[name])), strict=True
            )
        ]
        assert found == cache.contents(), name
    _assert_same_directories(reference, state)


def _assert_same_directories(reference: ReferenceMemory, state: State) -> None:
    target = reference.specification
    expected = reference.holders()
    for domain in target.domains:
        if domain.has_directory:
            found = _table(state.directories[domain.index], len(domain.cores), domain.cores[0])
            assert found == expected[domain.name], domain.name
    if not target.has_filter:
        assert not expected["filter"]
    elif not target.filter_entries:
        assert _table(state.filter_entries, len(target.domains), 0) == expected["filter"]
    else:
        for index, lines in enumerate(reference.filter.sets):
            words = [word >> FLAG_BITS for word in state.filter_lines[index].tolist() if word]
            assert words == list(reversed(lines)), f"snoop filter set {index}"
            held = zip(words, state.filter_entries[index].tolist(), strict=False)
            for line, entry in held:
                assert _entry(entry, int(entries.OWNED), 0) == expected["filter"][line]


def _table(table: np.ndarray, members: int, first: int) -> dict[int, tuple]:
    used = np.flatnonzero(table)
    owned = entries.owned_bit(members)
    return {int(line): _entry(int(table[line]), owned, first) for line in used}


def _entry(entry: int, owned: int, first: int) -> tuple[tuple[int, ...], int | None]:
    holders = tuple(first + bit for bit in range(62) if (entry & ~owned) >> bit & 1)
    return holders, holders[0] if entry & owned else None


def compare(target: Specification, cores, kinds, addresses) -> tuple[ReferenceMemory, State]:
    """Reference and kernels over the same accesses: served, cost, counters, all that is left."""
    reference = ReferenceMemory(target)
    found = replay.replay(target, cores, kinds, addresses)
    trace = zip(cores.tolist(), kinds.tolist(), addresses.tolist(), strict=True)
    for number, (core, kind, address) in enumerate(trace):
        served, cycles = reference.access(core, kind, address >> 6)
        ours = int(found.served[number]), int(found.cycles[number])
        assert ours == (served, cycles), f"access {number}: core {core} kind {kind} {address:#x}"
    assert_same(reference, found.state)
    return reference, found.state


def assert_lawful(target: Specification, state: State, *, charged: bool = True) -> None:
    """Every law holds; charged False: cycles were not booked, as in a replay."""
    broken = laws.violations(target, state, booked=charged)
    assert not broken, broken
