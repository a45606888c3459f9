"""Is the machine the same whether nodes hand turns to each other or the timebase grants each?"""

from pathlib import Path

import pytest

from launch import Machine
from tests.determinism.test_determinism import simulated

LOCK = Path(__file__).parents[2] / "benchmarks" / "guests" / "lock.c"
LINES = Path(__file__).parent / "guests" / "lines.c"
FOUR = ("x86", "arm", "x861", "arm1")


def computing(nodes):
    return [("compute", node, [1]) for node in nodes]


CASES = {
    "a lock": ({}, [(LOCK, node, [2, 20_000]) for node in FOUR[:2]]),
    "a lock, by unicorn": (
        {"settings": {"engine": "unicorn"}},
        [(LOCK, node, [2, 2_000]) for node in FOUR[:2]],
    ),
    "a lock, checked": (
        {"settings": {"engine": "checked"}},
        [(LOCK, node, [2, 500]) for node in FOUR[:2]],
    ),
    "interrupts": ({}, [("pingpong", node, [20]) for node in FOUR[:2]]),
    "four that compute": ({"nodes": FOUR}, computing(FOUR)),
    "a console that another node owns": (
        {"nodes": FOUR},
        [*computing(FOUR[::2]), *((LINES, node, [1000]) for node in FOUR[1::2])],
    ),
    "instructions of half a cycle": (
        {"settings": {"time.ipc": "2", "kernel.slice_ns": 20_000}},
        [*computing(FOUR[:2]), *computing(FOUR[:2])],
    ),
    "rings that are polled": (
        {"os": "fused", "settings": {"message.notify": "poll"}},
        [("is", "x86", ["S"]), ("compute", "arm", [1])],
    ),
    "threads that migrate beside others": (
        {"os": "fused"},
        [("is_threads", "x86", ["S", 2]), ("compute", "arm", [1])],
    ),
    "messages between kernels": (
        {"os": "multi-shm"},
        [("is", "x86", ["S"]), ("compute", "arm", [1])],
    ),
    "until a limit": ({"limit": "0.3ms"}, computing(FOUR[:2])),
}


@pytest.mark.parametrize("name", CASES)
def test_a_relay_changes_nothing_that_is_simulated(name):
    chosen, programs = CASES[name]
    ends, granted = [], []
    for relay in (False, True):
        settings = {**chosen.get("settings", {}), "time.relay": relay}
        with Machine(**{**chosen, "settings": settings}) as machine:
            run = machine.run_together(programs)
        counts = {n: v for n, v in run.statistics.items() if n.startswith("lockstep.")}
        granted.append(run.statistics["host.turns_granted"])
        ends.append((run.digest, {**simulated(run), **counts}, run.console))
    assert ends[0][0] == ends[1][0]
    assert ends[0] == ends[1]
    turns = ends[0][1]["lockstep.turns"]
    assert granted[0] == turns > granted[1]
