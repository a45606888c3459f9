"""What an experiment is: which runs, which numbers of the paper, and how ours are computed.

An experiment is data.  `Claim` is one number or relation that the paper states, with its place in
the paper; its quantity says which of our runs give the number that belongs beside it.
launch.reproduction runs experiments and computes the quantities from run folders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

TOLERANCE = 0.15  # a difference beyond this needs a reason
CLASSES = ("S", "W", "A", "B")


@dataclass(frozen=True)
class Subject:
    """One program under one set of settings.  variant: tells it from others of its program."""

    benchmark: str
    variant: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How cells refer to it."""
        return f"{self.benchmark} {self.variant}".rstrip()


@dataclass(frozen=True)
class Cell:
    """The run of a subject under a system, both by name."""

    subject: str
    system: str


@dataclass(frozen=True)
class TimeRatio:
    """How many times as long `of` takes as `by`."""

    of: Cell
    by: Cell


@dataclass(frozen=True)
class Largest:
    """The largest of several ratios."""

    ratios: Sequence[TimeRatio]


@dataclass(frozen=True)
class Spread:
    """The longest time of several runs by the shortest."""

    cells: Sequence[Cell]


@dataclass(frozen=True)
class Count:
    """A counter of a run, summed over its nodes: messages or pages_replicated."""

    counter: str
    cell: Cell


@dataclass(frozen=True)
class Reduction:
    """By how much a counter is smaller in `of` than in `by`: 1 - of / by."""

    counter: str
    of: Cell
    by: Cell


Quantity = TimeRatio | Largest | Spread | Count | Reduction


class Relation(StrEnum):
    """How ours must stand to the paper's number."""

    EQUAL = "="
    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    statement: what the number is.  source: where the paper says so.  classes: problem classes whose
    numbers can be compared with it, () for all.  reason: why ours differs, established from
    measurements; "" while nobody knows.
    """

    name: str
    statement: str
    paper: float
    source: str
    quantity: Quantity
    relation: Relation = Relation.EQUAL
    classes: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Experiment:
    """A figure or table.

    systems: (design, memory model) of every subject, beside the base.  counts: its picture shows
    the counts, not times.
    """

    name: str
    question: str
    subjects: Sequence[Subject]
    systems: Sequence[tuple[str, str]]
    claims: Sequence[Claim]
    counts: bool = False
