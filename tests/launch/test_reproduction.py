"""Are the experiments consistent, are our numbers computed as declared, and is nothing made up?"""

import json

import pytest

from cosim.errors import InputError
from cosim.physical_map import MODELS
from launch import cli, comparison, experiments, quantities, reproduction, results
from launch.breakdown import NAMES
from launch.experiments import fig9, fig10, table3
from launch.experiments.declaration import (
    Cell,
    Claim,
    Count,
    Largest,
    Reduction,
    Relation,
    Spread,
    TimeRatio,
)
from tests.launch import runs

DESIGNS = ("vanilla", "multi-tcp", "multi-shm", "fused")


def cells(quantity):
    """Every cell that a quantity reads."""
    match quantity:
        case Largest(ratios):
            return [cell for one in ratios for cell in cells(one)]
        case Spread(found):
            return list(found)
        case Count(_, cell):
            return [cell]
        case TimeRatio(of, by) | Reduction(_, of, by):
            return [of, by]


@pytest.mark.parametrize("experiment", experiments.EXPERIMENTS.values(), ids=lambda e: e.name)
def test_claims_refer_to_what_the_experiment_runs(experiment):
    subjects = {subject.name for subject in experiment.subjects}
    assert all(design in DESIGNS and model in MODELS for design, model in experiment.systems)
    systems = {"vanilla", *(design for design, _ in experiment.systems if design == "multi-tcp")}
    systems |= {f"{design} {model}" for design, model in experiment.systems}
    names = [claim.name for claim in experiment.claims]
    assert len(names) == len(set(names))
    for claim in experiment.claims:
        assert claim.paper > 0 and claim.source and claim.statement
        for cell in cells(claim.quantity):
            assert cell.subject in subjects, claim.name
            assert cell.system in systems, claim.name


def test_reasons_belong_to_claims():
    for module in (fig9, fig10, table3):
        assert set(module.REASONS) <= {claim.name for claim in module.EXPERIMENT.claims}


def test_table_3_is_consistent_in_itself():
    for counts in table3.PAPER.values():
        for many, few, reduction in counts.values():
            assert 1 - few / many == pytest.approx(reduction, abs=1e-4)


def row(ms, remote=0.0, **more):
    """A row of a comparison, as far as quantities read it."""
    ps = int(ms * 10**9)
    parts = {**dict.fromkeys(NAMES, 0), "remote": int(ps * remote)}
    parts["local"] = ps - parts["remote"]
    kinds = {"messages": {}, "pages_replicated": {}}
    return {"failure": "", "elapsed_ps": ps, "parts_ps": parts, "kinds": kinds, **more}


A, B, C = Cell("is", "vanilla"), Cell("is", "fused shared"), Cell("is", "multi-shm shared")
ROWS = {
    ("is", "vanilla"): row(10),
    ("is", "fused shared"): row(15, remote=0.5, messages=3),
    ("is", "multi-shm shared"): row(
        30, messages=300, kinds={"messages": {"page_request": 200, "page_response": 100}}
    ),
    ("is", "multi-tcp"): {"failure": "exit status 3"},
}


def test_quantities_are_computed_as_declared():
    ratio = quantities.compute(TimeRatio(C, B), ROWS)
    assert ratio.value == 2
    assert quantities.compute(Largest([TimeRatio(B, A), TimeRatio(C, A)]), ROWS).value == 3
    assert quantities.compute(Spread([B, A, C]), ROWS).value == 3
    assert quantities.compute(Count("messages", C), ROWS).value == 300
    assert quantities.compute(Reduction("messages", B, C), ROWS).value == pytest.approx(0.99)


def test_the_component_that_differs_most_is_measured():
    found = quantities.compute(TimeRatio(B, A), ROWS).component
    assert found["component"] == "remote"
    assert found["difference_ms"] == 7.5
    assert found["share_of_difference"] == 0.75
    assert quantities.compute(Count("messages", C), ROWS).component == {
        "component": "page_request",
        "count": 200,
        "share": 0.6667,
    }


@pytest.mark.parametrize("system", ["multi-tcp", "fused separated"])
def test_a_run_that_is_not_there_leaves_its_numbers_out(system):
    claim = Claim("n", "s", 2.0, "9", TimeRatio(Cell("is", system), A))
    found = quantities.judge(claim, ROWS, "S")
    assert (found["status"], found["ours"]) == ("not measured", None)
    assert system in found["why"]


@pytest.mark.parametrize(
    "paper, relation, status",
    [
        (2.0, Relation.EQUAL, "agrees"),
        (2.3, Relation.EQUAL, "agrees"),
        (2.5, Relation.EQUAL, "unexplained"),
        (1.0, Relation.AT_LEAST, "agrees"),
        (3.0, Relation.AT_LEAST, "unexplained"),
        (3.0, Relation.AT_MOST, "agrees"),
        (1.0, Relation.AT_MOST, "unexplained"),
    ],
)
def test_relations_hold_or_need_a_reason(paper, relation, status):
    claim = Claim("n", "s", paper, "9", TimeRatio(C, B), relation)
    found = quantities.judge(claim, ROWS, "S")
    assert found["status"] == status
    if status == "unexplained":
        assert found["reason"] == "" and found["measured"]["component"]
        explained = Claim("n", "s", paper, "9", TimeRatio(C, B), relation, reason="because")
        assert quantities.judge(explained, ROWS, "S")["status"] == "explained"


def test_numbers_of_another_class_are_not_judged():
    claim = Claim("n", "s", 7, "9", Count("messages", C), classes=("A",))
    assert quantities.judge(claim, ROWS, "S")["status"] == "other class"
    assert quantities.judge(claim, ROWS, "A")["status"] == "unexplained"


@pytest.fixture
def folder(tmp_path):
    """A reproduction of table 3 with invented runs of IS alone."""
    inside = tmp_path / "is-S"
    inside.mkdir()
    systems = []
    times = {"vanilla": 10, "multi-shm": 40, "fused": 15}
    for design, ms in times.items():
        counts = {**runs.STATISTICS, "arm.messages.sent": ms, "arm.messages.sent.page": ms}
        runs.write(inside / design, virtual_time_ps=ms * 10**9, statistics=counts)
        name = design if design == "vanilla" else f"{design} shared"
        systems.append(
            {"name": name, "design": design, "model": "shared", "run": design, "failure": ""}
        )
    comparison.Comparison(inside, comparison.content_of(inside, "is-S", systems)).write()
    subjects = [{"name": "is", "program": "is:S", "folder": "is-S", "failure": ""}]
    subjects += [
        {"name": name, "program": f"{name}:S", "folder": None, "failure": "no such program"}
        for name in ("cg", "mg", "ft")
    ]
    content = {"format": 1, "kind": "reproduction", "experiment": "table3", "question": "?"}
    content |= {"class": "S", "subjects": subjects}
    results.put(tmp_path / reproduction.FILE, json.dumps(content).encode())
    return tmp_path


def test_a_report_makes_a_reproduction_again_byte_for_byte(folder, capsys):
    made = reproduction.regenerate(folder)
    files = (reproduction.REPORT, reproduction.REPORT_TEXT, "table3.png", "is-S/comparison.json")
    before = {name: (folder / name).read_bytes() for name in files}
    (folder / reproduction.REPORT).unlink()
    assert cli.execute(["report", str(folder)]) == 0
    assert {name: (folder / name).read_bytes() for name in files} == before
    output = capsys.readouterr().out
    assert "no such program" in output and "is.messages.reduction" in output
    values = {row["name"]: row for row in made.rows}
    assert values["is.messages.multi"]["ours"] == 40
    assert values["is.messages.multi"]["status"] == "other class"
    assert values["is.messages.reduction"]["ours"] == 0.625
    assert values["is.messages.reduction"]["measured"]["component"] == "page"
    assert values["cg.messages.multi"]["status"] == "not measured"
    assert made.exit_status == 1
    assert "UNEXPLAINED" in made.text()


def test_unknown_experiments_and_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'fig9'"):
        reproduction.reproduce("fig99", out=tmp_path)
    with pytest.raises(InputError, match="classes are S, W, A, B"):
        reproduction.reproduce("fig9", "Z", out=tmp_path)
