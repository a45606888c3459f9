"""Do programs that map, protect, lock and migrate at random see what one kernel would show them,
when every kernel has memory of its own?
"""

import pytest

from cosim.kernel.multiple.services import NETWORK, SHARED_MEMORY
from launch import multi_isa
from tests.fused import scripts
from tests.fused.machine import Machine
from tests.fused.test_random_programs import GUEST, ISAS, MACHINES
from tests.multiple.coherence import check


def run(seed, names, home, threads, steps, services=SHARED_MEMORY, **changes) -> Machine:
    models = scripts.make(seed, threads, steps, len(names))
    machine = Machine(names, services=services, **changes)
    used = []
    for _ in range(2):
        machine.load(multi_isa.build(GUEST, ISAS), home, *[model.script for model in models])
        (ended,) = machine.run(every=97, look=lambda: check(machine))
        assert ended["status"] == 0, ended
        *texts, counted = machine.outbox.output.decode().splitlines()
        assert texts == [model.text for model in models], f"seed {seed}"
        assert counted == f"counted {sum(model.locks for model in models)}"
        used.append([kernel.frames.used for kernel in machine.kernels])
        machine.forget_output()
    assert used[0] == used[1], "frames were lost"
    return machine


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("seed", range(4))
def test_random_programs(name, seed):
    names = MACHINES[name]
    run(seed, names, home=seed % len(names), threads=1 + seed % 3, steps=150)


@pytest.mark.parametrize("seed", range(2))
def test_random_programs_over_a_network(seed):
    run(100 + seed, MACHINES["x86 arm"], seed, threads=2, steps=100, services=NETWORK)


@pytest.mark.parametrize("seed", range(2))
def test_random_programs_with_pages_in_messages(seed):
    changes = {"dsm.page_response": "long"}
    run(200 + seed, MACHINES["x86 arm x86"], seed, threads=3, steps=100, **changes)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_many_random_programs(seed):
    names = list(MACHINES.values())[seed % len(MACHINES)]
    services = (SHARED_MEMORY, SHARED_MEMORY, NETWORK)[seed // len(MACHINES) % 3]
    run(seed, names, seed % len(names), 1 + seed % 4, steps=400, services=services)
