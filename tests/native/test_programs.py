"""Do whole programs leave the same machine behind on both engines, wherever they are stopped?

The same registers, counts, clock and record stream, record for record; and nearly everything ran as
blocks.
"""

from pathlib import Path

import pytest

from cosim import isa as isas
from cosim.engine.interface import UNLIMITED, Reason
from tests.engine.assembly import assemble
from tests.engine.bare import READ_WRITE, Bare
from tests.oracle.riscv_programs import PROGRAMS, SMALLER, build

BUILT = {f"{name}.riscv64": name for name in SMALLER}
NAMES = [path.name for path in sorted(PROGRAMS.iterdir()) if path.suffix[1:] in isas.BUNDLED]
NAMES += BUILT
DATA = 0x0000_7000_0000_0000


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Name of a program -> its ELF, made when it is asked for."""
    made = {}

    def path(name: str) -> Path:
        if name not in BUILT:
            return PROGRAMS / name
        if name not in made:
            made[name] = build(BUILT[name], tmp_path_factory.mktemp(BUILT[name]))
        return made[name]

    return path


def run(path: Path, isa: str, engine: str, budget: int, *, inline=True) -> tuple[Bare, tuple]:
    """The machine, and all that both engines must agree on."""
    bare = Bare(isa, engine=engine)
    bare.load(path)
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
def test_programs_agree(paths, name):
    program = paths(name), name.partition(".")[2]
    _, wanted = run(*program, "unicorn", UNLIMITED)
    for inline in (True, False):
        bare, found = run(*program, "native", UNLIMITED, inline=inline)
        assert found == wanted
    executed = bare.engine.instructions
    assert bare.engine.host_statistics()["native.unicorn_instructions"] < executed // 1000 + 100


@pytest.mark.parametrize("budget", [977, 10_007])
@pytest.mark.parametrize("name", ["chase.aarch64", "chase.riscv64"])
def test_stops_anywhere_change_nothing(paths, name, budget):
    program = paths(name), name.partition(".")[2]
    assert run(*program, "native", budget)[1] == run(*program, "unicorn", budget)[1]


# A loop that adds 50 times under the monitor, then a store exclusive with and one without its load.
LOCKS = {
    "aarch64": """
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
""",
    "riscv64": """
    .option norelax
    li a5, 50
1:  lr.w.aq a1, (a0)
    addi a1, a1, 1
    sc.w.rl a2, a1, (a0)
    bnez a2, 1b
    lr.d a3, (a0)
    sc.d a4, a3, (a0)
    sc.d a6, a3, (a0)
    addi a5, a5, -1
    bnez a5, 1b
    unimp
""",
}
POINTER = {"aarch64": "x0", "riscv64": "a0"}
STATUS = {"aarch64": ("x4", "x6"), "riscv64": ("a4", "a6")}  # of the last two


@pytest.mark.parametrize("budget", [1, 2, 3, 5, UNLIMITED])
@pytest.mark.parametrize("isa", LOCKS)
def test_monitor_goes_from_engine_to_engine(isa, budget):
    """Slices end between load and store exclusive, with either half on either engine."""
    code = assemble(isa, {"lock": LOCKS[isa]})["lock"]
    ends = []
    for engine in ("unicorn", "native"):
        bare = Bare(isa, engine=engine)
        bare.program(code)
        bare.map(DATA, READ_WRITE)
        bare.writer.inline = True
        bare.engine.write(POINTER[isa], DATA)
        bare.run(budget)
        bare.writer.settle()
        ends.append((bare.engine.register_words(), bare.memory.stream_hash, bare.read(DATA, 8)))
        assert [bare.engine.read(name) for name in STATUS[isa]] == [0, 1]
    assert ends[0] == ends[1]
    assert int.from_bytes(ends[0][2], "little") == 50


@pytest.mark.parametrize("budget", [3, UNLIMITED])
def test_code_that_stores_into_its_own_block_goes_on(budget):
    """The immediate of the loop's own addition is stored to in every turn."""
    code = assemble(
        "x86_64",
        {"own": """
            lea rdi, [rip + 1f]; xor eax, eax; mov ecx, 3
        2:  mov dword ptr [rdi + 1], ecx
        1:  add eax, 0x11111111
            dec ecx; jne 2b; ud2"""},
    )["own"]  # fmt: skip
    for engine in ("unicorn", "native"):
        bare = Bare("x86_64", engine=engine)
        bare.program(code)
        bare.run(budget)
        assert bare.engine.read("rax") == 3 + 2 + 1, engine
