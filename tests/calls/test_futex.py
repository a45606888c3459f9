"""Do futexes queue, wake and move waiters as futex(2) says, and keep their table in memory?"""

import pytest

from cosim.engine.stream import Mode, decode
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.futex import ANY, BUCKET, BUCKETS, FutexTable, Key
from cosim.kernel.task import TASK
from cosim.kernel.waiting import Block, Cause, Interrupted
from tests.kernel.fakes import FakeCore, FakeKernel

WORD = 0x10_0000


class Space:
    """An address space that is one word, at WORD."""

    address = 0x40_0000

    def __init__(self) -> None:
        self.value = 5

    def read_word(self, address: int, size: int) -> int:
        return self.value

    def translate(self, address: int, access: int) -> int:
        return address + 0x7000_0000


class Process:
    """Only a space."""

    def __init__(self, space: Space) -> None:
        self.space = space


class Waiter:
    """What the table needs of a thread."""

    def __init__(self, space: Space, descriptor: int) -> None:
        self.process = Process(space)
        self.descriptor = descriptor


class Bench:
    """A table over a small memory; `woken` is the order of thread ids."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.memory, frames = self.kernel.memory, self.kernel.frames
        self.woken: list[int] = []
        self.table = FutexTable(self.memory, frames, 0, self.woken.append)
        self.space = Space()
        self.records = frames.allocate()
        self.memory.core = FakeCore()

    def wait(self, tid: int, address: int = WORD, *, private=True, bitset=ANY, deadline_ps=None):
        """Make thread `tid` wait; its Wait."""
        record = self.records + tid * TASK.size
        self.memory.poke(record + TASK.offset("tid"), tid, 4)
        waiter = Waiter(self.space, record)
        with pytest.raises(Block) as raised:
            self.table.wait(
                waiter, address, 5, private=private, bitset=bitset, deadline_ps=deadline_ps
            )
        return raised.value.wait

    def key(self, address: int = WORD, private: bool = True) -> Key:
        return self.table.key(self.space, address, private)

    def wake(self, count: int, address: int = WORD, bitset: int = ANY) -> int:
        return self.table.wake(self.key(address), count, bitset)


@pytest.fixture
def bench():
    return Bench()


def test_the_longest_waiter_is_woken_first(bench):
    for tid in (1, 2, 3):
        bench.wait(tid)
    assert bench.wake(2) == 2
    assert bench.woken == [1, 2]
    assert bench.wake(10) == 1
    assert bench.wake(10) == 0


def test_a_changed_word_does_not_wait(bench):
    bench.space.value = 6
    with pytest.raises(KernelError) as raised:
        bench.table.wait(
            Waiter(bench.space, bench.records), WORD, 5, private=True, bitset=ANY, deadline_ps=None
        )
    assert raised.value.errno == Errno.EAGAIN


def test_bitsets_choose(bench):
    bench.wait(1, bitset=1)
    bench.wait(2, bitset=6)
    assert bench.wake(10, bitset=2) == 1
    assert bench.woken == [2]


def test_keys_of_one_bucket_do_not_mix(bench):
    index = bench.table.bucket_index(bench.key())
    other = next(
        address
        for address in range(WORD + 4, WORD + 1 << 16, 4)
        if bench.table.bucket_index(bench.key(address)) == index
    )
    bench.wait(1, other)
    bench.wait(2)
    bench.wait(3, other)
    assert bench.wake(10) == 1
    assert bench.woken == [2]
    assert bench.wake(10, other) == 2
    assert bench.woken == [2, 1, 3]


def test_private_and_shared_are_different_futexes(bench):
    bench.wait(1, private=False)
    assert bench.wake(1) == 0
    assert bench.table.wake(bench.key(private=False), 1) == 1


def test_requeue_moves_and_keeps_the_order(bench):
    for tid in (1, 2, 3, 4):
        bench.wait(tid)
    target = WORD + 64
    assert bench.table.requeue(bench.key(), bench.key(target), 1, 2) == (1, 2)
    assert bench.woken == [1]
    assert bench.wake(10, target) == 2
    assert bench.wake(10) == 1
    assert bench.woken == [1, 2, 3, 4]


@pytest.mark.parametrize("leaving", (1, 2, 3))
def test_leaving_from_any_place(bench, leaving):
    waits = {tid: bench.wait(tid) for tid in (1, 2, 3)}
    waits[leaving].leave()
    waits[leaving].leave()  # twice is harmless
    bench.wait(4)
    assert bench.wake(10) == 3
    assert bench.woken == [tid for tid in (1, 2, 3, 4) if tid != leaving]


def test_how_a_wait_ends(bench):
    wait = bench.wait(1, deadline_ps=10)
    assert wait.finish(Cause.EVENT) == 0
    with pytest.raises(KernelError) as raised:
        wait.finish(Cause.TIMEOUT)
    assert raised.value.errno == Errno.ETIMEDOUT
    with pytest.raises(Interrupted) as interrupted:
        wait.finish(Cause.SIGNAL)
    assert not interrupted.value.restart
    assert "futex 0x100000" in wait.reason


def test_a_misaligned_address(bench):
    with pytest.raises(KernelError) as raised:
        bench.key(WORD + 2)
    assert raised.value.errno == Errno.EINVAL


def test_the_table_is_in_memory_and_every_step_is_a_reference(bench):
    bench.wait(1)
    records = [decode(record) for record in bench.memory.core.writer.records]
    bucket = bench.table.table + bench.table.bucket_index(bench.key()) * BUCKET.size
    assert all(mode == Mode.KERNEL for _, mode, _, _ in records)
    assert bucket in {address for _, _, _, address in records}
    assert bench.memory.peek(bucket + BUCKET.offset("first")) == bench.records + TASK.size
    assert bench.memory.peek(bucket + BUCKET.offset("lock")) == 0
    assert bench.memory.core.instructions_kernel > 0
    assert BUCKETS == 64
