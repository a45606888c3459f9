"""Is a core's clock exact: the same cycles inline and pipelined, and limits kept to the
instruction?
"""

from pathlib import Path

import numpy as np
import pytest

import cosim.core
import tests.engine.bare
from cosim import isa as isas
from cosim.core import Core
from cosim.engine import pacing
from cosim.engine.interface import UNLIMITED, Reason
from cosim.engine.stream import (
    CORE_STREAM_BYTES,
    PUBLISH_RECORDS,
    RING_RECORDS,
    CoreStream,
    Kind,
    Mode,
    Word,
    record,
)
from cosim.errors import MachineError
from tests.engine.bare import STACK_TOP, Bare
from tests.engine.fake_port import FakeMemory


@pytest.fixture(autouse=True, params=[0, cosim.core.INLINE_INSTRUCTIONS])
def inline_instructions(request, monkeypatch):
    """Every test in both: pipelined at once, and inline at first."""
    monkeypatch.setattr(cosim.core, "INLINE_INSTRUCTIONS", request.param)


PROGRAMS = Path(__file__).parents[1] / "oracle" / "programs"
COST = 7


class Segment:
    """What Core needs of a shared segment."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def make(name: str = "triad.aarch64", ipc: str = "1", **node) -> tuple[Core, FakeMemory]:
    """A core with the program loaded by a bare machine, whose memory it takes over."""
    bare = Bare(name.partition(".")[2])
    bare.load(PROGRAMS / name)
    stream = np.zeros(CORE_STREAM_BYTES, dtype=np.uint8)
    memory = FakeMemory(CoreStream(stream, 0), COST)
    core = Core(
        0,
        "test.core0",
        {"frequency_hz": 2_000_000_000, **node},
        {
            "kernel.levels": 4,
            "time.ipc": ipc,
            "engine": tests.engine.bare.ENGINE,
            "engine.hot_after": 1,
            "engine.recency": True,
            "engine.check_every": 1000,
        },
        isas.find(name.partition(".")[2]),
        {"physical": Segment(bare.physical), "stream": Segment(stream)},
        (*memory.port, memory),
    )
    core.engine.set_translation(bare.root, 0)
    core.engine.reset()
    core.engine.write("pc", bare.entry)
    core.engine.write("sp", STACK_TOP - 256)
    return core, memory


def nothing() -> None:
    """A poll that does nothing."""


@pytest.mark.parametrize("ipc", ["1", "3/2"])
def test_both_modes_and_any_limits_give_the_same_clock(ipc):
    ends = []
    for contended, step in (
        (False, UNLIMITED),
        (True, UNLIMITED),
        (True, 999_983),
        (False, 3_000_017),
    ):
        core, memory = make(ipc=ipc, worst_reference_cycles=COST)
        core.contended = contended
        limit = min(step, UNLIMITED)
        with memory:
            while core.run(limit, nothing).reason == Reason.LIMIT:
                assert limit <= core.now_cycles() < limit + 40
                limit += step
            ends.append((core.now_cycles(), core.engine.instructions, memory.state[:16].tolist()))
    assert ends[1:] == ends[:1] * 3
    instructions = ends[0][1]
    records = sum(ends[0][2])
    whole, part = (1, 1) if ipc == "1" else (3, 2)
    assert ends[0][0] == instructions * part // whole + records * COST


def test_limits_stop_at_the_first_boundary_that_reaches_them():
    core, memory = make()
    core.contended = True
    seen = []
    for limit in range(1, 200):
        assert core.run(limit, nothing).reason == Reason.LIMIT
        seen.append(core.now_cycles())
        assert seen[-1] >= limit
    steps = sorted(set(seen))
    other, _ = make()
    other.contended = True
    boundaries = [other.now_cycles()]
    while boundaries[-1] < steps[-1]:
        other.engine.run(instruction_limit=other.engine.instructions + 1)
        boundaries.append(other.now_cycles())
    assert set(steps) <= set(boundaries)
    for limit, stopped in zip(range(1, 200), seen, strict=True):
        assert stopped == min(b for b in boundaries if b >= limit)


def test_kernel_work_and_idle_time_are_on_the_clock():
    core, memory = make()
    core.charge(1000)
    with memory:
        for place in range(PUBLISH_RECORDS + 3):
            core.writer.append(record(Kind.STORE, Mode.KERNEL, 8, 64 * place))
        core.writer.append_many(np.arange(2000, dtype=np.uint64))
        busy = 1000 + COST * (PUBLISH_RECORDS + 2003)
        assert core.settle() == busy
        core.idle_until(busy + 500)
        core.idle_until(busy)
        assert core.now_cycles() == busy + 500
        assert core.now_ps() == (busy + 500) * 500
    assert core.stream.header[Word.INSTRUCTIONS_KERNEL] == 1000
    assert core.stream.header[Word.IDLE_CYCLES] == 500


def test_ring_is_never_overrun_and_wraps():
    core, memory = make()
    with memory:
        for _ in range(3 * RING_RECORDS // 1000):
            core.writer.append_many(np.zeros(1000, dtype=np.uint64))
        core.settle()
    assert memory.count(Kind.LOAD) == 3 * RING_RECORDS // 1000 * 1000


def test_modes_change_with_records_pending():
    core, memory = make()
    with memory:
        for turn in range(6):
            core.contended = bool(turn % 2)
            core.writer.append(record(Kind.LOAD, Mode.KERNEL, 8, 0))
            core.run(core.now_cycles() + 5000, nothing)
        assert core.writer.written == int(memory.state[:16].sum())
        core.writer.inline = False
        header = core.stream.header
        assert header[Word.HEAD] == header[Word.TAIL] == core.writer.written


def test_machine_going_down_ends_every_wait():
    core, _ = make()  # nobody consumes
    core.stream.header[Word.STOP] = 1
    with pytest.raises(MachineError, match="going down"):
        core.run(UNLIMITED, nothing)
    with pytest.raises(MachineError, match="going down"):
        core.settle()


def test_poll_is_called_while_a_program_runs(monkeypatch):
    # Due after every slice: an engine may well be through the program within POLL_SECONDS.
    monkeypatch.setattr(cosim.core, "POLL_SECONDS", 0.0)
    core, memory = make("buckets.x86_64")
    core._slice_instructions = cosim.core.SLICE_INSTRUCTIONS_MIN
    calls = []
    with memory:
        assert core.run(UNLIMITED, lambda: calls.append(1)).reason == Reason.SYSTEM_CALL
    assert len(calls) >= 2


def test_stretches_never_pass_the_limit_at_the_worst_price():
    for remaining in (1, 10**5, 10**6, 10**9, 10**12):
        for worst in (10, 2000):
            for ipc in ((1, 1), (3, 2)):
                plan = pacing.stretch(remaining, worst, ipc)
                if not plan.inline:
                    spent = plan.instructions * ipc[1] // ipc[0]
                    spent += (plan.records + pacing.RECORDS_MIN // 2) * worst
                    assert spent <= remaining
    assert pacing.stretch(UNLIMITED, 2000, (1, 1)).inline is False
    assert pacing.stretch(1000, 10, (1, 1)).inline
