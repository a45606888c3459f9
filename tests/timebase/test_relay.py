"""Do turns follow each other by relay as they do when the timebase grants each?"""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim import units
from cosim.baton import hand_over, has_baton
from cosim.core_time import End, Turn
from cosim.engine.native import relay as native
from cosim.relay import NOBODY, READ, ROW, ROWS, Relay, RelayWord
from cosim.timebase import TimeBase
from tests.timebase.scenarios import Machine, Script, random_scenario


class RelayedMachine(Machine):
    """The same cores, which hand quiet turns to each other; `turns` has every turn."""

    def __init__(self, scenario, *, relayed: bool) -> None:
        super().__init__(scenario)
        self.relay = Relay() if relayed else None
        self.timebase = TimeBase(self.broker, quantum_ps=scenario.quantum_ps, relay=self.relay)
        self.timebase.programs_live = 1
        self.turns: list[tuple] = []
        self.handed_over = 0
        for core in self.cores:
            self.timebase.join(core.index, scenario.nodes[core.index])

    def note(self, turn: Turn) -> None:
        now_ps = self.cores[turn.core].now_ps
        until = min(turn.until_ps, (1 << 63) - 1)
        self.turns.append((turn.core, turn.sequence, turn.start_ps, until, turn.contended, now_ps))

    def run(self, turns_max: int = 100_000) -> End:
        for _ in range(turns_max):
            turn = self.timebase.next_turn()
            if not isinstance(turn, Turn):
                return turn
            reply = self.take(turn)
            self.note(turn)
            while self.relay is not None and self._passes_on(reply):
                turn = self.timebase.in_progress()
                reply = self.take(turn)
                self.note(turn)
            self.timebase.take_over()
            self.timebase.turned(reply)
        raise AssertionError("the machine does not end")

    def _passes_on(self, reply: dict) -> bool:
        if reply["state"] != "runnable" or reply["sends"] or reply["acknowledges"]:
            return False
        words = np.asarray(self.relay._words)
        passed = hand_over(words, reply["core"], np.uint64(reply["now_ps"])) != NOBODY
        self.handed_over += passed
        return passed


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_turns_follow_each_other_as_without_a_relay(seed):
    scenario = random_scenario(seed)
    machines = [RelayedMachine(scenario, relayed=relayed) for relayed in (False, True)]
    ends = [machine.run() for machine in machines]
    plain, relayed = machines
    assert relayed.turns == plain.turns
    assert ends[0] == ends[1]
    assert relayed.timebase.statistics() == plain.timebase.statistics()
    assert relayed.timebase.rows() == plain.timebase.rows()
    assert [core.log for core in relayed.cores] == [core.log for core in plain.cores]


def test_random_machines_hand_turns_over():
    machines = [RelayedMachine(random_scenario(seed), relayed=True) for seed in range(50)]
    for machine in machines:
        machine.run()
    assert sum(machine.handed_over for machine in machines) > 50


class Computing(RelayedMachine):
    """Three cores that only compute."""

    def __init__(self) -> None:
        super().__init__(random_scenario(3), relayed=True)
        self.timebase = TimeBase(self.broker, quantum_ps=1000, relay=self.relay)
        self.cores = [Script(i, [], now_ps=0) for i in self.broker.nodes]
        for core in self.cores:
            self.timebase.join(core.index, self.nodes[core.index])


def reply_of(turn: Turn, now_ps: int) -> dict:
    return {"core": turn.core, "sequence": turn.sequence, "now_ps": now_ps, "state": "runnable",
            "wake_ps": -1, "ended": 0, "sends": [], "acknowledges": []}  # fmt: skip


def test_a_pause_and_a_halt_bring_the_turn_back():
    machine = Computing()
    words = np.asarray(machine.relay._words)
    turn = machine.timebase.next_turn()
    machine.relay.pause(True)
    assert hand_over(words, turn.core, np.uint64(turn.until_ps)) == NOBODY
    machine.relay.pause(False)
    words[RelayWord.BOUND_PS] = 0
    assert hand_over(words, turn.core, np.uint64(turn.until_ps)) == NOBODY
    machine.timebase.take_over()
    machine.timebase.turned(reply_of(turn, turn.until_ps))
    assert machine.timebase.turns == turn.sequence


def test_what_is_in_progress_can_be_seen_before_it_is_answered():
    machine = Computing()
    words = np.asarray(machine.relay._words)
    turn = machine.timebase.next_turn()
    following = hand_over(words, turn.core, np.uint64(turn.until_ps))
    seen = machine.timebase.in_progress()
    assert (seen.core, seen.sequence) == (following, turn.sequence + 1)
    assert machine.timebase.granted == turn
    assert machine.timebase.statistics()["lockstep.turns"] == turn.sequence + 1


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 1 << 62), st.sampled_from([1000, 999_999_937, 2_100_000_000, 3_000_000_000]))
def test_compiled_conversions_are_those_of_units(ps, frequency_hz):
    cycles = units.cycles_of_ps(ps, frequency_hz)
    assert native.cycles_of_ps(np.uint64(ps), np.uint64(frequency_hz)) == cycles
    chance = random.Random(ps)
    cycles = chance.randrange(1 + cycles)
    expected = units.ps_of_cycles(cycles, frequency_hz)
    assert native.ps_of_cycles(np.uint64(cycles), np.uint64(frequency_hz)) == expected


def test_what_was_sent_before_comes_before_the_baton():
    relay = Relay()
    for core in range(2):
        relay.join(core, core)
    words = np.asarray(relay._words)
    words[RelayWord.BATON] = 1
    assert has_baton(words, 1) and not has_baton(words, 0)
    relay.post(1)
    assert not has_baton(words, 1)
    words[ROWS + ROW + READ] += np.uint64(1)
    assert has_baton(words, 1)
