"""Runs a machine from event to event: those of a list, and those that come from outside."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from launch.actions import Start, Upon, Waiting, notice_ps, of_either
from launch.events import Event
from launch.live import Live
from launch.supervisor import Supervisor


class Outside(Protocol):
    """Where requests come from while the machine runs: launch.outside."""

    @property
    def waiting(self) -> bool: ...

    def serve(self, agenda: "Agenda") -> None: ...


class Agenda:
    """See the module.

    left: events that have not happened yet, in order.  waiting: those without a time yet.
    starts_later: numbers of programs that are not there from the beginning.
    """

    def __init__(
        self, live: Live, events: Iterable[Event | Upon] = (), outside: Outside | None = None
    ) -> None:
        self.live = live
        self.outside = outside
        given = list(events)
        starts = [event for event in map(of_either, given) if isinstance(event, Start)]
        self.starts_later = {event.program for event in starts}
        timed = [event for event in given if isinstance(event, Event)]
        self.left = deque(sorted(timed, key=lambda event: event.at_ps))
        waiting = [event for event in given if isinstance(event, Upon)]
        self.waiting = Waiting(waiting, notice_ps(live.simulation))
        live.expects = lambda kind, name: any(
            kind == event.KIND and getattr(event, "name", "") == name for event in self.left
        )

    def __call__(self, supervisor: Supervisor) -> None:
        """Until the run has ended."""
        for number in self.live.pids:
            self._schedule(self.waiting.occurred("started", "", number, 0))
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
        self.live.disturbed = True
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
        self._hear()
        while self.left and self.left[0].at_ps <= now_ps and not self.live.stopped:
            event = self.left.popleft()
            self.live.perform(event, now_ps)
            if isinstance(event, Start):
                self._schedule(self.waiting.occurred("started", "", event.program, now_ps))
        if not self.live.stopped:
            self.live.let_go(now_ps)

    def _hear(self) -> None:
        """Take what has occurred since the last time."""
        heard, self.live.supervisor.occurrences = self.live.supervisor.occurrences, []
        for one in heard:
            program = self.live.number_of(one["home"], one["pid"])
            name, subject, at_ps = one["occurrence"], one["subject"], one["at_ps"]
            self._schedule(self.waiting.occurred(name, subject, program, at_ps))

    def _schedule(self, events: Iterable[Event]) -> None:
        # Sorting is stable: events of one time happen in the order in which they were found.
        self.left = deque(sorted([*self.left, *events], key=lambda event: event.at_ps))

    def _next_ps(self) -> int:
        """When to pause next, -1: never."""
        self.live.supervisor.coming = sum(isinstance(event, Start) for event in self.left)
        times = [self.live.look_ps, *(event.at_ps for event in list(self.left)[:1])]
        return min((at_ps for at_ps in times if at_ps >= 0), default=-1)

    def undone(self) -> list[str]:
        """Events that did not happen before the end, one line each."""
        late = [f"{event.KIND} at {event.at_ps} ps" for event in self.left]
        return [*late, *map(str, self.waiting.left)]

    def _asked(self) -> bool:
        return self.outside is not None and self.outside.waiting
