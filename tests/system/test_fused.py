"""Does a machine with all its processes run programs that migrate, the same every time?"""

import re

import pytest

from cosim.errors import InputError
from launch import Machine
from launch.statistics import NOT_SIMULATED

MODELS = ("separated", "shared", "fully-shared")
MESSAGES_MAX = 99  # the paper counts 22 for IS
CHECKSUM = re.compile(r"Checksum +(?:= +)?([0-9a-f]+)")


def simulated(run):
    return {n: v for n, v in run.statistics.items() if not n.startswith(NOT_SIMULATED)}


@pytest.fixture(scope="module")
def sorted_keys():
    """The checksum of IS class S on a machine where nothing migrates."""
    with Machine() as machine:
        return CHECKSUM.search(machine.run("is", "x86", ["S"]).console)[1]


@pytest.mark.parametrize("home", ["x86", "arm"])
@pytest.mark.parametrize("model", MODELS)
def test_is_verifies_with_every_memory_model(model, home, sorted_keys):
    with Machine(os="fused", memory=model) as machine:
        run = machine.run("is:S", home)
    assert run.exit_status == 0
    assert "SUCCESSFUL" in run.console
    assert CHECKSUM.search(run.console)[1] == sorted_keys
    away = {"x86": "arm", "arm": "x86"}[home]
    values = run.statistics
    assert values[f"{home}.migrations.sent"] == values[f"{away}.migrations.received"] == 10
    assert values[f"{away}.pages.mapped"] > 100
    assert 0 < values[f"{home}.messages.sent"] + values[f"{away}.messages.sent"] <= MESSAGES_MAX
    assert values[f"{home}.ipi.sent"] >= 10 and values[f"{away}.ipi.sent"] >= 10
    for name in ("pages.replicated", "pages.remote_allocated"):
        assert f"{away}.{name}" in values


@pytest.mark.parametrize("program", [("is", "x86", ["S"]), ("torture", "arm", [5, 3, 16])])
def test_the_digest_repeats(program):
    runs = []
    for _ in range(2):
        with Machine(os="fused") as machine:
            runs.append(machine.run(*program))
    assert runs[0].exit_status == 0
    assert runs[0].digest == runs[1].digest
    assert simulated(runs[0]) == simulated(runs[1])
    assert runs[0].console == runs[1].console


@pytest.mark.parametrize("nodes", [("x86", "arm"), ("arm", "x86"), ("x86", "arm", "x86b")])
def test_threads_wander_over_all_nodes(nodes):
    with Machine(nodes=nodes, os="fused") as machine:
        run = machine.run("torture", nodes[0], [11, 4, 24])
    assert run.exit_status == 0
    assert run.console.splitlines()[-1] == "PASS"
    for node in nodes:
        assert run.statistics[f"{node}.migrations.received"] > 0


def test_one_node_is_no_machine_to_migrate_on():
    with pytest.raises(InputError, match="one node"):
        Machine(nodes=("x86",), os="fused")


def test_an_unknown_design_is_suggested():
    with pytest.raises(InputError, match="did you mean 'fused'"):
        Machine(os="fussed")
