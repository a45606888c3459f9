"""What the timebase works with: turns, why there is none, and a core's time."""

from dataclasses import dataclass, field
from typing import NamedTuple

from cosim.broker import Interrupt
from cosim.relay import NEVER_PS
from cosim.units import cycles_of_ps, ps_of_cycles

EXTENDED = -1  # `until` of a turn without a limit


class Turn(NamedTuple):
    """A granted turn; see protocol/turns.py."""

    core: int
    node: str
    sequence: int
    start_ps: int
    until_ps: int
    contended: bool
    interrupts: tuple[Interrupt, ...]

    def message(self) -> dict:
        """The `turn` message."""
        return {
            "kind": "turn",
            "core": self.core,
            "sequence": self.sequence,
            "until_ps": self.until_ps,
            "contended": self.contended,
            "interrupts": [item.row() for item in self.interrupts],
        }


class Halt(NamedTuple):
    """No turn would start before this time."""

    virtual_time_ps: int


class End(NamedTuple):
    """No further turn: "exited" (all programs ended), "limit" (virtual time), or "deadlock"."""

    reason: str
    virtual_time_ps: int


@dataclass
class CoreTime:
    """One core as the timebase sees it.

    safe_until_ps: no interrupt may arrive before this any more.
    """

    index: int
    node: str
    frequency_hz: int
    now_ps: int = 0
    state: str = "runnable"
    wake_ps: int = -1
    ran: bool = False
    safe_until_ps: int = 0
    version: int = 0
    pending: list[tuple[tuple[int, int, int, int], Interrupt]] = field(default_factory=list)

    def next_action_ps(self) -> int:
        """The earliest time at which this core can do anything: a waiting one wakes at a cycle.

        Without the rounding, a timer and an interrupt within one cycle would make a turn that ends
        in the cycle in which it starts, again and again.
        """
        if self.state == "runnable":
            return self.now_ps
        earliest = self.pending[0][1].at_ps if self.pending else NEVER_PS
        if self.state == "waiting" and 0 <= self.wake_ps < earliest:
            earliest = self.wake_ps
        if earliest == NEVER_PS or earliest <= self.now_ps:
            return max(earliest, self.now_ps)
        return ps_of_cycles(cycles_of_ps(earliest, self.frequency_hz), self.frequency_hz)

    def row(self) -> dict:
        """The row of a report."""
        return {
            "core": self.index,
            "node": self.node,
            "state": self.state,
            "now_ps": self.now_ps,
            "wake_ps": self.wake_ps,
            "pending": len(self.pending),
        }


def core_nodes(nodes: list[dict]) -> dict[int, str]:
    """Machine-wide core number -> name of its node: a running count over the nodes in machine
    order.
    """
    owners = [node["name"] for node in nodes for _ in range(node["cores"])]
    return dict(enumerate(owners))
