"""Do events happen to real machines when they should, and the same way every time?"""

import json
from pathlib import Path

import psutil
import pytest

from cosim.errors import InputError, MachineError
from launch import BrokenExpectation, Machine, Scenario
from launch.scenario_file import load

GUESTS = Path(__file__).parent / "guests"
REDIRECT, READS = str(GUESTS / "redirect.c"), str(GUESTS / "reads.c")
US_PS = 1_000_000


def events(run):
    """(kind, time in ps) of what happened."""
    return [(row["kind"], row["at_ps"]) for row in run.manifest["run"]["events"]]


def everything(**settings):
    """Every kind of event but attach, detach and kill, and every kind of occurrence."""
    play = Scenario(nodes=["x86", "arm"], os="fused", settings=settings)
    first = play.start(REDIRECT, on="x86")
    play.when(started=first, after="10us").interrupt("x86", "arm")
    play.at("300us").start("hello", on="arm", arguments=["late"])
    play.when(arrives="arm").change("cost.x86.memory", 500)
    play.when(region_begin=1, nth=3).change("ipi.latency_ns", "3us")
    play.when(region_end=1, of=first).change("cost.snoop_data", 10)
    play.when(console="call 1 ran").migrate(first, to="x86")
    play.when(ended=first).start("hello", on="x86", arguments=["last"])
    return play


def test_every_event_happens_and_a_repetition_from_the_manifest_is_the_same(tmp_path):
    run = everything().run(tmp_path / "a")
    happened = events(run)
    assert happened[0] == ("interrupt", 12 * US_PS)
    assert ("start", 300 * US_PS) in happened
    assert sorted(kind for kind, _ in happened) == [
        "change", "change", "change", "interrupt", "migrate", "start", "start",
    ]  # fmt: skip
    assert [at_ps for _, at_ps in happened] == sorted(at_ps for _, at_ps in happened)
    assert run.manifest["ended"]["undone"] == []
    assert "call 1 ran on node 1" in run.console  # before the migrate
    assert "call 2 ran on node 0" in run.console
    assert "argument 1: late" in run.consoles["arm"]
    assert run.console.endswith("argument 1: last\n")
    again = Machine.repeat(tmp_path / "a", out=tmp_path / "b")
    assert again.digest == run.digest
    assert events(again) == happened


def test_the_quantum_changes_nothing(tmp_path):
    digests = {
        everything(**{"time.quantum_ns": quantum}).run(tmp_path / str(quantum)).digest
        for quantum in (170, 2000)
    }
    assert len(digests) == 1


def test_a_dearer_memory_is_dearer_from_that_time_on(tmp_path):
    def halves(name, factor):
        play = Scenario(nodes=["x86", "arm"])
        play.start(READS, on="x86")
        if factor:
            play.when(region_begin=2).change("cost.x86.memory", 300 * factor)
        run = play.run(tmp_path / name)
        rows = run.manifest["regions"]["x86"]
        assert run.manifest["ended"]["laws"]["held"]
        return [row["cycles"] for row in rows], rows

    usual, _ = halves("usual", 0)
    (first, second), rows = halves("dear", 4)
    assert first == usual[0]
    misses = rows[1]["statistics"]["x86.memory.local"]
    assert misses > 4000
    # All but what was read before the news came pays 900 cycles more.
    assert 0.97 * 900 * misses < second - usual[1] <= 900 * misses
    charged = rows[1]["statistics"]["x86.core0.memory_cycles.memory_local"]
    assert 0.97 * 1200 * misses < charged <= 1200 * misses


def test_a_latency_changes_for_interrupts_sent_later(tmp_path):
    def trips(then):
        play = load("latency_changes").declare({"then": then, "rounds": "20", "at": "100us"})
        return play.run(tmp_path / then).statistics["machine.virtual_time_ns"]

    usual, longer = trips("2us"), trips("6us")
    # Part of 20 round trips cost 2 x 4 us more, and none of the first 100 us.
    assert 0 < longer - usual < 20 * 8_000


def test_the_next_call_at_home_goes_elsewhere_and_only_that_one(tmp_path):
    play = Scenario(nodes=["x86", "arm", "x86b"], os="fused")
    wanders = play.start(REDIRECT, on="x86")
    play.at("1500us").migrate(wanders, to="x86b")
    run = play.run(tmp_path / "a")
    assert [line[-1] for line in run.console.splitlines()] == ["1", "2", "1"]


def test_a_node_joins_and_is_used(tmp_path):
    play = load("attach_half_way").declare({"isa": "x86_64"})
    run = play.run(tmp_path / "a")
    assert run.statistics["late.migrations.received"] >= 1
    assert events(run) == [("attach", 200 * US_PS)]


def test_a_killed_node_ends_the_machine_as_an_accident_does(tmp_path):
    play = Scenario(nodes=["x86", "arm"])
    play.start("compute", on="x86", arguments=[100000, 64])
    play.start("hello", on="arm")
    play.at("2ms").kill("arm")
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(MachineError, match="'arm'.*killed by SIGKILL"):
        play.run(tmp_path / "a")
    play.expect("failure", matches="'arm'.*killed by SIGKILL")
    play.expect("x86.core0.instructions_user", more_than=1_000_000)
    run = play.run(tmp_path / "b")
    assert run.manifest["ended"]["reason"] == "failed"
    assert events(run) == [("kill", 2000 * US_PS)]
    assert set(psutil.Process().children(recursive=True)) == before


def test_an_event_that_never_comes_is_told(tmp_path):
    play = Scenario(nodes=["x86"])
    play.start("hello", on="x86")
    play.at("1s").interrupt("x86", "x86")
    play.when(region_begin=9).change("cost.x86.memory", 1)
    with pytest.raises(BrokenExpectation) as caught:
        play.run(tmp_path / "a")
    assert str(caught.value).splitlines() == [
        "did not happen: interrupt at 1000000000000 ps",
        "did not happen: change (when region_begin 9 for the 1. time)",
    ]
    assert caught.value.run.exit_status == 0


def test_an_event_that_is_impossible_ends_the_machine_with_one_line(tmp_path):
    play = Scenario(nodes=["x86", "arm"], os="fused")
    late = play.at("1s").start("hello", on="arm")
    play.start("hello", on="x86")
    play.at("1us").migrate(late, to="x86")
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(InputError, match="hello: has not started at 1000 ns; statistics so far"):
        play.run(tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["ended"]["failure"] == "hello: has not started at 1000 ns"
    assert set(psutil.Process().children(recursive=True)) == before


def test_a_program_that_starts_after_the_others_ended_still_runs(tmp_path):
    play = Scenario(nodes=["x86"])
    play.start("hello", on="x86")
    play.at("20ms").start("hello", on="x86", arguments=["late"])
    run = play.run(tmp_path / "a")
    assert run.console.endswith("argument 1: late\n")
    assert run.manifest["virtual_time_ps"] > 20_000 * US_PS


def test_a_program_starts_on_a_core_that_is_busy(tmp_path):
    alone = Scenario(nodes=["x86"])
    alone.start("compute", on="x86", arguments=[1000, 64])
    busy = Scenario(nodes=["x86"])
    busy.start("compute", on="x86", arguments=[1000, 64])
    busy.at("100us").start("hello", on="x86", arguments=["beside"])
    one, two = alone.run(tmp_path / "a"), busy.run(tmp_path / "b")
    assert one.exit_status == two.exit_status == 0
    assert "argument 1: beside" in two.console
    assert set(one.console.splitlines()) <= set(two.console.splitlines())


def test_a_node_that_joined_leaves_when_its_thread_has_gone_home(tmp_path):
    play = Scenario(nodes=["x86", "arm"], os="fused")
    play.start("migrate", on="x86")
    play.at("200us").attach("aarch64", "late")
    play.when(arrives="late").detach("late")
    run = play.run(tmp_path / "a")
    assert run.exit_status == 0
    assert [kind for kind, _ in events(run)] == ["attach", "detach", "leave"]
    again = Machine.repeat(tmp_path / "a", out=tmp_path / "b")
    assert again.digest == run.digest


def test_a_run_can_be_expected_to_equal_another(tmp_path):
    def visit(**more):
        play = Scenario(nodes=["x86", "arm"], os="fused", **more)
        play.start(REDIRECT, on="x86")
        return play

    play = visit()
    play.expect("digest", equal=visit(settings={"time.quantum_ns": 500}))
    run = play.run(tmp_path / "a")
    assert (tmp_path / "a" / "reference-1" / "manifest.json").exists()
    play.expect("digest", equal=visit(seed=2))
    with pytest.raises(BrokenExpectation, match=f"digest is '{run.digest}', expected "):
        play.run(tmp_path / "b")
