"""A node's end of the relay: the rule by which turns follow each other, handing on, and waiting.

A node waits for the baton and for messages at once: it sleeps in poll() on the timebase's stream
and on a datagram socket of its own, which says nothing but that the baton may be there.  Who comes
next is known when a turn begins, so it is woken then if it still sleeps, wakes in turn who comes
after it, and looks out for the baton until it comes; one or two nodes do that at a time.  A host
with fewer processors than processes is why it yields between two looks, and gives up soon.
"""

import ctypes
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from cosim.compiled import (
    call_pointer,
    call_pointer4,
    exchange_sequential,
    kernel,
    load_acquire,
    store_release,
)
from cosim.errors import MachineError
from cosim.local_channel import path_of
from cosim.protocol.control import CORES_MAX
from cosim.relay import NEVER_PS, NOBODY, RelayWord, RowWord
from cosim.shared import Segment

# How often who comes next looks for the baton, yielding in between: 100 us on an idle host.  A turn
# of two nodes that hammer a lock took 72 to 102 us where both looked out, 148 and 283 us where both
# slept at once, for about as much processor time; for 16 busy nodes it made no difference.
LOOKS = 200
# By who was woken one or two turns before its own.  With 50, and one turn before, 16 busy nodes
# took 18.4 ns an instruction, with 200 17.1, with 600 and two turns before 16.0.
LOOKS_WOKEN = 600
POLLIN = 1  # poll(2)
WAKE_BYTES = 64  # more than the datagrams that can have arrived, one byte each

U, S64 = np.uint64, np.int64
ZERO, ONE, NEVER = U(0), U(1), U(NEVER_PS)
(
    TURNS, CONTENDED_TURNS, OVERSHOOT, QUANTUM, BOUND, CORES, CORE, START, UNTIL, IS_CONTENDED,
    PAUSE, BATON, ROWS,
) = (int(word) for word in RelayWord)  # fmt: skip
NEXT, PART, SAFE, NODE, ASLEEP, MAIL, READ, ROW = (int(word) for word in RowWord)
BATON_AT = U(8 * BATON)
POLL_WORDS = 2
REVENTS_SHIFT = U(48)


@kernel
def first_actions(words, core, now_ps, besides):
    """(Core that acts first, when, when the next one does), `core` at now_ps, `besides` never.

    NOBODY: none acts.  words: RelayWord, u64.
    """
    first, first_ps, other_ps = NOBODY, NEVER, NEVER
    for index in range(S64(words[CORES])):
        if index == besides:
            continue
        next_ps = now_ps if index == core else words[ROWS + index * ROW + NEXT]
        if next_ps < first_ps:
            first, first_ps, other_ps = index, next_ps, first_ps
        elif next_ps < other_ps:
            other_ps = next_ps
    return first, first_ps, other_ps


@kernel
def successor(words, core, now_ps):
    """The turn that follows when `core` stopped quietly at now_ps: (core, start_ps, until_ps,
    is it contended).

    NOBODY as a core: the timebase decides.  See timebase.next_turn.
    """
    first, first_ps, other_ps = first_actions(words, core, now_ps, NOBODY)
    if first == NOBODY or words[ROWS + first * ROW + PART] == ZERO or words[PAUSE] != ZERO:
        return NOBODY, ZERO, ZERO, False
    if first_ps >= words[BOUND] or other_ps == NEVER:
        return NOBODY, ZERO, ZERO, False
    quantum_ps = words[QUANTUM]
    until_ps = min(other_ps + quantum_ps, words[BOUND])
    return first, first_ps, until_ps, other_ps <= first_ps + quantum_ps


@kernel
def hand_over(words, core, now_ps):
    """The turn of `core` ended quietly at now_ps: the core whose turn begins; NOBODY: `core` still
    has its turn, and the timebase wants to know how it ended.
    """
    until_ps = words[UNTIL]
    following, start_ps, following_until_ps, contended = successor(words, core, now_ps)
    if following == NOBODY or until_ps == NEVER:
        return NOBODY
    row = ROWS + core * ROW
    words[row + NEXT] = now_ps
    words[row + SAFE] = min(now_ps, until_ps)
    if now_ps > until_ps:
        words[OVERSHOOT] = max(words[OVERSHOOT], now_ps - until_ps)
    words[TURNS] += ONE
    words[IS_CONTENDED] = ONE if contended else ZERO
    words[CONTENDED_TURNS] += words[IS_CONTENDED]
    words[CORE], words[START], words[UNTIL] = U(following), start_ps, following_until_ps
    exchange_sequential(U(words.ctypes.data) + BATON_AT, U(following))
    return following


@kernel
def asleep_at(words, node):
    """Host address of ASLEEP of a node."""
    return U(words.ctypes.data) + U(8) * U(ROWS + node * ROW + ASLEEP)


@kernel
def wake(words, node, sockets, send):
    """Wake a node if it sleeps.  sockets: descriptors by node, i64.  send: address of send(2)."""
    asleep = asleep_at(words, node)
    if load_acquire(asleep) != ZERO and exchange_sequential(asleep, ZERO) != ZERO:
        flags = U(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        call_pointer4(send, U(sockets[node]), asleep, ONE, flags)


@kernel
def following_core(words, core, besides):
    """Whose turn follows that of `core` in progress, `besides` left out; NOBODY: of none that takes
    part.
    """
    first, _, _ = first_actions(words, core, NEVER, besides)
    if first == NOBODY or words[ROWS + first * ROW + PART] == ZERO:
        return NOBODY
    return first


@kernel
def wake_following(words, core, besides, node, sockets, send):
    """Wake the node of following_core, unless it is `node`."""
    following = following_core(words, core, besides)
    if following != NOBODY:
        target = S64(words[ROWS + following * ROW + NODE])
        if target != node:
            wake(words, target, sockets, send)


@kernel
def wake_second(words, node, sockets, send):
    """`node` comes next: wake who comes after it.  A guess, while a turn is in progress: who is
    woken in vain sleeps again.
    """
    core = S64(words[CORE])
    wake_following(words, core, following_core(words, core, NOBODY), node, sockets, send)


@kernel
def has_baton(words, node):
    """Is it the turn of a core of `node`, and has it served what was sent before?"""
    core = S64(load_acquire(U(words.ctypes.data) + BATON_AT))
    row = ROWS + node * ROW
    its = core != NOBODY and S64(words[ROWS + core * ROW + NODE]) == node
    return its and words[row + MAIL] == words[row + READ]


@kernel
def look_out(words, node, looks, sched_yield):
    """Look for the baton so many times; is it here?"""
    for _ in range(looks):
        if has_baton(words, node):
            return True
        call_pointer(sched_yield, ZERO)
    return False


@kernel
def lie_down(words, node):
    """This node must be woken."""
    exchange_sequential(asleep_at(words, node), ONE)


@kernel
def sleep(words, node, descriptors, functions, timeout_ms):
    """Wait for the baton or a message, timeout_ms at most: (is the baton here, was it woken?).

    descriptors: struct pollfd as u64, the stream's and the datagram socket's.  functions: see
    FUNCTIONS.
    """
    lie_down(words, node)
    woken = False
    if not has_baton(words, node):
        poll, receive = functions[1], functions[3]
        call_pointer4(poll, U(descriptors.ctypes.data), U(POLL_WORDS), U(timeout_ms), ZERO)
        if descriptors[1] >> REVENTS_SHIFT != ZERO:
            woken = True
            bytes_there = descriptors[POLL_WORDS:]
            flags = U(socket.MSG_DONTWAIT)
            datagrams = descriptors[1] & U(0xFFFFFFFF)
            call_pointer4(receive, datagrams, U(bytes_there.ctypes.data), U(WAKE_BYTES), flags)
    store_release(asleep_at(words, node), ZERO)
    return has_baton(words, node), woken


@kernel
def wait(words, node, sockets, descriptors, functions, looks, timeout_ms):
    """As sleep, but look out before and, when woken, after.  looks: before; is the baton here?"""
    if look_out(words, node, looks, functions[0]):
        return True
    here, woken = sleep(words, node, descriptors, functions, timeout_ms)
    if here or not woken:
        return here
    wake_second(words, node, sockets, functions[2])
    return look_out(words, node, LOOKS_WOKEN, functions[0])


FUNCTIONS = ("sched_yield", "poll", "send", "recv", "clock_gettime")


def function_addresses() -> np.ndarray:
    """Host addresses of FUNCTIONS, u64."""
    library = ctypes.CDLL(None)
    found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in FUNCTIONS]
    return np.array(found, dtype=np.uint64)


class Baton:
    """One node's end.

    node: its first core.  words: the relay's, (RELAY_WORDS,) u64.  sockets, descriptors, functions:
    see the kernels.
    """

    def __init__(self, endpoint: str, node: int) -> None:
        """endpoint: the timebase's.  MachineError when nothing can be bound beside it."""
        self.node = node
        self._prefix = path_of(endpoint)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(self._path(node))
        except OSError as error:
            raise MachineError(f"{self._path(node)}: cannot listen: {error.strerror}") from error
        self._socket.setblocking(False)
        self.descriptor = self._socket.fileno()
        self._peers: dict[int, socket.socket] = {}
        self._cores = 0
        self.sockets = np.full(CORES_MAX, -1, dtype=np.int64)
        self.descriptors = np.zeros(POLL_WORDS + WAKE_BYTES // 8, dtype=np.uint64)
        self.functions = function_addresses()

    def _path(self, node: int) -> str:
        return f"{self._prefix}-{node}"

    def attach(self, path: str, stream: int) -> None:
        """Take part.  path: of the relay's segment.  stream: descriptor of the turns' stream."""
        self._segment = Segment.attach(path)
        self.words = self._segment.array.view(np.uint64)
        self._fast = memoryview(self.words.data)
        for place, descriptor in enumerate((stream, self.descriptor)):
            self.descriptors[place] = descriptor | POLLIN << 32

    def meet(self) -> None:
        """Connect to nodes that joined since the last time."""
        cores = self._fast[CORES]
        if cores == self._cores:
            return
        self._cores = cores
        for core in range(cores):
            node = self._fast[ROWS + core * ROW + NODE]
            if node != self.node and node not in self._peers:
                peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                with suppress(OSError):  # it is gone: whoever started it says so
                    peer.connect(self._path(node))
                self._peers[node] = peer
                self.sockets[node] = peer.fileno()

    @property
    def core(self) -> int | None:
        """The core of this node whose turn it is by the baton; None when there is none, or a
        message is to be served first.
        """
        return self._fast[BATON] if has_baton(self.words, self.node) else None

    def read(self) -> None:
        """A message that the timebase counted as mail is served."""
        self._fast[ROWS + self.node * ROW + READ] += 1

    @property
    def turn(self) -> dict[str, Any]:
        """The turn in progress, with the fields of a `turn` message."""
        words = self._fast
        return {
            "core": words[CORE],
            "sequence": words[TURNS],
            "until_ps": words[UNTIL],
            "contended": bool(words[IS_CONTENDED]),
            "interrupts": [],
        }

    def pass_on(self, core: int, now_ps: int) -> bool:
        """The turn of `core` ended quietly: let the next begin; False when the timebase is to."""
        self.meet()
        following = hand_over(self.words, core, U(now_ps))
        if following == NOBODY:
            return False
        node = self._fast[ROWS + following * ROW + NODE]
        if node != self.node:
            wake(self.words, node, self.sockets, self.functions[2])
        return True

    def drop(self) -> None:
        """The timebase gets the answer of the turn in progress."""
        self._fast[BATON] = NOBODY

    def wait(self, timeout_ms: int) -> bool:
        """Sleep until the baton or a message comes, timeout_ms at most; is the baton here?"""
        ways = (self.sockets, self.descriptors, self.functions)
        return wait(self.words, self.node, *ways, 0, timeout_ms)

    @contextmanager
    def asleep(self) -> Iterator[bool]:
        """Have whoever hands over the baton write to `descriptor`; is it here already?"""
        lie_down(self.words, self.node)
        yield self.core is not None
        self._fast[ROWS + self.node * ROW + ASLEEP] = 0
        with suppress(BlockingIOError):
            self._socket.recv(WAKE_BYTES)
