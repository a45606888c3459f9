"""Is a node that joins a running machine part of it at once, in a repetition as well?"""

import pytest

from cosim.errors import InputError, MachineError
from launch import Machine
from launch.events import Attach, Detach
from tests.attach.programs import CHECKSUM, SORT, happened, machine

ONE_BLOCK = {"memory.block": "4GiB", "memory.size": "1GiB"}  # each kernel has its home only
HALF_NS = 19_000_000  # of the 38 ms (fused) and 46 ms that the sort takes undisturbed


@pytest.mark.parametrize(
    ("design", "isa"), [("fused", "x86_64"), ("multi-shm", "aarch64")], ids=["fused", "multi"]
)
def test_a_sort_goes_on_where_a_node_joins_half_way(design, isa, tmp_path):
    late = Attach(at_ns=HALF_NS, isa=isa, name="late", cores=2)
    with machine(design, tmp_path / "first") as described:
        run = described.run(SORT, arguments=["S"], events=[late])
    with Machine(out=tmp_path / "plain") as plain:
        alone = plain.run("is", "x86", ["S"])
    assert run.exit_status == 0 and "SUCCESSFUL" in run.console
    assert CHECKSUM.search(run.console)[1] == CHECKSUM.search(alone.console)[1]
    values = run.statistics
    assert values["late.migrations.received"] > 0 < values["arm.migrations.received"]
    both = values["late.migrations.received"] + values["arm.migrations.received"]
    assert both == values["x86.migrations.sent"] == 10
    assert values["late.core0.l2.misses"] > 0 < values["late.l3.accesses"]
    assert values["late.ipi.received"] >= values["late.migrations.received"]
    assert happened(run) == [("attach", HALF_NS * 1000)]
    assert not run.manifest["ended"]["laws"]["violations"]
    again = Machine.repeat(run.folder, out=tmp_path / "again")
    assert again.digest == run.digest
    assert happened(again) == happened(run)


def test_a_node_joins_a_machine_of_one_and_programs_see_its_memory_priced(tmp_path):
    with Machine(nodes=["x86"], settings={"memory.attach_shares": 1}, out=tmp_path) as described:
        run = described.run("compute", events=[Attach(at_ns=1000, isa="aarch64", name="late")])
    assert run.exit_status == 0
    assert run.statistics["late.core0.instructions_user"] == 0
    assert run.statistics["late.frames.total"] > 100_000
    assert [row["name"] for row in run.manifest["nodes"]] == ["x86", "late"]


@pytest.mark.parametrize(
    ("file", "design", "nodes"), [("trio", "multi-shm", 3), ("eight", "fused", 8)]
)
def test_three_and_more_nodes_from_the_start(file, design, nodes, tmp_path):
    with Machine(machine=file, os=design, out=tmp_path) as described:
        run = described.run("migrate")
    assert run.exit_status == 0 and "FAIL" not in run.console
    for node in range(1, nodes):
        assert run.console.count(f"PASS node {node}: ") == 8


def test_an_event_after_the_end_does_not_happen(tmp_path):
    with machine("fused", tmp_path / "first") as described:
        run = described.run("hello", events=[Attach(at_ns=10**12, isa="x86_64")])
    with machine("fused", tmp_path / "plain") as plain:
        assert plain.run("hello").digest == run.digest
    assert happened(run) == []


@pytest.mark.parametrize(
    ("design", "settings", "event", "reason"),
    [
        ("multi-shm", {}, Attach(isa="x86_64"), "memory.attach_shares"),
        ("fused", {}, Attach(isa="x86_64", name="arm"), "two nodes are called 'arm'"),
        ("fused", {}, Attach(isa="sparc"), "'sparc': known are"),
        ("fused", {}, Attach(isa="x86_64", cores=63), "65 cores"),
        ("fused", ONE_BLOCK, Attach(isa="x86_64"), "no kernel can empty a block"),
        ("fused", {"memory.message_area": "1MiB"}, Attach(isa="x86_64"), "message_area"),
        ("fused", {}, Detach(name="arm"), "only nodes that joined"),
        ("fused", {}, Detach(name="arn"), "did you mean 'arm'"),
    ],
    ids=["shares", "name", "isa", "cores", "blocks", "rings", "first", "unknown"],
)
def test_a_scripted_event_that_cannot_happen_is_the_users_mistake(
    design, settings, event, reason, tmp_path
):
    described = Machine(os=design, settings=settings, out=tmp_path)
    with described, pytest.raises(InputError, match=reason):
        described.run("hello", events=[event])


def test_no_more_nodes_join_than_memory_was_set_aside_for(tmp_path):
    events = [Attach(at_ns=at, isa="x86_64", name=f"late{at}") for at in (1000, 2000)]
    described = machine("multi-shm", tmp_path)
    with described, pytest.raises(InputError, match="no memory is left for node 3: 1 shares"):
        described.run("hello", events=events)


def test_a_changed_program_is_not_repeated(tmp_path):
    source = tmp_path / "small.c"
    source.write_text("int main(void) { return 3; }\n")
    with Machine(out=tmp_path / "run") as described:
        run = described.run(source)
    assert run.exit_status == 3
    assert Machine.repeat(run.folder, out=tmp_path / "again").digest == run.digest
    elf = run.manifest["programs"][0]["path"]
    manifest = run.folder / "manifest.json"
    digest = run.manifest["programs"][0]["digest"]
    manifest.write_text(manifest.read_text().replace(digest, "0" * len(digest)))
    with pytest.raises(InputError, match=f"{elf}: not the program of"):
        Machine.repeat(run.folder)


def test_a_node_that_is_killed_after_it_joined_ends_the_machine(tmp_path):
    with machine("fused", tmp_path) as described:
        killed = []

        def kill(_node, _data):
            child = described._supervisor.children["late"]
            child.process.kill()
            killed.append(child.name)

        with pytest.raises(MachineError, match=r"process 'late' \(pid \d+\) died in phase run"):
            described.run(
                SORT.with_name("chatty.c"), console=kill,
                events=[Attach(at_ns=0, isa="x86_64", name="late")],
            )  # fmt: skip
    assert killed
    assert (tmp_path / "stats.json").exists()
