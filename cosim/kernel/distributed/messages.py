"""Messages between kernels: for what cannot be shared.

`send` puts a message into the ring to a node and announces it with one interrupt; the receiver's
handler empties the ring.  With `message.notify=poll` nothing is announced and every kernel looks
at its rings after each `message.poll_interval_ns`.  A full ring is no error: the sender keeps what
does not fit, in order, and tries again after RETRY_PS.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from cosim import physical_map
from cosim.broker import Function
from cosim.errors import InvariantError
from cosim.kernel.distributed.rings import Message, Ring, place
from cosim.units import PS_PER_NS

RETRY_PS = 10_000_000  # 10 us: a reader needs a few for a ring full of messages


class MessageKind(IntEnum):
    """What a message is about; its words are listed with its handler."""

    # processes and threads that are away from home, in every design
    PROCESS = 1  # a process that is about to come: data describes it
    PROCESS_ENDS = 2  # a process is over: give back what is there of it
    PROCESS_ENDED = 3  # done
    SYSTEM_CALL = 6  # run a call in the name of a thread that is away
    SYSTEM_CALL_RESULT = 7
    THREAD_CREATE = 8  # a thread away from home makes another one
    THREAD_CREATED = 9
    THREAD_EXIT = 10
    THREAD_ENDS = 11  # a thread is over: forget it
    PROCESS_EXIT = 12  # exit_group or a fatal signal away from home
    CHILD_CREATE = 17  # a thread away from home makes a process (vfork)
    CHILD_CREATED = 18
    # the fused kernel
    PAGE = 4  # make a page appear in the home's table
    PAGE_READY = 5
    DRAIN_FRAMES = 13  # returned frames wait
    MEMORY_REQUEST = 14  # a kernel under pressure wants a block
    MEMORY_RESPONSE = 15
    SIGNAL = 16  # a signal for a process of the receiver
    # multiple kernels; Popcorn's names where it has one
    TASK_MIGRATE = 32  # a thread comes, with what its process is
    TASK_PAIRING = 33  # it is there
    TASK_MIGRATE_BACK = 34
    VMA_INFO = 35  # which area holds an address
    VMA_INFO_RESULT = 36
    VMA_OPERATION = 37  # mmap and its relatives, to be run at home
    VMA_OPERATION_RESULT = 38
    VMA_CHANGE = 39  # what the home did to areas that others have cached
    VMA_CHANGED = 40
    PAGE_REQUEST = 41
    PAGE_RESPONSE = 42  # with the page's bytes
    PAGE_RESPONSE_SHORT = 43  # without: an address to copy from, or a verdict
    PAGE_INVALIDATE = 44
    PAGE_INVALIDATED = 45
    FUTEX = 46
    FUTEX_RESULT = 47


Handler = Callable[[Any, Message], Any]


class Messages:
    """The rings of one kernel.

    handlers: by kind, function(kernel, message).  sent, received: counts by kind.
    """

    ANNOUNCES_EACH = False  # a reader that is interrupted once takes all that is there

    def __init__(self, kernel, settings: Mapping, handlers: Mapping[int, Handler]) -> None:
        self._kernel = kernel
        self.handlers = dict(handlers)
        self.sent: Counter[int] = Counter()
        self.received: Counter[int] = Counter()
        self.retries = 0
        self._waiting: dict[int, deque] = {}
        self._polls = settings["message.notify"] == "poll"
        self._interval_ps = int(settings["message.poll_interval_ns"]) * PS_PER_NS
        self._outgoing: dict[int, Ring] = {}
        self._incoming: dict[int, Ring] = {}
        self.find_rings(settings)
        self._armed = False

    def find_rings(self, settings: Mapping) -> None:
        """Know the rings to and from every node there is now.  InputError without room for them."""
        kernel, own = self._kernel, self._kernel.node_index
        area = physical_map.build(settings, kernel.node_rows).message_area
        joined = sum("memory" in row for row in kernel.node_rows)
        places = place(area.start, area.end, len(kernel.node_rows) - joined, joined)
        for (source, target), (base, slots) in places.items():
            if source == own:
                self._outgoing.setdefault(target, Ring(kernel.memory, base, slots, own))
            elif target == own:
                self._incoming.setdefault(source, Ring(kernel.memory, base, slots, source))

    def send(
        self, node: int, kind: MessageKind, words: Sequence[int] = (), data: bytes = b""
    ) -> None:
        """Send a message to another node."""
        memory = self._kernel.memory
        memory.charge("message_send")
        self.sent[kind] += 1
        waiting = self._waiting.setdefault(node, deque())
        if waiting or not self._put(node, kind, words, data):
            waiting.append((kind, tuple(words), bytes(data)))
            self._try_later(node)
            return
        self._announce(node)

    def pending(self) -> str:
        """What is on its way from or to this node, '' when nothing is."""
        rings = {**self._outgoing, **{~node: ring for node, ring in self._incoming.items()}}
        full = sum(not ring.is_empty for ring in rings.values()) + sum(
            map(bool, self._waiting.values())
        )
        return f"messages are under way in {full} rings" if full else ""

    def _put(self, node: int, kind: int, words: Sequence[int], data: bytes) -> bool:
        """Write a message; False when there is no room."""
        return self._outgoing[node].put(kind, words, data)

    def _announce(self, node: int) -> None:
        if not self._polls:
            target = self._kernel.machine_core(node, 0)
            self._kernel.send_interrupt(target, Function.MESSAGE, 0)

    def _try_later(self, node: int) -> None:
        kernel = self._kernel
        self.retries += 1
        lane = kernel.scheduler.by_core[kernel.memory.core.index]
        lane.timers.arm(kernel.clock.now_ps() + RETRY_PS, lambda _: self._retry(node))

    def _retry(self, node: int) -> None:
        waiting = self._waiting[node]
        written = False
        while waiting and self._put(node, *waiting[0]):
            waiting.popleft()
            if not written or self.ANNOUNCES_EACH:
                self._announce(node)
            written = True
        if waiting:
            self._try_later(node)

    def interrupted(self, source_core: int) -> None:
        """A MESSAGE interrupt: empty the ring of its sender's node."""
        self._drain(self._kernel.node_of_core(source_core))

    def _drain(self, node: int) -> None:
        memory = self._kernel.memory
        while (message := self._incoming[node].get()) is not None:
            memory.charge("message_receive")
            self._handle(message)

    def _handle(self, message: Message) -> None:
        self.received[message.kind] += 1
        handler = self.handlers.get(message.kind)
        if handler is None:
            raise InvariantError(
                f"message of kind {message.kind} from node {message.source}: this kernel has no "
                "handler for it; do all nodes run the same operating-system design?"
            )
        handler(self._kernel, message)

    def statistics(self) -> dict[str, int]:
        """Counters by dotted name below the node's: sums, and each kind at this end."""
        ways = (("sent", self.sent), ("received", self.received))
        by_kind = {
            f"messages.{way}.{kind.name.lower()}": counted[kind]
            for way, counted in ways
            for kind in MessageKind
            if counted[kind]
        }
        sums = {f"messages.{way}": counted.total() for way, counted in ways}
        return {**sums, "messages.retries": self.retries, **by_kind}

    def start_polling(self, lane) -> None:
        """In a core's turn: look at all rings now and then, when nothing is announced."""
        if self._polls and not self._armed:
            self._armed = True
            self._poll_later(lane)

    def _poll_later(self, lane) -> None:
        at_ps = self._kernel.clock.now_ps() + self._interval_ps
        lane.timers.arm(at_ps, lambda _: self._poll(lane))

    def _poll(self, lane) -> None:
        for node in self._incoming:
            self._drain(node)
        self._poll_later(lane)
