"""Fused kernels without processes, engines or turns: several nodes' memory halves over one physical
memory, and messages that a test delivers when it wants to.
"""

from collections import deque
from types import SimpleNamespace

import numpy as np

from cosim import isa as isas
from cosim.kernel import costs
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.fused.address_space import FusedAddressSpace
from cosim.kernel.fused.allocator import DEFAULTS, GlobalAllocator
from cosim.kernel.fused.faults import DirectAccess
from cosim.kernel.fused.frames import FusedFrames
from cosim.kernel.fused.futex import FusedFutexTable
from cosim.kernel.fused.remote_cpu import RemoteCpuDriver
from cosim.kernel.layout import BLOCK, BlockState
from cosim.kernel.memory import KernelMemory
from cosim.kernel.waiting import Cause
from cosim.units import MiB
from tests.kernel.fakes import MEMORY_BYTES, WALKS, FakeCore

BLOCK_BYTES = MiB
LEVELS = 4
OWNER = BLOCK.offset("owner")
# Two pieces for each node: a low one, then a high one, as in the physical map of a machine.
RANGES = {
    2: (((0, 4 * MiB), (8 * MiB, 12 * MiB)), ((4 * MiB, 8 * MiB), (12 * MiB, 16 * MiB))),
    3: (((0, 4 * MiB),), ((4 * MiB, 8 * MiB),), ((8 * MiB, 12 * MiB), (16 * MiB, 18 * MiB))),
}
NAMES = ("x86_64", "aarch64", "riscv64")


class Node:
    """One kernel, as far as its memory goes.

    moved: what translations_moved was told.  woken: threads made runnable.
    """

    def __init__(self, machine: "Nodes", index: int, settings: dict) -> None:
        self.machine = machine
        self.node_index = index
        self.node_rows = machine.rows
        self.isa = isas.find(NAMES[index])
        self.levels = LEVELS
        self.window = None
        self.memory = KernelMemory(machine.physical, costs.resolve({}))
        self.core = FakeCore()
        self.moved: list[tuple[int, list[int]]] = []
        self.woken: list[tuple[object, Cause]] = []
        self.scheduler = SimpleNamespace(
            wake=lambda thread, cause: self.woken.append((thread, cause)), lanes=[]
        )
        self.frames = FusedFrames(
            self.memory, machine.ranges[index], BLOCK_BYTES, index, machine.ranges
        )
        self.page_policy = DirectAccess()
        self.remote_cpu = RemoteCpuDriver(self.memory, self.frames)
        self.futexes = FusedFutexTable(self.memory, self.frames, index, self.wake_task)
        self.messages = SimpleNamespace(send=self._send)
        self.allocator = GlobalAllocator(self, {**DEFAULTS, **settings})
        self.frames.on_foreign = lambda node: self._send(node, MessageKind.DRAIN_FRAMES)
        self.memory.core = self.core

    def nodes(self) -> list[int]:
        return list(range(len(self.node_rows)))

    def wake_task(self, tid: int) -> None:
        raise AssertionError(f"nobody wakes {tid}")

    def directory_of(self, node: int) -> int:
        return self.machine.ranges[node][0][0]

    def current_thread(self) -> str:
        return f"thread of node {self.node_index}"

    def translations_moved(self, space: int, pages: list[int]) -> None:
        self.moved.append((space, pages))

    def _send(self, node: int, kind: MessageKind, words=()) -> None:
        assert self.memory.core is not None, "messages are sent in turns"
        self.machine.messages.append((node, Message(self.node_index, kind, (*words, 0, 0), b"")))

    def receive(self, message: Message) -> None:
        if message.kind == MessageKind.DRAIN_FRAMES:
            self.frames.drain_returned()
        elif message.kind == MessageKind.MEMORY_REQUEST:
            self.allocator.asked(message)
        else:
            self.allocator.answered(message)

    def counts(self) -> dict[str, int]:
        """The allocator's statistics without their prefix."""
        statistics = self.allocator.statistics()
        return {name.removeprefix("memory."): value for name, value in statistics.items()}

    def fill(self, percent: int) -> list[int]:
        """Allocate kernel frames until so much of the node's memory is in use."""
        taken = []
        while self.frames.used * 100 < self.frames.total * percent:
            taken.append(self.frames.allocate(zero=False))
        return taken


class Nodes:
    """The machine.  messages: (target, message) in the order they were sent."""

    def __init__(self, count: int = 2, **settings) -> None:
        self.physical = np.zeros(MEMORY_BYTES, np.uint8)
        self.ranges = RANGES[count]
        self.rows = [{"index": index, "cores": 1} for index in range(count)]
        self.messages: deque[tuple[int, Message]] = deque()
        resolved = {f"memory.{name}": value for name, value in settings.items()}
        self.nodes = [Node(self, index, resolved) for index in range(count)]

    def deliver(self) -> list[MessageKind]:
        """Hand all messages over, and those sent meanwhile; their kinds in order."""
        kinds = []
        while self.messages:
            target, message = self.messages.popleft()
            kinds.append(MessageKind(message.kind))
            self.nodes[target].receive(message)
        return kinds

    def space(self, home: int, *others: int) -> list[FusedAddressSpace]:
        """An address space of one node, also used by others."""
        first = FusedAddressSpace(self.nodes[home])
        return [first, *(FusedAddressSpace(self.nodes[n], first.address) for n in others)]

    def frames_of(self, space: FusedAddressSpace, virtual: int) -> list[int | None]:
        """The frame of a page in the tables of each node, as hardware finds it."""
        found: list[int | None] = []
        for node in self.nodes:
            table = node.remote_cpu.table(space.address, node.node_index)
            walk = WALKS[node.isa.name]
            hit = walk(self.physical, table.root, virtual, LEVELS) if table else None
            found.append(hit[0] if hit else None)
        return found

    def owners(self) -> dict[int, tuple[int, int]]:
        """Block address -> (owner, state), as the tables say."""
        memory = self.nodes[0].memory
        found = {}
        for row, block in self.nodes[0].frames.blocks.items():
            word = memory.peek(row + OWNER)
            found[block.start] = (word & 0xFFFF_FFFF, word >> 32)
        return dict(sorted(found.items()))

    def check(self) -> None:
        """No block has two kernels, no frame is in use twice, the counters agree."""
        owners = self.owners()
        seen: set[int] = set()
        for node in self.nodes:
            frames = node.frames
            blocks = [frames.blocks[row] for row in frames.online_rows]
            assert all(
                owners[block.start] == (node.node_index, BlockState.ONLINE) for block in blocks
            )
            online = [s for s, word in owners.items() if word == (node.node_index, 1)]
            assert sorted(block.start for block in blocks) == online
            assert frames.total == sum(block.capacity for block in blocks)
            used = set(frames.in_use())
            assert not used & seen
            seen |= used
            assert len(used) == frames.used + sum(block.reserved for block in blocks)
            free = sum(node.memory.peek(b.row + BLOCK.offset("free")) for b in blocks)
            assert free == frames.total - frames.used
