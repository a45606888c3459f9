"""Do instructions and data references equal an independent emulator's, whatever the budget and page
tables?
"""

import json
from pathlib import Path

import pytest

from cosim.engine.interface import Reason
from cosim.engine.stream import Kind
from tests.engine.bare import Bare

PROGRAMS = Path(__file__).parent / "programs"
EXPECTED = json.loads((PROGRAMS / "expected.json").read_text())
EXIT_CALLS = {"x86_64": 231, "aarch64": 94}


def run(name: str, levels: int, budget: int | None, *, inline: bool = False) -> Bare:
    bare = Bare(name.partition(".")[2], levels=levels)
    bare.load(PROGRAMS / name)
    bare.writer.inline = inline
    with bare.memory:
        stop = bare.run(budget) if budget else bare.run()
        bare.writer.settle()
    assert stop.reason == Reason.SYSTEM_CALL
    assert bare.arguments() == (EXIT_CALLS[bare.isa.name], EXPECTED[name]["exit_status"])
    return bare


def check(bare: Bare, name: str) -> None:
    assert bare.engine.instructions == EXPECTED[name]["instructions"]
    assert bare.memory.data_references == EXPECTED[name]["data_references"]


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_counts_equal_the_oracle(name, levels):
    check(run(name, levels, None), name)


@pytest.mark.parametrize("budget", [137, 1009])
@pytest.mark.parametrize("name", ["chase.x86_64", "triad.aarch64"])
def test_counts_do_not_depend_on_the_budget(name, budget):
    whole = run(name, 4, None)
    sliced = run(name, 4, budget)
    check(sliced, name)
    assert sliced.memory.count(Kind.FETCH) == whole.memory.count(Kind.FETCH)
    assert sliced.engine.register_words() == whole.engine.register_words()


@pytest.mark.parametrize("name", ["triad.x86_64", "chase.aarch64"])
def test_inline_and_pipelined_give_the_same_stream(name):
    pipelined, inline = run(name, 5, None), run(name, 5, None, inline=True)
    check(inline, name)
    assert pipelined.memory.state[:16].tolist() == inline.memory.state[:16].tolist()
    assert pipelined.writer.settle() == inline.writer.settle()
