"""Several faults on one page at once: which goes on, which waits, which is sent away.

A fault that needs messages is *running* from its first message until the access that it was for has
been made, or has had time enough; without the latter a page could be taken from under every thread
before it gets anything done.  What a second fault does meanwhile is a table.
Source: Popcorn Linux, kernel/popcorn/fh_action.c (as described in the artifact's facts).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from cosim.errors import InvariantError
from cosim.kernel.distributed.rings import Message
from cosim.kernel.task import Thread
from cosim.kernel.waiting import Cause
from cosim.units import PS_PER_NS

PATIENCE_PS = 100_000 * PS_PER_NS  # how long a page waits for the thread that wanted it
# After so many instructions the thread has used the page: a loop of load-exclusive and
# store-exclusive needs a handful, and with one nobody on the other side ever finished it.
USE_INSTRUCTIONS = 32
REFUSALS_MAX = 3  # so often a fault is sent away; then it waits its turn
LOOK_PS = 1_000 * PS_PER_NS  # between two looks at whether a running fault is over
BACK_OFF_PS = 100_000 * PS_PER_NS  # times the number of the attempt, for a fault sent away
BACK_OFF_STEPS = 10
BACK_OFF_LATER_PS = 1_000_000 * PS_PER_NS


class Running(IntEnum):
    """What a fault is: who wants the page on this node, and what for."""

    LOCAL_READ = 0
    LOCAL_WRITE = 1
    REMOTE_READ = 2
    REMOTE_WRITE = 3


class Action(IntEnum):
    """What a second fault on the page does."""

    FOLLOW = 0  # wait for the first one's page, then make the access again
    WAIT = 1  # wait until the first one is over, then start
    RETRY = 2  # be answered at once, and come back later
    IMPOSSIBLE = 3


class Row(NamedTuple):
    """One line of the table: what runs, what a local read, a local write, a remote read and a
    remote write do meanwhile.
    """

    running: Running
    local_read: Action
    local_write: Action
    remote_read: Action
    remote_write: Action


F, W, R, X = Action.FOLLOW, Action.WAIT, Action.RETRY, Action.IMPOSSIBLE
AT_HOME = (
    Row(Running.LOCAL_READ, F, W, W, R),
    Row(Running.LOCAL_WRITE, F, F, R, R),
    Row(Running.REMOTE_READ, F, W, W, W),
    Row(Running.REMOTE_WRITE, W, W, R, R),
)
# The home's requests.  Where Popcorn calls one invalid that meets a local read, it waits here:
# the read has its page already, and has not been made.
AWAY = (
    Row(Running.LOCAL_READ, F, W, W, W),
    Row(Running.LOCAL_WRITE, F, F, W, W),
    Row(Running.REMOTE_READ, X, X, X, X),  # a request is answered at once
    Row(Running.REMOTE_WRITE, X, X, X, X),
)
TABLES = {True: AT_HOME, False: AWAY}  # by "is this node the home"


@dataclass(eq=False)
class Fault:
    """A running fault.

    space, page: what for.  thread: who waits, of a local one.  message: the request, of a remote
    one.  pending: nodes that have not answered.  void: the page was unmapped meanwhile.
    granted_ps: when the page came, -1 before.  resumed: instructions its core had executed when the
    thread went on.  signal: what the fault becomes instead of a page.  queue: requests that wait.
    """

    space: Any
    page: int
    running: Running
    thread: Thread | None = None
    message: Message | None = None
    pending: set[int] = field(default_factory=set)
    void: bool = False
    over: bool = False
    granted_ps: int = -1
    resumed: int = -1
    waiting: bool = False  # the thread does
    asks_more: bool = False  # the request is for writing, the access is not
    signal: tuple[int, ...] | None = None
    queue: list[Message] = field(default_factory=list)
    followers: list[Thread] = field(default_factory=list)

    @property
    def granted(self) -> bool:
        """Has the page come?"""
        return self.granted_ps >= 0


class Serialisation:
    """The running faults of one kernel.

    handle(message): does a request that waited.  followed: faults that had their page from another.
    """

    def __init__(self, kernel, handle: Callable[[Message], None]) -> None:
        self._kernel = kernel
        self._handle = handle
        self._running: dict[tuple[int, int], Fault] = {}
        self.followed = 0

    def find(self, space, page: int) -> Fault | None:
        """The fault that runs on a page."""
        fault = self._running.get((space.address, page))
        if fault is not None and self._is_over(fault):
            self.end(fault)
            return self._running.get((space.address, page))
        return fault

    def action(self, fault: Fault, wanted: Running) -> Action:
        """What a second fault does while `fault` runs."""
        found = TABLES[fault.space.is_home][fault.running][1 + wanted]
        if found is Action.IMPOSSIBLE:
            raise InvariantError(
                f"page {fault.page:#x}: {wanted.name} while {fault.running.name} runs cannot be "
                f"({'at home' if fault.space.is_home else 'away from home'})"
            )
        return Action(found)

    def start(self, space, page: int, running: Running, **about) -> Fault:
        """A fault begins to run."""
        fault = Fault(space, page, running, **about)
        self._running[space.address, page] = fault
        return fault

    def grant(self, fault: Fault) -> None:
        """The page, or the signal instead of it, is there: the thread makes its access again."""
        fault.granted_ps = self._kernel.clock.now_ps()
        self._wake(fault)
        if fault.queue:
            self._look_later(fault)

    def wait(self, fault: Fault, message: Message) -> None:
        """A request waits until the fault is over."""
        fault.queue.append(message)
        if fault.granted:
            self._look_later(fault)

    def _look_later(self, fault: Fault) -> None:
        kernel = self._kernel
        lane = kernel.scheduler.by_core[kernel.memory.core.index]
        lane.timers.arm(kernel.clock.now_ps() + LOOK_PS, lambda _: self._look(fault))

    def _look(self, fault: Fault) -> None:
        if fault.over:
            return
        if self._is_over(fault):
            self.end(fault)
        else:
            self._look_later(fault)

    def _is_over(self, fault: Fault) -> bool:
        """Has whoever wanted the page used it, or let it wait too long?"""
        if not fault.granted:
            return False
        thread = fault.thread
        if thread is None or not thread.alive:
            return True
        if self._kernel.clock.now_ps() - fault.granted_ps >= PATIENCE_PS:
            return True
        if fault.resumed < 0:
            return False
        done = thread.lane.core.engine.instructions - fault.resumed
        sleeps = thread.wait is not None and not thread.wait.reason.startswith(("page", "area"))
        return done >= USE_INSTRUCTIONS or sleeps

    def end(self, fault: Fault) -> None:
        """The fault runs no more; requests that waited for that are handled now, in order."""
        if fault.over:
            return
        fault.over = True
        del self._running[fault.space.address, fault.page]
        self._wake(fault)
        for message in fault.queue:
            self._handle(message)

    def _wake(self, fault: Fault) -> None:
        """Everybody who waits for the fault makes the access again, its own thread last: a thread
        that spins on a lock is always the first to miss the page, and would keep the lock's holder
        from it for ever.
        """
        threads = fault.followers + ([fault.thread] if fault.waiting else [])
        self.followed += len(fault.followers)
        fault.followers = []
        self._kernel.scheduler.wake_first(threads, Cause.EVENT)

    def follow(self, fault: Fault, thread: Thread) -> None:
        """A thread waits until the fault is granted, or over."""
        fault.followers.append(thread)
        if fault.granted:
            self._look_later(fault)

    def leave(self, fault: Fault, thread: Thread) -> None:
        """A thread waits no more; harmless when it did not."""
        if thread in fault.followers:
            fault.followers.remove(thread)

    def void(self, space, start: int, end: int) -> None:
        """Pages of [start, end) are gone: what runs on them must not bring them back."""
        for (address, page), fault in self._running.items():
            if address == space.address and start <= page < end:
                fault.void = True

    def forget(self, space) -> None:
        """The address space is gone."""
        for key in [key for key in self._running if key[0] == space.address]:
            self._running.pop(key).over = True

    def unanswered(self) -> list[Fault]:
        """Running faults whose page has not come, for reports and tests."""
        return [fault for fault in self._running.values() if not fault.granted]


def back_off_ps(attempt: int) -> int:
    """How long a fault that was sent away `attempt` times (from 1) waits."""
    if attempt <= BACK_OFF_STEPS:
        return attempt * BACK_OFF_PS
    return (attempt - BACK_OFF_STEPS) * BACK_OFF_LATER_PS
