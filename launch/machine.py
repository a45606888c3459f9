"""The Python interface: describe a machine once, run programs on it, read what came out.

```python
from launch import Machine

with Machine(memory="shared", nodes=("x86", "arm")) as machine:
    run = machine.run("hello", on="x86", arguments=["world"])
    print(run.console, run.statistics["x86.core0.instructions_user"], run.digest)
```
Every run boots a fresh machine, so runs never influence each other and the same run always ends in
the same digest.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult

from cosim.errors import InputError, InvariantError, MachineError
from launch import designs, multi_isa, repetition, report, results, running, variants
from launch import system as systems
from launch.actions import Upon, of_either, run_options
from launch.agenda import Agenda
from launch.build import build, find
from launch.closing import Closing
from launch.events import Attach, Event
from launch.instantiation import Instantiation, Program, new_folder, place, split_class
from launch.live import Live
from launch.outcome import Heard, gather, partial
from launch.outside import Outside
from launch.progress import Display
from launch.salvage import segment_statistics
from launch.simulation import Simulation, parse_limit
from launch.supervisor import Supervisor
from launch.system import Node

ConsoleCallback = Callable[[str, bytes], None]
Job = str | Path | Sequence | Mapping
QUIET = Display(quiet=True)


class Run:
    """One finished run; everything is read from its folder.

    exit_status: of the first program that failed, else 0.  console: what guests wrote, as text.
    """

    def __init__(self, folder: results.RunFolder) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self._folder.path

    @property
    def manifest(self) -> dict:
        """manifest.json."""
        return self._folder.manifest

    @property
    def statistics(self) -> dict:
        """Every statistic by name."""
        return self._folder.statistics

    @property
    def digest(self) -> str:
        """machine.digest: equal runs have equal ones."""
        return str(self.statistics["machine.digest"])

    @property
    def also(self) -> "list[Run]":
        """The same execution as further memory systems price it, in the order given."""
        count = len(self.manifest["also"]) if isinstance(self.manifest.get("also"), list) else 0
        folders = (self.folder / variants.name(number) for number in range(1, count + 1))
        return [Run(results.RunFolder.read(folder)) for folder in folders]

    @property
    def programs(self) -> list[dict]:
        """program, node, pid, status, signal and report of each program, in the order given."""
        return self.manifest["ended"]["programs"]

    @property
    def exit_status(self) -> int:
        """Of the first program that failed, in the order given; 0 when none did."""
        return next((program["status"] for program in self.programs if program["status"]), 0)

    @property
    def console(self) -> str:
        """What all guests wrote, in the order of virtual time."""
        return self._folder.console().decode(errors="replace")

    @property
    def consoles(self) -> dict[str, str]:
        """What the guests of each node wrote."""
        nodes = self._folder.nodes
        return {node: self._folder.console(node).decode(errors="replace") for node in nodes}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield report.summary(self._folder)
        if also := self.also:
            yield ""
            yield report.fed_table([run._folder for run in (self, *also)])

    def __repr__(self) -> str:
        ended = ", ".join(f"{p['program']} on {p['node']}: {p['status']}" for p in self.programs)
        return f"<Run {self.folder}: {ended}>"

    def _repr_html_(self) -> str:
        """For notebooks: the summary table."""
        console = Console(record=True, file=io.StringIO(), width=110)
        console.print(self)
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


class Machine(Closing):
    """A machine to run programs on.

    nodes: names that begin with x86, arm or riscv, one core each; or machine: a TOML file or the
    name of a bundled one. memory, preset: short for the settings memory.model and memory.preset;
    settings: any others, by name. os: operating-system design (launch.designs), or "MODULE:NAME".
    root: the folder guests see as /.  out: the run folder (default: a new one below runs/).  seed:
    what guests see as random.  limit: virtual time at which a run ends, as "5ms".  isas:
    instruction sets, beyond the nodes' own, that programs are built for: of nodes that may join.
    also: settings of further memory systems that one execution feeds (launch.variants).
    progress: show progress on stderr, or where a Display of your own does.  Raises InputError when
    these do not make a machine.
    """

    def __init__(
        self,
        *,
        nodes: Sequence[str] | None = None,
        machine: str | Path | None = None,
        memory: str | None = None,
        preset: str | None = None,
        settings: Mapping[str, object] | None = None,
        os: str = designs.DEFAULT,
        ideal_kernel: bool = False,
        root: str | Path | None = None,
        out: str | Path | None = None,
        seed: int = 1,
        limit: str | None = None,
        isas: Sequence[str] = (),
        also: Sequence[Mapping[str, object]] = (),
        progress: bool | Display = False,
    ) -> None:
        if nodes is not None and machine is not None:
            raise InputError("give either nodes or machine: a machine file names its nodes itself")
        file = str(machine) if machine is not None else systems.DEFAULT_MACHINE
        self.system = systems.of_names(nodes) if nodes is not None else systems.load(file)
        short = {"memory.model": memory, "memory.preset": preset}
        chosen = {name: value for name, value in short.items() if value is not None}
        limit_ns = None if limit is None else parse_limit(limit)
        self.simulation = Simulation(
            self.system, {**chosen, **(settings or {})}, ideal_kernel, seed, limit_ns, os
        )
        self.variants = variants.of(self.simulation, also)
        self.root = None if root is None else Path(root)
        self.out = None if out is None else Path(out)
        self.isas = tuple(isas)
        self.progress = progress
        self._supervisor: Supervisor | None = None

    @classmethod
    def repeat(cls, folder: str | Path, **options: Any) -> Run:
        """Do the run in a folder again, events included: it ends in the same digest.

        options: out, progress (see Machine), console, command (see run_together).
        """
        again = repetition.of_run(Path(folder))
        own = {name: options.pop(name) for name in ("out", "progress") if name in options}
        machine = cls(**own)
        machine.system, machine.simulation = again.simulation.system, again.simulation
        machine.root = again.root
        with machine:
            return machine.run_programs(again.programs, events=again.events, **options)

    def close(self) -> None:
        """End a run that is still under way.  Idempotent."""
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None

    def build(self, program: str | Path, flags: Sequence[str] = ()) -> dict[str, Path]:
        """The ELF of a C program for every node of the machine, by node name."""
        isas = self.system.isas
        if self.simulation.design.migrates:
            images = multi_isa.build(find(str(program)), isas, flags)
            return {node.name: images[node.isa] for node in self.system.nodes}
        with ThreadPoolExecutor(len(isas)) as pool:
            built = dict(
                zip(isas, pool.map(lambda isa: build(str(program), isa, flags), isas), strict=True)
            )
        return {node.name: built[node.isa] for node in self.system.nodes}

    def run(
        self,
        program: str | Path,
        on: str | Sequence[str] = (),
        arguments: Iterable[object] = (),
        *,
        stdin: bytes | str = b"",
        root: str | Path | None = None,
        console: ConsoleCallback | None = None,
        events: Sequence[Event | Upon] = (),
    ) -> Run:
        """Run one program, on one node or a copy on each of several at the same time, until it
        ends.

        events: what is done to the machine meanwhile (launch.events).
        """
        job = {"program": program, "on": on, "arguments": arguments, "stdin": stdin}
        return self.run_together([job], root=root, console=console, events=events)

    def run_together(
        self,
        jobs: Sequence[Job],
        *,
        root: str | Path | None = None,
        console: ConsoleCallback | None = None,
        command: Sequence[str] | None = None,
        events: Sequence[Event | Upon] = (),
    ) -> Run:
        """Run several programs at the same time, each on its node, until all have ended.

        jobs: each a program, a (program, node) or (program, node, arguments) sequence, or a dict
        with the arguments of `run`.  console(node, bytes) is called while guests write. Raises
        InputError for programs that cannot run, MachineError when the machine fails; what had been
        counted until then is in the run folder.
        """
        programs = self.place(jobs, events)
        return self.run_programs(
            programs, root=root, console=console, command=command, events=events
        )

    def run_programs(
        self,
        programs: Sequence[Program],
        *,
        root: str | Path | None = None,
        console: ConsoleCallback | None = None,
        command: Sequence[str] | None = None,
        events: Sequence[Event | Upon] = (),
    ) -> Run:
        """As run_together, of programs that are built and placed."""
        if self.variants:
            variants.check(self.simulation, programs, events)
        folder = new_folder(programs[0].name, self.out)
        variants.clear(folder)
        chosen = Path(root) if root is not None else self.root
        planned = run_options(self.simulation, events)
        instantiation = Instantiation(self.simulation, folder, chosen, planned)
        return Run(self._execute(instantiation, programs, command or [], console, events))

    def place(self, jobs: Sequence[Job], events: Sequence[Event | Upon] = ()) -> list[Program]:
        """Build every program for its nodes, and if it may migrate, for those that join."""
        if not jobs:
            raise InputError("nothing to run: give at least one program")
        wanted = [_job(job) for job in jobs]
        with ThreadPoolExecutor(len(wanted)) as pool:
            system, design = self.system, self.simulation.design
            joining = [e for e in map(of_either, events) if isinstance(e, Attach)]
            for event in joining:
                if event.name:
                    system = system.with_node(Node(event.name, event.isa, event.cores))
            more = (*self.isas, *(event.isa for event in joining))
            placed = list(pool.map(lambda job: place(system, design, **job, isas=more), wanted))
        return [program for group in placed for program in group]

    def configuration_digest(
        self, programs: Sequence[Program], events: Sequence[Event | Upon] = ()
    ) -> str:
        """Of everything that decides the result of a run of these programs, as its manifest has
        it."""
        planned = run_options(self.simulation, events)
        instantiation = Instantiation(self.simulation, Path(), self.root, planned)
        configuration = instantiation.configuration(programs)
        return results.configuration_digest(configuration, [manifest_row(p) for p in programs])

    def _execute(
        self,
        instantiation: Instantiation,
        programs: Sequence[Program],
        command: Sequence[str],
        console: ConsoleCallback | None,
        events: Sequence[Event | Upon],
    ) -> results.RunFolder:
        configuration = instantiation.configuration(programs)
        configuration |= variants.configuration(self.variants)
        repetition.keep_stdin(instantiation.folder, programs)
        recipe = repetition.recipe(self.simulation, self.isas)
        rows = [manifest_row(program) for program in programs]
        display = self.progress if isinstance(self.progress, Display) else QUIET
        if self.progress is True:
            display = Display()
        heard: list[tuple[str, bytes]] = []

        def listen(node: str, data: bytes) -> None:
            heard.append((node, data))
            if console is not None:
                display.around(lambda: console(node, data))

        supervisor = Supervisor(
            configuration, listen, display, segment_statistics, notice=display.notice
        )
        self._supervisor = supervisor
        live = Live(supervisor, self.simulation, programs)
        outside = Outside(live)
        agenda = Agenda(live, events, outside)
        asked = results.configuration_digest(configuration, rows)

        def write(outcome: results.Outcome) -> None:
            run = instantiation.run_options(programs)
            run |= {"events": live.done} if live.done else {}
            outcome.undone = agenda.undone()
            digest = asked if events and not live.disturbed else ""
            settings = live.simulation.settings
            final = {**configuration, "settings": settings, "nodes": live.rows, "run": run}
            fed = [dict(variant.given) for variant in self.variants] or None
            results.write(instantiation.folder, final, rows, command, outcome, recipe, digest, fed)
            self._write_also(instantiation.folder, final, programs, command, outcome.also)

        try:
            outcome = self._drive(supervisor, instantiation, command, heard, agenda)
        except (MachineError, InputError) as error:
            # The user's mistake after the start: an event that could not happen.
            if isinstance(error, MachineError) or supervisor.phase in ("run", "collect"):
                write(partial(error, programs, heard, supervisor, live.pids))
                error.args = (f"{error}; statistics so far: {instantiation.folder}",)
            raise
        finally:
            display.close()
            outside.close()
            self.close()
        write(outcome)
        check_laws(outcome, instantiation.folder)
        for variant, found in zip(self.variants, outcome.also, strict=True):
            check_laws(found, variant.folder(instantiation.folder))
        return results.RunFolder.read(instantiation.folder)

    def _drive(
        self,
        supervisor: Supervisor,
        instantiation: Instantiation,
        command: Sequence[str],
        heard: Heard,
        agenda: Agenda,
    ) -> results.Outcome:
        running.announce(supervisor.sockets.folder, instantiation.folder, list(command))
        supervisor.start()
        live = agenda.live
        for number in range(len(live.programs)):
            if number not in agenda.starts_later:
                live.load(number)
        given = supervisor.run(agenda)
        outcome = gather(given, live.programs, live.pids, heard)
        outcome.also = variants.outcomes(outcome, given.reports, supervisor.configuration["nodes"])
        return outcome

    def _write_also(
        self,
        folder: Path,
        configuration: Mapping[str, object],
        programs: Sequence[Program],
        command: Sequence[str],
        outcomes: Sequence[results.Outcome],
    ) -> None:
        """The folders of further memory systems; none when the run failed."""
        rows = [manifest_row(program) for program in programs]
        for variant, outcome in zip(self.variants, outcomes, strict=bool(outcomes)):
            place = variant.folder(folder)
            place.mkdir(exist_ok=True)
            repetition.keep_stdin(place, programs)
            own = {**configuration, "settings": variant.simulation.settings}
            recipe = repetition.recipe(variant.simulation, self.isas)
            fed = {"by": folder.name, "settings": dict(variant.given)}
            results.write(place, own, rows, command, outcome, recipe, also=fed)

    def __repr__(self) -> str:
        nodes = ", ".join(f"{node.name} ({node.isa} x {node.cores})" for node in self.system.nodes)
        settings = self.simulation.settings
        model, preset = settings["memory.model"], settings["memory.preset"]
        return f"<Machine {nodes}; {model} memory, {preset} costs>"


def _job(job: Job) -> dict:
    """Any form of job as the keyword arguments of `place`."""
    if isinstance(job, Mapping):
        given = dict(job)
    elif isinstance(job, str | Path):
        given = {"program": job}
    else:
        given = dict(zip(("program", "on", "arguments"), job, strict=False))
    on, stdin = given.get("on", ()), given.get("stdin", b"")
    program, first = split_class(str(given["program"]))
    return {
        "program": program,
        "on": [on] if isinstance(on, str) else list(on),
        "arguments": [*first, *(str(argument) for argument in given.get("arguments", ()))],
        "stdin": stdin.encode() if isinstance(stdin, str) else bytes(stdin),
    }


def check_laws(outcome: results.Outcome, folder: Path) -> None:
    """InvariantError when a law of the memory system does not hold."""
    if outcome.laws:
        raise InvariantError(
            f"{len(outcome.laws)} laws of the memory system do not hold, first:"
            f" {outcome.laws[0]}; see {folder / results.MANIFEST}"
        )


def manifest_row(program: Program) -> dict[str, object]:
    """What the manifest says about a program."""
    images = {isa: results.file_digest(path) for isa, path in sorted(program.images.items())}
    return {
        "name": program.name,
        "node": program.node,
        "path": str(program.path),
        "digest": results.file_digest(program.path),
        "images": images,
        "files": {isa: str(path) for isa, path in sorted(program.images.items())},
        "arguments": list(program.arguments),
        "stdin_digest": results.bytes_digest(program.stdin),
    }
