"""Does a node that detaches leave nothing behind, and the results as they were?"""

import random

import pytest

from launch import Machine
from launch.events import Attach, Detach
from tests.attach.programs import FAR, SUMS, WANDER, frames_used, happened, machine

CALM_NS = 4_000_000  # the program has come to its rounds
ROUNDS = 20
SEED = 20261125


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run of each design on a pair alone."""
    made = {}

    def run(design, model=None):
        if (design, model) not in made:
            folder = tmp_path_factory.mktemp("plain")
            with machine(design, folder, model) as described:
                made[design, model] = described.run(WANDER, arguments=[ROUNDS])
        return made[design, model]

    return run


@pytest.mark.parametrize(
    ("design", "model", "isa", "stay_ns"),
    [
        ("fused", "shared", "x86_64", 2_500_000),
        ("fused", "fully-shared", "aarch64", 2_500_000),
        ("multi-shm", "shared", "aarch64", 4_000_000),
        ("multi-tcp", None, "x86_64", 8_000_000),
    ],
)
def test_a_node_leaves_with_threads_and_pages_on_it(
    design, model, isa, stay_ns, undisturbed, tmp_path
):
    events = [
        Attach(at_ns=CALM_NS, isa=isa, name="late"),
        Detach(at_ns=CALM_NS + stay_ns, name="late"),
    ]
    with machine(design, tmp_path / "first", model) as described:
        run = described.run(WANDER, arguments=[ROUNDS], events=events)
    plain = undisturbed(design, model)
    assert run.exit_status == 0
    assert SUMS.search(run.console)[0] == SUMS.search(plain.console)[0]
    rounds = int(FAR.search(run.console)[1])
    assert 0 < rounds < ROUNDS
    assert run.statistics["late.migrations.received"] == rounds
    assert frames_used(run) == frames_used(plain), "frames were lost"
    kinds, times = zip(*happened(run), strict=True)
    assert kinds == ("attach", "detach", "leave")
    assert times[2] < run.statistics["machine.virtual_time_ns"] * 1000
    assert not run.manifest["ended"]["laws"]["violations"]
    assert Machine.repeat(run.folder, out=tmp_path / "again").digest == run.digest


def test_a_node_without_work_leaves_at_once_and_another_joins(undisturbed, tmp_path):
    events = [
        Attach(at_ns=1000, isa="x86_64", name="first"),
        Detach(at_ns=2000, name="first"),
        Attach(at_ns=CALM_NS, isa="aarch64", name="second"),
    ]
    with machine("fused", tmp_path) as described:
        run = described.run(WANDER, arguments=[ROUNDS], events=events)
    assert happened(run)[:3] == [("attach", 10**6), ("detach", 2 * 10**6), ("leave", 2 * 10**6)]
    assert SUMS.search(run.console)[0] == SUMS.search(undisturbed("fused").console)[0]
    assert run.statistics["first.migrations.received"] == 0
    assert run.statistics["second.migrations.received"] > 0


@pytest.mark.parametrize("number", range(3))
def test_nodes_come_and_go_at_any_time(number, undisturbed, tmp_path):
    source = random.Random(f"{SEED} {number}")
    end_ns = undisturbed("fused").statistics["machine.virtual_time_ns"]
    events = []
    for name in ("one", "two", "three"):
        come, go = sorted(source.randrange(end_ns) for _ in range(2))
        isa = source.choice(("x86_64", "aarch64"))
        events.append(Attach(at_ns=come, isa=isa, name=name, cores=source.randint(1, 2)))
        events.append(Detach(at_ns=go, name=name))
    print(f"seed {SEED}, number {number}: {events}")
    with machine("fused", tmp_path / "first") as described:
        run = described.run(WANDER, arguments=[ROUNDS], events=events)
    assert SUMS.search(run.console)[0] == SUMS.search(undisturbed("fused").console)[0]
    assert not run.manifest["ended"]["laws"]["violations"]
    assert Machine.repeat(run.folder, out=tmp_path / "again").digest == run.digest
