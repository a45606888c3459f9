"""How far a machine is, and what a run of it gave: what the supervisor tells its caller."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far the machine is.

    instructions and cycles: sums over the nodes; doing: what each process does.
    """

    phase: str
    host_seconds: float
    virtual_time_ps: int
    instructions: int
    cycles: int
    doing: dict[str, str]


@dataclass
class Outcome:
    """What a run gave.  Everything but host_seconds is simulated.

    exited: rows of the `exited` messages with the node's name.  finished: the timebase's message.
    statistics: of all components, by dotted name.  registers: words per node.  reports: per
    component.  host_seconds: from the first turn to the last, without boot, digests and the end of
    the processes.
    """

    exited: list[dict] = field(default_factory=list)
    finished: dict = field(default_factory=dict)
    statistics: dict[str, int] = field(default_factory=dict)
    registers: dict[str, list[int]] = field(default_factory=dict)
    reports: dict[str, dict] = field(default_factory=dict)
    host_seconds: float = 0.0
