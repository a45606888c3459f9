"""Do kernels that exchange memory at random lose nothing, whatever they do meanwhile?"""

import random

import pytest

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import FrameUse
from cosim.kernel.waiting import PageWait
from cosim.units import PAGE_BYTES
from tests.fused.fake_nodes import Nodes
from tests.fused.test_allocator import BASE, PRIVATE, WRITABLE, map_pages, tag


class Life:
    """Random use of the memory of a machine, and what it must hold afterwards.

    contents: (space, page) -> number written there.  kernel: frames of structures, by node.
    greed: how many of those are taken at once.  waited, killed: writes without memory.
    """

    PAGES = 300

    def __init__(self, seed: int, nodes: int, greed: int, **settings) -> None:
        self.greed = greed
        self.rng = random.Random(seed)
        self.machine = Nodes(nodes, **settings)
        self.spaces = []
        for home in range(nodes):
            others = [n for n in range(nodes) if n != home]
            spaces = self.machine.space(home, *others)
            map_pages(spaces[0], self.PAGES)
            spaces[0].write(BASE, b"here")  # makes the home's tables
            self.spaces.append(spaces)
        self.contents: dict[tuple[int, int], int] = {}
        self.kernel: list[list[int]] = [[] for _ in range(nodes)]
        self.killed = self.waited = 0

    def write(self) -> None:
        home = self.rng.randrange(len(self.spaces))
        space = self.rng.choice(self.spaces[home])
        first = self.rng.randrange(1, self.PAGES)
        for page in range(first, min(first + 40, self.PAGES)):
            number = self.rng.randrange(1 << 60)
            try:
                space.write(BASE + page * PAGE_BYTES, tag(number))
            except PageWait:
                self.waited += 1
                return
            except KernelError:
                self.killed += 1
                return
            self.contents[home, page] = number

    def unmap(self) -> None:
        home = self.rng.randrange(len(self.spaces))
        first = self.rng.randrange(1, self.PAGES - 20)
        count = self.rng.randint(1, 20)
        space = self.rng.choice(self.spaces[home])
        space.map(BASE + first * PAGE_BYTES, count * PAGE_BYTES, WRITABLE, PRIVATE)
        for page in range(first, first + count):
            self.contents.pop((home, page), None)

    def take(self) -> None:
        index = self.rng.randrange(len(self.kernel))
        for _ in range(self.rng.randrange(self.greed)):
            try:
                self.kernel[index].append(self.machine.nodes[index].frames.allocate(zero=False))
            except KernelError as error:
                assert error.errno == Errno.ENOMEM
                return

    def give(self) -> None:
        index = self.rng.randrange(len(self.kernel))
        held = self.kernel[index]
        self.rng.shuffle(held)
        for _ in range(min(len(held), self.rng.randrange(120))):
            self.rng.choice(self.machine.nodes).frames.free(held.pop())

    def move(self) -> None:
        node = self.rng.choice(self.machine.nodes)
        block = self.rng.choice(list(node.frames.blocks.values()))
        try:
            self.rng.choice((node.allocator.offline, node.allocator.online))(block.start)
        except KernelError as error:
            assert error.errno in (Errno.EBUSY, Errno.EINVAL)

    def deliver(self) -> None:
        self.machine.deliver()

    def step(self, moves: int = 2) -> None:
        actions = (self.write, self.unmap, self.take, self.give, self.move, self.deliver)
        self.rng.choices(actions, (9, 1, 3, 2, moves, 3))[0]()

    def check(self) -> None:
        machine = self.machine
        machine.check()
        used = set().union(*(node.frames.in_use() for node in machine.nodes))
        seen: set[int] = set()
        for home, spaces in enumerate(self.spaces):
            for page in range(self.PAGES):
                virtual = BASE + page * PAGE_BYTES
                found = machine.frames_of(spaces[0], virtual)
                frames = {frame for frame in found if frame is not None}
                number = self.contents.get((home, page))
                assert len(frames) <= 1
                assert not frames & seen
                assert frames <= used
                seen |= frames
                if number is not None:
                    (frame,) = frames
                    data = machine.physical[frame : frame + PAGE_BYTES].tobytes()
                    assert data == tag(number)
                for frame in frames:
                    row = (FrameUse.PAGE, spaces[0].address, virtual)
                    assert spaces[0].frames.user_of(frame) == row
        held = [frame for frames in self.kernel for frame in frames]
        assert len(set(held)) == len(held)
        assert set(held) <= used
        assert not set(held) & seen


def live(seed: int, steps: int, greed: int = 60) -> Life:
    settings = (
        {"blocks_at_start": 2},
        {"pressure_percent": 12, "return_percent": 5},
        {"pressure_percent": 30, "return_percent": 20},
    )[seed % 3]
    life = Life(seed, 2 + seed % 2, greed, **settings)
    for step in range(steps):
        life.step()
        if step % 20 == 0:
            life.check()
    life.deliver()
    life.check()
    return life


@pytest.mark.parametrize("seed", range(6))
def test_random_lives_lose_nothing(seed):
    life = live(seed, 300)
    moved = sum(node.counts()["frames.moved"] for node in life.machine.nodes)
    gained = sum(node.counts()["blocks.gained"] for node in life.machine.nodes)
    assert moved or seed % 3 == 0
    assert gained


@pytest.mark.parametrize("seed", range(3))
def test_greedy_lives_run_out_of_memory_and_go_on(seed):
    life = live(seed, 200, greed=600)
    assert life.waited + life.killed > 0


@pytest.mark.parametrize("seed", range(0, 10, 2))
def test_what_was_promised_is_never_refused(seed):
    """However kernels use up all other memory, and whoever has what is free."""
    life = Life(seed, 2, greed=900, blocks_at_start=seed // 2)
    for _ in range(150):
        life.step(moves=0)
    life.check()
    commitment = life.machine.nodes[0].frames.commitment
    assert commitment.committed >= 2 * life.PAGES
    for _ in range(50):
        life.take()
    assert commitment.limit < commitment.committed, "kernels took what is kept for them as well"
    for _ in range(120):
        life.write()
        life.deliver()
    assert len(life.contents) > 2 * life.PAGES * 0.95
    life.check()
    assert life.killed == 0
    assert sum(node.counts()["frames.borrowed"] for node in life.machine.nodes) > 0


def test_a_life_repeats():
    """Same seed, same memory: nothing depends on addresses of Python objects or on chance."""
    first, second = (live(3, 120).machine for _ in range(2))
    assert (first.physical == second.physical).all()
    for one, other in zip(first.nodes, second.nodes, strict=True):
        assert one.core.writer.records == other.core.writer.records
        assert one.core.instructions_kernel == other.core.instructions_kernel


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_random_lives_lose_nothing(seed):
    live(seed, 1500, greed=60 if seed % 2 else 400)
