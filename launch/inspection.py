"""The part of a supervisor that asks its processes what they do and wait for."""

import time

from launch.supervised import Supervised
from launch.who_waits import core_table, table, thread_table

COLUMNS = ("process", "phase", "doing")


class Inspection(Supervised):
    """See the module; launch.supervisor.Supervisor is what it is a part of."""

    def inspect(self) -> str:
        """As `dump`, of a machine that goes on."""
        self._ask_for_dumps()
        deadline_s = time.monotonic() + self.limits.dump_s
        self._until(lambda: not self._undumped() or time.monotonic() > deadline_s, None, "", list)
        timebase = self.children["timebase"].dumped or {}
        cores = core_table(timebase.get("details", {}).get("cores", []))
        return f"{self._dumped()}\n\n{cores}"

    def dump(self) -> str:
        """Who waits for what, now: one line per process, then per guest thread as far as known."""
        self._ask_for_dumps()
        deadline_s = time.monotonic() + self.limits.dump_s
        while time.monotonic() < deadline_s and self._undumped():
            self._pump(20, failing=True)
        return self._dumped()

    def _ask_for_dumps(self) -> None:
        for child in self.children.values():
            child.dumped = None
            if child.state in ("welcomed", "ready"):
                self.control.send(child.name, {"kind": "dump"})

    def _undumped(self) -> list[str]:
        return [child.name for child in self._in("welcomed", "ready") if child.dumped is None]

    def _dumped(self) -> str:
        rows = [(c.name, c.phase, c.said()) for c in self.children.values()]
        details = {c.name: c.dumped["details"] for c in self.children.values() if c.dumped}
        return "\n\n".join(part for part in (table(COLUMNS, rows), thread_table(details)) if part)
