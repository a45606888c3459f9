"""What scenarios do to a machine while it runs, beyond nodes that join and leave: more events.

```text
 Start      load a program and start it           Change  a cost, or a latency of interrupts
 Migrate    redirect its next migrate_call        Kill    a node's process, with SIGKILL
 Interrupt  an inter-processor interrupt between two nodes
```
An event has a virtual time (launch.events), or waits for an occurrence: `Upon` says which, and the
event happens some time later.  Nobody can act on an occurrence before its news has travelled, so
that is at the earliest one inter-processor interrupt, the smallest `ipi.latency_ns` at the start,
after it: a time that no core has passed, whatever the length of turns.  The manifest lists events
with the times at which they happened, so a repetition waits for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from cosim.errors import InputError, suggest
from launch.events import Event, of_rows
from launch.live import Live
from launch.simulation import PS_PER_NS, Simulation, parse_limit
from memsys import specification

ANY = -1  # instead of a program or label: whichever
OCCURRENCES = {
    "started": "a program begins",
    "ended": "a program ends",
    "region_begin": "a program begins a timed region",
    "region_end": "a program ends a timed region",
    "console": "guests of one node have written this text",
    "arrives": "a thread arrives on this node by migration",
}
CHANGEABLE = ("cost.", "ipi.latency_ns")  # how these settings begin
LATENCY = "ipi.latency_ns."


@dataclass(frozen=True, kw_only=True)
class Start(Event):
    """A program is loaded on its node and starts.  program: its number among those of the run."""

    program: int

    KIND: ClassVar[str] = "start"

    def perform(self, live: Live) -> Mapping[str, Any]:
        """See Event.perform."""
        live.load(self.program)
        return {}


@dataclass(frozen=True, kw_only=True)
class Migrate(Event):
    """The next migrate_call that a program makes at home goes to `node`, whatever it says.

    That is all a kernel can do: between two calls, registers and stack are in the form of one
    instruction set.
    """

    program: int
    node: str

    KIND: ClassVar[str] = "migrate"

    def perform(self, live: Live) -> Mapping[str, Any]:
        """See Event.perform."""
        home, pid = live.process(self.program)
        message = {"kind": "redirect", "pid": pid, "node": live.row(self.node)["index"]}
        live.supervisor.ask([home], message)
        return {}


@dataclass(frozen=True, kw_only=True)
class Interrupt(Event):
    """An inter-processor interrupt from the first core of one node to that of another, as a
    guest's ipi_send makes it.
    """

    source: str
    target: str

    KIND: ClassVar[str] = "interrupt"

    def perform(self, live: Live) -> Mapping[str, Any]:
        """See Event.perform."""
        ends = {"source": live.first_core(self.source), "target": live.first_core(self.target)}
        message = {"kind": "interrupt", **ends, "at_ps": live.now_ps}
        live.supervisor.ask(["timebase"], message)
        return {}


@dataclass(frozen=True, kw_only=True)
class Change(Event):
    """A setting has another value from now on: costs of memory and snoops, interrupts' latency."""

    setting: str
    value: str

    KIND: ClassVar[str] = "change"

    def perform(self, live: Live) -> Mapping[str, Any]:
        """See Event.perform."""
        check_changeable(self.setting)
        live.change(self.setting, self.value)
        return {}


@dataclass(frozen=True, kw_only=True)
class Kill(Event):
    """A node's process ends by SIGKILL; what follows is what follows any such accident."""

    node: str

    KIND: ClassVar[str] = "kill"

    def perform(self, live: Live) -> Mapping[str, Any]:
        """See Event.perform."""
        live.row(self.node)
        live.supervisor.children[self.node].process.kill()
        return {}


@dataclass(frozen=True)
class Upon:
    """An event that waits.

    occurrence: of OCCURRENCES.  subject: what it is about, a program's number, a label, text or
    the name of a node.  program: whose, ANY for any.  nth: which time, from 1.  after_ps: the
    event's time beyond the news.
    """

    event: Event
    occurrence: str
    subject: int | str
    program: int = ANY
    nth: int = 1
    after_ps: int = 0

    def row(self) -> dict[str, Any]:
        """As plain data."""
        fields = {k: v for k, v in vars(self).items() if k != "event"}
        return {**self.event.row(0, {}), "upon": fields}

    def __str__(self) -> str:
        kind = self.event.KIND
        return f"{kind} (when {self.occurrence} {self.subject!r} for the {self.nth}. time)"


@dataclass
class Waiting:
    """Events that wait for occurrences, and those that came due."""

    left: list[Upon]
    notice_ps: int
    _seen: dict[int, int] = field(default_factory=dict)

    def occurred(self, name: str, subject: object, program: int, at_ps: int) -> list[Event]:
        """Something occurred; the events that follow, with their times."""
        found = []
        for upon in [u for u in self.left if self._is_of(u, name, subject, program)]:
            self._seen[id(upon)] = self._seen.get(id(upon), 0) + 1
            if self._seen[id(upon)] == upon.nth:
                self.left.remove(upon)
                time_ps = at_ps + self.notice_ps + upon.after_ps
                found.append(replace(upon.event, at_ps=time_ps))
        return found

    @staticmethod
    def _is_of(upon: Upon, name: str, subject: object, program: int) -> bool:
        same = upon.occurrence == name and upon.program in (ANY, program)
        return same and (name in ("started", "ended") or str(upon.subject) == str(subject))


def of_either(event: Event | Upon) -> Event:
    """The event itself, whether it waits or not."""
    return event.event if isinstance(event, Upon) else event


def of_plain(row: Mapping[str, Any]) -> Event | Upon:
    """The event of a row as `plain` makes it."""
    (event,) = of_rows([row])
    return Upon(event, **row["upon"]) if "upon" in row else event


def plain(event: Event | Upon) -> dict[str, Any]:
    """An event as JSON can carry it, and as digests cover it."""
    return event.row() if isinstance(event, Upon) else event.row(event.at_ps, {})


def run_options(simulation: Simulation, events: Sequence[Event | Upon]) -> dict[str, Any]:
    """What the processes of a machine must know of these events before: nothing if there are none.

    events: as plain data.  watch: pairs of occurrence and subject that nodes tell of.
    worst_reference_cycles: with every cost at its dearest.
    """
    if not events:
        return {}
    watch = [[u.occurrence, str(u.subject)] for u in events if isinstance(u, Upon)]
    return {
        "planned": [plain(event) for event in events],
        "watch": watch,
        "worst_reference_cycles": worst_reference_cycles(simulation, events),
    }


def worst_reference_cycles(simulation: Simulation, events: Sequence[Event | Upon]) -> int:
    """No reference costs more, whichever of the events' changes are in force.

    Raises InputError for values that cannot be.
    """
    settings = dict(simulation.settings)
    for event in map(of_either, events):
        if isinstance(event, Change):
            check_changeable(event.setting)
            overrides = {**simulation.overrides, event.setting: event.value}
            changed = replace(simulation, overrides=overrides).settings
            for name, value in changed.items():
                if name.startswith("cost."):
                    settings[name] = max(int(settings[name]), int(value))
    return specification.build(settings, simulation.nodes()).worst_reference_cycles


def notice_ps(simulation: Simulation) -> int:
    """How long the news of an occurrence travels."""
    values = simulation.settings.items()
    return PS_PER_NS * min(int(value) for name, value in values if name.startswith(LATENCY))


def time_ps(time: str | int) -> int:
    """Virtual time in ps from "5ms" or a whole number of ns; 0 is allowed.  InputError if bad."""
    return 0 if str(time) == "0" else parse_limit(str(time)) * PS_PER_NS


def check_changeable(name: str) -> None:
    """InputError unless the setting may change while a machine runs."""
    if not name.startswith(CHANGEABLE):
        raise InputError(
            f"change {name}: cannot change while the machine runs; what can are costs of memory"
            " and snoops (cost.*) and latencies of interrupts (ipi.latency_ns*)"
        )


def occurrence_of(given: Mapping[str, Any]) -> tuple[str, Any]:
    """(occurrence, subject) from keyword arguments of which exactly one must name one."""
    for name in given:
        if name not in OCCURRENCES:
            hint = suggest(name, OCCURRENCES) or f"; there are {', '.join(OCCURRENCES)}"
            raise InputError(f"when({name}=...): no such occurrence{hint}")
    if len(given) != 1:
        raise InputError(f"when(): name one occurrence, of {', '.join(OCCURRENCES)}")
    return next(iter(given.items()))
