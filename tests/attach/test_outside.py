"""Do commands from outside act on a machine that runs, and leave it unharmed when they fail?"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from cosim.errors import InputError, MachineError
from launch import Machine, caller, cli, running
from launch.results import RunFolder
from tests.attach.programs import FAR, SUMS, WANDER, happened
from tests.failure.harness import assert_nothing_left, down_in_time

STRAMASH = [sys.executable, "-m", "launch.cli"]
ROUNDS = 60
UP_SECONDS = 120.0


class Background:
    """`stramash run` of the wandering program, in a process of its own."""

    def __init__(self, folder: Path, rounds: int = ROUNDS) -> None:
        self.folder = folder
        command = ["run", str(WANDER), "--os", "fused", "--quiet", "--out", str(folder)]
        self.process = subprocess.Popen(
            [*STRAMASH, *command, "--", str(rounds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        self.live = self._up()

    def _up(self) -> running.Live:
        """Wait until guests run."""
        deadline_s = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                live = caller.find(str(self.folder))
                with caller.Caller(live) as asked:
                    found = asked.ask({"kind": "describe"}, 10)
                if found["phase"] == "run" and found["virtual_time_ps"]:
                    return live
            except (InputError, MachineError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"not up: {self.end()}")

    def end(self) -> tuple[int, str, str]:
        """Status, output and errors, once it has ended."""
        output, errors = self.process.communicate(timeout=UP_SECONDS * 3)
        return self.process.returncode, output, errors


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Done(NamedTuple):
    """What a command did."""

    status: int
    output: str
    errors: str


@pytest.fixture
def command(capfd):
    """Run one command of the command line; in this process, since a guest's seconds are few."""

    def run(*words: object) -> Done:
        capfd.readouterr()
        status = cli.execute([str(word) for word in words])
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture
def background(tmp_path):
    started = []

    def start(name="run", rounds=ROUNDS):
        started.append(Background(tmp_path / name, rounds))
        return started[-1]

    yield start
    for item in started:
        if item.process.poll() is None:
            item.process.terminate()
        item.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with Machine(os="fused", out=tmp_path_factory.mktemp("plain")) as machine:
        return machine.run(WANDER, arguments=[ROUNDS])


def test_a_node_attached_by_command_works_and_the_run_can_be_repeated(
    background, command, tmp_path
):
    run = background(rounds=-5)
    done = command("attach", "--isa", "x86_64", "--name", "late", "--to", run.folder)
    assert done.status == 0, done.errors
    assert re.fullmatch(r"node 2, late, joined at [0-9.]+ ms\n", done.output)
    status, output, errors = run.end()
    assert (status, errors) == (0, "")
    assert SUMS.search(output) and int(FAR.search(output)[1]) == 5
    again = Machine.repeat(run.folder, out=tmp_path / "again")
    assert happened(again)[0][0] == "attach"
    assert again.digest == RunFolder.read(run.folder).manifest["digest"]
    late = command("attach", "--isa", "x86_64", "--to", run.folder)
    assert late.status == 125 and late.errors.count("\n") == 1 and "has ended" in late.errors
    assert_nothing_left(run.live.folder)


def test_looking_and_refused_commands_leave_the_digest_alone(background, command, undisturbed):
    run = background()
    for _ in range(3):
        seen = command("inspect", run.folder)
        assert seen.status == 0, seen.errors
        assert re.search(r"x86 +\d+ +\d+ +wander +(waiting|runnable)", seen.output)
        assert re.search(r"\n0 +x86 +(runnable|waiting) +\d+ ", seen.output)
    for words, reason in (
        (("attach", "--isa", "sparc"), "unknown instruction set 'sparc'"),
        (("attach", "--isa", "x86_64", "--name", "arm"), "two nodes are called 'arm'"),
        (("attach", "--isa", "x86_64", "--cores", 64), "66 cores"),
    ):
        done = command(*words, "--to", run.folder)
        assert done.status == 125 and reason in done.errors, done
        assert done.errors.count("\n") == 1
    done = command("detach", "arm", "--from", run.folder)
    assert done.status == 125 and "only nodes that joined" in done.errors
    status, _, errors = run.end()
    assert (status, errors) == (0, "")
    assert RunFolder.read(run.folder).manifest["digest"] == undisturbed.digest


def test_a_command_of_another_version_or_without_the_token_is_refused(
    background, undisturbed, monkeypatch
):
    run = background()
    with monkeypatch.context() as patch:
        patch.setattr(caller.wire, "digest", lambda: "0" * 16)
        with pytest.raises(InputError, match=r"speaks version 1 \(tables 0{16}\), the machine"):
            caller.Caller(run.live)
    token = run.live.folder / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    secret = token.read_text()
    token.write_text("x")
    with pytest.raises(InputError, match="not the token of this run"):
        caller.Caller(run.live)
    token.write_text(secret)
    assert run.end()[0] == 0
    assert RunFolder.read(run.folder).manifest["digest"] == undisturbed.digest


def test_a_machine_is_stopped_in_order_and_the_stop_can_be_repeated(background, command, tmp_path):
    run = background(rounds=900)
    assert command("attach", "--isa", "aarch64", "--to", run.folder).status == 0
    (listed,) = [line for line in command("ps").output.splitlines() if str(run.folder) in line]
    assert "x86 (x86_64 x 1), arm (aarch64 x 1), arm2 (aarch64 x 1)" in listed
    with down_in_time(20):
        done = command("stop", run.folder)
        status, _, _ = run.end()
    assert done.status == 0 and done.output.startswith("stopped at ")
    assert status == 125
    found = RunFolder.read(run.folder)
    assert found.manifest["ended"]["reason"] == "stopped"
    assert found.statistics["x86.core0.instructions_user"] > 0
    assert_nothing_left(run.live.folder)
    again = Machine.repeat(run.folder, out=tmp_path / "again")
    assert [kind for kind, _ in happened(again)] == ["attach", "stop"]
    assert happened(again)[1][1] == found.manifest["virtual_time_ps"]
    assert again.digest == found.manifest["digest"]


def test_killing_the_supervisor_ends_a_command_that_waits(background):
    run = background(rounds=900)
    with caller.Caller(run.live) as asked:
        run.process.kill()
        with down_in_time(), pytest.raises(MachineError, match="ended before it answered"):
            asked.ask({"kind": "inspect"})
