"""Scenarios: a machine, programs, what is done to it meanwhile, and what must come out.

```python
from launch import Scenario

def scenario(latency="2us", rounds=20):
    play = Scenario(nodes=["x86", "arm"], settings={"ipi.latency_ns": latency})
    ping = play.start("pingpong", on="x86", arguments=[rounds])
    play.start("pingpong", on="arm", arguments=[rounds])
    play.at("50us").change("ipi.latency_ns", "8us")
    play.when(ended=ping).start("hello", on="arm")
    play.expect("x86.ipi.sent", at_least=rounds)
    play.measure("elapsed_ns")
    return play
```
`scenario().run()` in a notebook; `stramash run FILE.py` and `stramash bench FILE.py` when this is a
file, where `--set` gives the function's parameters other values (launch.scenario_file).
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim.errors import InputError, MachineError
from launch import actions, expectations
from launch.actions import ANY, Change, Interrupt, Kill, Migrate, Start, Upon
from launch.events import Attach, Detach, Event
from launch.expectations import ENDINGS, Expectation, Measurement, Quantity
from launch.instantiation import new_folder, safe_name, split_class
from launch.machine import Machine, Run
from launch.progress import Display
from launch.results import RunFolder
from launch.system import Node

DEFAULT_MEASUREMENT = "elapsed_ns"


class BrokenExpectation(AssertionError):
    """A run is not what its scenario expects.  str: a line for each expectation.  run: the run."""

    def __init__(self, lines: Sequence[str], run: Run) -> None:
        super().__init__("\n".join(lines))
        self.run = run


@dataclass(frozen=True)
class Started:
    """A program of a scenario.  index: in the order of declaration."""

    index: int
    name: str


class When:
    """What is done at one moment: every method declares one event."""

    def __init__(self, scenario: "Scenario", at_ps: int, upon: Mapping[str, Any]) -> None:
        self._scenario = scenario
        self._at_ps = at_ps
        self._upon = upon

    def start(
        self,
        program: str | Path,
        on: str = "",
        arguments: Iterable[object] = (),
        *,
        stdin: bytes | str = b"",
    ) -> Started:
        """Load a program on a node and start it."""
        started = self._scenario._add_program(program, on, arguments, stdin)
        self._do(Start, program=started.index)
        return started

    def migrate(self, program: Started, to: str) -> None:
        """The next migrate_call that the program makes at home goes to that node instead.

        Threads move only where the program calls migrate_call: registers and stacks of one
        instruction set mean nothing to another in between.
        """
        self._scenario._check_migrates()
        self._do(Migrate, program=program.index, node=self._scenario._node(to))

    def attach(self, isa: str, name: str, cores: int = 1) -> None:
        """A node joins the machine."""
        self._do(Attach, isa=isa, name=name, cores=cores)
        self._scenario._joins(Node(name, isa, cores))

    def detach(self, node: str) -> None:
        """A node that joined takes no more threads, and leaves when the last has gone home."""
        self._do(Detach, name=self._scenario._node(node))

    def interrupt(self, source: str, target: str) -> None:
        """Send an inter-processor interrupt, as a guest's ipi_send does, between first cores of two
        nodes; it is due `ipi.latency_ns` later."""
        nodes = self._scenario._node(source), self._scenario._node(target)
        self._do(Interrupt, source=nodes[0], target=nodes[1])

    def change(self, setting: str, value: object) -> None:
        """Change a cost or a latency of interrupts."""
        self._do(Change, setting=setting, value=str(value))
        self._scenario._check_events()

    def kill(self, node: str) -> None:
        """Kill the node's process with SIGKILL: the run fails, as it does after any accident."""
        self._do(Kill, node=self._scenario._node(node))

    def _do(self, kind: type[Event], **fields: Any) -> None:
        event = kind(at_ps=self._at_ps, **fields)
        self._scenario.events.append(Upon(event, **self._upon) if self._upon else event)


class Scenario:
    """A machine and what happens on it.

    machine: the arguments of launch.Machine.  name: for tables and folders (default: that of the
    first program).
    """

    def __init__(self, name: str = "", **machine: Any) -> None:
        if "out" in machine or "progress" in machine:
            raise InputError("Scenario: out and progress are arguments of run(), not of a scenario")
        self._name = name
        self._machine = machine
        self._system = self.machine().system
        self.jobs: list[dict[str, Any]] = []
        self.events: list[Event | Upon] = []
        self.expectations: list[Expectation] = []
        self.measurements: list[Measurement] = []

    # --- declaring ---

    def start(
        self,
        program: str | Path,
        on: str = "",
        arguments: Iterable[object] = (),
        *,
        stdin: bytes | str = b"",
    ) -> Started:
        """A program that runs from the beginning, on one node."""
        return self._add_program(program, on, arguments, stdin)

    def at(self, time: str | int) -> When:
        """A virtual time: "50us", or a whole number of ns."""
        return When(self, actions.time_ps(time), {})

    def when(
        self, *, of: Started | None = None, nth: int = 1, after: str | int = 0, **occurrence: Any
    ) -> When:
        """The moment `after` an occurrence, at the earliest one interrupt later; see
        launch.actions.

        occurrence: one of started=program, ended=program, region_begin=label, region_end=label,
        console=text, arrives=node.  of: of this program only.  nth: not the first time, but the
        nth.
        """
        name, given = actions.occurrence_of(occurrence)
        subject: int | str = given
        if nth < 1:
            raise InputError(f"when(nth={nth}): occurrences are counted from 1")
        program = ANY if of is None else of.index
        if name in ("started", "ended"):
            if not isinstance(given, Started):
                raise InputError(f"when({name}={given!r}): give what start() returned")
            program, subject = given.index, ""
        elif name == "arrives":
            subject = self._node(str(given))
        elif name == "console" and of is not None:
            raise InputError("when(console=..., of=...): a console is that of a whole node")
        if name == "console" and not subject:
            raise InputError("when(console=''): give a text that guests write")
        fields = {"subject": subject, "program": program, "nth": nth}
        after_ps = actions.time_ps(after)
        return When(self, 0, {"occurrence": name, **fields, "after_ps": after_ps})

    def expect(self, quantity: Quantity, name: str = "", **relation: Any) -> None:
        """Something that must be true of the run.

        quantity: the name of a statistic, of launch.expectations.QUANTITIES, or a function of the
        Run.  relation: one of equal, differs, at_least, at_most, more_than, less_than, contains,
        matches; its value may be a function of the Run as well, or another Scenario, whose run is
        made too and has the same quantity.
        """
        place = _place()
        how, right = expectations.relation_of(relation)
        called = name or expectations.named(quantity)
        reference = isinstance(right, Scenario)
        self.expectations.append(Expectation(called, quantity, how, right, place, reference))

    def measure(self, *quantities: Quantity, **named: Quantity) -> None:
        """Columns of the table, by the names of the quantities or by names of their own."""
        place = _place()
        wanted = {expectations.named(quantity): quantity for quantity in quantities} | named
        self.measurements += [Measurement(name, one, place) for name, one in wanted.items()]

    # --- running ---

    def run(
        self,
        out: str | Path | None = None,
        *,
        progress: bool | Display = False,
        console: Any = None,
        command: Sequence[str] | None = None,
    ) -> Run:
        """Run it in the folder `out` (default: a new one below runs/).

        Raises BrokenExpectation when the run is not what is expected, MachineError when the
        machine fails unexpectedly, InputError for what cannot run.  Scenarios that expectations
        refer to run afterwards, in folders below.
        """
        programs = self.machine().place(self.jobs, self.events)
        folder = new_folder(self.name, None if out is None else Path(out))
        described = self.machine(out=folder, progress=progress)
        try:
            with described:
                run = described.run_programs(
                    programs, console=console, command=command, events=self.events
                )
        except MachineError:
            if not self.expects_an_ending:
                raise
            run = Run(RunFolder.read(folder))
        references = {
            id(other): other.run(folder / f"reference-{number}", progress=progress)
            for number, other in enumerate(self.references, 1)
        }
        if broken := self.broken(run, references):
            raise BrokenExpectation(broken, run)
        return run

    def broken(self, run: Run, references: Mapping[int, Run]) -> list[str]:
        """A line for everything in which a run is not as declared.

        references: runs of the scenarios that expectations refer to, by id.
        """
        lines = expectations.all_broken(self.expectations, run, references)
        if self.expects_an_ending:
            return lines
        return lines + [f"did not happen: {event}" for event in run.manifest["ended"]["undone"]]

    @property
    def name(self) -> str:
        """What it is called."""
        first = self.jobs[0]["program"] if self.jobs else "scenario"
        return self._name or safe_name(Path(split_class(first)[0]).stem)

    @property
    def references(self) -> list["Scenario"]:
        """Other scenarios whose runs expectations refer to."""
        found = {id(e.right): e.right for e in self.expectations if e.reference}
        return list(found.values())

    @property
    def expects_an_ending(self) -> bool:
        """Does it say itself how the run ends?"""
        return any(e.quantity in ENDINGS for e in self.expectations)

    @property
    def measured(self) -> list[Measurement]:
        """Columns of the table; the elapsed time when nothing else is measured."""
        default = Measurement(DEFAULT_MEASUREMENT, DEFAULT_MEASUREMENT, "")
        return self.measurements or [default]

    @property
    def node_names(self) -> list[str]:
        """Of the machine as it starts."""
        return self._system.names

    def override(self, settings: Mapping[str, object]) -> None:
        """Settings stronger than the scenario's own."""
        given = self._machine.get("settings") or {}
        self._machine = {**self._machine, "settings": {**given, **settings}}

    def machine_arguments(self) -> dict[str, Any]:
        """Arguments of launch.Machine, as plain data."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in self._machine.items()}

    def machine(self, **more: Any) -> Machine:
        """The machine, described."""
        return Machine(**self._machine, **more)

    # --- what declarations are checked against ---

    def _add_program(
        self, program: str | Path, on: str, arguments: Iterable[object], stdin: bytes | str
    ) -> Started:
        node = [self._node(on)] if on else []
        words = [str(argument) for argument in arguments]
        job = {"program": str(program), "on": node, "arguments": words, "stdin": stdin}
        self.jobs.append(job)
        return Started(len(self.jobs) - 1, str(program))

    def _node(self, name: str) -> str:
        return self._system.node(name).name

    def _joins(self, node: Node) -> None:
        self._system = self._system.with_node(node)

    def _check_events(self) -> None:
        actions.run_options(self.machine().simulation, self.events)

    def _check_migrates(self) -> None:
        design = self.machine().simulation.design
        if not design.migrates:
            raise InputError(f"migrate: programs do not migrate with os={design.name!r}")


def _place() -> str:
    """file:line of the code that called into this module."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
