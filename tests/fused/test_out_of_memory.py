"""Does a guest that takes all memory in small pieces see ENOMEM, and go on, wherever it is?"""

import re
from pathlib import Path

import pytest

from cosim.units import MiB
from launch import Machine as WholeMachine
from launch import multi_isa
from tests.fused.machine import Machine
from tests.fused.tables import check

ISAS = ("x86_64", "aarch64")
FILL = Path(__file__).parent / "guests" / "fill.c"
SMALL = {  # 8 MiB for node 0, 32 MiB for node 1
    "memory.size": 64 * MiB, "memory.message_area": 20 * MiB, "memory.shared_window": 4 * MiB,
    "memory.block": 2 * MiB,
}  # fmt: skip
MACHINE_KIB = 40 * 1024
TAKEN = re.compile(r"(\d+) KiB")


@pytest.fixture(scope="module")
def images():
    return multi_isa.build(FILL, ISAS)


def taken_kib(machine: Machine) -> list[int]:
    return [int(found) for found in TAKEN.findall(machine.output)]


def is_clean(machine: Machine) -> None:
    """Nothing is promised or in use that was not after boot."""
    assert all(kernel.frames.commitment.committed == 0 for kernel in machine.kernels)
    assert all(kernel.frames.used < 30 for kernel in machine.kernels)


@pytest.mark.parametrize(
    ("home", "where", "how"), [(0, 0, "l"), (0, 1, "-"), (1, 0, "l"), (1, 1, "r"), (1, 0, "r")]
)
def test_nearly_all_memory_can_be_had_then_enomem_and_the_machine_lives(images, home, where, how):
    machine = Machine(**SMALL)
    for _ in range(2):  # the second program finds the machine as the first found it
        machine.load(images, home, str(where), "1024", how)
        (ended,) = machine.run()
        assert ended["status"] == 0, ended
        (kib,) = taken_kib(machine)
        assert kib > MACHINE_KIB * 0.9
        check(machine)
        is_clean(machine)
        machine.forget_output()


@pytest.mark.parametrize("block", [MiB, 128 * MiB])
def test_blocks_of_any_size(images, block):
    """With one block a node nothing changes hands but single frames."""
    machine = Machine(**{**SMALL, "memory.block": block})
    machine.load(images, 0, "1", "60", "l")
    (ended,) = machine.run()
    assert ended["status"] == 0, ended
    borrowed = machine.kernels[1].allocator.statistics()["memory.frames.borrowed"]
    assert (borrowed > 1000) == (block > MiB)
    is_clean(machine)


@pytest.mark.parametrize(("homes", "how"), [((0, 0), "ls"), ((0, 1), "s"), ((1, 1, 0), "ls")])
def test_processes_that_want_everything_share_what_there_is(images, homes, how):
    machine = Machine(**SMALL)
    for number, home in enumerate(homes):
        where = home if number % 2 else 1 - home
        machine.load(images, home, str(where), str(300 + 50 * number), how)
    ended = machine.run()
    assert [row["status"] for row in ended] == [0] * len(homes), ended
    assert max(taken_kib(machine)) > 0
    check(machine)
    is_clean(machine)


def test_three_nodes(images):
    machine = Machine((*ISAS, "x86_64"), **{**SMALL, "memory.size": 96 * MiB})
    for home, where in ((0, 1), (1, 2), (2, 0)):
        machine.load(images, home, str(where), "500", "ls")
    ended = machine.run()
    assert [row["status"] for row in ended] == [0] * 3, ended
    is_clean(machine)


@pytest.mark.parametrize("os", ["vanilla", "fused"])
def test_whole_machines_repeat_it(os):
    digests = set()
    for _ in range(2):
        with WholeMachine(os=os, settings=SMALL) as machine:
            run = machine.run_together([(FILL, "x86", ["0", "500", "s"]), ("hello", "arm")])
        assert run.exit_status == 0, run.console
        assert TAKEN.search(run.console)
        digests.add(run.digest)
    assert len(digests) == 1
