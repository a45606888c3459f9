"""Does a machine whose nodes hand turns to each other end when one of its processes dies or stops,
and go on unchanged when that was only for a while?
"""

import signal
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
TIMES = 300_000  # a second of the host


@pytest.mark.parametrize("name", [*NODES, "timebase"])
def test_a_kill_while_turns_are_handed_over_ends_the_machine(name, monkeypatch):
    killer = Killer(name, "run")
    monkeypatch.setattr(machines, "Supervisor", killer.machine())
    with Machine(nodes=NODES, os="vanilla") as machine, pytest.raises(MachineError) as caught:
        machine.run_together([(LOCK, node, [2, FOR_EVER]) for node in NODES])
    assert time.monotonic() - killer.killed_s < DOWN_SECONDS_MAX
    assert f"'{name}'" in str(caught.value) and "killed by SIGKILL" in str(caught.value)
    assert_nothing_left(killer.supervisor.sockets.folder)


@pytest.mark.parametrize("name", NODES)
def test_a_node_that_stops_while_turns_are_handed_over_is_reported(name, monkeypatch):
    killer = Killer(name, "run", signal.SIGSTOP, {"answer_s": 2})
    monkeypatch.setattr(machines, "Supervisor", killer.machine())
    with Machine(nodes=NODES, os="vanilla") as machine, pytest.raises(MachineError) as caught:
        machine.run_together([(LOCK, node, [2, FOR_EVER]) for node in NODES])
    assert time.monotonic() - killer.killed_s < 2 + DOWN_SECONDS_MAX
    assert f"node '{name}' has not answered turn" in str(caught.value)
    assert "core  node  state" in caught.value.report
    assert_nothing_left(killer.supervisor.sockets.folder)


def test_a_node_that_stops_for_a_while_changes_nothing(monkeypatch):
    digests = []
    for name in (None, *NODES):
        killer = Killer(name or "", "run" if name else "never", signal.SIGSTOP, resume_s=2)
        monkeypatch.setattr(machines, "Supervisor", killer.machine())
        with Machine(nodes=NODES, os="vanilla") as machine:
            digests.append(machine.run_together([(LOCK, n, [2, TIMES]) for n in NODES]).digest)
        assert (killer.killed_s > 0) == (name is not None)
    assert digests[1:] == digests[:1] * 2
