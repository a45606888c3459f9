"""Do programs that map, protect, lock and migrate at random see what one kernel would show them?"""

from pathlib import Path

import pytest

from launch import multi_isa
from tests.fused import scripts
from tests.fused.machine import Machine
from tests.fused.tables import check

GUEST = Path(__file__).parent / "guests" / "script.c"
ISAS = ("x86_64", "aarch64", "riscv64")
MACHINES = {
    "x86 arm": ("x86_64", "aarch64"),
    "arm x86": ("aarch64", "x86_64"),
    "x86 arm x86": ("x86_64", "aarch64", "x86_64"),
    "riscv x86 arm": ("riscv64", "x86_64", "aarch64"),
}


def run(seed: int, names: tuple[str, ...], home: int, threads: int, steps: int, **changes) -> None:
    models = scripts.make(seed, threads, steps, len(names))
    machine = Machine(names, **changes)
    used = []
    for _ in range(2):
        machine.load(multi_isa.build(GUEST, ISAS), home, *[model.script for model in models])
        (ended,) = machine.run(every=97, look=lambda: check(machine))
        assert ended["status"] == 0, ended
        *texts, counted = machine.outbox.output.decode().splitlines()
        assert texts == [model.text for model in models], f"seed {seed}"
        assert counted == f"counted {sum(model.locks for model in models)}"
        assert check(machine) == 0
        used.append([kernel.frames.used for kernel in machine.kernels])
        machine.forget_output()
    if "message.notify" not in changes:  # who polls may not have looked yet
        assert used[0] == used[1], "frames were lost"


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("seed", range(4))
def test_random_programs(name, seed):
    names = MACHINES[name]
    run(seed, names, home=seed % len(names), threads=1 + seed % 3, steps=150)


@pytest.mark.parametrize("seed", range(2))
def test_random_programs_with_the_futexes_at_home(seed):
    run(100 + seed, MACHINES["x86 arm"], seed, threads=3, steps=100, **{"futex.direct": False})


@pytest.mark.parametrize("seed", range(2))
def test_random_programs_that_poll_for_messages(seed):
    changes = {"message.notify": "poll", "message.poll_interval_ns": 20_000}
    run(200 + seed, MACHINES["x86 arm"], seed, threads=2, steps=60, **changes)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_many_random_programs(seed):
    names = list(MACHINES.values())[seed % len(MACHINES)]
    run(seed, names, seed % len(names), threads=1 + seed % 4, steps=400)
