"""Every error the simulator raises on purpose, and how one is worded.

A message is one line: what, where, what was found, what is allowed, what to do next.
Guest mistakes (a bad pointer, an illegal instruction) are not errors here: the kernels turn them
into signals.
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit statuses of our own; everything else is the guest's."""

    OURS = 125  # the simulator failed, or its input was wrong


class StramashError(Exception):
    """Base of all: str(error) is the one line a user sees."""


class InputError(StramashError):
    """A file, option, name or program that the user gave cannot be used."""


class ProtocolError(StramashError):
    """A message that does not follow its table, or arrives where it has no place."""


class MachineError(StramashError):
    """A process of the machine died, hung or broke an invariant.

    report: further lines, such as who waits for whom.  statistics: what had been counted until
    then.
    """

    def __init__(
        self, line: str, report: str = "", statistics: dict[str, int] | None = None
    ) -> None:
        super().__init__(line)
        self.report = report
        self.statistics = statistics or {}


class EnginesDiffer(MachineError):
    """A checked engine found that the native one does something else than Unicorn.

    Where it is raised it knows more than its line.  instruction: number of the first instruction
    that differs, from the core's start.  form: of it.  differences: what it left, see
    cosim.engine.native.difference.
    """

    def __init__(
        self, line: str, instruction: int = 0, form: str = "", differences: Iterable[Any] = ()
    ) -> None:
        super().__init__(line)
        self.instruction = instruction
        self.form = form
        self.differences = tuple(differences)


class InvariantError(MachineError):
    """A law that always holds did not: the run failed, its numbers must not be used."""


def suggest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when something close to `name` is known, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
