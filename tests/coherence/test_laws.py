"""Is every law seen when it is broken?"""

import numpy as np
import pytest

from memsys import header, laws, replay
from memsys.coherence import State
from memsys.sets import FLAG_BITS
from memsys.statistics import Counter
from tests.coherence.machines import machine, random_accesses


@pytest.fixture
def lawful():
    """(machine, its hierarchy after some thousand accesses)."""
    target = machine(1, 2)
    return target, replay.replay(target, *random_accesses(target, 3000, 3)).state


def broken(pair):
    return laws.violations(*pair, booked=False)


def test_a_sound_run_breaks_none(lawful):
    assert broken(lawful) == []


@pytest.mark.parametrize(
    ("counter", "law"),
    [
        ("L1D_LOAD_HITS", "x86.core0: l1d hits + misses = accesses"),
        ("L2_ACCESSES", "x86.core0: l2 hits + misses = accesses"),
        ("L3_ACCESSES", "x86.core0: L2 misses = L3 accesses"),
        ("MEMORY_REMOTE", "x86.core0: local + remote memory = last-level misses"),
        ("L1I_MISSES", "x86.core0: L1 misses = L2 accesses"),
        ("SNOOP_DATA_SENT", "machine: snoop_data snoops sent = received"),
    ],
)
def test_a_counter_that_is_off_by_one(lawful, counter, law):
    lawful[1].counters[0, Counter[counter]] += 1
    found = broken(lawful)
    assert any(
        np.char.startswith([line.replace(" + ", " + ")], law.replace("\\", ""))[0] for line in found
    )
    assert "(off by " in found[0]


def test_cycles_that_were_not_told_and_references_outside(lawful):
    target, state = lawful
    state.counters[2, Counter.REFERENCES_OUTSIDE] = 7
    found = laws.violations(target, state, [0, 0, 99], [0, 0, 0])
    assert any(
        "arm.core1: cycles counted = cycles told to the core: 0 is not 99" in f for f in found
    )
    assert any("arm.core1: references outside the physical map: 7 is not 0" in f for f in found)
    assert any("arm.core1: line fetches beyond the instructions fetched" in f for f in found)


def first_word(state, cache):
    """(set, 0) of some used set."""
    return int(np.flatnonzero(state.caches[cache][:, 0])[0]), 0


def test_an_impossible_transition_is_remembered(lawful):
    lawful[1].words[header.BROKEN] = 1
    assert "transitions that the coherence table calls impossible" in broken(lawful)[0]


def test_two_owners(lawful):
    state = lawful[1]
    at = first_word(state, "x86.core0.l2")
    state.caches["x86.core0.l2"][at] |= int(State.M)
    state.caches["arm.core0.l2"][at] = state.caches["x86.core0.l2"][at]
    assert any("owns what" in law for law in broken(lawful))


@pytest.mark.parametrize(
    ("cache", "law"),
    [("arm.l3", "L2 holds what L3 does not"), ("arm.core1.l2", "holds what L2 does not")],
)
def test_a_level_that_lost_what_an_inner_one_has(lawful, cache, law):
    lawful[1].caches[cache][:] = 0
    assert any(law in line for line in broken(lawful))


def test_directories_that_forgot(lawful):
    state = lawful[1]
    state.directories[1][:] = 0
    state.filter_entries[:] = 0
    found = "\n".join(broken(lawful))
    assert "arm's directory: a holder (member 0) is not listed" in found
    assert "arm's directory: an owner (member 1) is not known as one" in found
    assert "snoop filter, of x86: a holder (member 0) is not listed" in found


def test_sets_out_of_order(lawful):
    state = lawful[1]
    words = state.caches["x86.core0.l1d"]
    words[0, 0] = 0
    words[0, 1] = words[0, 2] = 1 << FLAG_BITS | State.S
    found = "\n".join(broken(lawful))
    assert "x86.core0.l1d: a free way stands before a used one" in found
    assert "x86.core0.l1d: a line is there twice" in found
