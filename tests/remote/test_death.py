"""Do both hosts go down in time, with one line that names the node and nothing left, whatever dies
or is cut?
"""

import signal
import time
from pathlib import Path

import pytest

from tests.failure.harness import BAD_GUEST, DOWN_SECONDS_MAX, processes_of
from tests.remote.two_hosts import RUN_SECONDS_MAX, RemoteRun


class Spinning:
    """A machine whose far node runs a program without end; everything of it is known."""

    def __init__(self, hosts, folder):
        self.remote = RemoteRun(hosts, folder, BAD_GUEST, "--on", "arm", "--", "loop")

    def __enter__(self):
        try:
            return self.started()
        except BaseException:
            self.remote.__exit__()
            raise

    def started(self):
        self.remote.__enter__()
        self.host = self.remote.node()
        self.node, self.pager = (self.host.child(name) for name in ("arm", "arm.pager"))
        words = self.node.cmdline()
        self.folders = (self.remote.near_folder, Path(words[words.index("--folder") + 1]))
        deadline_s = time.monotonic() + RUN_SECONDS_MAX
        while "looping" not in self.remote.run.out.read_text():
            assert time.monotonic() < deadline_s, self.remote.run.said
            assert self.remote.run.process.poll() is None, self.remote.run.said
            time.sleep(0.1)
        return self

    def __exit__(self, *error):
        self.remote.__exit__(*error)

    def assert_down(self, near=125, far=125):
        """Both commands end with these statuses in time, and leave nothing."""
        deadline_s = time.monotonic() + DOWN_SECONDS_MAX
        for process, status in ((self.remote.run, near), (self.host, far)):
            found = process.wait(max(0.1, deadline_s - time.monotonic()))
            assert status is None or found == status, process.said
        while time.monotonic() < deadline_s and any(map(self.left_of, self.folders)):
            time.sleep(0.05)
        for folder in self.folders:
            assert not self.left_of(folder)

    @staticmethod
    def left_of(folder):
        """What is left of a private folder: itself, or processes of it."""
        return [folder] * folder.exists() + processes_of(folder)


@pytest.fixture
def spinning(hosts, tmp_path):
    with Spinning(hosts, tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("component", "name"), [("node", "arm"), ("pager", "arm.pager"), ("host", "arm")]
)
def test_kill_9_on_the_far_host_is_named(spinning, hosts, component, name):
    victim = getattr(spinning, component)
    (victim.process if component == "host" else victim).send_signal(signal.SIGKILL)
    spinning.assert_down(far=None)
    (line,) = (li for li in spinning.remote.run.said.splitlines() if li.startswith("stramash: "))
    how = "its host is lost" if component == "host" else "killed by SIGKILL"
    assert (
        f"process '{name}' (pid " in line and f" on {hosts.far}) died in phase run: {how}" in line
    )


@pytest.mark.parametrize("component", ["memsys", "home", "x86"])
def test_kill_9_on_the_near_host_ends_both(spinning, component):
    spinning.remote.run.child(component).kill()
    spinning.assert_down(far=0)
    assert f"process '{component}' (pid " in spinning.remote.run.said
    assert "the machine has ended" in spinning.host.said


def test_the_far_host_outlives_no_supervisor(spinning):
    spinning.remote.run.process.kill()
    spinning.assert_down(near=None)
    assert "stramash: node 'arm': the machine at tcp://" in spinning.host.said


def test_ctrl_c_on_the_far_host_ends_the_machine(spinning):
    spinning.host.process.send_signal(signal.SIGINT)
    spinning.assert_down(far=None)
    assert "process 'arm" in spinning.remote.run.said


def test_a_cut_cable_ends_both(spinning, hosts):
    if not hosts.apart:
        pytest.skip("this kernel permits no network namespaces: there is no cable to cut")
    hosts.cut()
    spinning.assert_down()
    assert f" on {hosts.far}) died in phase run: its host is lost" in spinning.remote.run.said
    assert "the machine at tcp://" in spinning.host.said and "is gone" in spinning.host.said


def test_a_second_node_of_the_name_is_told(spinning):
    second = spinning.remote.node()
    assert second.wait(60) == 125
    assert "is 'arm' there already?" in second.said
    assert spinning.remote.run.process.poll() is None and spinning.node.is_running()
