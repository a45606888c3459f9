"""Are turns handed out in the order of virtual time, and is no interrupt ever late?"""

import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosim.core_time import End
from cosim.errors import InputError, InvariantError, ProtocolError
from cosim.timebase import TimeBase
from tests.timebase.scenarios import Machine, Scenario, Step, random_scenario, reference

ONE = {("n", "n"): 2000}


def flat(scripts, quantum_ps=2000):
    """A scenario of cores on one node."""
    return Scenario(scripts, dict.fromkeys(range(len(scripts)), "n"), dict(ONE), quantum_ps)


def reply(turn, now_ps, state="runnable", **more):
    return {"core": turn.core, "sequence": turn.sequence, "now_ps": now_ps, "state": state,
        "wake_ps": -1,
            "ended": 0, "sends": [], "acknowledges": [], **more}  # fmt: skip


@settings(max_examples=250, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 10**9))
@example(20_000)  # two interrupts for one core, sent at one time by two others
def test_every_core_sees_what_the_brute_force_reference_sees(seed):
    scenario = random_scenario(seed)
    expected, interrupts = reference(scenario)
    machine = Machine(scenario)
    machine.timebase.programs_live = 1  # as long as one lives, timers of waiting cores count
    machine.run()
    assert [core.log for core in machine.cores] == expected
    assert sum(machine.broker.sent.values()) == sum(machine.broker.received.values()) == interrupts


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_the_quantum_changes_nothing_that_cores_see(seed):
    scenario = random_scenario(seed)
    smallest = min(scenario.latency_ps.values())
    logs = []
    for quantum_ps in (1, smallest // 3, smallest):
        machine = Machine(scenario, quantum_ps)
        machine.timebase.programs_live = 1
        machine.run()
        logs.append([core.log for core in machine.cores])
    assert logs[0] == logs[1] == logs[2]


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_turns_start_in_order_of_time_and_core(seed):
    machine = Machine(random_scenario(seed))
    machine.timebase.programs_live = 1
    machine.run()
    starts = [start for start, _ in machine.order]
    assert starts == sorted(starts)


def test_equal_times_go_by_core_number():
    machine = Machine(flat([[Step(2000)] * 3] * 4, quantum_ps=2000))
    machine.run()
    assert [core for _, core in machine.order[:4]] == [0, 1, 2, 3]
    assert machine.order == sorted(machine.order)


def test_a_core_alone_gets_one_extended_turn():
    machine = Machine(flat([[Step(1000)] * 500, []]))
    end = machine.run()
    assert end == End("exited", 500_000)
    statistics = machine.timebase.statistics()
    assert statistics["lockstep.turns_extended"] == 1
    assert (
        statistics["lockstep.turns"] == 3
    )  # one contended turn, one for the idle core, then the rest at once


def test_waiting_for_ever_is_a_deadlock_only_while_programs_live():
    for programs, reason in ((1, "deadlock"), (0, "exited")):
        machine = Machine(flat([[Step(10, wait=True)], [Step(20, wait=True)]]))
        machine.timebase.programs_live = programs
        assert machine.run() == End(reason, 20)


def test_timers_alone_do_not_prolong_a_run_without_programs():
    machine = Machine(flat([[Step(10, wait=True, timer_ps=10**9), Step(1)], [Step(20)]]))
    assert machine.run() == End("exited", 20)


def test_the_limit_of_virtual_time_is_exact():
    machine = Machine(flat([[Step(1000)] * 500, [Step(700)] * 900]))
    machine.timebase.limit_ps = 50_000
    assert machine.run() == End("limit", 50_000)
    assert [core.now_ps for core in machine.cores] == [
        50_000,
        50_400,
    ]  # the first boundary not before it


def test_a_far_timer_of_another_core_makes_a_long_uncontended_turn():
    timebase = Machine(flat([[Step(1)], [Step(1)]])).timebase
    timebase.programs_live = 1
    timebase.turned(reply(timebase.next_turn(), 10))
    timebase.turned(reply(timebase.next_turn(), 10, "waiting", wake_ps=10**9))
    turn = timebase.next_turn()
    assert (turn.core, turn.until_ps, turn.contended) == (0, 10**9 + 2000, False)


@pytest.mark.parametrize(("change", "reason"), [
    ({"core": 1}, "is not the turn granted"),
    ({"sequence": 7}, "is not the turn granted"),
    ({"now_ps": 5}, "went back from 10 to 5 ps"),
    ({"ended": 2}, "2 programs ended, 1 were left"),
    ({"sends": [{"target_core": 1, "native": 0, "function": 4, "sent_ps": 9, "payload": 0,
                 "acknowledge": False}]}, "sent at 9 ps, outside its turn"),
    ({"sends": [{"target_core": 1, "native": 0, "function": 4, "sent_ps": 11, "payload": 0,
                 "acknowledge": False}]}, "not a fixed interrupt to one core"),
    ({"acknowledges": [3]}, "acknowledges interrupt 3, which nobody waits for"),
])  # fmt: skip
def test_an_answer_that_cannot_be_is_refused_and_changes_nothing(change, reason):
    timebase = Machine(flat([[], []])).timebase
    timebase.programs_live = 1
    timebase.turned(reply(timebase.next_turn(), 10))
    timebase.turned(reply(timebase.next_turn(), 10))
    turn = timebase.next_turn()
    before = (timebase.rows(), timebase.statistics())
    with pytest.raises(ProtocolError, match=reason):
        timebase.turned({**reply(turn, 20), **change})
    assert (timebase.rows(), timebase.statistics()) == before
    timebase.turned(reply(turn, 20))


def two_cores_waiting_but_one():
    """A machine whose core 0 runs alone."""
    machine = Machine(flat([[], []]))
    machine.timebase.programs_live = 1
    machine.timebase.turned(reply(machine.timebase.next_turn(), 10))
    machine.timebase.turned(reply(machine.timebase.next_turn(), 0, "waiting"))
    return machine, machine.timebase.next_turn()


def send_row(machine, target, sent_ps):
    native = machine.tables["n"].encode_send(target, 4)
    return {"target_core": target, "native": native, "function": 4, "sent_ps": sent_ps,
        "payload": 0,
            "acknowledge": False}  # fmt: skip


def test_running_on_after_a_send_is_counted_as_overshoot():
    machine, turn = two_cores_waiting_but_one()
    assert turn.until_ps == -1
    machine.timebase.turned(reply(turn, 90_000, sends=[send_row(machine, 1, 20)]))
    assert machine.timebase.statistics()["lockstep.overshoot_ps_max"] == 90_000 - (20 + 2000 + 2000)
    answer = machine.timebase.next_turn()
    assert (answer.core, answer.start_ps) == (1, 2020)


def test_an_interrupt_from_a_cores_past_fails_the_run():
    machine, turn = two_cores_waiting_but_one()
    machine.timebase.turned(reply(turn, 4100, sends=[send_row(machine, 1, 20)]))
    answer = machine.timebase.next_turn()
    machine.broker.latency_ps["n", "n"] = (
        100  # shorter than the quantum that was checked against it
    )
    with pytest.raises(
        InvariantError, match="interrupt 2 from core 1 is late: due at 2121 ps, core 0 has run"
    ):
        machine.timebase.turned(reply(answer, 2021, sends=[send_row(machine, 0, 2021)]))


def test_a_quantum_longer_than_the_shortest_latency_is_refused():
    machine = Machine(flat([[]]))
    with pytest.raises(InputError, match=r"time.quantum_ns: 2.001 ns, allowed up to .* 2 ns"):
        TimeBase(machine.broker, quantum_ps=2001)
    with pytest.raises(InputError):
        TimeBase(machine.broker, quantum_ps=0)


def test_idle_cores_cost_nothing():
    def seconds(idle):
        machine = Machine(flat([[Step(100)] * 4000, [Step(100)] * 4000] + [[]] * idle))
        began_s = time.perf_counter()
        machine.run()
        return time.perf_counter() - began_s, machine.timebase.turns

    (few_s, few), (many_s, many) = (
        min(seconds(2) for _ in range(3)),
        min(seconds(60) for _ in range(3)),
    )
    assert many - few == 58  # the first turn of each idle core, and never another
    assert many_s < few_s * 2 + 0.01


def test_a_waiting_core_wakes_at_its_cycle_with_all_that_is_due_then():
    machine = Machine(flat([[], []]))
    timebase = machine.timebase
    timebase.programs_live = 1
    timebase.cores[0].frequency_hz = 10**9  # a cycle is 1000 ps
    timebase.turned(reply(timebase.next_turn(), 0, "waiting", wake_ps=2100))
    timebase.turned(reply(timebase.next_turn(), 150, sends=[send_row(machine, 0, 150)]))
    timebase.turned(reply(timebase.next_turn(), 160, "waiting"))
    turn = timebase.next_turn()
    assert (turn.core, turn.start_ps) == (0, 3000)
    assert [item.at_ps for item in turn.interrupts] == [2150]


def test_a_core_that_makes_no_progress_fails_the_run_instead_of_hanging_it():
    timebase = Machine(flat([[]])).timebase
    timebase.programs_live = 1
    timebase.turned(reply(timebase.next_turn(), 10, "waiting", wake_ps=500))
    turn = timebase.next_turn()
    with pytest.raises(
        InvariantError, match="core 0 of 'n' made no progress in turn 2 from 500 ps"
    ):
        timebase.turned(reply(turn, 10, "waiting", wake_ps=500))


def test_a_seed_gives_the_same_turns_twice():
    for _ in range(20):
        seed = random.Random(3).randrange(10**9)
        first, second = Machine(random_scenario(seed)), Machine(random_scenario(seed))
        first.run()
        second.run()
        assert (
            first.order == second.order
            and first.timebase.statistics() == second.timebase.statistics()
        )
