"""Is a sweep one row a run, made once, and does it fail when equal runs differ?"""

import _thread
import csv
import io
import json
import threading

import pyarrow.parquet
import pytest
from rich.console import Console

from cosim.errors import InputError
from launch import Scenario, bench, result_table, sweeps
from launch.batch import Batch
from launch.scenario_file import load
from launch.workers import HostProcesses
from tests.launch import runs


def scenario(rounds=2, bad="", other=""):
    if bad == "raises":
        raise ValueError("rounds and bad do not fit")
    play = Scenario("one", nodes=["x86", "arm"])
    play.start("hello", on="x86", arguments=[rounds])
    play.expect("x86.ipi.received", equal=7)
    if bad == "expects":
        play.expect("x86.ipi.received", less_than=7)
    if bad == "measures":
        play.measure(worse=lambda run: run.statistics["nothing"])
    if other:
        reference = Scenario("two", nodes=["x86"])
        reference.start("hello", on="x86")
        play.expect("digest", equal=reference)
    play.measure("x86.ipi.received", share=lambda run: 0.5, note=lambda run: "n")
    return play


@pytest.fixture
def invented(monkeypatch):
    """Runs are invented: the tasks, in order; `change(task)` gives fields of the outcome, or why
    there is none."""

    class Invented:
        def __init__(self):
            self.tasks = []
            self.change = lambda task: {}

    made, lock = Invented(), threading.Lock()

    def work(self, task, out):
        with lock:
            made.tasks.append(task)
        changes = made.change(task)
        if isinstance(changes, str):
            return changes, True
        run = runs.write(out, **changes)
        manifest = {**run.manifest, "configuration_digest": task.configuration}
        (out / "manifest.json").write_text(json.dumps(manifest))
        return changes.get("failure", ""), "failure" in changes

    monkeypatch.setattr(Batch, "_work", work)
    return made


def test_a_row_for_each_run_in_the_order_of_the_values(tmp_path, invented):
    made = bench(scenario, repeat=2, sweep={"rounds": [3, 5]}, out=tmp_path)
    names = ["rounds", "bad", "other", "repeat", "x86.ipi.received", "share", "note", "status"]
    assert list(made.rows[0]) == [*names, "digest", "folder"]
    assert [(row["rounds"], row["repeat"]) for row in made.rows] == [(3, 1), (3, 2), (5, 1), (5, 2)]
    assert {row["status"] for row in made.rows} == {"ok"} and made.exit_status == 0
    assert len({row["folder"] for row in made.rows}) == 4
    assert "rounds" in made._repr_html_() and "4 runs" in repr(made)


def test_csv_and_parquet_say_the_same_with_types(tmp_path, invented):
    made = bench(scenario, sweep={"rounds": ["3", "5"], "cache.l2.size": ["1MiB"]}, out=tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / result_table.PARQUET)
    assert table.to_pylist() == made.rows == made.arrow().to_pylist()
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["rounds"], kinds["share"], kinds["note"]) == ("int64", "double", "string")
    with open(tmp_path / result_table.CSV) as file:
        read = list(csv.DictReader(file))
    assert [row["rounds"] for row in read] == ["3", "5"]
    assert read[0]["cache.l2.size"] == "1MiB" and read[0]["digest"] == made.rows[0]["digest"]


def test_a_column_has_the_narrowest_type_of_all_its_values():
    rows = [{"a": 1, "b": 1, "c": 1, "d": None}, {"a": 2, "b": 0.5, "c": "x", "d": None}]
    table = result_table.arrow([*rows, {"a": None}])
    assert [str(field.type) for field in table.schema] == ["int64", "double", "string", "string"]
    assert table.to_pylist()[0] == {"a": 1, "b": 1.0, "c": "1", "d": None}


def test_what_has_finished_is_not_made_again(tmp_path, invented):
    bench(scenario, repeat=2, sweep={"rounds": [3]}, out=tmp_path)
    before = (tmp_path / result_table.PARQUET).read_bytes()
    bench(scenario, repeat=2, sweep={"rounds": [3]}, out=tmp_path)
    assert len(invented.tasks) == 2
    assert (tmp_path / result_table.PARQUET).read_bytes() == before
    made = bench(scenario, repeat=3, sweep={"rounds": [3, 4]}, out=tmp_path)
    assert len(made.rows) == 6 and len(invented.tasks) == 6


def test_an_interrupted_sweep_has_its_rows_and_goes_on(tmp_path, invented, monkeypatch):
    stopped = threading.Event()
    monkeypatch.setattr(HostProcesses, "stop", lambda workers: stopped.set())

    def change(task):
        if "4" not in task.label:
            return {}
        _thread.interrupt_main()
        assert stopped.wait(30)
        return "interrupted"

    invented.change = change
    with pytest.raises(KeyboardInterrupt):
        bench(scenario, sweep={"rounds": [3, 4, 5]}, out=tmp_path, jobs=1)
    assert [row["rounds"] for row in sweeps.read(tmp_path).rows] == [3]
    invented.change = lambda task: {}
    invented.tasks.clear()
    made = bench(scenario, sweep={"rounds": [3, 4, 5]}, out=tmp_path, jobs=1)
    assert len(made.rows) == 3
    assert [task.label for task in invented.tasks] == ["rounds=4", "rounds=5"]


def test_equal_runs_that_differ_fail_the_sweep(tmp_path, invented):
    invented.change = lambda task: {"transcript": b"%d" % task.repeat} if "3" in task.label else {}
    made = bench(scenario, repeat=2, sweep={"rounds": [3, 5]}, out=tmp_path)
    assert made.exit_status == 1
    digests = [row["digest"] for row in made.rows[:2]]
    assert made.rows[0]["status"] == "not deterministic: equal runs end in " + " and ".join(digests)
    assert [row["status"] == "ok" for row in made.rows] == [False, False, True, True]


def test_everything_that_goes_wrong_is_a_row_and_the_others_finish(tmp_path, invented):
    def change(task):
        if "rounds=9" in task.label:
            return {"failure": "process 'arm' died", "reason": "failed"}
        if "rounds=8" in task.label:
            return {"programs": [{**runs.PROGRAM, "status": 3}]}
        return {}

    invented.change = change
    sweep = {"bad": ["", "raises", "expects", "measures"], "rounds": [1, 8, 9]}
    made = bench(scenario, sweep=sweep, out=tmp_path)
    assert made.exit_status == 125
    by = {(row["bad"], row["rounds"]): row for row in made.rows}
    assert by["", 1]["status"] == "ok"
    assert by["", 8]["status"] == "hello: exit status 3"
    assert "process 'arm' died" in by["", 9]["status"] and by["", 9]["digest"] == ""
    assert "ValueError: rounds and bad do not fit" in by["raises", 1]["status"]
    assert "x86.ipi.received is 7, expected less than 7" in by["expects", 1]["status"]
    assert "KeyError: 'nothing'" in by["measures", 1]["status"]
    assert all("test_sweeps.py:" in by[bad, 1]["status"] for bad in sweep["bad"][1:])
    only = bench(scenario, sweep={"bad": ["", "expects"]}, out=tmp_path / "b")
    assert only.exit_status == 1


def test_nothing_runs_when_no_combination_can(tmp_path, invented):
    with pytest.raises(InputError, match="do not fit"):
        bench(scenario, sweep={"bad": ["raises"]}, out=tmp_path)
    with pytest.raises(InputError, match="did you mean 'rounds'"):
        bench(scenario, sweep={"round": [1]}, out=tmp_path)
    with pytest.raises(InputError, match="--repeat 0"):
        bench(scenario, repeat=0, out=tmp_path)
    assert not invented.tasks


def test_a_reference_is_run_once_for_all_that_need_it(tmp_path, invented):
    made = bench(scenario, repeat=2, sweep={"other": ["x"], "rounds": [1, 2]}, out=tmp_path)
    names = sorted(task.name for task in invented.tasks)
    assert names == ["scenario"] * 4 + ["scenario-reference"]
    assert {row["status"] for row in made.rows} == {"ok"}
    invented.change = lambda task: {"transcript": b"?"} if "reference" in task.name else {}
    made = bench(scenario, sweep={"other": ["x"]}, out=tmp_path / "b")
    assert made.rows[0]["status"].endswith(" of two") and made.exit_status == 1


def test_a_real_sweep_has_real_rows(tmp_path):
    made = bench("ipi_latency", repeat=2, sweep={"latency": ["1us", "3us"]}, out=tmp_path)
    assert made.exit_status == 0, made.rows
    one, again, three, _ = made.rows
    assert one["digest"] == again["digest"] != three["digest"]
    assert three["round_trip_ns"] - one["round_trip_ns"] == pytest.approx(4000, rel=0.05)
    assert load("ipi_latency").question in result_of(made)


def result_of(made):
    """What a terminal shows."""
    console = Console(file=io.StringIO(), width=200)
    console.print(made)
    return console.file.getvalue()
