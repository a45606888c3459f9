"""Is what was charged before a price changes charged at the old price, and all after at the new?"""

import pytest

from cosim import settings
from cosim.engine.stream import Word
from memsys import repricing
from memsys.server import MemorySystem
from memsys.snapshot import Snapshots
from memsys.statistics import CHARGES
from tests.coherence.machines import nodes_of
from tests.coherence.test_memory_system import NODES, write

BEFORE = settings.resolve({}, NODES)
AFTER = settings.resolve({"cost.x86.memory": "901", "cost.x86.l1": "7"}, NODES)


@pytest.fixture
def system():
    found = MemorySystem(BEFORE, NODES)
    yield found
    found.close()


def consume(system, count):
    """Have core 0 make `count` accesses, to the lines after the last ones."""
    system.streams[0].header[Word.HEAD] = write(system, 0, count)
    assert system.consume() == count


def test_every_cycle_is_charged_at_the_price_of_its_time(system):
    dear = MemorySystem(AFTER, NODES)
    for one in (system, dear):
        consume(one, 3000)
    cheap = system.statistics()
    first_dear = dear.statistics()
    system.reshape(AFTER, NODES)
    assert system.statistics() == cheap  # nothing that was paid changes
    for one in (system, dear):
        consume(one, 3000)
    assert system.violations() == []
    found, all_dear = system.statistics(), dear.statistics()
    for charge in CHARGES:
        name = f"x86.core0.memory_cycles.{charge.name}"
        assert found[name] == cheap[name] + all_dear[name] - first_dear[name], name
    assert (
        found["x86.core0.memory_cycles.memory_local"]
        > cheap["x86.core0.memory_cycles.memory_local"]
    )
    dear.close()


def test_prices_may_change_twice_and_back(system):
    for prices in (AFTER, BEFORE, AFTER):
        consume(system, 500)
        system.reshape(prices, NODES)
        assert system.violations() == []
    told = int(system.streams[0].header[Word.CYCLES])
    assert repricing.charged(system.state)[0].sum() == told


def test_a_snapshot_has_what_was_charged_whatever_the_prices_are_later(system):
    arrays = [system.segments[name].array for name in ("hierarchy", "stream")]
    counters = Snapshots(BEFORE, NODES, *arrays)
    consume(system, 1000)
    one = counters.take()
    system.reshape(AFTER, NODES)
    consume(system, 1000)
    two = counters.take()
    difference = counters.difference(one, two)
    paid = sum(v for n, v in difference.items() if n.startswith("x86.core0.memory_cycles."))
    assert paid == difference["x86.core0.memory_cycles"]


def test_a_machine_that_grows_after_a_change_keeps_what_was_charged(system):
    consume(system, 1000)
    system.reshape(AFTER, NODES)
    consume(system, 1000)
    before = system.statistics()
    grown = nodes_of(1, 1, 1)
    system.reshape(settings.resolve({"cost.x86.memory": "901", "cost.x86.l1": "7"}, grown), grown)
    after = system.statistics()
    assert {name: after[name] for name in before} == before
    assert system.violations() == []
