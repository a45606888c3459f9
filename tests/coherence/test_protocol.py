"""Does each event of the protocol send, charge and leave what the design's table says?

Two nodes of one core each, separate L3s; x86 is core 0.  Costs of the default preset: x86
4/14/50/300/640, Arm 4/9/30/300/620, 70 for each kind of snoop.
"""

import numpy as np
import pytest

from memsys import coherence, replay
from memsys.coherence import IMPOSSIBLE, ROWS, Event, Served, State, T
from memsys.statistics import Counter
from tests.coherence.machines import machine

GiB = 1 << 30
X86_LINE, ARM_LINE, POOL_LINE = 0x1000, 2 * GiB, 5 * GiB
SETS_L3 = 4096


def run(target, *accesses):
    """Cycles of each (core, kind, address), and the counters summed over cores."""
    cores, kinds, addresses = (np.array(column) for column in zip(*accesses, strict=True))
    found = replay.replay(
        target, cores.astype(np.uint8), kinds.astype(np.uint8), addresses.astype(np.uint64)
    )
    sums = found.state.counters.sum(axis=0)
    return found.cycles.tolist(), {name: int(sums[Counter[name]]) for name in Counter.__members__}


@pytest.mark.parametrize(
    ("accesses", "cycles", "counts"),
    [
        # load miss, nobody has it; E: the store is silent
        ([(0, 0, X86_LINE), (0, 1, X86_LINE)], [300, 4], {}),
        ([(1, 0, X86_LINE)], [620], {}),
        ([(0, 0, POOL_LINE)], [640], {}),
        # load miss, another node E; then others S
        ([(0, 0, X86_LINE), (1, 0, X86_LINE)], [300, 620 + 70], {"SNOOP_DATA_SENT": 1}),
        # load miss, another node M: write-back to the home, by the requester's price
        (
            [(0, 1, X86_LINE), (1, 0, X86_LINE)],
            [300, 620 + 70 + 620],
            {"SNOOP_DATA_SENT": 1, "WRITE_BACKS_REMOTE": 1},
        ),
        # store miss, another node E, then M
        (
            [(0, 0, ARM_LINE), (1, 1, ARM_LINE), (0, 1, ARM_LINE)],
            [640, 300 + 70, 640 + 70 + 640],
            {"SNOOP_INVALIDATE_SENT": 2, "WRITE_BACKS_REMOTE": 1},
        ),
        # store hit in S: a hit that waits for SnpInv; the other misses afterwards
        (
            [(0, 0, X86_LINE), (1, 0, X86_LINE), (0, 1, X86_LINE), (1, 0, X86_LINE)],
            [300, 690, 4 + 70, 620 + 70 + 620],
            {"SNOOP_INVALIDATE_SENT": 1, "SNOOP_INVALIDATE_RECEIVED": 1, "L1D_STORE_SHARED": 0},
        ),
        # an atomic takes the line as a store does
        ([(0, 0, X86_LINE), (1, 2, X86_LINE)], [300, 690], {"SNOOP_INVALIDATE_SENT": 1}),
    ],
)
def test_events_between_nodes(accesses, cycles, counts):
    found, sums = run(machine(1, 1), *accesses)
    assert found == cycles
    assert {name: sums[name] for name in counts} == counts


def test_an_evicted_dirty_line_is_written_to_its_own_home():
    """The victim lies in Arm's memory, the line that drives it out in x86's."""
    target = machine(1, 1)
    stride = SETS_L3 * 64
    fill = [(0, 0, X86_LINE + way * stride) for way in range(1, 16)]
    found, sums = run(target, (0, 1, ARM_LINE + X86_LINE), *fill, (0, 0, X86_LINE))
    assert found[-1] == 300 + 640
    assert (sums["WRITE_BACKS_LOCAL"], sums["WRITE_BACKS_REMOTE"]) == (0, 1)


def test_a_filter_entry_evicted_takes_its_line_back():
    target = machine(1, 1, cache__snoop_filter__entries=4, cache__snoop_filter__ways=1)
    lines = [(0, 1, 0), (1, 0, 4 * 64), (0, 0, 0)]
    found, sums = run(target, *lines)
    assert found == [300, 620 + 70 + 620, 300 + 70]
    assert sums["BACK_INVALIDATE_SENT"] == sums["BACK_INVALIDATE_RECEIVED"] == 2
    assert sums["L1D_LOST_RECALL_M"] == 1


def test_cores_below_one_l3_send_no_snoops():
    """Fully shared: the L3 is the directory, and its price is that of a transfer."""
    target = machine(1, 1, memory__model="fully-shared")
    accesses = [(0, 1, ARM_LINE), (1, 0, ARM_LINE), (0, 1, ARM_LINE), (1, 1, ARM_LINE)]
    found, sums = run(target, *accesses)
    assert found == [300, 30 + 30, 50 + 50, 30 + 30]
    assert (sums["L3_TRANSFERS"], sums["L3_UPGRADES"], sums["L3_INVALIDATIONS"]) == (2, 1, 1)
    assert sums["SNOOP_DATA_SENT"] + sums["SNOOP_INVALIDATE_SENT"] == 0


def test_a_store_takes_the_line_out_of_every_instruction_cache():
    target = machine(1, 1)
    fetch = 3
    found, sums = run(
        target, (0, fetch, 0), (1, fetch, 0), (0, 1, 0), (0, fetch, 0), (0, 1, 0), (1, fetch, 0)
    )
    assert sums["L1I_LOST"] == 3
    assert sums["L1I_MISSES"] == 4
    assert found[3] == 14  # x86's own L2 still has the line


def test_a_node_without_l3_is_snooped_at_its_l2():
    target = machine(1, 1, memory__preset="paper-small")
    found, sums = run(target, (1, 1, ARM_LINE), (0, 0, ARM_LINE))
    assert found == [300, 640 + 70 + 640]
    assert sums["L3_ACCESSES"] == 1


def test_outside_the_map_nothing_is_served():
    target = machine(1, 1)
    one = np.array([0], np.uint8)
    found = replay.replay(target, one, one, np.array([1 << 51], np.uint64))
    assert found.served.tolist() == [Served.OUTSIDE]
    assert found.cycles.tolist() == [0]


def test_the_table_is_complete_and_says_so():
    assert len(ROWS) + len(IMPOSSIBLE) == len(State) * len(Event)
    assert {row.target for row in ROWS} == set(State)
    with pytest.raises(ValueError, match="M x EVICT is neither declared nor impossible"):
        coherence.compile_rows(ROWS[:-1], IMPOSSIBLE)
    with pytest.raises(ValueError, match="I x LOAD_ALONE is declared twice"):
        coherence.compile_rows((*ROWS, ROWS[0]), IMPOSSIBLE)
    wrong = T(State.I, Event.EVICT, State.I, coherence.NONE, "cannot be")
    with pytest.raises(ValueError, match="I x EVICT is both declared and impossible"):
        coherence.compile_rows((*ROWS, wrong), IMPOSSIBLE)
    text = coherence.describe()
    assert all(f"| {row.state.name} | {row.event.name} |" in text for row in ROWS)
