"""Do threads take everything along that a program sees when every kernel has its own memory?

The same programs as under the fused kernel, with the same answers.
"""

from functools import partial

import pytest

from cosim.kernel.multiple.services import NETWORK, SHARED_MEMORY
from tests.fused import test_migration as fused
from tests.fused.machine import Machine
from tests.fused.test_migration import (
    build,  # noqa: F401
    test_a_child_made_away_from_home_is_of_the_same_space,  # noqa: F401
    test_a_full_ring_holds_nothing_up,  # noqa: F401
    test_a_process_ends_away_from_home,  # noqa: F401
    test_a_program_of_one_isa_stays_at_home,  # noqa: F401
    test_elfs_that_were_not_built_together_are_refused,  # noqa: F401
    test_nested_calls_with_libc_on_both_sides,  # noqa: F401
    test_what_stays_at_home_is_reached_from_everywhere,  # noqa: F401
)
from tests.multiple.coherence import check

DESIGNS = {"shared memory": SHARED_MEMORY, "network": NETWORK}


@pytest.fixture(autouse=True, params=DESIGNS)
def design(request, monkeypatch):
    services = DESIGNS[request.param]
    monkeypatch.setattr(fused, "Machine", partial(Machine, services=services))
    monkeypatch.setattr(fused, "check", check)


@pytest.mark.parametrize("name", fused.PAIRS)
def test_threads_of_two_isas_share_locks(name, build):  # noqa: F811
    names, home = fused.PAIRS[name]
    ended, output, machine = fused.run(
        build(fused.THREADS.replace("NODES", str(len(names)))), names, home
    )
    assert ended["status"] == 0
    assert output == "360 4\n1\n"
    sent = sum(kernel.messages.sent.total() for kernel in machine.kernels)
    assert sent == sum(kernel.messages.received.total() for kernel in machine.kernels) > 100
