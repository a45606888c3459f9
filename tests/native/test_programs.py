"""Do whole programs leave the same machine behind on both engines, wherever they are stopped?

The same registers, counts, clock and record stream, record for record; and nearly everything ran as
blocks.
"""

from pathlib import Path

import pytest

from cosim.engine.interface import UNLIMITED, Reason
from tests.engine.assembly import assemble
from tests.engine.bare import READ_WRITE, Bare
from tests.native.forms import EXAMPLES

PROGRAMS = Path(__file__).parents[1] / "oracle" / "programs"
NAMES = [path.name for path in sorted(PROGRAMS.iterdir()) if path.suffix[1:] in EXAMPLES]
DATA = 0x0000_7000_0000_0000


def run(name: str, engine: str, budget: int, *, inline: bool = True) -> tuple[Bare, tuple]:
    """The machine, and all that both engines must agree on."""
    bare = Bare(name.partition(".")[2], engine=engine)
    bare.load(PROGRAMS / name)
    bare.writer.inline = inline
    with bare.memory:
        assert bare.run(budget).reason == Reason.SYSTEM_CALL
        cycles = bare.writer.settle()
    memory = bare.memory
    counts = memory.state[:16].tolist()
    return bare, (
        bare.engine.register_words(), bare.engine.instructions, cycles, counts, memory.stream_hash
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_programs_agree(name):
    _, wanted = run(name, "unicorn", UNLIMITED)
    for inline in (True, False):
        bare, found = run(name, "native", UNLIMITED, inline=inline)
        assert found == wanted
    executed = bare.engine.instructions
    assert bare.engine.host_statistics()["native.unicorn_instructions"] < executed // 1000 + 100


@pytest.mark.parametrize("budget", [977, 10_007])
def test_stops_anywhere_change_nothing(budget):
    assert run("chase.aarch64", "native", budget)[1] == run("chase.aarch64", "unicorn", budget)[1]


LOCK = """
    mov w5, #0
1:  ldaxr w1, [x0]
    add w1, w1, #1
    stlxr w2, w1, [x0]
    cbnz w2, 1b
    ldxr x3, [x0]
    stxr w4, x3, [x0]
    stxr w6, x3, [x0]
    add w5, w5, #1
    cmp w5, #50
    b.ne 1b
    udf #0
"""


@pytest.mark.parametrize("budget", [1, 2, 3, 5, UNLIMITED])
def test_monitor_goes_from_engine_to_engine(budget):
    """Slices end between load and store exclusive, with either half on either engine."""
    code = assemble("aarch64", {"lock": LOCK})["lock"]
    ends = []
    for engine in ("unicorn", "native"):
        bare = Bare("aarch64", engine=engine)
        bare.program(code)
        bare.map(DATA, READ_WRITE)
        bare.writer.inline = True
        bare.engine.write("x0", DATA)
        bare.run(budget)
        bare.writer.settle()
        ends.append((bare.engine.register_words(), bare.memory.stream_hash, bare.read(DATA, 8)))
        assert bare.engine.read("x6") == 1, "a store exclusive without its load"
    assert ends[0] == ends[1]
    assert int.from_bytes(ends[0][2], "little") == 50
