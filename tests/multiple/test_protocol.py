"""Does every read see the last write, whatever order messages, faults and changes come in?"""

import pytest

from tests.multiple.protocol import run


@pytest.mark.parametrize("nodes", (2, 3, 4))
@pytest.mark.parametrize("seed", range(6))
def test_random_accesses(nodes, seed):
    machine = run(seed, nodes, pages=1 + seed % 4, accesses=1500)
    assert machine.sent > 90


@pytest.mark.parametrize("seed", range(2))
def test_random_accesses_with_pages_in_messages(seed):
    run(100 + seed, 3, pages=2, accesses=1500, **{"dsm.page_response": "long"})


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1020))
def test_a_million_random_accesses(seed):
    run(seed, nodes=2 + seed % 3, pages=1 + seed % 6, accesses=50_000)
