"""Do the parts of a pair work together: interrupts, serial port, memory models, time?"""

import re

import pytest

from launch import Machine

FOUR_KIB_LINES = 64


def run(programs, **options):
    with Machine(**options) as machine:
        return machine.run_together(programs)


@pytest.mark.parametrize("latency_ns", [2000, 5000])
def test_a_round_trip_of_interrupts_takes_twice_the_latency_and_the_kernels(latency_ns):
    found = run([("pingpong", "x86"), ("pingpong", "arm")], settings={"ipi.latency_ns": latency_ns})
    assert found.exit_status == 0, found.console
    (round_trip_ns,) = map(int, re.findall(r"(\d+) ns each", found.console))
    assert 2 * latency_ns <= round_trip_ns < 2 * latency_ns + 2000
    statistics = found.statistics
    assert statistics["x86.ipi.sent"] == statistics["arm.ipi.received"] >= 100
    assert statistics["arm.ipi.sent"] == statistics["x86.ipi.received"] >= 100


def test_the_serial_port_of_one_node_serves_both():
    statistics = run([("hello", "x86"), ("hello", "arm")]).statistics
    assert statistics["x86.devices.local"] > 0 == statistics["x86.devices.remote"]
    assert statistics["arm.devices.remote"] > 0 == statistics["arm.devices.local"]


def test_the_memory_models_differ_in_prices_only():
    found = {
        model: run([("hello", "arm")], memory=model).statistics
        for model in ("separated", "shared", "fully-shared")
    }
    executed = {model: s["arm.core0.instructions_user"] for model, s in found.items()}
    assert len(set(executed.values())) == 1
    assert "machine.l3.accesses" in found["fully-shared"]
    assert "arm.l3.accesses" not in found["fully-shared"]
    assert found["separated"]["arm.l3.accesses"] == found["separated"]["arm.core0.l2.misses"]


def test_a_shared_counter_bounces_between_the_nodes():
    statistics = run([("atomic_add", "x86"), ("atomic_add", "arm")], memory="separated").statistics
    for node in ("x86", "arm"):
        assert statistics[f"{node}.snoops.invalidate.sent"] > FOUR_KIB_LINES
    for kind in ("data", "invalidate", "back_invalidate"):
        sent, received = (
            sum(statistics[f"{node}.snoops.{kind}.{way}"] for node in ("x86", "arm"))
            for way in ("sent", "received")
        )
        assert sent == received
    # The shared window is x86's memory in the separated model.
    assert statistics["arm.memory.remote"] > 0
    assert statistics["x86.memory.remote"] == 0


def test_more_instructions_per_cycle_take_fewer_cycles():
    slow = run([("hello", "x86")]).statistics
    fast = run([("hello", "x86")], settings={"time.ipc": "2"}).statistics
    executed = slow["x86.core0.instructions_user"] + slow["x86.core0.instructions_kernel"]
    saved = slow["x86.core0.cycles"] - fast["x86.core0.cycles"]
    assert executed == fast["x86.core0.instructions_user"] + fast["x86.core0.instructions_kernel"]
    assert saved == executed - executed // 2
