"""Is a run with nodes on another host the same run, digest for digest?"""

import json

import pytest

from benchmarks import remote
from launch import Machine
from launch import machine as machines
from launch.supervisor import Supervisor
from tests.remote import two_hosts
from tests.remote.two_hosts import RemoteRun


@pytest.fixture
def forgetful(monkeypatch):
    """Supervisors whose pagers keep few pages."""

    class Forgetful(Supervisor):
        def __init__(self, configuration, *rest, **named):
            configuration["run"]["kept_pages_max"] = 60
            super().__init__(configuration, *rest, **named)

    monkeypatch.setattr(machines, "Supervisor", Forgetful)


def alone(os, *jobs):
    with Machine(os=os) as machine:
        return machine.run_together(jobs)


@pytest.mark.parametrize(
    ("system", "away"), [("fused", ["arm"]), ("multi-shm", ["arm"]), ("fused", ["x86", "arm"])]
)
def test_is_migrates_between_hosts(hosts, tmp_path, system, away):
    with RemoteRun(hosts, tmp_path, "is:S", "--os", system, away=away) as both:
        statistics = both.finish()
        assert not both.near_folder.exists()
    console = (tmp_path / "run" / "console.log").read_text()
    assert "SUCCESSFUL" in console
    single = alone(system, ("is:S", "x86"))
    assert statistics["machine.digest"] == single.digest
    assert console == single.console
    for node in away:
        assert statistics[f"host.{node}.pager.pages_fetched"] > 100
        assert statistics[f"host.{node}.pager.pages_committed"] > 100


def test_threads_wander_and_pages_are_forgotten(forgetful, monkeypatch):
    far = remote.run(remote.AWAY, "fused", "torture", ["x86"], [5, 3, 16])
    monkeypatch.undo()
    near = remote.run("", "fused", "torture", ["x86"], [5, 3, 16])
    assert far.console.splitlines()[-1] == "PASS"
    assert far.digest == near.digest
    assert far.statistics["host.arm.pager.forgotten"] > 3


def test_a_far_node_has_several_cores(hosts, tmp_path):
    words = ["reduce", "--os", "fused", "--", 4, 4096, 4]
    with RemoteRun(hosts, tmp_path, *words, cores=2) as both:
        statistics = both.finish()
    with Machine(machine="quad", os="fused") as machine:
        single = machine.run_together([("reduce", "x86", [4, 4096, 4])])
    assert statistics["machine.digest"] == single.digest
    assert all(statistics[f"arm.core{core}.instructions_user"] > 5000 for core in (0, 1))


@pytest.mark.parametrize("program", ["atomic_add", "pingpong"])
def test_programs_meet_over_the_network(hosts, tmp_path, program):
    with RemoteRun(hosts, tmp_path, program, "--on", "x86,arm") as both:
        statistics = both.finish()
    single = alone("vanilla", (program, ["x86", "arm"]))
    assert statistics["machine.digest"] == single.digest
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["configuration_digest"] == single.manifest["configuration_digest"]
    assert manifest["run"]["hosts"] == {"arm": hosts.far}


def test_where_namespaces_are_forbidden_both_hosts_are_this_one(monkeypatch):
    monkeypatch.setattr(two_hosts.shutil, "which", lambda *_words, **_named: None)
    with two_hosts.two_hosts() as made:
        assert not made.apart and made.far == "127.0.0.1" and made.prefixes == ((), ())
