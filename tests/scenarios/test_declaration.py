"""Does a scenario say what it is, and is whatever it says wrong one line with its place?"""

import inspect
import textwrap

import pytest

from cosim.errors import InputError
from launch import Scenario, actions, scenarios
from launch.actions import Change, Interrupt, Start, Upon, Waiting
from launch.scenario_file import is_scenario, load, of_function, sweep


def pair(**more):
    return Scenario(nodes=["x86", "arm"], **more)


def file_of(tmp_path, body, header="def scenario(rounds=3, fast=False, share=0.5, text='a'):"):
    path = tmp_path / "one.py"
    lines = textwrap.indent(textwrap.dedent(body), "    ")
    path.write_text(f'"""A question?"""\nfrom launch import Scenario\n\n{header}\n{lines}')
    return path


GOOD = """\
play = Scenario(nodes=["x86"])
play.start("hello", on="x86", arguments=[rounds, fast, share, text])
return play
"""


def test_parameters_have_the_types_of_their_defaults(tmp_path):
    declaration = load(file_of(tmp_path, GOOD))
    assert declaration.question == "A question?"
    play = declaration.declare({"rounds": "7", "fast": "yes", "share": "0.25", "text": "1"})
    assert play.jobs[0]["arguments"] == ["7", "True", "0.25", "1"]
    assert declaration.declare({}).jobs[0]["arguments"] == ["3", "False", "0.5", "a"]


def test_settings_can_be_given_beside_parameters(tmp_path):
    play = load(file_of(tmp_path, GOOD)).declare({"rounds": "1", "cache.l2.size": "2MiB"})
    assert play.machine().simulation.settings["cache.l2.size"] == 2 << 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"round": "1"}, "--set round: neither a parameter.*did you mean 'rounds'"),
        ({"cache.l2.sise": "1MiB"}, "did you mean 'cache.l2.size'"),
        ({"cache.l2.size": "7"}, "must be a whole number of byte"),
        ({"rounds": "many"}, "--set rounds=many: a whole number is needed, as 3"),
        ({"share": "half"}, "--set share=half: a number is needed"),
        ({"fast": "maybe"}, "--set fast=maybe: a flag is true or false"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path, given, message):
    with pytest.raises(InputError, match=message) as caught:
        load(file_of(tmp_path, GOOD)).declare(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 / 0\n", r"one\.py:5: ZeroDivisionError"),
        ("x = 1\nraise KeyError('k')\n", r"one\.py:6: KeyError"),
        ("Scenario(nodes=['x86']).start('is', on='arm')\n", r"one\.py:5: no node is called 'arm'"),
        ("Scenario(machine='nowhere')\n", r"one\.py:5: nowhere: no such machine"),
        ("return 3\n", "must return a Scenario, not a int"),
        ("return Scenario(nodes=['x86'])\n", "starts no program"),
        ("Scenario(nodes=['x86']).at('soon')\n", r"one\.py:5: limit=soon: not a number"),
        ("Scenario(nodes=['x86']).when(begins=1)\n", r"one\.py:5: when\(begins=...\): no such"),
        ("Scenario(nodes=['x86']).when()\n", r"one\.py:5: when\(\): name one"),
        ("Scenario(nodes=['x86']).when(ended='p')\n", "give what start"),
        ("Scenario(nodes=['x86']).when(region_begin=1, nth=0)\n", "counted from 1"),
        ("Scenario(nodes=['x86']).expect('digest', equals=1)\n", "did you mean 'equal'"),
        ("Scenario(nodes=['x86']).at(1).change('cache.l2.size', 1)\n", "cannot change while"),
        ("Scenario(nodes=['x86']).at(1).change('cost.x86.memry', 1)\n", "did you mean 'cost.x86.m"),
        ("Scenario(nodes=['x86']).at(1).kill('amd')\n", "no node is called 'amd'"),
        ("Scenario(nodes=['x86']).at(1).attach('riscv32', 'r')\n", "unknown isa 'riscv32'"),
        ("Scenario(nodes=['x86']).at(1).attach('x86_64', 'x86')\n", "two nodes are called 'x86'"),
        ("s = Scenario(nodes=['x86'])\ns.at(1).migrate(s.start('is'), to='x86')\n",
         "do not migrate with os='vanilla'"),
    ],
)  # fmt: skip
def test_a_scenario_that_is_wrong_is_one_line_with_its_place(tmp_path, body, message):
    with pytest.raises(InputError, match=message) as caught:
        load(file_of(tmp_path, body)).declare({})
    assert "\n" not in str(caught.value)


def test_files_that_are_no_scenarios(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def scenario(:\n")
    with pytest.raises(InputError, match=r"broken\.py:1: "):
        load(broken)
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    with pytest.raises(InputError, match=r"has no function scenario\(\)"):
        load(empty)
    with pytest.raises(InputError, match="did you mean 'ipi_latency'"):
        load("ipi_latncy")
    with pytest.raises(InputError, match="needs a default"):
        load(file_of(tmp_path, GOOD, "def scenario(rounds, fast=False, share=0.5, text='a'):"))
    with pytest.raises(InputError, match="needs a default"):
        of_function(lambda sizes=(1, 2): pair())


def test_what_run_takes_for_a_scenario():
    assert is_scenario("some/where.py") and is_scenario("ipi_latency")
    assert not is_scenario("hello") and not is_scenario("prog.c")


@pytest.mark.parametrize("name", scenarios.bundled())
def test_every_bundled_scenario_asks_a_question_and_can_be_declared(name):
    declaration = load(name)
    assert declaration.question.endswith("?")
    assert declaration.declare({}).jobs


def test_values_of_a_sweep_stand_between_commas():
    assert sweep(["a=1,2", "cache.l2.size=1MiB"]) == {"a": ["1", "2"], "cache.l2.size": ["1MiB"]}
    for text, message in (("a", "write name=value"), ("a=1,,2", "write"), ("a=1,1", "twice")):
        with pytest.raises(InputError, match=message):
            sweep([text])
    with pytest.raises(InputError, match="given twice"):
        sweep(["a=1", "a=2"])


# Events.


def test_events_are_data():
    play = pair(os="fused")
    first = play.start("is:S", on="x86")
    play.at("5us").interrupt("x86", "arm")
    play.when(region_begin=1, of=first, nth=3, after="1us").change("cost.arm.memory", 400)
    late = play.when(ended=first).start("hello")
    assert late.index == 1
    assert play.events == [
        Interrupt(at_ps=5_000_000, source="x86", target="arm"),
        Upon(
            Change(at_ps=0, setting="cost.arm.memory", value="400"),
            "region_begin", 1, program=0, nth=3, after_ps=1_000_000,
        ),
        Upon(Start(at_ps=0, program=1), "ended", "", program=0),
    ]  # fmt: skip
    rows = [actions.plain(event) for event in play.events]
    assert [actions.of_plain(row) for row in rows] == play.events


def test_processes_hear_of_events_only_when_there_are_some():
    play = pair()
    play.start("hello", on="x86")
    simulation = play.machine().simulation
    assert actions.run_options(simulation, play.events) == {}
    play.when(console="hi").change("cost.x86.memory", "5000")
    play.at(1).change("cost.x86.memory", "10")
    told = actions.run_options(simulation, play.events)
    assert told["watch"] == [["console", "hi"]]
    usual = actions.worst_reference_cycles(simulation, [])
    assert told["worst_reference_cycles"] > usual + 4000


def test_the_digest_covers_events_and_moves_with_them():
    digests = set()
    for value in (None, "301", "302"):
        play = pair()
        play.start("hello", on="x86")
        if value:
            play.at("1us").change("cost.x86.memory", value)
        machine = play.machine()
        digests.add(machine.configuration_digest(machine.place(play.jobs), play.events))
    assert len(digests) == 3


def waiting(*given):
    return Waiting(list(given), notice_ps=2000)


def test_an_event_follows_the_nth_occurrence_after_its_news():
    event = Interrupt(source="x86", target="arm")
    wait = waiting(Upon(event, "region_begin", 1, nth=2, after_ps=500))
    assert wait.occurred("region_begin", "1", 0, 10) == []
    assert wait.occurred("region_begin", "2", 0, 20) == []
    assert wait.occurred("region_end", "1", 0, 30) == []
    (found,) = wait.occurred("region_begin", "1", 5, 40)
    assert found.at_ps == 40 + 2000 + 500
    assert wait.left == []
    assert wait.occurred("region_begin", "1", 0, 50) == []


def test_an_event_may_wait_for_one_program_only():
    event = Interrupt(source="x86", target="arm")
    wait = waiting(Upon(event, "ended", "", program=1))
    assert wait.occurred("ended", "", 0, 10) == []
    assert len(wait.occurred("ended", "", 1, 20)) == 1


def test_two_equal_waits_count_for_themselves():
    event = Interrupt(source="x86", target="arm")
    wait = waiting(Upon(event, "ended", ""), Upon(event, "ended", "", nth=2))
    assert len(wait.occurred("ended", "", 0, 10)) == 1
    assert len(wait.occurred("ended", "", 0, 20)) == 1


def test_the_place_is_that_of_the_declaration():
    play = pair()
    play.expect("digest", differs="")
    line = inspect.currentframe().f_lineno - 1
    assert play.expectations[0].place == f"{__file__}:{line}"
