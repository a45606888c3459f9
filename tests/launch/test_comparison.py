"""Do comparisons say what their run folders say, and is no run made twice or reused wrongly?"""

import io
import json
import re

import pytest
from rich.console import Console

from cosim.errors import InputError
from launch import batch, cli, comparison, designs, results
from launch.batch import Batch, Task
from launch.comparison_tables import tables
from launch.machine import Machine
from launch.simulation import Simulation
from launch.system import load
from tests.launch import runs

SYSTEMS = [
    {"name": name, "design": design, "model": model, "run": run, "failure": ""}
    for name, design, model, run in (
        ("vanilla", "vanilla", "separated", "one"),
        ("fused separated", "fused", "separated", "two"),
        ("fused shared", "fused", "shared", "three"),
    )
]


@pytest.fixture
def folder(tmp_path):
    """A comparison of three invented runs, the last of which failed."""
    runs.write(tmp_path / "one", virtual_time_ps=10_000_000_000)
    busy = {**runs.STATISTICS, "arm.messages.sent": 3, "x86.messages.sent": 4}
    runs.write(tmp_path / "two", virtual_time_ps=15_000_000_000, statistics=busy)
    failed = {**runs.PROGRAM, "status": 3}
    runs.write(tmp_path / "three", programs=[failed])
    content = comparison.content_of(tmp_path, "hello", SYSTEMS)
    comparison.Comparison(tmp_path, content).write()
    return tmp_path


def rendered(renderables, width=200):
    console = Console(file=io.StringIO(), width=width)
    console.print(*renderables)
    return console.file.getvalue()


def test_times_are_normalised_to_vanilla(folder):
    made = comparison.regenerate(folder)
    assert [row["normalised"] for row in made.rows] == [1.0, 1.5, None]
    assert made["fused separated"]["messages"] == 7
    assert made["fused shared"]["failure"] == "hello: exit status 3"
    assert made.exit_status == 1


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(folder, width):
    made = comparison.regenerate(folder)
    lines = rendered(tables(made.rows, width), width).splitlines()
    assert max(map(len, lines)) <= width
    heads = sum(line.startswith("system") for line in lines)
    assert heads == (1 if width == 120 else 2)
    assert any("failed" in line for line in lines)
    assert "…" not in "".join(lines)


def test_a_report_makes_everything_again_byte_for_byte(folder, capsys):
    before = (folder / comparison.FILE).read_bytes()
    picture = (folder / comparison.PICTURE).read_bytes()
    (folder / comparison.PICTURE).unlink()
    assert cli.execute(["report", str(folder)]) == 0
    assert "fused separated" in capsys.readouterr().out
    assert (folder / comparison.FILE).read_bytes() == before
    assert (folder / comparison.PICTURE).read_bytes() == picture


def test_a_comparison_reads_well_in_python(folder):
    made = comparison.regenerate(folder)
    assert "1.500" in made._repr_html_()
    assert len(made.plot().axes) == 1
    assert "3 systems" in repr(made)


def test_without_a_base_nothing_is_normalised(folder):
    rows = comparison.rows(folder, SYSTEMS[1:])
    assert [row["normalised"] for row in rows] == [None, None]
    assert "1.5" not in rendered(tables(rows, 200))


def test_every_design_is_compared_with_its_models():
    found = comparison.chosen()
    assert found[0] == ("vanilla", "separated")
    for design in designs.DESIGNS.values():
        assert [model for name, model in found if name == design.name] == list(design.models)
    assert comparison.chosen(["fused"], ["shared"]) == [found[0], ("fused", "shared")]
    with pytest.raises(InputError, match="did you mean 'shared'"):
        comparison.chosen(None, ["shard"])
    with pytest.raises(InputError, match="did you mean 'fused'"):
        comparison.chosen(["fussed"])


def test_a_comparison_chooses_the_memory_model_itself():
    with pytest.raises(InputError, match="see --models"):
        comparison.plan("hello", systems=[], settings={"memory.model": "shared"})


def test_a_fixed_design_has_its_memory_whatever_the_file_says(monkeypatch):
    fixed = designs.Design("stiff", "", False, "for this test", ("separated",), True)
    monkeypatch.setitem(designs.DESIGNS, "stiff", fixed)
    system = load()
    assert Simulation(system, os="stiff").settings["memory.model"] == "separated"
    with pytest.raises(InputError, match="always separated"):
        Simulation(system, {"memory.model": "shared"}, os="stiff")


# Finding finished runs.


def task(**changes):
    fields = {"name": "fused shared", "machine": {}, "programs": [], "configuration": "c"}
    return Task(**{**fields, **changes})


def put(folder, wanted, **changes):
    """A finished run under the name of a task, with changes of its manifest."""
    run = runs.write(folder / wanted.folder_name)
    manifest = {**run.manifest, "configuration_digest": wanted.configuration, **changes}
    (run.path / results.MANIFEST).write_text(json.dumps(manifest))
    return run.path


def test_a_finished_run_is_found_in_the_first_place_that_has_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    here.mkdir()
    assert batch.finished(task(), [here, there]) is None
    there_path = put(there, task())
    assert batch.finished(task(), [here, there]) == there_path
    assert batch.finished(task(), [here]) is None
    assert batch.finished(task(lasting=False), [there]) is None
    here_path = put(here, task())
    assert batch.finished(task(), [here, there]) == here_path


ENDED = {"reason": "exited", "failure": "", "laws": {"violations": []}, "programs": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"configuration_digest": "other"},
        {"simulator_digest": "other"},
        {"simulator_digest": None},
        {"ended": {**ENDED, "reason": "limit"}},
        {"ended": {**ENDED, "failure": "node 'arm' died"}},
        {"ended": {**ENDED, "laws": {"violations": ["a law"]}}},
        {"ended": {**ENDED, "programs": [{**runs.PROGRAM, "status": 1}]}},
        {"ended": {**ENDED, "programs": [{**runs.PROGRAM, "signal": 11}]}},
    ],
)
def test_another_or_a_failed_run_is_never_reused(tmp_path, changes):
    put(tmp_path, task(), **changes)
    assert batch.finished(task(), [tmp_path]) is None


def test_the_key_moves_with_everything_that_decides(monkeypatch):
    keys = {task().key, task(configuration="d").key}
    monkeypatch.setattr(results, "simulator_digest", lambda: "changed")
    keys.add(task().key)
    assert len(keys) == 3
    assert re.fullmatch(r"fused-shared-[0-9a-f]{16}", task().folder_name)


def test_the_configuration_digest_is_that_of_the_manifest():
    with Machine() as machine:
        programs = machine.place(["hello"])
        assert machine.configuration_digest(programs) == machine.configuration_digest(programs)
        other = Machine(settings={"cache.l2.size": "2MiB"})
        assert other.configuration_digest(programs) != machine.configuration_digest(programs)


def test_a_run_that_is_found_elsewhere_is_copied_and_the_rest_still_runs(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    known, bad, good = task(), task(name="bad"), task(name="good")
    put(there, known)

    def work(self, wanted, out):
        if wanted is bad:
            return "the machine broke", True
        runs.write(out)
        return "", False

    monkeypatch.setattr(Batch, "_work", work)
    heard = []
    done = Batch(here, [there], 2, ended=heard.append).run([known, bad, good])
    assert [one.reused for one in done] == [True, False, False]
    assert [one.failure for one in done] == ["", "the machine broke", ""]
    assert done[0].folder == here / known.folder_name and done[0].folder.is_dir()
    assert done[1].folder is None and done[1].ours
    assert done[2].folder.is_dir()
    assert len(heard) == 3
    assert not list(here.glob(".*"))


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="choose another --out"):
        comparison.check_folder(tmp_path, comparison.FILE)
