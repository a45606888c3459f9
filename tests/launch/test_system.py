"""Do machine files and node lists describe the machine they say, and are wrong ones refused with
their line?"""

import pytest

from cosim.errors import InputError
from launch import system
from launch.simulation import Simulation

NODE = '[[node]]\nname = "x86"\nisa = "x86_64"\n'


@pytest.fixture
def written(tmp_path):
    """Write a machine file and load it."""

    def load(text):
        path = tmp_path / "machine.toml"
        path.write_text(text)
        return system.load(str(path))

    return load


@pytest.mark.parametrize("name", system.bundled())
def test_every_bundled_machine_resolves(name):
    machine = system.load(name)
    assert Simulation(machine).settings["memory.size"] > 0
    assert len(machine.nodes) >= 2


def test_the_default_is_the_pair():
    machine = system.load()
    assert [(node.name, node.isa, node.cores) for node in machine.nodes] == [
        ("x86", "x86_64", 1),
        ("arm", "aarch64", 1),
    ]


def test_settings_may_be_nested_or_dotted(written):
    machine = written(NODE + '[settings]\nmemory.model = "separated"\n"time.ipc" = "2"\n')
    assert machine.settings == {"memory.model": "separated", "time.ipc": "2"}


def test_overrides_are_stronger_than_the_file(written):
    machine = written(NODE + '[settings]\nmemory.model = "separated"\n')
    assert Simulation(machine).settings["memory.model"] == "separated"
    changed = Simulation(machine, {"memory.model": "shared"})
    assert changed.settings["memory.model"] == "shared"


def test_nodes_carry_their_clock_and_number():
    rows = Simulation(system.load("pair-small")).nodes()
    assert [(row["index"], row["frequency_hz"]) for row in rows] == [
        (0, 2_100_000_000),
        (1, 3_000_000_000),
    ]


def test_names_choose_the_instruction_set():
    machine = system.of_names(["x86", "arm", "x86b", "arm2", "riscv_far"])
    isas = ["x86_64", "aarch64", "x86_64", "aarch64", "riscv64"]
    assert [node.isa for node in machine.nodes] == isas


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one node"),
        ("[[node]\n", r"line 1, column \d+: "),
        (NODE + "cores = \n", r"line 4, column \d+: "),
        (NODE + "colour = 1\n", "line 4: unknown key 'colour'; did you mean 'cores'"),
        (NODE + "\n[setings]\n", "line 5: unknown key 'setings'; did you mean 'settings'"),
        ('[[node]]\nname = "x86"\n', "line 1: a node without isa"),
        ('node = "x86"\n', r"write each node as a table \[\[node\]\]"),
        (NODE + NODE, "two nodes are called 'x86'"),
        (NODE.replace("x86_64", "x86-64"), "unknown isa 'x86-64'; did you mean 'x86_64'"),
        (NODE.replace('"x86"', '"X 86"'), "node name 'X 86'"),
        (NODE.replace('"x86"', '"machine"'), "has a meaning of its own"),
        (NODE + "cores = 0\n", "cores = 0, a whole number from 1 up"),
        (NODE + "cores = true\n", "cores = True, a whole number"),
        (NODE + "cores = 65\n", "65 cores, a machine has at most 64"),
        (NODE + "settings = 3\n", "unknown key 'settings'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(written, text, message):
    with pytest.raises(InputError, match=message) as caught:
        written(text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_suggests_a_bundled_one():
    with pytest.raises(InputError, match="no such machine file; did you mean 'pair'"):
        system.load("pari")


def test_a_name_without_instruction_set_is_refused():
    with pytest.raises(InputError, match="the name says no instruction set"):
        system.of_names(["x86", "sparc"])


def test_an_unknown_node_is_suggested():
    with pytest.raises(InputError, match="no node is called 'amr'; did you mean 'arm'"):
        system.load().node("amr")
