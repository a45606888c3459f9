"""The page protocol alone: kernels' memory halves and threads that read and write words, without
engines, turns or processes.

What happens next is drawn from a seed: an access starts, a message arrives (in order between two
kernels, in any order otherwise), a thread that was woken makes its access again, a timer fires, or
the home changes what is mapped.  Every read must see the last write.
"""

import random
from collections import deque
from types import SimpleNamespace

import numpy as np

from cosim import isa as isas
from cosim.engine.interface import Access
from cosim.kernel import costs
from cosim.kernel.clock import TimerQueue
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import WORDS, Message
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.mapping import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED
from cosim.kernel.memory import KernelMemory
from cosim.kernel.multiple.address_space import MultipleAddressSpace
from cosim.kernel.multiple.areas import AreaExchange
from cosim.kernel.multiple.ownership import ALONE, HAS
from cosim.kernel.multiple.pages import Pages
from cosim.kernel.user_copies import RIGHT
from cosim.kernel.waiting import Cause, PageWait
from cosim.units import MiB
from tests.kernel.fakes import FakeCore

NODE_BYTES = 4 * MiB
BASE, PAGE = 0x7000_0000_0000, 4096
NAMES = ("x86_64", "aarch64", "riscv64", "x86_64")
SETTINGS = {"message.answer_limit_ns": 10**12, "dsm.page_response": "short"}
READ_WRITE, READ_ONLY = 3, 1
STEPS_PS = (1_000_000, 20_000_000, 200_000_000)  # the longest: every fault has had its time


class Thread:
    """One that has an access to make.  access: (page number, word, value to write or None)."""

    def __init__(self, number: int, node: "Node") -> None:
        self.number, self.node = number, node
        self.alive = True
        self.wait = self.cause = self.access = None
        self.late_writes = None
        self.lane = node.lane
        self.since = 0

    def __repr__(self) -> str:
        return f"thread {self.number} of node {self.node.node_index}: {self.access}"


class Node:
    """One kernel, as far as the protocol goes."""

    def __init__(self, machine: "Machine", index: int) -> None:
        self.machine, self.node_index = machine, index
        self.node_name = f"node{index}"
        self.node_rows = machine.rows
        self.isa = isas.find(NAMES[index])
        self.levels, self.window = 4, None
        self.memory = KernelMemory(machine.physical, costs.resolve({}))
        core = FakeCore()
        core.index = index
        core.engine = SimpleNamespace(instructions=0, flush_tlb=lambda page=None: None)
        self.memory.core = core
        self.lane = SimpleNamespace(core=core, timers=TimerQueue())
        self.scheduler = SimpleNamespace(
            by_core={index: self.lane}, wake=self._wake, wake_first=self._wake_first
        )
        self.clock = SimpleNamespace(now_ps=lambda: machine.now_ps)
        start = index * NODE_BYTES
        self.frames = FrameAllocator(self.memory, [(start, start + NODE_BYTES)], NODE_BYTES, index)
        self.messages = SimpleNamespace(send=self._send)
        self.processes = SimpleNamespace(space_of=lambda home, key: self.space)
        settings = {**SETTINGS, **machine.settings}
        self.pages = Pages(self, settings, long=False)
        self.areas = AreaExchange(self, settings)
        self.space: MultipleAddressSpace | None = None
        self.current: Thread | None = None
        self.threads: list[Thread] = []

    def current_thread(self) -> Thread:
        assert self.current is not None, "a fault of nobody"
        return self.current

    def _wake(self, thread: Thread, cause: Cause) -> bool:
        if thread.wait is None:
            return False
        thread.wait.leave()
        thread.cause = cause
        return True

    def _wake_first(self, threads, cause: Cause) -> None:
        for thread in threads:
            self._wake(thread, cause)

    def _send(self, node: int, kind: MessageKind, words=(), data: bytes = b"") -> None:
        padded = (*words, *[0] * (WORDS - len(words)))
        message = Message(self.node_index, kind, padded, data)
        self.machine.channels[self.node_index, node].append(message)
        self.machine.sent += 1

    def receive(self, message: Message) -> None:
        kind = message.kind
        if kind in (MessageKind.PAGE_REQUEST, MessageKind.PAGE_INVALIDATE):
            self.pages.handle(message)
        elif kind == MessageKind.VMA_INFO:
            self.areas.asked(message)
        elif kind == MessageKind.VMA_INFO_RESULT:
            self.areas.answered(message)
        elif kind == MessageKind.VMA_CHANGE:
            self.areas.changed(message)
        elif kind == MessageKind.VMA_CHANGED:
            self.areas.confirmed(message)
        else:
            self.pages.answered(message)


class Machine:
    """Nodes with one process between them, whose home is node 0.  pages: how many it has mapped."""

    def __init__(self, seed: int, nodes: int, pages: int, threads: int = 2, **settings) -> None:
        self.dice = random.Random(seed)
        self.step_ps = self.dice.choice(STEPS_PS)
        self.settings = settings
        self.physical = np.zeros(nodes * NODE_BYTES, np.uint8)
        self.rows = [{"index": i, "name": f"node{i}", "cores": 1} for i in range(nodes)]
        self.channels = {(a, b): deque() for a in range(nodes) for b in range(nodes) if a != b}
        self.now_ps = self.sent = self.done = self.faults_refused = 0
        self.nodes = [Node(self, index) for index in range(nodes)]
        self.home = self.nodes[0]
        self.home.space = MultipleAddressSpace(self.home)
        flags = MAP_FIXED | MAP_ANONYMOUS
        self.pages = pages
        self.home.space.map(BASE, pages * PAGE, READ_WRITE, flags | MAP_PRIVATE)
        for node in self.nodes[1:]:
            node.space = MultipleAddressSpace(node, 0, self.home.space.key)
            self.home.space.contexts.add(node.node_index)
        number = 0
        for node in self.nodes:
            for _ in range(threads):
                node.threads.append(Thread(number, node))
                number += 1
        self.values: dict[tuple[int, int], int] = {}
        self.protection = dict.fromkeys(range(pages), READ_WRITE)
        self.flags = flags | MAP_SHARED
        self.next_value = 1

    @property
    def threads(self) -> list[Thread]:
        return [thread for node in self.nodes for thread in node.threads]

    # --- one step ---

    def step(self) -> None:
        """Something that can happen next, drawn from the seed."""
        self.now_ps += self.dice.randrange(self.step_ps)
        choices = [self._start, self._start]
        if any(self.channels.values()):
            choices += [self._deliver] * 4
        if any(thread.cause is not None for thread in self.threads):
            choices += [self._resume] * 3
        choices.append(self._expire)
        if self.dice.random() < 0.002:
            choices = [self._change]
        self.dice.choice(choices)()

    def _start(self) -> None:
        idle = [thread for thread in self.threads if thread.access is None]
        if not idle:
            return
        thread = self.dice.choice(idle)
        value = None
        if self.dice.random() < 0.5:
            value, self.next_value = self.next_value, self.next_value + 1
        thread.access = (self.dice.randrange(self.pages), self.dice.randrange(4), value)
        thread.since = self.now_ps
        self._attempt(thread)

    def _resume(self) -> None:
        thread = self.dice.choice([t for t in self.threads if t.cause is not None])
        wait, cause = thread.wait, thread.cause
        thread.wait = thread.cause = None
        thread.node.current = thread
        try:
            wait.finish(cause)
        except PageWait as block:
            thread.wait = block.wait
            return
        finally:
            thread.node.current = None
        self._attempt(thread)

    def _attempt(self, thread: Thread) -> None:
        """Make the access; a fault may have to wait."""
        page, word, value = thread.access
        node, address = thread.node, BASE + page * PAGE + word * 8
        access = Access.READ if value is None else Access.WRITE
        node.current = thread
        try:
            for _ in range(2):
                found = node.space.page_table.find(address)
                if found is not None and found.protection & RIGHT[access]:
                    self._make(thread, found.physical + word * 8)
                    return
                signal = node.space.fault(address, access)
                if signal is not None:
                    self._refused(thread, page, access)
                    return
            raise AssertionError(f"{thread}: a fault was resolved, but not")
        except PageWait as block:
            thread.wait = block.wait
        finally:
            node.current = None

    def _make(self, thread: Thread, physical: int) -> None:
        page, word, value = thread.access
        memory = thread.node.memory
        if value is None:
            found, last = memory.peek(physical), self.values.get((page, word), 0)
            assert found == last, f"{thread} read {found}, the last write was {last}"
        else:
            memory.poke(physical, value)
            self.values[page, word] = value
        thread.lane.core.engine.instructions += self.dice.choice((1, 5, 40))
        thread.access = None
        self.done += 1

    def _refused(self, thread: Thread, page: int, access: Access) -> None:
        """A signal: right if the page's area forbids it, or did while the answer travelled."""
        assert access == Access.WRITE, f"{thread}: refused to read"
        self.faults_refused += 1
        thread.access = None

    def _deliver(self) -> None:
        pair = self.dice.choice([pair for pair, queue in self.channels.items() if queue])
        self.nodes[pair[1]].receive(self.channels[pair].popleft())

    def _expire(self) -> None:
        for node in self.nodes:
            timer = node.lane.timers.pop_due(self.now_ps)
            if timer is not None:
                timer.expire(timer)

    def _change(self) -> None:
        """munmap and mmap, mprotect, or madvise of one page at home."""
        page = self.dice.randrange(self.pages)
        address, space = BASE + page * PAGE, self.home.space
        kind = self.dice.choice(("drop", "protect", "protect", "remap"))
        if kind == "protect":
            rights = self.dice.choice((READ_WRITE, READ_WRITE, READ_ONLY))
            space.protect(address, PAGE, rights)
            return
        # A page that goes must not be in use: a program that does this waits for its other threads.
        if any(thread.access and thread.access[0] == page for thread in self.threads):
            return
        if space.unconfirmed or any(self.channels.values()):
            return
        if kind == "drop":
            space.discard(address, PAGE)
        else:
            space.unmap(address, PAGE)
            space.map(address, PAGE, READ_WRITE, MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE)
        self.settle()
        for word in range(4):
            self.values.pop((page, word), None)

    # --- until nothing moves ---

    def settle(self) -> None:
        """No new accesses, until all that are under way have been made.  A deadlock is an error."""
        for _ in range(200_000):
            if any(self.channels.values()):
                self._deliver()
            elif any(thread.cause is not None for thread in self.threads):
                self._resume()
            elif any(thread.access for thread in self.threads):
                times = [node.lane.timers.earliest_ps() for node in self.nodes]
                due = [time for time in times if time is not None]
                stuck = [(t, t.wait and t.wait.reason) for t in self.threads if t.access]
                assert due, f"deadlock: {stuck}"
                self.now_ps = max(self.now_ps, min(due))
                self._expire()
            else:
                return
        raise AssertionError("accesses go on for ever")

    def check(self) -> None:
        """The directory's invariants; everything has settled."""
        home = self.home.space
        for page in range(self.pages):
            address = BASE + page * PAGE
            owners = home.ownership.read(address) or 1
            entries = {}
            for node in self.nodes:
                found = node.space.page_table.find(address)
                if found is not None and found.protection:
                    entries[node.node_index] = found
                word = node.space.ownership.read(address) if node is not self.home else 0
                if node is not self.home:
                    assert bool(word & HAS) == bool(owners >> node.node_index & 1), (page, owners)
                    assert bool(word & ALONE) <= (owners == 1 << node.node_index), (page, owners)
            assert all(owners >> node & 1 for node in entries), (page, owners, entries)
            if any(found.protection & 2 for found in entries.values()):
                assert len(entries) == 1 and owners.bit_count() == 1, (page, owners, entries)
            if not owners & 1:
                assert owners.bit_count() == 1, f"page {page}: home has it not, owners {owners:b}"
            contents = {
                self.physical[found.physical : found.physical + PAGE].tobytes()
                for found in entries.values()
            }
            assert len(contents) <= 1, f"page {page}: copies differ"
        for node in self.nodes:
            assert not node.pages.serialisation.unanswered()

    def oldest(self) -> Thread | None:
        """The access that has waited longest."""
        return min((t for t in self.threads if t.access), key=lambda t: t.since, default=None)


def run(seed: int, nodes: int, pages: int, accesses: int, **settings) -> Machine:
    """Random accesses until so many have been made."""
    machine = Machine(seed, nodes, pages, threads=1 + seed % 3, **settings)
    rounds = 0
    while machine.done < accesses:
        machine.step()
        rounds += 1
        oldest = machine.oldest()
        waited_ps = machine.now_ps - oldest.since if oldest else 0
        assert waited_ps < 10**12, f"{oldest} has waited {waited_ps} ps: {oldest.wait}"
        if rounds % 5000 == 0:
            machine.settle()
            machine.check()
    machine.settle()
    machine.check()
    return machine
