"""Runs a machine from event to event: those of a list, and those that come from outside."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from launch.events import Event
from launch.live import Live
from launch.supervisor import Supervisor


class Outside(Protocol):
    """Where requests come from while the machine runs: launch.outside."""

    @property
    def waiting(self) -> bool: ...

    def serve(self, agenda: "Agenda") -> None: ...


class Agenda:
    """See the module.  left: events that have not happened yet, in order."""

    def __init__(
        self, live: Live, events: Iterable[Event] = (), outside: Outside | None = None
    ) -> None:
        self.live = live
        self.outside = outside
        self.left = deque(sorted(events, key=lambda event: event.at_ps))
        live.expects = lambda kind, name: any(
            kind == event.KIND and getattr(event, "name", "") == name for event in self.left
        )

    def __call__(self, supervisor: Supervisor) -> None:
        """Until the run has ended."""
        at_ps = supervisor.go(self._next_ps(), self._asked)
        while at_ps is not None and not self.live.stopped:
            if at_ps < 0:
                assert self.outside is not None
                self.outside.serve(self)
                at_ps = supervisor.wait(self._asked) if not self.live.stopped else None
            else:
                self._pass(at_ps)
                if not self.live.stopped:
                    at_ps = supervisor.go(self._next_ps(), self._asked)

    def now(self, make: Callable[[int], Event]) -> dict | None:
        """Have an event happen as soon as possible: its row; None when the run is over.

        make: the event, given its time in ps.  Raises InputError when it cannot happen.
        """
        supervisor = self.live.supervisor
        now_ps = supervisor.pause()
        if now_ps is None:
            return None
        try:
            self._pass(now_ps)
            if self.live.stopped:
                return None
            row = self.live.perform(make(now_ps), now_ps)
            if not self.live.stopped:
                self.live.let_go(now_ps)
            return row
        finally:
            if not self.live.stopped:
                supervisor.resume(self._next_ps())

    def _pass(self, now_ps: int) -> None:
        """The machine stands still: do what is due, and let nodes go that can."""
        while self.left and self.left[0].at_ps <= now_ps and not self.live.stopped:
            self.live.perform(self.left.popleft(), now_ps)
        if not self.live.stopped:
            self.live.let_go(now_ps)

    def _next_ps(self) -> int:
        """When to pause next, -1: never."""
        times = [self.live.look_ps, *(event.at_ps for event in list(self.left)[:1])]
        return min((at_ps for at_ps in times if at_ps >= 0), default=-1)

    def _asked(self) -> bool:
        return self.outside is not None and self.outside.waiting
