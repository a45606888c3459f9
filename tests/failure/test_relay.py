"""Does a machine whose nodes hand turns to each other end when one of its processes dies?"""

import time
from pathlib import Path

import pytest

import launch.machine as machines
from cosim.errors import MachineError
from launch import Machine
from tests.failure.harness import DOWN_SECONDS_MAX, Killer, assert_nothing_left

LOCK = Path(__file__).parents[2] / "benchmarks" / "guests" / "lock.c"
NODES = ("x86", "arm")
FOR_EVER = 1_000_000_000  # so often each takes the lock


@pytest.mark.parametrize("name", [*NODES, "timebase"])
def test_a_kill_while_turns_are_handed_over_ends_the_machine(name, monkeypatch):
    killer = Killer(name, "run")
    monkeypatch.setattr(machines, "Supervisor", killer.machine())
    with Machine(nodes=NODES, os="vanilla") as machine, pytest.raises(MachineError) as caught:
        machine.run_together([(LOCK, node, [2, FOR_EVER]) for node in NODES])
    assert time.monotonic() - killer.killed_s < DOWN_SECONDS_MAX
    assert f"'{name}'" in str(caught.value) and "killed by SIGKILL" in str(caught.value)
    assert_nothing_left(killer.supervisor.sockets.folder)
