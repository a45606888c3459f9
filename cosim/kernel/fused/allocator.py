"""The global memory allocator: blocks of memory change hands between kernels.

Source: the paper, 6.3.  A kernel starts with some blocks.  When more than
`memory.pressure_percent` of its frames are used it gets one more: an unassigned one by
compare-and-swap in the block table, without any message; when there is none, one of the kernel with
the lowest pressure, which empties it:

```text
 kernel under pressure                          kernel with the lowest pressure
 MEMORY_REQUEST                              ─▶ block with the fewest pages: EVICTING, pages move,
 block is prepared, pressure compared again  ◀─ OFFLINE; the row names its new owner;
 MEMORY_REQUEST, until they are equal           MEMORY_RESPONSE: 1, address of the block
                                                MEMORY_RESPONSE: 0, nothing that can be spared
```
A refused kernel asks the next one; when all have refused it asks again once it has used more, and
borrows single frames where there are some as long as it has none itself.  A
block that a kernel was not born with is unassigned again when it is empty and the kernel does well
without it (`memory.return_percent`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction

from cosim.errors import InputError, InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.frames import FREE, NEVER, Block
from cosim.kernel.fused.evacuation import Evacuation
from cosim.kernel.fused.frames import NOBODY, OWNER, FusedFrames, owned
from cosim.kernel.layout import BlockState, FrameUse
from cosim.kernel.waiting import WaitQueue
from cosim.settings_table import TABLE

PATIENCE = 64  # after a refusal a kernel asks again when one in so many of its frames is used more
NOWHERE = (-1, -1)

DEFAULTS = {row.name: row.default for row in TABLE if row.default is not None}


class GlobalAllocator:
    """One kernel's part in it.

    changed: threads that wait for memory; they look again when a request has been answered.
    can_wait: could the kernel's work go on later, as the access of a thread that runs here can?
    """

    def __init__(self, kernel, settings: Mapping = DEFAULTS) -> None:
        """Gives up what `memory.blocks_at_start` leaves out.  InputError for limits that make no
        sense together.
        """
        self._kernel = kernel
        self._memory = kernel.memory
        self._frames: FusedFrames = kernel.frames
        self._node: int = kernel.node_index
        self._pressure = int(settings["memory.pressure_percent"])
        self._return = int(settings["memory.return_percent"])
        if not self._return < self._pressure <= 100:
            raise InputError(
                f"memory.return_percent={self._return} must be below memory.pressure_percent="
                f"{self._pressure}, and that at most 100"
            )
        self.changed = WaitQueue()
        self._evacuation = Evacuation(kernel)
        self._busy = False  # a block is on its way: what happens meanwhile says nothing
        self._pending: int | None = None  # the node that was asked
        self._refused_by: list[int] = []  # in this round of requests
        self.can_wait: Callable[[], bool] = lambda: True
        self._refused_at = NOWHERE  # how much was in use when all had refused
        self._gained: list[Block] = []
        self._counts = dict.fromkeys(
            ("blocks.gained", "blocks.given", "blocks.returned", "requests", "requests_refused"), 0
        )
        with self._memory.uncharged():
            self._keep(int(settings["memory.blocks_at_start"]))
        self._frames.on_pressure = self._under_pressure
        self._frames.on_freed = self._look_for_empty
        self._frames.relieve = self._relieve
        self._frames.lenders = self._lenders
        self._set_limit()

    def _keep(self, count: int) -> None:
        """Leave all but the first `count` blocks to whoever asks first; 0: keep all."""
        if not count:
            return
        blocks = [self._frames.blocks[row] for row in self._frames.online_rows[count:]]
        self._hand_over([block for block in blocks if self._free_in(block) == block.capacity])

    def _free_in(self, block: Block) -> int:
        return self._memory.load(block.row + FREE)

    def _set_limit(self) -> None:
        """Pressure is what the settings say, of the memory there is now."""
        self._frames.pressure_limit = self._frames.total * self._pressure // 100

    # --- a block more ---

    def request_pending(self) -> bool:
        """Is memory perhaps on its way from another kernel?"""
        return self._pending is not None

    def worth_waiting(self) -> bool:
        """May a block be on its way for a page, and can who needs the page wait for it?"""
        return self._pending is not None and self.can_wait()

    def _in_turn(self) -> bool:
        """May blocks change hands now?"""
        return not self._busy and self._memory.core is not None

    def _under_pressure(self) -> None:
        """Too much is in use."""
        if not self._in_turn() or self._pending is not None:
            return
        frames = self._frames
        frames.drain_returned()
        used, total = frames.occupancy(self._node)
        if used * 100 > total * self._pressure and not self._claim() and not self._ask():
            self._be_patient(used, total)

    def _be_patient(self, used: int, total: int) -> None:
        """Nobody can help now: ask again when more is used, or used again."""
        step = max(1, total // PATIENCE)
        self._frames.pressure_limit = used + step
        self._frames.frees_to_look = min(self._frames.frees_to_look, step)

    def _relieve(self) -> bool:
        """Nothing is left: is there an unassigned block?  If not, another kernel is asked, but not
        again where all have refused.
        """
        if not self._in_turn():
            return False
        if self._claim():
            return True
        if self._pending is None and self._refused_at != self._position():
            self._ask()
        return False

    def _position(self) -> tuple[int, int]:
        """Changes when it makes sense to ask again after a refusal."""
        return self._frames.used, self._frames.borrowed // PATIENCE

    def _lenders(self, use: int) -> list[int]:
        """The other kernels, those with the lowest pressure first; none while a block may be on its
        way for a page that can wait.
        """
        if not self._in_turn() or (use == FrameUse.PAGE and self.worth_waiting()):
            return []
        others = [node for node in self._kernel.nodes() if node != self._node]
        pressures = {node: Fraction(*self._frames.occupancy(node)) for node in others}
        return sorted(others, key=pressures.__getitem__)

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Inside the block nobody waits for memory: nobody's thread is there that could."""
        before, self.can_wait = self.can_wait, lambda: False
        try:
            yield
        finally:
            self.can_wait = before

    def _claim(self) -> bool:
        block = self._frames.claim()
        if block is not None:
            self._gain(block)
        return block is not None

    def _gain(self, block: Block) -> None:
        self._frames.online(block)
        self._gained.append(block)
        self._counts["blocks.gained"] += 1
        self._frames.frees_to_look = 1
        self._set_limit()

    def _ask(self) -> bool:
        """Ask the kernel with the lowest pressure that has not refused; False when there is
        none.
        """
        own_used, own_total = self._frames.occupancy(self._node)
        best, best_used, best_total = self._node, own_used, own_total
        for node in self._kernel.nodes():
            used, total = self._frames.occupancy(node)
            if node not in self._refused_by and used * best_total < best_used * total:
                best, best_used, best_total = node, used, total
        if best == self._node:
            self._refused_by.clear()
            return False
        self._send_request(best)
        return True

    def _send_request(self, node: int) -> None:
        self._pending = node
        self._counts["requests"] += 1
        self._kernel.messages.send(node, MessageKind.MEMORY_REQUEST)

    def answered(self, message: Message) -> None:
        """MEMORY_RESPONSE: whether there is a block, and its address."""
        granted, address = message.words[:2]
        self._pending = None
        if granted:
            block = self._frames.block_at(address)
            self._gain(block)
            self._refused_by.clear()
            if self._helps(message.source, self._node, block):
                self._send_request(message.source)
        else:
            self._counts["requests_refused"] += 1
            self._refused_by.append(message.source)
            used, total = self._frames.occupancy(self._node)
            if used * 100 <= total * self._pressure:
                self._refused_by.clear()
            elif not self._ask():
                self._refused_at = self._position()
                self._be_patient(used, total)
        self.changed.wake(self._kernel.scheduler)

    # --- a block less ---

    def asked(self, message: Message) -> None:
        """MEMORY_REQUEST: give the block with the fewest pages, if that makes the pressures more
        equal.
        """
        self._frames.drain_returned()
        node = message.source
        for block in self._by_use():
            if self._helps(self._node, node, block) and self._evict(block, node):
                self._counts["blocks.given"] += 1
                words = (1, block.start)
                break
        else:
            words = (0, 0)
        self._kernel.messages.send(node, MessageKind.MEMORY_RESPONSE, words)

    def _helps(self, giver: int, taker: int, block: Block) -> bool:
        """Would the giver of a block have no more pressure afterwards than its taker?"""
        used, total = self._frames.occupancy(giver)
        taker_used, taker_total = self._frames.occupancy(taker)
        rest = total - block.capacity
        return rest > used and used * (taker_total + block.capacity) <= taker_used * rest

    def _by_use(self) -> list[Block]:
        """Own blocks that may change hands, those with the fewest frames in use first, of equal
        ones the one that would be allocated from last.
        """
        rows = [row for row in reversed(self._frames.online_rows) if row != self._frames.home]
        blocks = [self._frames.blocks[row] for row in rows]
        return sorted(blocks, key=lambda block: block.capacity - self._free_in(block))

    def _evict(self, block: Block, owner: int) -> bool:
        """Empty an own block and hand it over; False when it cannot be emptied."""
        self._busy = True
        try:
            self._frames.start_eviction(block)
            done = self._evacuation.empty(block)
            if done:
                self._frames.offline(block, owner)
            else:
                self._frames.stop_eviction(block)
        finally:
            self._busy = False
        if done and block in self._gained:
            self._gained.remove(block)
        self._set_limit()
        return done

    def _hand_over(self, blocks: list[Block]) -> None:
        """Leave own blocks in which nothing is in use to whoever asks first."""
        self._frames.start_eviction(*blocks)
        for block in blocks:
            self._frames.offline(block, NOBODY)
        self._set_limit()

    def _look_for_empty(self) -> None:
        """After frees: return gained blocks that are empty and not needed; look again when there
        can be one at the earliest.
        """
        frames = self._frames
        self._set_limit()
        frames.frees_to_look = 1
        if not self._in_turn() or self._pending is not None:
            return
        earliest = NEVER
        for block in reversed(self._gained.copy()):
            used, total = frames.occupancy(self._node)
            excess = used * 100 - (total - block.capacity) * self._return
            missing = max(block.capacity - self._free_in(block), excess // 100 + 1)
            if missing <= 0:
                self._gained.remove(block)
                self._hand_over([block])
                self._counts["blocks.returned"] += 1
            else:
                earliest = min(earliest, missing)
        frames.frees_to_look = earliest

    # --- a home for a node that joins, while the machine stands still ---

    def offer(self) -> tuple[int, int, int]:
        """Bytes of the block that a new node could have, and this kernel's frames in use and in
        all; an unassigned block costs nobody anything.
        """
        block = self._frames.unassigned()
        if block is not None:
            return block.end - block.start, 0, 1
        block = self._spare()
        size = 0 if block is None else block.end - block.start
        return size, *self._frames.occupancy(self._node)

    def _spare(self) -> Block | None:
        """The own block that is emptied most easily, for certain, and leaves this kernel more than
        it takes.
        """
        used, total = self._frames.occupancy(self._node)
        for block in self._by_use():
            inside = block.capacity - self._free_in(block)
            room = total - block.capacity - (used - inside) - inside
            if room > block.capacity // PATIENCE and self._evacuation.can_empty(block):
                return block
        return None

    def donate(self, node: int) -> tuple[int, int]:
        """Hand the offered block over; [start, end)."""
        block = self._frames.unassigned()
        if block is not None:
            self._memory.store(block.row + OWNER, owned(node, BlockState.OFFLINE))
            return block.start, block.end
        self._frames.drain_returned()
        block = self._spare()
        if block is None or not self._evict(block, node):
            raise InvariantError("a block that was offered to a new node could not be emptied")
        self._counts["blocks.given"] += 1
        return block.start, block.end

    def inherit(self, addresses: Iterable[int]) -> None:
        """Have the blocks of a node that left; they go when they are empty and not needed."""
        for address in addresses:
            block = self._frames.block_at(address)
            self._frames.inherit(block)
            self._gained.append(block)
        self._frames.frees_to_look = 1
        self._set_limit()

    # --- for a researcher ---

    def offline(self, address: int) -> None:
        """Empty the own block that holds `address` and keep it offline.

        KernelError: EINVAL when it is the home block or not an online block of this kernel, EBUSY
        when it cannot be emptied.
        """
        block = self._frames.block_at(address)
        if block.row == self._frames.home or block.row not in self._frames.online_rows:
            raise KernelError(Errno.EINVAL, f"the block at {block.start:#x} is not to be emptied")
        self._frames.drain_returned()
        if not self._evict(block, self._node):
            raise KernelError(Errno.EBUSY, f"the block at {block.start:#x} has frames that stay")

    def online(self, address: int) -> None:
        """Allocate from the block that holds `address`, which is unassigned, or this kernel's and
        offline.  KernelError(EBUSY) when it is neither.
        """
        block = self._frames.block_at(address)
        unassigned = owned(NOBODY, BlockState.OFFLINE)
        own = owned(self._node, BlockState.OFFLINE)
        found = self._memory.compare_and_swap(block.row + OWNER, unassigned, own)
        if found == unassigned:
            self._gain(block)
        elif found == own:
            self._frames.online(block)
            self._set_limit()
        else:
            raise KernelError(Errno.EBUSY, f"the block at {block.start:#x} is in use")

    def statistics(self) -> dict[str, int]:
        """Counters, by dotted name below the node's."""
        return {
            "memory.blocks.online": len(self._frames.online_rows),
            **{f"memory.{name}": count for name, count in self._counts.items()},
            "memory.frames.moved": self._evacuation.moved,
            "memory.frames.returned": self._frames.returned,
            "memory.frames.borrowed": self._frames.borrowed,
        }
