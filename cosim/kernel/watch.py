"""Occurrences that somebody outside waits for, as one kernel sees them: launch.actions names them.

One ends the turn in which it happens, so that what follows from it can be done before any core
has passed the time at which its news arrives.  Where turns end is no part of what is simulated.
"""

from collections.abc import Iterable, Sequence
from typing import Any


class Watch:
    """What one kernel must tell of.

    wanted: pairs of occurrence and subject, of the configuration.  happened: fields of `occurred`
    messages, for the node to take away.
    """

    def __init__(self, wanted: Iterable[Sequence[str]]) -> None:
        self._wanted = {(occurrence, subject) for occurrence, subject in wanted}
        texts = sorted(subject for occurrence, subject in self._wanted if occurrence == "console")
        self._tails = dict.fromkeys(texts, b"")
        self.happened: list[dict[str, Any]] = []

    def wants(self, occurrence: str, subject: object) -> bool:
        """Does anybody wait for this?"""
        return (occurrence, str(subject)) in self._wanted

    def note(self, occurrence: str, subject: object, home: int, pid: int, at_ps: int) -> None:
        """It happened, to a process of that home."""
        row = {"occurrence": occurrence, "subject": str(subject), "home": home, "pid": pid}
        self.happened.append({**row, "at_ps": at_ps})

    def texts(self, data: bytes) -> list[str]:
        """Texts that this output completes, one for each time."""
        found = []
        for text, tail in self._tails.items():
            wanted = text.encode()
            seen = tail + data
            found += [text] * seen.count(wanted)
            left = seen.rpartition(wanted)[2]
            self._tails[text] = left[-(len(wanted) - 1) :] if len(wanted) > 1 else b""
        return found

    def take(self) -> list[dict[str, Any]]:
        """Everything that happened since the last time."""
        happened, self.happened = self.happened, []
        return happened
