"""Does a real machine go down in time, with one line, its counters and nothing left, whichever of
its processes is killed whenever?
"""

import json
import re
import time

import psutil
import pytest

from launch import cli
from launch import machine as machines
from tests.failure.harness import (
    BAD_GUEST,
    DOWN_SECONDS_MAX,
    Command,
    Killer,
    assert_nothing_left,
    assert_segments_gone,
    processes_of,
    segments_of,
)

PHASES = {"spawn": "start", "welcome": "start", "load": "load", "run": "run", "collect": "collect"}
COMPONENTS = ("memsys", "timebase", "x86", "arm")
MOMENTS = [(m, c) for m in ("spawn", "welcome", "run", "collect") for c in COMPONENTS]


def run_with(killer, monkeypatch, folder, *words):
    """(exit status, seconds from the kill to the end) of a command line in this process."""
    monkeypatch.setattr(machines, "Supervisor", killer.machine())
    status = cli.execute(["run", "--quiet", "--out", str(folder), *map(str, words)])
    return status, time.monotonic() - killer.killed_s


@pytest.mark.parametrize(("moment", "component"), [*MOMENTS, ("load", "x86")])
def test_kill_9_of_any_process_at_any_moment(moment, component, monkeypatch, tmp_path, capfd):
    killer = Killer(component, moment)
    guest = ("hello",) if moment in ("load", "collect") else (BAD_GUEST, "--", "loop")
    status, seconds = run_with(killer, monkeypatch, tmp_path / "run", *guest)
    lines = capfd.readouterr().err.splitlines()
    assert killer.killed_s and status == 125 and seconds < DOWN_SECONDS_MAX
    assert len(lines) == 1
    assert re.match(
        rf"stramash: process '{component}' \(pid \d+\) died in phase {PHASES[moment]}: "
        rf"killed by SIGKILL; it was .+; statistics so far: {tmp_path}/run$",
        lines[0],
    )
    assert_nothing_left(killer.supervisor.sockets.folder)
    assert_segments_gone(killer.segments)
    assert not psutil.Process().children(recursive=True)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ended"]["reason"] == "failed"
    assert f"process {component!r}" in manifest["ended"]["failure"]
    if moment in ("run", "collect"):
        check_counters(tmp_path / "run", 1_000_000 if moment == "run" else 10_000)


@pytest.mark.parametrize(
    ("design", "component"),
    [("multi-shm", "arm"), ("multi-tcp", "x86"), ("multi-shm", "timebase"), ("fused", "arm")],
)
def test_kill_9_while_kernels_exchange_messages(design, component, monkeypatch, tmp_path, capfd):
    killer = Killer(component, "run")
    words = ("torture", "--os", design, "--", 3, 4, 5000)
    status, seconds = run_with(killer, monkeypatch, tmp_path / "run", *words)
    (line,) = capfd.readouterr().err.splitlines()
    assert killer.killed_s and status == 125 and seconds < DOWN_SECONDS_MAX
    assert f"process '{component}'" in line and "killed by SIGKILL" in line
    assert_nothing_left(killer.supervisor.sockets.folder)
    assert_segments_gone(killer.segments)
    assert not psutil.Process().children(recursive=True)


def check_counters(folder, instructions):
    """What the machine had done is in the run folder."""
    values = json.loads((folder / "stats.json").read_text())
    assert values["x86.core0.instructions_user"] >= instructions
    assert values["x86.core0.l1i.accesses"] == values["x86.core0.instructions_user"]
    assert values["x86.core0.l1d.accesses"] > 0 and values["x86.memory.local"] > 0
    assert values["x86.core0.cycles"] > instructions
    assert values["machine.runtime_cycles"] > instructions and values["host.mips"] < 1000


def test_a_process_that_is_killed_after_all_is_told_spoils_nothing(monkeypatch, tmp_path, capfd):
    killer = Killer("memsys", "end")
    status, seconds = run_with(killer, monkeypatch, tmp_path / "run", "hello")
    assert killer.killed_s and (status, capfd.readouterr().err) == (0, "")
    assert seconds < DOWN_SECONDS_MAX
    assert_segments_gone(killer.segments)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ended"]["reason"] == "exited" and manifest["ended"]["laws"]["held"]


@pytest.mark.parametrize("moment", ["boot", "run", "exit"])
def test_kill_9_of_the_supervisor(moment, tmp_path):
    guest = ("hello",) if moment == "exit" else (BAD_GUEST, "--", "loop")
    with Command("--quiet", "--out", tmp_path / "run", *guest) as command:
        memsys = command.child("memsys")
        if moment != "boot":
            assert command.process.stdout.readline()
        segments = segments_of(memsys.pid)
        assert len(segments) == (0 if moment == "boot" else 3)
        command.kill()
        deadline_s = time.monotonic() + DOWN_SECONDS_MAX
        while processes_of(command.folder) or command.folder.exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert command.process.stderr.read() == ""
    assert_nothing_left(command.folder)
    assert_segments_gone(segments)
