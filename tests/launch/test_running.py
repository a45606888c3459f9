"""Are running machines found, dead ones told apart, and only theirs removed?"""

import os
import subprocess
import sys

import pytest

from launch import cli, running
from launch.sockets import SUPERVISOR_FILE


@pytest.fixture
def base(tmp_path, monkeypatch):
    """An empty place for folders of sockets."""
    monkeypatch.setattr(running, "bases", lambda: [tmp_path])
    return tmp_path


def folder(base, name, pid):
    made = base / name
    made.mkdir()
    (made / SUPERVISOR_FILE).write_text(f"{pid}\n")
    return made


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_live_and_dead_machines_are_told_apart(base):
    live, dead = (
        folder(base, "stramash-live", os.getpid()),
        folder(base, "stramash-dead", dead_pid()),
    )
    running.announce(live, base / "run", ["stramash", "run", "hello"])
    found = {item.folder: item for item in running.find()}
    assert found[live].alive and found[live].run == str(base / "run")
    assert found[live].command == "stramash run hello"
    assert not found[dead].alive


def test_only_what_the_dead_left_is_removed(base):
    live, dead = (
        folder(base, "stramash-live", os.getpid()),
        folder(base, "stramash-dead", dead_pid()),
    )
    foreign = base / "stramash-notes"
    foreign.mkdir()
    other = folder(base, "something-else", dead_pid())
    assert running.clean() == [dead]
    assert live.exists() and foreign.exists() and other.exists() and not dead.exists()


def test_a_pid_that_is_used_again_is_not_the_supervisor(base):
    old = folder(base, "stramash-old", os.getpid())
    os.utime(old, (1, 1))
    assert [item.alive for item in running.find()] == [False]


def test_the_commands_list_and_clean(base, capsys):
    dead = folder(base, "stramash-dead", dead_pid())
    assert cli.execute(["ps"]) == 0
    assert "stramash clean" in capsys.readouterr().out
    assert cli.execute(["clean"]) == 0
    assert str(dead) in capsys.readouterr().out
