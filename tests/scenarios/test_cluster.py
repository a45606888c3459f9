"""Does a sweep on a dask cluster give what it gives here, whoever dies?"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cosim.errors import InputError
from launch import Scenario, bench, cli
from launch.workers import HostProcesses
from tests.scenarios.interruption import interrupt

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
from launch.cluster import Cluster, packed, unpack  # noqa: E402

WAIT_SECONDS = 120
# dask's own processes and sockets at exit are its own affair.
pytestmark = [
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]


def scenario(rounds=100):
    play = Scenario(nodes=["x86"])
    play.start("compute", on="x86", arguments=[rounds, 64])
    play.measure("machine.virtual_time_ns")
    return play


def runs_below(pid):
    """Processes of runs, below a process: launch.worker and machines."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if {"launch.worker", "cosim.process"} & set(process.cmdline()):
                found.append(process)
    return found


def worker_with_a_run(cluster):
    """pid of a dask worker whose run has a machine, and the processes of its run."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        for pid in cluster.client.run(os.getpid).values():
            below = runs_below(pid)
            if len(below) >= 4:  # launch.worker, memory system, timebase, node
                return pid, below
        time.sleep(0.1)
    raise AssertionError("no worker began a run")


def test_a_worker_that_is_killed_half_way_loses_nothing(tmp_path):
    sweep = {"rounds": [500, 501, 502, 503]}
    here = bench(scenario, sweep=sweep, out=tmp_path / "here")
    victims = []

    def kill(cluster):
        pid, below = worker_with_a_run(cluster)
        os.kill(pid, signal.SIGKILL)
        victims.extend([pid, *below])

    with Cluster(workers=2) as cluster:
        assert cluster.jobs == 2
        killer = threading.Thread(target=kill, args=[cluster])
        killer.start()
        there = bench(scenario, sweep=sweep, out=tmp_path / "there", workers=cluster)
        killer.join()
        assert len(victims) >= 5
        _, alive = psutil.wait_procs(victims[1:], timeout=15)
        assert not alive  # the dead worker's run left no process behind
    assert there.exit_status == 0, there.rows
    assert there.rows == here.rows  # folders are named by what decides the result
    again = bench(scenario, sweep=sweep, out=tmp_path / "there")
    assert again.rows == there.rows
    assert not runs_below(os.getpid())


def test_the_command_line_starts_a_cluster_and_ends_it(tmp_path, capsys):
    words = ["bench", "ipi_latency", "--workers", "2", "--out", str(tmp_path / "a"), "-q"]
    before = set(psutil.Process().children(recursive=True))
    assert cli.execute([*words, "--set", "rounds=5"]) == 0
    assert "5" in capsys.readouterr().out
    gone = {p for p in psutil.Process().children(recursive=True) if p.is_running()} - before
    assert not [p for p in gone if "resource_tracker" not in " ".join(p.cmdline())]


def test_an_interrupt_ends_the_runs_on_the_cluster(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text(
        "from launch import Scenario\n\n\ndef scenario():\n"
        "    play = Scenario(nodes=['x86'])\n"
        "    play.start('compute', on='x86', arguments=[1000000, 64])\n"
        "    return play\n"
    )
    words = [sys.executable, "-m", "launch.cli", "bench", str(file), "--workers", "1"]
    process = subprocess.Popen(
        [*words, "--out", str(tmp_path / "a")], stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + WAIT_SECONDS
    while len(runs_below(process.pid)) < 4:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    interrupt(process, gone_seconds=15)


def test_a_run_that_nobody_waits_for_ends_on_a_cluster_that_stays(tmp_path):
    with Cluster(workers=1) as cluster:
        failed = []

        def work():
            content = content_of(1_000_000)
            failed.append(cluster.work(content, tmp_path / "run", lambda text: None))

        thread = threading.Thread(target=work)
        thread.start()
        _, below = worker_with_a_run(cluster)
        cluster.stop()
        thread.join(30)
        _, alive = psutil.wait_procs(below, timeout=30)
        assert not alive
        assert failed == [("interrupted", True)]


def content_of(rounds):
    """What a batch hands to its workers."""
    play = scenario(rounds)
    programs = play.machine().place(play.jobs)
    plain = [program.plain() for program in programs]
    machine = play.machine_arguments()
    return {"machine": machine, "programs": plain, "events": [], "command": []}


def test_programs_travel_as_bytes(tmp_path):
    content, files = packed(content_of(1))
    (program,) = content["programs"]
    assert not Path(program["path"]).is_absolute()
    unpack(files, tmp_path)
    moved = {**program, "path": str(tmp_path / program["path"])}
    answer = HostProcesses().work(
        {**content, "programs": [moved]}, tmp_path / "run", lambda text: None
    )
    assert answer == ("", False)
    assert (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"address": "tcp://127.0.0.1:1"}, "no scheduler answers"),
        ({"address": "nonsense"}, "no scheduler answers"),
        ({"address": "tcp://127.0.0.1:1", "workers": 2}, "give either"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(monkeypatch, given, message):
    monkeypatch.setattr("launch.cluster.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=message):
        Cluster(**given)
