"""Is a run with nodes on another host the same run, digest for digest?"""

import json

import pytest

from launch import Machine
from tests.remote.two_hosts import RemoteRun


def alone(os, *jobs):
    with Machine(os=os) as machine:
        return machine.run_together(jobs)


@pytest.mark.parametrize(
    ("system", "away"), [("fused", ["arm"]), ("multi-shm", ["arm"]), ("fused", ["x86", "arm"])]
)
def test_is_migrates_between_hosts(hosts, tmp_path, system, away):
    with RemoteRun(hosts, tmp_path, "is:S", "--os", system, away=away) as remote:
        statistics = remote.finish()
        assert not remote.near_folder.exists()
    console = (tmp_path / "run" / "console.log").read_text()
    assert "SUCCESSFUL" in console
    single = alone(system, ("is:S", "x86"))
    assert statistics["machine.digest"] == single.digest
    assert console == single.console
    for node in away:
        assert statistics[f"host.{node}.pager.pages_fetched"] > 100
        assert statistics[f"host.{node}.pager.pages_committed"] > 100


@pytest.mark.parametrize("program", ["atomic_add", "pingpong"])
def test_programs_meet_over_the_network(hosts, tmp_path, program):
    with RemoteRun(hosts, tmp_path, program, "--on", "x86,arm") as remote:
        statistics = remote.finish()
    single = alone("vanilla", (program, ["x86", "arm"]))
    assert statistics["machine.digest"] == single.digest
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["configuration_digest"] == single.manifest["configuration_digest"]
    assert manifest["run"]["hosts"] == {"arm": hosts.far}
