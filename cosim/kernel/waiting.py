"""How a system call waits: it raises Block with a Wait, and the kernel finishes the call when
something happened.

A Wait names what is awaited (for deadlock reports), the latest virtual time, and the function that
finishes the call. That function runs in the name of the thread once it has a core again, and may
raise Block once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Cause(IntEnum):
    """Why a thread stopped waiting."""

    EVENT = 0  # what it waited for may have happened
    TIMEOUT = 1  # deadline_ps has passed
    SIGNAL = 2  # a signal must be handled first


class Interrupted(Exception):
    """A signal ended a wait: the call answers EINTR, or is started again after a handler with
    SA_RESTART.

    restart: False for calls that Linux never restarts (sleeps, polls, waits for signals).
    """

    def __init__(self, restart: bool = True) -> None:
        super().__init__("interrupted")
        self.restart = restart


@dataclass
class Wait:
    """One wait of one thread.

    finish(cause): the call's result; may raise KernelError, Interrupted or Block.
    leave(): takes the thread out of whatever queues it was put in; called once, before finish.
    signals: blocked signals that end the wait all the same (sigtimedwait).
    killable: only signals that end the process end the wait (vfork, a thread on another node).
    guarded: finish makes late writes (distributed.late_writes).
    """

    reason: str
    finish: Callable[[Cause], int | None]
    deadline_ps: int | None = None
    leave: Callable[[], None] = lambda: None
    signals: int = 0
    killable: bool = False
    guarded: bool = False


class Block(Exception):
    """Raised by a system call that cannot go on now."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait.reason)
        self.wait = wait


class PageWait(Block):
    """Raised in the middle of a fault, or of a copy to or from user memory, that has to wait.

    A user access is simply made again afterwards.  A system call is run again from its start, so
    calls touch user memory before they change anything.
    """


class WaitQueue:
    """Threads that want to be woken when an object's state changes, in the order they came."""

    def __init__(self) -> None:
        self._threads: list = []

    def add(self, thread) -> None:
        """`thread` wants to know."""
        self._threads.append(thread)

    def remove(self, thread) -> None:
        """`thread` no longer cares; harmless when it is not here."""
        if thread in self._threads:
            self._threads.remove(thread)

    def wake(self, scheduler) -> None:
        """Make every thread look again (each takes itself out when it finishes its wait)."""
        for thread in tuple(self._threads):
            scheduler.wake(thread, Cause.EVENT)


def wait_until(
    thread,
    queues: tuple[WaitQueue, ...],
    attempt: Callable[[], int | None],
    reason: str,
    *,
    deadline_ps: int | None = None,
    on_timeout: Callable[[], int] = lambda: 0,
    on_signal: Callable[[], int | None] = lambda: None,
    restart: bool = True,
) -> int:
    """Result of `attempt()` as soon as it is not None; until then the thread waits on `queues`.

    Raises Block to wait.  When a signal comes first, on_signal() may answer (what was done so far),
    else Interrupted(restart) is raised; on_timeout() answers at the deadline.
    """
    result = attempt()
    if result is not None:
        return result

    def leave() -> None:
        for queue in queues:
            queue.remove(thread)

    def finish(cause: Cause) -> int:
        result = attempt()
        if result is not None:
            return result
        if cause is Cause.SIGNAL:
            partial = on_signal()
            if partial is not None:
                return partial
            raise Interrupted(restart)
        if cause is Cause.TIMEOUT:
            return on_timeout()
        enter()
        raise Block(wait)

    def enter() -> None:
        for queue in queues:
            queue.add(thread)

    wait = Wait(reason, finish, deadline_ps, leave)
    enter()
    raise Block(wait)
