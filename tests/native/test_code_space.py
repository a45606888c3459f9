"""Does it show when the code space is full and all blocks are forgotten?  Nothing simulated may."""

import pytest

from cosim.engine.native import code_space
from tests.native.test_programs import PROGRAMS, UNLIMITED, run

ROOM_BYTES = 3 * 1024  # for a few blocks: the loops of the programs do not fit


def translated(bare) -> int:
    """Guest instructions made into blocks."""
    return bare.engine.host_statistics()["native.instructions_translated"]


@pytest.mark.parametrize("name", ["buckets.aarch64", "buckets.x86_64"])
@pytest.mark.parametrize("budget", [40_009, UNLIMITED])
def test_forgetting_all_blocks_changes_nothing(monkeypatch, name, budget):
    program = PROGRAMS / name, name.partition(".")[2]
    roomy, wanted = run(*program, "native", budget)
    monkeypatch.setattr(code_space, "SPARE_BYTES", code_space.CODE_BYTES - ROOM_BYTES)
    narrow, found = run(*program, "native", budget)
    assert translated(narrow) > 2 * translated(roomy), "it was never full"
    assert found == wanted
