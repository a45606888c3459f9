"""Does memory change hands between kernels without a frame being lost, doubled or left behind?"""

import pytest

from cosim.engine.interface import Access
from cosim.errors import InputError, InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.fused.evacuation import TABLE_LOCK
from cosim.kernel.fused.frames import NOBODY
from cosim.kernel.futex import ADDRESS, BUCKET, FIRST
from cosim.kernel.layout import DIRECTORY, BlockState, FrameUse
from cosim.kernel.mapping import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    PROT_READ,
    PROT_WRITE,
    SIGKILL,
)
from cosim.kernel.waiting import Cause, PageWait
from cosim.units import PAGE_BYTES, MiB
from tests.fused.fake_nodes import BLOCK_BYTES, Nodes

REQUEST, RESPONSE = MessageKind.MEMORY_REQUEST, MessageKind.MEMORY_RESPONSE
DRAIN = MessageKind.DRAIN_FRAMES
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
BASE = 0x2000_0000
WRITABLE = PROT_READ | PROT_WRITE


def map_pages(space, count, base=BASE):
    space.map(base, count * PAGE_BYTES, WRITABLE, PRIVATE)


def tag(number):
    return number.to_bytes(8, "little") * (PAGE_BYTES // 8)


def fill_to(node, used):
    """Allocate kernel frames until exactly so many are in use."""
    return [node.frames.allocate(zero=False) for _ in range(used - node.frames.used)]


def drain_everything(node):
    """Allocate until there is nothing; how many frames it was."""
    count = 0
    while True:
        try:
            node.frames.allocate(zero=False)
        except KernelError as error:
            assert error.errno == Errno.ENOMEM
            return count
        count += 1


# --- frames ---


def test_every_kernel_knows_every_owner():
    machine = Nodes(3)
    for node in machine.nodes:
        for owner, ranges in enumerate(machine.ranges):
            for start, end in ranges:
                assert node.frames.owner_of(start) == owner
                assert node.frames.owner_of(end - PAGE_BYTES) == owner
        with pytest.raises(InvariantError, match="not a frame"):
            node.frames.owner_of(40 * MiB)
    machine.check()


def test_structures_and_pages_are_kept_apart():
    """Until there is no other way, so that the blocks of pages can be emptied."""
    node = Nodes().nodes[0]
    homes = {node.frames.allocate() // BLOCK_BYTES for _ in range(150)}
    pages = {node.frames.allocate(use=FrameUse.PAGE) // BLOCK_BYTES for _ in range(300)}
    assert homes == {0}
    assert pages == {1, 2}
    while node.frames.total - node.frames.used > 5:
        node.frames.allocate(zero=False, use=FrameUse.PAGE)
    assert node.frames.allocate() < 12 * MiB, "what is left serves everybody"


def test_another_kernels_frame_goes_back_to_it():
    machine = Nodes()
    x86, arm = machine.nodes
    frames = [x86.frames.allocate(use=FrameUse.PAGE, user=0x40, virtual=4096) for _ in range(5)]
    used = x86.frames.used
    for frame in frames:
        arm.frames.free(frame)
    assert x86.frames.used == used, "they wait on the owner's list"
    assert x86.frames.user_of(frames[0])[0] == FrameUse.NONE
    with pytest.raises(InvariantError, match="of node 0 was freed twice"):
        arm.frames.free(frames[2])
    assert arm.memory.peek(DIRECTORY.offset("returned_lock")) == 0
    assert machine.deliver() == [DRAIN], "one message for a whole list"
    assert x86.frames.used == used - 5
    assert arm.counts()["frames.returned"] == 5
    assert x86.frames.drain_returned() == 0
    machine.check()


def test_a_kernel_that_runs_short_takes_returned_frames_in():
    machine = Nodes()
    x86, arm = machine.nodes
    frames = [x86.frames.allocate(zero=False) for _ in range(3)]
    x86.frames.relieve = lambda: False
    x86.frames.on_pressure = lambda: None
    drain_everything(x86)
    for frame in frames:
        arm.frames.free(frame)
    assert {x86.frames.allocate() for _ in range(3)} == set(frames)
    with pytest.raises(KernelError, match="ENOMEM"):
        x86.frames.allocate()


def test_a_row_is_changed_by_whoever_moves_a_mapping():
    x86, arm = Nodes().nodes
    frame = x86.frames.allocate(use=FrameUse.PAGE, user=0x40, virtual=4096)
    arm.frames.set_user(frame, FrameUse.PAGE, 0x80, 8192)
    assert x86.frames.user_of(frame) == (FrameUse.PAGE, 0x80, 8192)


# --- blocks at start, and from the pool ---


def test_by_default_every_kernel_has_its_own_memory():
    machine = Nodes()
    assert set(machine.owners().values()) == {(0, BlockState.ONLINE), (1, BlockState.ONLINE)}
    assert not machine.messages
    assert machine.nodes[0].frames.attainable == 2 * machine.nodes[0].frames.total


def test_blocks_that_are_left_out_at_start_are_unassigned():
    machine = Nodes(blocks_at_start=2)
    states = list(machine.owners().values())
    assert states.count((NOBODY, BlockState.OFFLINE)) == 12
    assert [node.counts()["blocks.online"] for node in machine.nodes] == [2, 2]
    machine.check()


@pytest.mark.parametrize("percent", [50, 70, 90])
def test_a_block_more_comes_when_pressure_passes_the_limit(percent):
    machine = Nodes(blocks_at_start=2, pressure_percent=percent)
    x86 = machine.nodes[0]
    total = x86.frames.total
    fill_to(x86, total * percent // 100)
    assert x86.counts()["blocks.online"] == 2
    before = x86.core.instructions_kernel
    x86.frames.allocate(zero=False)
    charged = x86.core.instructions_kernel - before
    assert x86.counts()["blocks.online"] == 3
    assert charged > 256 * x86.memory.costs["frame_online"]
    assert machine.owners()[2 * BLOCK_BYTES] == (0, BlockState.ONLINE), "the own memory first"
    assert not machine.messages
    machine.check()


def test_kernels_share_the_pool_until_it_is_empty():
    machine = Nodes(blocks_at_start=1)
    x86, arm = machine.nodes
    fill_to(x86, 2000)
    assert x86.counts()["blocks.online"] > 8, "of the other's memory too"
    arm.fill(60)
    left = sum(owner == NOBODY for owner, _ in machine.owners().values())
    while left:
        arm.frames.allocate(zero=False)
        left = sum(owner == NOBODY for owner, _ in machine.owners().values())
    machine.check()
    counts = [node.counts()["blocks.online"] for node in machine.nodes]
    assert sum(counts) == 16


def test_an_empty_block_is_returned_when_it_is_not_needed():
    machine = Nodes(blocks_at_start=2)
    x86 = machine.nodes[0]
    frames = fill_to(x86, 1200)
    assert x86.counts()["blocks.online"] > 5
    highest = x86.frames.used
    for frame in reversed(frames):
        x86.frames.free(frame)
        online = x86.counts()["blocks.online"]
        if online > 2 and x86.frames.used < highest // 8:
            assert x86.frames.used * 100 >= (x86.frames.total - 256) * 30 - 100
    assert x86.counts()["blocks.online"] == 2
    assert x86.counts()["blocks.returned"] == x86.counts()["blocks.gained"]
    assert sum(owner == NOBODY for owner, _ in machine.owners().values()) == 12
    machine.check()


def test_limits_that_make_no_sense_are_refused():
    for limits in ({"pressure_percent": 30}, {"pressure_percent": 101}, {"return_percent": 70}):
        with pytest.raises(InputError, match="must be below memory.pressure_percent"):
            Nodes(**limits)


# --- from another kernel ---


def test_blocks_come_from_another_kernel_until_pressures_are_equal():
    machine = Nodes()
    x86, arm = machine.nodes
    fill_to(x86, x86.frames.total * 70 // 100 + 1)
    assert x86.allocator.request_pending()
    x86.allocator.changed.add("thread")
    kinds = machine.deliver()
    gained = x86.counts()["blocks.gained"]
    assert kinds == [REQUEST, RESPONSE] * len(kinds[::2])
    assert gained == arm.counts()["blocks.given"] >= 3
    assert not x86.allocator.request_pending()
    assert ("thread", Cause.EVENT) in x86.woken
    (used, total), (other_used, other_total) = (x86.frames.occupancy(n) for n in (0, 1))
    assert used * other_total >= other_used * total, "the giver has no more pressure"
    one = arm.frames.blocks[arm.frames.online_rows[-1]].capacity
    last = arm.counts()["blocks.online"] == 1
    assert last or used * (other_total - one) < other_used * (total + one), "one more was too many"
    machine.check()


def shared_pages(machine, count, home=0):
    """Pages of a space of all nodes: the first touched at home, the others in turn."""
    spaces = machine.space(home, *(n for n in range(len(machine.nodes)) if n != home))
    by_node = sorted(spaces, key=lambda space: space.node)
    map_pages(spaces[0], count)
    for number in range(count):
        page = BASE + number * PAGE_BYTES
        spaces[0 if number == 0 else number % len(spaces)].write(page, tag(number))
    for space in spaces:
        for number in range(count):
            assert space.read(BASE + number * PAGE_BYTES, 8) == tag(number)[:8]
    return by_node


def check_pages(machine, spaces, count):
    for number in range(count):
        page = BASE + number * PAGE_BYTES
        frames = machine.frames_of(spaces[0], page)
        assert len(set(frames)) == 1, "all tables lead to one frame"
        (frame,) = set(frames)
        assert machine.physical[frame : frame + PAGE_BYTES].tobytes() == tag(number)
        owner = spaces[0].frames.owner_of(frame)
        assert frame in set(machine.nodes[owner].frames.in_use())
        assert spaces[0].frames.user_of(frame) == (FrameUse.PAGE, spaces[0].address, page)


@pytest.mark.parametrize("home", [0, 1])
@pytest.mark.parametrize("evicted", [0, 1])
def test_pages_in_use_move_and_every_table_follows(home, evicted):
    machine = Nodes()
    spaces = shared_pages(machine, 40, home)
    node = machine.nodes[evicted]
    pages = [BASE + number * PAGE_BYTES for number in range(40)]
    first = {page: machine.frames_of(spaces[0], page)[0] for page in pages}
    block = node.frames.blocks[node.frames.online_rows[1]]
    inside = [page for page in pages if block.start <= first[page] < block.end]
    assert len(inside) == 20
    node.core.writer.take()
    before = node.core.instructions_kernel
    node.allocator.offline(block.start)
    assert machine.owners()[block.start] == (evicted, BlockState.OFFLINE)
    check_pages(machine, spaces, 40)
    for page in pages:
        frame = machine.frames_of(spaces[0], page)[0]
        assert not block.start <= frame < block.end
        assert (frame == first[page]) == (page not in inside)
    ((space, moved),) = node.moved
    assert (space, sorted(moved)) == (spaces[0].address, inside)
    assert node.memory.peek(spaces[0].address + TABLE_LOCK) == 0
    assert node.counts()["frames.moved"] == 20
    costs = node.memory.costs
    charged = node.core.instructions_kernel - before
    assert charged > 256 * costs["frame_offline"] + 20 * 64 * costs["copy_line"]
    lines = [record for record in node.core.writer.take() if record[2] == 64]
    assert len(lines) >= 20 * 128
    machine.check()
    node.allocator.online(block.start)
    assert machine.owners()[block.start] == (evicted, BlockState.ONLINE)
    assert node.frames.allocate(use=FrameUse.PAGE) // BLOCK_BYTES == block.start // BLOCK_BYTES
    machine.check()


def test_a_page_without_rights_moves_too():
    machine = Nodes()
    (space,) = machine.space(0)
    map_pages(space, 2)
    space.write(BASE, tag(7))
    space.protect(BASE, PAGE_BYTES, 0)
    block = machine.nodes[0].frames.block_at(space.page_table.lookup(BASE).physical)
    machine.nodes[0].allocator.offline(block.start)
    held = space.page_table.lookup(BASE)
    assert held.protection == 0
    assert not block.start <= held.physical < block.end
    space.protect(BASE, PAGE_BYTES, PROT_READ)
    assert space.read(BASE, PAGE_BYTES) == tag(7)


def test_frames_of_one_kernel_alone_stay_apart():
    """As with text and constants: each kernel has a frame of its own at one address."""
    machine = Nodes()
    mine, others = machine.space(0, 1)
    tables = [mine.page_table, others.page_table]
    frames = []
    for node, space, table in zip(machine.nodes, (mine, others), tables, strict=True):
        where = node.frames.allocate(use=FrameUse.PAGE, user=space.address, virtual=BASE)
        node.memory.write(where, tag(node.node_index))
        table.map(BASE, where, PROT_READ)
        frames.append(where)
    machine.nodes[0].allocator.offline(frames[0])
    found = machine.frames_of(mine, BASE)
    assert found[0] != frames[0]
    assert found[1] == frames[1]
    assert machine.physical[found[0] : found[0] + PAGE_BYTES].tobytes() == tag(0)


def test_what_cannot_move_stays():
    machine = Nodes()
    x86 = machine.nodes[0]
    (space,) = machine.space(0)
    map_pages(space, 3)
    for number in range(3):
        space.write(BASE + number * PAGE_BYTES, tag(number))
    frame = machine.frames_of(space, BASE)[0]
    with pytest.raises(KernelError, match="EINVAL"):
        x86.allocator.offline(0)
    with pytest.raises(KernelError, match="EINVAL"):
        x86.allocator.offline(5 * MiB)
    with pytest.raises(KernelError, match="EBUSY"):
        x86.allocator.online(frame)
    with pytest.raises(KernelError, match="EBUSY"):
        x86.allocator.online(5 * MiB)
    x86.frames.set_user(frame, FrameUse.KERNEL, 0, 0)
    with pytest.raises(KernelError, match="EBUSY"):
        x86.allocator.offline(frame)
    x86.frames.set_user(frame, FrameUse.PAGE, space.address, BASE)
    stray = x86.frames.allocate(use=FrameUse.PAGE, user=space.address, virtual=BASE + 8 * MiB)
    with pytest.raises(KernelError, match="EBUSY"):  # in use, and in no table
        x86.allocator.offline(frame)
    assert x86.frames.user_of(stray)[0] == FrameUse.PAGE
    for number in range(3):
        assert space.read(BASE + number * PAGE_BYTES, PAGE_BYTES) == tag(number)
    assert machine.owners()[BLOCK_BYTES] == (0, BlockState.ONLINE)
    machine.check()


@pytest.mark.parametrize("sleeps_on_it", [True, False])
def test_a_page_that_a_sleeper_is_queued_under_stays(sleeps_on_it):
    machine = Nodes()
    x86, arm = machine.nodes
    (space,) = machine.space(1)
    map_pages(space, 1)
    space.write(BASE, tag(1))
    frame = space.translate(BASE, Access.READ)
    task = x86.frames.allocate()
    x86.memory.store(task + ADDRESS, frame + 64 if sleeps_on_it else frame + PAGE_BYTES)
    x86.memory.store(x86.futexes.table + 7 * BUCKET.size + FIRST, task)
    if sleeps_on_it:
        with pytest.raises(KernelError, match="EBUSY"):
            arm.allocator.offline(frame)
    else:
        arm.allocator.offline(frame)
    assert (space.translate(BASE, Access.READ) == frame) is sleeps_on_it


def test_the_block_with_the_fewest_pages_is_given():
    machine = Nodes()
    x86, arm = machine.nodes
    (space,) = machine.space(1)
    map_pages(space, 700)
    for number in range(700):  # three blocks' worth beside the home block
        space.write(BASE + number * PAGE_BYTES, number.to_bytes(8, "little"))
    space.unmap(BASE, 200 * PAGE_BYTES)
    for start in (12, 13, 14, 15):
        arm.allocator.offline(start * MiB)
    fill_to(x86, x86.frames.total * 99 // 100)
    kinds = machine.deliver()
    assert kinds[:2] == [REQUEST, RESPONSE]
    owners = machine.owners()
    assert owners[5 * MiB] == (0, BlockState.ONLINE), "it had the fewest"
    assert arm.counts()["frames.moved"] > 0
    for number in range(200, 700):
        expected = number.to_bytes(8, "little")
        assert space.read(BASE + number * PAGE_BYTES, 8) == expected
    machine.check()


def test_the_next_kernel_is_asked_when_one_refuses():
    machine = Nodes(3)
    _, asking, last = machine.nodes
    first = machine.nodes[0]
    for row in first.frames.online_rows[1:]:  # nothing of the first kernel's can be moved
        block = first.frames.blocks[row]
        first.frames.set_user(block.start + block.reserved * PAGE_BYTES, FrameUse.KERNEL, 0, 0)
        bitmap = first.memory.peek(block.bitmap)
        first.memory.poke(block.bitmap, bitmap | 1 << block.reserved)
    last.fill(20)
    asking.fill(71)
    machine.deliver()
    assert asking.counts()["requests_refused"] >= 1
    assert first.counts()["blocks.given"] == 0
    assert last.counts()["blocks.given"] == asking.counts()["blocks.gained"] > 0


# --- single frames of another kernel ---


def exhausted(machine):
    """The first kernel has nothing, and was refused a block: single frames are what is left."""
    x86, arm = machine.nodes
    for row in arm.frames.online_rows[1:]:  # a structure in each block: none can be emptied
        arm.frames._take(row, FrameUse.KERNEL, 0, 0, arm.frames.directory)
    while x86.frames.used < x86.frames.total:
        x86.frames.allocate(zero=False)
        machine.deliver()
    with pytest.raises(KernelError, match="ENOMEM"):  # a page waits for the answer first
        x86.frames.allocate(use=FrameUse.PAGE)
    assert machine.deliver() == [REQUEST, RESPONSE]
    return x86, arm


def test_a_kernel_without_frames_borrows_and_gives_back():
    machine = Nodes()
    x86, arm = exhausted(machine)
    used, total = arm.frames.used, x86.frames.used
    page = x86.frames.allocate(use=FrameUse.PAGE, user=0x40, virtual=4096)
    structure = x86.frames.allocate()
    assert x86.frames.owner_of(page) == x86.frames.owner_of(structure) == 1
    assert page // BLOCK_BYTES != arm.frames.directory // BLOCK_BYTES, "a page may have to move"
    assert structure // BLOCK_BYTES == arm.frames.directory // BLOCK_BYTES, "it may not"
    assert arm.frames.user_of(page) == (FrameUse.PAGE, 0x40, 4096)
    assert (arm.frames.used, x86.frames.used) == (used + 2, total)
    assert x86.counts()["frames.borrowed"] == 2
    for frame in (page, structure):
        x86.frames.free(frame)
    machine.deliver()
    assert arm.frames.used == used


def test_what_waits_to_be_returned_is_borrowed_first():
    machine = Nodes()
    x86, arm = exhausted(machine)
    frame = arm.frames.allocate(use=FrameUse.PAGE)
    x86.frames.free(frame)
    used = arm.frames.used
    assert x86.frames.allocate(use=FrameUse.PAGE, user=0x40, virtual=8192) == frame
    assert arm.frames.used == used
    assert arm.frames.user_of(frame) == (FrameUse.PAGE, 0x40, 8192)
    machine.deliver()
    assert arm.frames.used == used, "the owner does not free it"
    machine.check()


# --- nothing left ---


def test_everybody_full_is_out_of_memory_for_everybody():
    machine = Nodes(3)
    machines = machine.nodes
    taken = 0
    for _ in range(40):
        for node in machines:
            taken += drain_everything(node)
            machine.deliver()
            machine.check()
    assert all(node.frames.used == node.frames.total for node in machines)
    assert taken <= machines[0].frames.attainable
    for node in machines:
        with pytest.raises(KernelError, match="ENOMEM"):
            node.frames.allocate()
        assert not node.allocator.request_pending()
    assert not machine.messages


def test_a_fault_waits_for_the_answer_and_then_fails_or_goes_on():
    machine = Nodes()
    x86, arm = machine.nodes
    (space,) = machine.space(0)
    map_pages(space, 1)
    space.write(BASE, b"x")
    space.map(BASE + MiB, 8 * PAGE_BYTES, WRITABLE, PRIVATE | MAP_NORESERVE)
    messages = x86.frames.on_pressure
    x86.frames.on_pressure = lambda: None
    while x86.frames.used < x86.frames.total:
        x86.frames.allocate(zero=False)
    with pytest.raises(PageWait):
        space.fault(BASE + MiB, Access.WRITE)
    assert x86.allocator.request_pending()
    machine.deliver()
    assert ("thread of node 0", Cause.EVENT) in x86.woken
    assert space.fault(BASE + MiB, Access.WRITE) is None
    x86.frames.on_pressure = messages
    for _ in range(20):
        for node in (arm, x86):
            drain_everything(node)
            machine.deliver()
    assert drain_everything(x86) == 0
    waits = 0
    for _ in range(3):  # the last request was refused; one more may be made, and is the last
        try:
            signal = space.fault(BASE + MiB + PAGE_BYTES, Access.WRITE)
        except PageWait:
            waits += 1
            machine.deliver()
        else:
            break
    assert waits <= 1
    assert signal.number == SIGKILL
    machine.check()


def test_a_refused_kernel_does_not_ask_for_every_frame():
    machine = Nodes()
    x86, arm = machine.nodes
    for row in arm.frames.online_rows[1:]:
        arm.frames.allocate(zero=False)
        block = arm.frames.blocks[row]
        arm.frames.set_user(block.start + block.reserved * PAGE_BYTES, FrameUse.KERNEL, 0, 0)
        arm.memory.poke(block.bitmap, arm.memory.peek(block.bitmap) | 1 << block.reserved)
    while x86.frames.used < x86.frames.total - 1:
        x86.frames.allocate(zero=False)
        machine.deliver()
    counts = x86.counts()
    assert counts["blocks.gained"] == 0
    assert 10 < counts["requests"] == counts["requests_refused"] < 25


def test_an_answer_that_nobody_waits_for_does_no_harm():
    machine = Nodes()
    machine.nodes[0].allocator.answered(Message(1, RESPONSE, (0, 0), b""))
    machine.check()


def test_nothing_is_asked_before_the_machine_runs():
    machine = Nodes(blocks_at_start=1)
    x86 = machine.nodes[0]
    with x86.memory.uncharged():
        drain_everything(x86)
    assert x86.counts()["blocks.online"] == 1
    assert not machine.messages
