"""Is every frame handed out once, lowest first, and can its user be found again?"""

import random

import pytest

from cosim.errors import InputError, InvariantError
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import (
    BLOCK,
    DIRECTORY,
    DIRECTORY_MAGIC,
    STRUCTURES,
    BlockState,
    Field,
    FrameUse,
    Structure,
)
from cosim.kernel.slab import Slab
from cosim.kernel.spinlock import Spinlock
from cosim.units import PAGE_BYTES, MiB
from tests.kernel.fakes import BLOCK_BYTES, RANGES, FakeKernel


@pytest.fixture
def kernel():
    return FakeKernel()


def block_rows(kernel):
    """The block table as another kernel reads it: from the directory's address alone."""
    memory, at = kernel.memory, RANGES[0][0]
    with memory.uncharged():
        head = DIRECTORY.decode(memory.read(at, DIRECTORY.size))
        assert head["magic"] == DIRECTORY_MAGIC
        return [
            BLOCK.decode(memory.read(head["block_table"] + i * BLOCK.size, BLOCK.size))
            for i in range(head["block_count"])
        ]


def set_state(kernel, index, state):
    at = kernel.frames.directory + DIRECTORY.size + index * BLOCK.size + BLOCK.offset("state")
    kernel.memory.poke(at, state, 4)


def test_the_block_table_describes_all_memory(kernel):
    rows = block_rows(kernel)
    assert [row["base"] for row in rows] == [i * BLOCK_BYTES for i in (0, 1, 2, 4, 5, 6)]
    assert sum(row["free"] for row in rows) == kernel.frames.total
    for row in rows:
        reserved = row["frames"] - row["free"]
        assert row["frames"] == 2048
        assert 0 < reserved < 12, "metadata is about a two-hundredth of a block"
        assert row["state"] == BlockState.ONLINE


def test_frames_come_lowest_first_cleared_and_never_twice(kernel):
    seen = []
    while True:
        try:
            seen.append(kernel.frames.allocate(zero=False))
        except KernelError as error:
            assert error.errno == Errno.ENOMEM
            break
    assert seen == sorted(set(seen))
    assert len(seen) == kernel.frames.total == kernel.frames.used
    assert all(any(start <= frame < end for start, end in RANGES) for frame in seen)
    metadata = set(kernel.frames.in_use()) - set(seen)
    assert len(metadata) == sum(end - start for start, end in RANGES) // PAGE_BYTES - len(seen)
    kernel.frames.free(seen[1000])
    kernel.physical[seen[1000] : seen[1000] + PAGE_BYTES] = 0xAA
    assert kernel.frames.allocate() == seen[1000]
    assert not kernel.physical[seen[1000] : seen[1000] + PAGE_BYTES].any()


def test_random_use_matches_a_set(kernel):
    rng = random.Random(7)
    frames, held = kernel.frames, []
    for _ in range(4000):
        if held and rng.random() < 0.45:
            frames.free(held.pop(rng.randrange(len(held))))
        else:
            frame = frames.allocate(zero=False)
            assert frame not in held
            held.append(frame)
        assert frames.used == len(held)
    metadata = set(frames.in_use()) - set(held)
    assert sum(row["free"] for row in block_rows(kernel)) == frames.total - len(held)
    for frame in held:
        frames.free(frame)
    assert set(frames.in_use()) == metadata
    assert frames.used == 0


def test_wrong_frees_are_found(kernel):
    frame = kernel.frames.allocate()
    kernel.frames.free(frame)
    with pytest.raises(InvariantError, match="freed twice"):
        kernel.frames.free(frame)
    for address in (28 * MiB, 60 * MiB, frame + 1):
        with pytest.raises(InvariantError, match="not a frame of this node"):
            kernel.frames.free(address)


def test_only_online_blocks_give_frames(kernel):
    set_state(kernel, 0, BlockState.EVICTING)
    set_state(kernel, 1, BlockState.OFFLINE)
    assert kernel.frames.allocate() // BLOCK_BYTES == 2


def test_a_frame_leads_back_to_its_user(kernel):
    frames = kernel.frames
    frame = frames.allocate(use=FrameUse.PAGE, user=0x12340, virtual=0x7000)
    assert frames.user_of(frame) == (FrameUse.PAGE, 0x12340, 0x7000)
    frames.set_user(frame, FrameUse.PAGE, 0x12340, 0x9000)
    assert frames.user_of(frame)[2] == 0x9000
    assert frames.user_of(kernel.frames.directory)[0] == FrameUse.METADATA
    frames.free(frame)
    assert frames.user_of(frame)[0] == FrameUse.NONE


def test_an_allocation_is_charged_and_every_access_is_recorded(kernel):
    kernel.core.writer.take()
    before = kernel.core.instructions_kernel
    kernel.frames.allocate()
    records = kernel.core.writer.take()
    assert kernel.core.instructions_kernel - before == 60 + 64 * 4 + 2 * 8
    assert sum(1 for r in records if r[2] == 64) == 64
    assert 15 < len(records) - 64 < 25


@pytest.mark.parametrize(
    ("ranges", "block", "complaint"),
    [
        ((), MiB, "no memory of its own"),
        (((0, 4 * MiB),), 5000, "not a multiple of 4096"),
        (((0, 4 * MiB), (2 * MiB, 8 * MiB)), MiB, "must be page aligned"),
        (((4 * MiB, 4 * MiB),), MiB, "must be page aligned"),
        (((0, 1 << 40),), MiB, "inside the 0x4000000 bytes"),
        (((0, 4096),), MiB, "has 1 frames and needs"),
    ],
)
def test_bad_ranges_are_refused(ranges, block, complaint):
    with pytest.raises(InputError, match=complaint):
        FrameAllocator(FakeKernel().memory, ranges, block, 0)


def test_structures_do_not_overlap():
    assert len({s.name for s in STRUCTURES}) == len(STRUCTURES)
    with pytest.raises(ValueError, match="overlaps the field before"):
        Structure("T", 16, "", (Field("a", 0, 8, ""), Field("b", 4, 4, "")))
    with pytest.raises(ValueError, match="not a multiple of its 8"):
        Structure("T", 16, "", (Field("a", 4, 8, ""),))
    with pytest.raises(ValueError, match="fields end at 24"):
        Structure("T", 16, "", (Field("a", 16, 8, ""),))


def test_slab_objects_are_distinct_cleared_and_reused(kernel):
    record = kernel.frames.allocate()
    slab = Slab(kernel.memory, kernel.frames, record, 128)
    items = [slab.allocate() for _ in range(100)]
    assert len({i // 64 for i in items}) == 100
    assert all(i % 64 == 0 for i in items)
    kernel.memory.store(items[3] + 64, 5)
    slab.free(items[3])
    assert slab.allocate() == items[3]
    assert kernel.memory.load(items[3] + 64) == 0
    assert kernel.frames.used == 1 + 4, "31 objects fit in a page"
    slab.release()
    assert kernel.frames.used == 1
    with pytest.raises(ValueError, match="multiple of 64"):
        Slab(kernel.memory, kernel.frames, record, 100)


def test_a_lock_found_taken_names_its_holder(kernel):
    word = kernel.frames.allocate()
    with Spinlock(kernel.memory, word, 1, "test lock"):
        assert kernel.memory.peek(word) == 2
        with pytest.raises(InvariantError, match="node 0 found it held by node 1"):
            Spinlock(kernel.memory, word, 0, "test lock").__enter__()
    assert kernel.memory.peek(word) == 0
