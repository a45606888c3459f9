"""Do expectations say what is wrong, with both sides and the place?"""

import pytest

from cosim.errors import InputError
from launch import Run, Scenario
from tests.launch import runs


@pytest.fixture
def run(tmp_path):
    return Run(runs.write(tmp_path / "run"))


@pytest.fixture
def play():
    return Scenario(nodes=["x86", "arm"])


@pytest.mark.parametrize(
    ("quantity", "relation"),
    [
        ("x86.ipi.received", {"equal": 7}),
        ("x86.ipi.received", {"differs": 8}),
        ("x86.ipi.received", {"at_least": 7}),
        ("x86.ipi.received", {"at_most": 7}),
        ("x86.ipi.received", {"more_than": 6}),
        ("x86.ipi.received", {"less_than": lambda run: run.statistics["x86.core0.cycles"]}),
        ("console", {"contains": "hell"}),
        ("console", {"matches": "^h.*o$"}),
        ("exit_status", {"equal": 0}),
        ("failure", {"equal": ""}),
        ("reason", {"equal": "exited"}),
        ("elapsed_ns", {"equal": 1_000_000}),
        (lambda run: len(run.console), {"equal": 6}),
    ],
)
def test_what_holds(play, run, quantity, relation):
    play.expect(quantity, **relation)
    assert play.broken(run, {}) == []


def test_both_sides_and_the_place_are_shown(play, run):
    play.expect("x86.ipi.received", at_least=8)
    play.expect("console", contains="bye")
    play.expect(lambda run: 1, "one", equal=2)
    lines = play.broken(run, {})
    assert [line.split(": ", 1)[1] for line in lines] == [
        "x86.ipi.received is 7, expected at least 8",
        r"console is 'hello\n', expected something that contains 'bye'",
        "one is 1, expected 2",
    ]
    assert all(line.startswith(f"{__file__}:") for line in lines)


def test_another_scenarios_run_can_be_the_other_side(play, run, tmp_path):
    other = Scenario("other", nodes=["x86"])
    play.expect("digest", equal=other)
    assert play.references == [other]
    assert play.broken(run, {id(other): run}) == []
    different = Run(runs.write(tmp_path / "b", transcript=b"x"))
    (line,) = play.broken(run, {id(other): different})
    assert run.digest in line and different.digest in line and line.endswith(" of other")


def raises(run):
    return run.statistics["x86.core0.cycles"] / 0


@pytest.mark.parametrize(
    ("quantity", "relation", "message"),
    [
        ("x86.ipi.recieved", {"equal": 1}, "did you mean 'x86.ipi.received'"),
        (raises, {"equal": 1}, r"test_expectations\.py:\d+: ZeroDivisionError"),
        ("console", {"at_least": 1}, "not supported between"),
        ("console", {"matches": "("}, "unterminated|missing"),
    ],
)
def test_what_cannot_be_computed_is_one_line(play, run, quantity, relation, message):
    play.expect(quantity, **relation)
    with pytest.raises(InputError, match=message):
        play.broken(run, {})


def test_the_line_of_a_function_that_raises_is_its_own(play, run):
    play.expect(raises, equal=1)
    with pytest.raises(InputError) as caught:
        play.broken(run, {})
    assert f"{__file__}:{raises.__code__.co_firstlineno + 1}: " in str(caught.value)


def test_measurements_are_numbers_or_text(play, run):
    play.measure("x86.ipi.received", flag=lambda run: True, none=lambda run: None)
    assert [(m.name, m.of(run)) for m in play.measured] == [
        ("x86.ipi.received", 7),
        ("flag", 1),
        ("none", None),
    ]
    play.measure(bad=lambda run: [1])
    with pytest.raises(InputError, match="bad is a list"):
        play.measured[-1].of(run)


def test_the_elapsed_time_is_measured_when_nothing_else_is(play, run):
    assert [(m.name, m.of(run)) for m in play.measured] == [("elapsed_ns", 1_000_000)]


def test_events_that_did_not_happen_are_told(play, tmp_path):
    run = Run(runs.write(tmp_path / "run", undone=["kill at 5 ps"]))
    assert play.broken(run, {}) == ["did not happen: kill at 5 ps"]
    play.expect("failure", equal="")
    assert play.broken(run, {}) == []
