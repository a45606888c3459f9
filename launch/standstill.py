"""The part of a supervisor that holds the machine between two turns, and lets nodes come and go."""

import time
from collections.abc import Callable, Sequence

from cosim.errors import InputError
from launch.children import Child
from launch.supervised import Supervised


class Standstill(Supervised):
    """See the module; launch.supervisor.Supervisor is what it is a part of."""

    def __init__(self) -> None:
        self._end: dict | None = None
        self._paused: dict | None = None
        self._answered: dict[str, dict] = {}
        self.occurrences: list[dict] = []  # of what run.watch names; whoever acts on it takes it
        self.coming = 0  # programs that will be loaded at a known time

    # --- turns ---

    def go(self, halt_ps: int = -1, wakes: Callable[[], object] = lambda: False) -> int | None:
        """Let the machine run until it has ended (None), or pauses at `halt_ps`, its virtual time
        then (never when -1), or, without a pause, until wakes() (-1).
        """
        self.resume(halt_ps)
        return self.wait(wakes)

    def wait(self, wakes: Callable[[], object] = lambda: False) -> int | None:
        """Go on with `go` after wakes() was true."""
        self._until(lambda: self._end or self._paused or wakes(), None, "finish", list)
        if self._end is not None:
            return None
        return -1 if self._paused is None else self._paused["virtual_time_ps"]

    def pause(self) -> int | None:
        """Hold the machine between two turns; its virtual time in ps, None when the run is over.

        `resume` lets it go on.
        """
        self._paused = None
        self._send("timebase", {"kind": "pause"})
        self._until(
            lambda: self._paused or self._end,
            self.limits.answer_s, "pause", lambda: ["timebase"],
        )  # fmt: skip
        return None if self._paused is None else self._paused["virtual_time_ps"]

    def resume(self, halt_ps: int = -1) -> None:
        """Go on after a pause, to the next one at `halt_ps` if it is not -1."""
        self._paused = None
        programs = self._programs + self.coming
        message = {"kind": "start", "programs": programs, "halt_ps": halt_ps}
        self._send("timebase", message)

    def stop_here(self, now_ps: int) -> None:
        """End a run that is paused, as if this had been the limit of its virtual time."""
        self._end = {"reason": "stopped", "virtual_time_ps": now_ps, "statistics": {}}

    def _on_finished(self, _child: Child, message: dict) -> None:
        self._end = message

    def _on_paused(self, _child: Child, message: dict) -> None:
        self._paused = message

    # --- nodes that come and go ---

    def ask(self, names: Sequence[str], message: dict) -> dict[str, dict]:
        """Send a message to processes of a machine that stands still; the answer of each."""
        self._answered.clear()
        for name in names:
            self._send(name, message)
        left = lambda: [name for name in names if name not in self._answered]  # noqa: E731
        self._until(lambda: not left(), self.limits.answer_s, f"answer {message['kind']}", left)
        return dict(self._answered)

    def invite(self, name: str) -> None:
        """Start the process of a node that may join, and wait for its hello.

        InputError when it cannot be had; the machine goes on without it.
        """
        child = self._spawn(name, "node", held=True)
        deadline_s = time.monotonic() + self.limits.hello_s
        late = lambda: time.monotonic() > deadline_s  # noqa: E731
        self._until(lambda: child.lost or child.state == "hello" or late(), None, "join", list)
        if child.state != "hello":
            reason = child.lost or f"it did not say hello within {self.limits.hello_s:g} s"
            self.dismiss(name)
            raise InputError(f"attach: node {name!r} cannot join: {reason}")

    def is_invited(self, name: str) -> bool:
        """Does a process wait that was invited by this name?  One that died is forgotten."""
        child = self.children.get(name)
        if child is not None and child.held and child.state == "gone":
            self.dismiss(name)
        return child is not None and child.held and child.state == "hello"

    def dismiss(self, name: str) -> None:
        """End the process of a node that was invited."""
        child = self.children[name]
        if child.state != "gone":
            child.process.kill()
            self._reap(child)
        del self.children[name]
        self.control.forget(name)

    def admit(self, name: str) -> None:
        """Welcome an invited node, and wait until it has joined the turns."""
        child = self.children[name]
        child.held = False
        self._welcome()
        ready = self.limits.ready_s
        self._until(lambda: child.state == "ready", ready, "become ready", lambda: [name])

    def release(self, name: str) -> None:
        """Keep what a node has counted, and end its process."""
        self._send(name, {"kind": "collect"})
        self._until(
            lambda: name in self._collected, self.limits.collect_s, "collect", lambda: [name]
        )
        child = self.children[name]
        child.held = True
        self._send(name, {"kind": "stop"})
        self._until(lambda: child.state == "gone", self.limits.answer_s, "end", lambda: [name])
        del self.children[name]

    def _on_answer(self, child: Child, message: dict) -> None:
        self._answered[child.name] = message

    _on_offered = _on_donated = _on_reshaped = _on_vacated = _on_answer
    _on_woken = _on_interrupted = _on_redirected = _on_answer

    def _on_occurred(self, _child: Child, message: dict) -> None:
        self.occurrences.append(message)
