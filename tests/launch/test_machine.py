"""Does Machine turn what a supervisor says into a run, and its failures into a run folder and an
error?

The supervisor here is a stand-in that says what a test wants; tests/system uses the real one.
"""

import json
from types import SimpleNamespace

import pytest

from cosim.errors import InvariantError, MachineError
from launch import Machine, cli
from launch import machine as machines
from launch.supervisor import Outcome

PIDS = {"x86": 1, "arm": 7}


class Stage(SimpleNamespace):
    """What the stand-in says, and what was done to it."""

    def outcome(self):
        exited = [
            {"program": name, "node": node, "pid": pid, "status": s, "signal": 0, "report": ""}
            for (name, node, pid), s in zip(self.loaded, self.statuses, strict=False)
        ]
        memory = {"digest": "ab", "violations": self.violations}
        reports = {"memsys": memory, "x86": dict(self.x86), "arm": {"regions": []}}
        return Outcome(
            exited=list(reversed(exited)),
            finished={
                "reason": "exited",
                "virtual_time_ps": 5_000,
                "statistics": {"x86.ipi.sent": 3},
            },
            statistics={"x86.core0.instructions_user": 11, "x86.core0.cycles": 40},
            registers={"x86": [1], "arm": [2]},
            reports=reports if self.memory else {},
        )


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Replace the supervisor; the fixture says how it behaves."""
    told = Stage(
        said=[("x86", b"one\n")], statuses=(0, 0), violations=[], x86={}, memory=True,
        error=None, loaded=[], closed=0, folder=tmp_path / "sockets",
    )  # fmt: skip
    told.folder.mkdir()

    class StandIn:
        def __init__(self, configuration, console, progress, segment_statistics, notice):
            self.configuration, self.console = configuration, console
            endpoints = {"outside": f"inproc://{told.folder}"}
            self.sockets = SimpleNamespace(folder=told.folder, endpoints=endpoints, token="t")
            self.pids, self.outcome = [], Outcome()
            self.virtual_time_ps, self.host_seconds = 0, 0.0

        def start(self):
            told.configuration = self.configuration

        def load(self, node, program):
            told.loaded.append((program["name"], node, PIDS[node]))
            self.pids.append(PIDS[node])
            return PIDS[node]

        def listen(self, endpoint, take):
            assert endpoint.role == "supervisor"

        def run(self, agenda):
            assert not agenda.left
            for node, data in told.said:
                self.console(node, data)
            if told.error is not None:
                raise told.error
            return told.outcome()

        def close(self):
            told.closed += 1

    monkeypatch.setattr(machines, "Supervisor", StandIn)
    return told


def test_a_run_has_what_the_machine_said(stage, tmp_path):
    seen = []
    with Machine(out=tmp_path / "run", seed=9) as machine:
        run = machine.run("hello", arguments=["a"], console=lambda *said: seen.append(said))
    assert (run.exit_status, run.console, run.consoles["arm"]) == (0, "one\n", "")
    assert seen == [("x86", b"one\n")]
    assert run.statistics["x86.ipi.sent"] == 3
    assert run.statistics["machine.virtual_time_ns"] == 5
    assert run.manifest["programs"][0]["arguments"] == ["a"]
    assert stage.configuration["run"]["seed"] == 9 and stage.closed
    assert json.loads((stage.folder / "run.json").read_text())["run"] == str(tmp_path / "run")


def test_exit_statuses_belong_to_the_programs_as_given(stage, tmp_path):
    stage.statuses = (0, 4)
    run = Machine(out=tmp_path / "run").run_together([("hello", "x86"), ("hello", "arm")])
    assert [(p["node"], p["status"]) for p in run.programs] == [("x86", 0), ("arm", 4)]
    assert run.exit_status == 4


def test_a_program_that_did_not_end_has_our_status(stage, tmp_path):
    stage.statuses = ()
    assert Machine(out=tmp_path / "run").run("hello").exit_status == 125


def test_the_transcript_is_the_owners_and_not_the_order_of_arrival(stage, tmp_path):
    stage.said = [("arm", b"second\n"), ("x86", b"first\n")]
    stage.x86 = {"transcript": b"first\nsecond\n"}
    run = Machine(out=tmp_path / "run").run("hello")
    assert run.console == "first\nsecond\n"
    assert run.consoles == {"x86": "first\n", "arm": "second\n"}


def test_several_writers_without_a_transcript_are_an_error(stage, tmp_path):
    stage.said = [("arm", b"b"), ("x86", b"a")]
    with pytest.raises(MachineError, match="no node reported the serial port's transcript"):
        Machine(out=tmp_path / "run").run("hello")


def test_a_missing_memory_digest_is_an_error(stage, tmp_path):
    stage.memory = False
    with pytest.raises(MachineError, match="reported no digest"):
        Machine(out=tmp_path / "run").run("hello")


def test_a_broken_law_fails_the_run_and_leaves_its_folder(stage, tmp_path):
    stage.violations = ["x86.core0.l1d: hits + misses = accesses"]
    with pytest.raises(InvariantError, match=r"1 laws .* hits \+ misses = accesses"):
        Machine(out=tmp_path / "run").run("hello")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ended"]["laws"] == {"held": False, "violations": stage.violations}


def test_a_machine_that_fails_leaves_what_it_had_counted(stage, tmp_path, capsys):
    counted = {"x86.core0.instructions_user": 5}
    stage.error = MachineError("process 'arm' died", "who  waits", counted)
    assert cli.execute(["run", "hello", "--out", str(tmp_path / "run")]) == 125
    captured = capsys.readouterr()
    line = f"stramash: process 'arm' died; statistics so far: {tmp_path / 'run'}"
    assert captured.err.splitlines()[-2:] == ["who  waits", line]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ended"]["failure"] == "process 'arm' died"
    statistics = json.loads((tmp_path / "run" / "stats.json").read_text())
    assert statistics["x86.core0.instructions_user"] == 5
    assert (tmp_path / "run" / "console-x86.log").read_text() == "one\n"
    assert stage.closed


def test_an_interrupt_ends_the_machine_and_is_130(stage, tmp_path, capsys):
    stage.error = KeyboardInterrupt()
    assert cli.execute(["run", "hello", "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "stramash: interrupted"
    assert stage.closed
