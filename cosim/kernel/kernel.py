"""The mini-kernel of one node: composes its parts and runs its cores turn by turn.

A turn lets one core run until a limit in virtual time: interrupts and timers that are due are
handled, a thread is picked, and the engine runs until something stops it.  The mechanisms are in
the other modules of this package; what an operating-system design may exchange is named in
Services.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cosim import physical_map
from cosim.broker import Function, arrival
from cosim.engine.interface import UNLIMITED
from cosim.errors import InputError, InvariantError
from cosim.isa import Isa
from cosim.kernel import costs, fault_report, interrupts, reports, traps
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.calls import files as file_calls
from cosim.kernel.calls import memory as memory_calls
from cosim.kernel.calls import names as name_calls
from cosim.kernel.calls import polling as polling_calls
from cosim.kernel.calls import process as process_calls
from cosim.kernel.calls import signal as signal_calls
from cosim.kernel.calls import system as system_calls
from cosim.kernel.calls import thread as thread_calls
from cosim.kernel.calls import time as time_calls
from cosim.kernel.calls.table import Call
from cosim.kernel.clock import EPOCH_S, NS_PER_SECOND, Clock, ClockId
from cosim.kernel.console import Console
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.file_system import FileSystem
from cosim.kernel.files import HostFile, OpenFile
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.futex import FutexTable
from cosim.kernel.memory import KernelMemory
from cosim.kernel.processes import Processes
from cosim.kernel.pseudo_files import BytesFile, DeviceFile, SegmentFile
from cosim.kernel.regions import Counters, Regions
from cosim.kernel.scheduler import Lane, Scheduler
from cosim.kernel.shared_window import SharedWindow
from cosim.kernel.signals import SignalInfo, Signals
from cosim.kernel.task import Process, TaskTable, Thread
from cosim.kernel.time_dependence import TimeDependence
from cosim.kernel.waiting import Cause, PageWait
from cosim.kernel.watch import Watch
from cosim.units import PS_PER_NS, cycles_of_ps

RELEASE = "6.1.0-stramash"

CALLS: dict[str, Call] = {
    name: call
    for module in (
        memory_calls,
        file_calls,
        name_calls,
        polling_calls,
        process_calls,
        signal_calls,
        system_calls,
        thread_calls,
        time_calls,
    )
    for name, call in module.CALLS.items()
}


@dataclass(frozen=True)
class Services:
    """What an operating-system design may exchange: classes are used with the same arguments,
    tables by the same keys.

    calls: system calls by name, over the ordinary ones.  interrupts: handlers by function number,
    likewise.
    """

    address_space: type = AddressSpace
    futexes: type = FutexTable
    scheduler: type = Scheduler
    processes: type = Processes
    calls: Mapping[str, Call] = field(default_factory=dict)
    interrupts: Mapping[Any, Callable] = field(default_factory=lambda: interrupts.HANDLERS)

    def make_frames(
        self,
        memory: KernelMemory,
        ranges: list[list[tuple[int, int]]],
        block_bytes: int,
        node: int,
    ) -> FrameAllocator:
        """The allocator of a node's frames.  ranges: every node's boot ranges, in machine order."""
        return FrameAllocator(memory, ranges[node], block_bytes, node)

    def prepare(self, kernel: "Kernel", settings: Mapping) -> None:
        """Called when memory and clock are there and nothing else: make what the parts need."""

    def complete(self, kernel: "Kernel", settings: Mapping) -> None:
        """Called when the kernel is whole."""

    def directories(self, frames: FrameAllocator, ranges: list[list[tuple[int, int]]]) -> list[int]:
        """DIRECTORY of every node.  frames: this node's.  ranges: of every node."""
        return [found[0][0] for found in ranges]

    def offer(self, kernel: "Kernel") -> tuple[int, int, int]:
        """What this kernel could give to a node that joins: bytes of memory, and its frames in use
        and in all.  -1 bytes: every node has memory of its own.
        """
        return -1, kernel.frames.used, kernel.frames.total

    def donate(self, kernel: "Kernel", node: int) -> tuple[int, int]:
        """Give what was offered to the node; [start, end) in bytes."""
        raise InvariantError("a kernel gives memory that it did not offer")

    def nodes_changed(self, kernel: "Kernel", settings: Mapping) -> None:
        """Called when kernel.node_rows has changed, while the machine stands still."""

    def vacate(self, kernel: "Kernel") -> dict[str, Any]:
        """Give up everything that other nodes need.  reason: why that cannot be done yet, or '';
        legacy: what others must know to go on without this node.
        """
        count = len(kernel.tasks.by_tid)
        return {"reason": f"{count} threads are at home there" if count else "", "legacy": {}}

    def turn_begins(self, kernel: "Kernel", lane: Lane) -> None:
        """Called at the start of each turn of a core."""

    def host_name(self, kernel: "Kernel") -> str:
        """What uname calls the machine."""
        return kernel.node_name

    def processors(self, kernel: "Kernel") -> list[dict[str, Any]]:
        """The CPUs that programs see: rows of node, isa, cores, frequency_hz."""
        return [
            {
                "node": kernel.node_index,
                "isa": kernel.isa.name,
                "cores": len(kernel.cores),
                "frequency_hz": kernel.frequency_hz,
            }
        ]

    def first_processor(self, _kernel: "Kernel") -> int:
        """The number of this node's first core among those of `processors`."""
        return 0

    def statistics(self, _kernel: "Kernel") -> dict[str, int]:
        """Counters of the design, by name below the node's."""
        return {}


def load_services(place: str) -> Services:
    """The Services at `place`: "module:NAME"; "" for those of a kernel that stands alone.

    InputError when there are none.
    """
    if not place:
        return Services()
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"operating-system design {place!r}: {error}") from error
    if not isinstance(found, Services):
        raise InputError(
            f"operating-system design {place!r} is a {type(found).__name__}; it must be an "
            "instance of cosim.kernel.kernel.Services"
        )
    return found


class Kernel:
    """One node's kernel.

    configuration: settings, nodes, run.  node: its own row of nodes.  cores: cosim.core.Core, in
    order.  segments: `physical` has the memory as `.array`.  outbox: device(message) and
    console(bytes) take what leaves the node. exited: programs that ended, {program, pid, status,
    signal, report}, for the node to take away.  counters: of the whole machine, for timed regions.
    counters_also: the same of each further memory system.
    """

    # Parts of designs over several nodes; their Services make them (cosim.kernel.fused.services).
    messages: Any
    remote_cpu: Any
    remote_pages: Any
    page_policy: Any
    migrations: Any
    delegation: Any
    namespaces: Any
    pages: Any
    areas: Any
    translations_moved: Callable[[int, list[int]], None]

    def __init__(
        self,
        configuration: Mapping[str, Any],
        node: Mapping[str, Any],
        isa: Isa,
        cores: list,
        segments: Mapping[str, Any],
        outbox: object,
        services: Services | None = None,
        counters: Counters | None = None,
        counters_also: Sequence[Counters] = (),
    ) -> None:
        settings, run = configuration["settings"], configuration.get("run", {})
        self.services = services or Services()
        self.calls = {**CALLS, **self.services.calls}
        # `isa` is also the form of structures in user memory: a design that runs calls for other
        # nodes' threads exchanges it meanwhile.  The hardware stays what it is.
        self.own_isa = self.isa = isa
        self.cores, self.release = cores, RELEASE
        self.node_name, self.node_index = node["name"], node["index"]
        self.node_rows = configuration["nodes"]
        self._nodes = self._present()
        self.frequency_hz = int(node["frequency_hz"])
        self.seed = run.get("seed", 0)
        # ELFs by instruction set of each multi-ISA program, by its layout's digest: kernels name
        # programs to each other by digest, so that no folder of the host gets into memory.
        self.program_files: dict[str, dict[str, str]] = run.get("program_files", {})
        self.levels = int(settings["kernel.levels"])
        self._make_memory(settings, run, segments)
        self._make_clock(settings, fixed_path=bool(configuration.get("also")))
        self.allocator: Any = None  # of designs whose kernels exchange memory
        self.services.prepare(self, settings)
        self.tasks = TaskTable(self.memory, self.frames, self.node_index)
        slice_ps = int(settings["kernel.slice_ns"]) * PS_PER_NS
        self.scheduler = self.services.scheduler(
            self.memory,
            self.frames,
            self.tasks,
            cores,
            cycles_of_ps(slice_ps, self.frequency_hz),
            self.send_interrupt,
            self.services.first_processor(self),
        )
        self.futexes = self.services.futexes(
            self.memory, self.frames, self.node_index, self.wake_task
        )
        self.signals = Signals(self)
        self.console = Console(self.memory, outbox, self.node_name, owner=self.node_index == 0)
        self.watch = Watch(run.get("watch", ()))
        self.console.heard = self._heard
        folders = (str(run.get(name) or "") for name in ("root", "scratch"))
        self.file_system = FileSystem(self, *folders)
        self.processes = self.services.processes(self)
        self.regions = Regions(counters, counters_also)
        self._path_inodes: dict[str, int] = {}
        self._begin_to_count()
        self.services.complete(self, settings)

    def _begin_to_count(self) -> None:
        """What leaves the kernel at the end of a turn, and what its reports count."""
        self.exited: list[dict] = []
        self.sends: list[dict] = []
        self.acknowledges: list[int] = []
        self.call_counts: dict[str, int] = {}
        self.unknown_calls: dict[str, int] = {}
        self.fault_counts = {"read": 0, "write": 0, "execute": 0, "exception": 0}
        self.ignored_interrupts = 0

    def _make_memory(self, settings: Mapping, run: Mapping, segments: Mapping) -> None:
        """Physical memory as the kernel uses it, its frames, and the shared window."""
        layout = physical_map.build(settings, self.node_rows)
        self.memory = KernelMemory(
            segments["physical"].array, costs.resolve(settings), ideal=bool(run.get("ideal_kernel"))
        )
        ranges = [layout.boot_ranges(row["index"]) for row in self.node_rows]
        self.frames = self.services.make_frames(
            self.memory, ranges, int(settings["memory.block"]), self.node_index
        )
        self._directories = self.services.directories(self.frames, ranges)
        row = layout.shared_window
        self.window = SharedWindow(self.memory, row.start, row.end, self.node_index)

    def _make_clock(self, settings: Mapping, *, fixed_path: bool) -> None:
        self.time_dependence = TimeDependence(
            self.memory,
            forbidden=fixed_path,
            counts_instructions=settings["time.guest_clock"] == "instructions",
        )
        self.clock = Clock(self.memory, self.frequency_hz, self.time_dependence)

    # --- from outside ---

    def reshape(self, settings: Mapping, counters: Counters) -> None:
        """The rows of nodes have changed: one joined at their end, or one left.  The machine stands
        still.
        """
        layout = physical_map.build(settings, self.node_rows)
        ranges = [layout.boot_ranges(row["index"]) for row in self.node_rows]
        self._nodes = self._present()
        with self.memory.uncharged():
            self.services.nodes_changed(self, settings)
            self._directories = self.services.directories(self.frames, ranges)
        self.regions.use(counters)

    def nodes(self) -> list[int]:
        """Indices of the nodes that are there: they joined, and did not leave."""
        return self._nodes

    def _present(self) -> list[int]:
        return [row["index"] for row in self.node_rows if "left_ps" not in row]

    def is_target(self, node: int) -> bool:
        """May threads go to the node?  Not when it leaves as soon as it can."""
        if not 0 <= node < len(self.node_rows):
            return False
        row = self.node_rows[node]
        return "left_ps" not in row and "leaving" not in row

    def load(self, program: dict) -> int:
        """Make a process of a program; its pid.  InputError when it cannot run here."""
        return self.processes.load(program)

    def device(self, message: dict) -> None:
        """Another node's access to a device that this node owns."""
        self.console.receive(message["source"], message["value"])

    def turn(
        self,
        core_index: int,
        until_ps: int,
        contended: bool,
        rows: list[dict],
        poll: Callable[[], None],
    ) -> dict:
        """Run one core until `until_ps` (-1: until it sends, blocks or ends); the fields of
        `turned`.
        """
        lane = self.scheduler.by_core[core_index]
        core = lane.core
        self.sends, self.acknowledges = [], []
        lane.interrupts = sorted([*lane.interrupts, *rows], key=arrival)
        limit = UNLIMITED if until_ps < 0 else cycles_of_ps(until_ps, self.frequency_hz)
        core.contended, core.yields = contended, False
        self.memory.core = core
        self.scheduler.refresh(lane)
        self.services.turn_begins(self, lane)
        try:
            self._run(lane, limit, poll)
            now_ps = core.now_ps()
        finally:
            self.memory.core = None
        return {
            "now_ps": now_ps,
            **self._state(lane),
            "sends": self.sends,
            "acknowledges": self.acknowledges,
        }

    def _state(self, lane: Lane) -> dict:
        """What the timebase must know of a core that stopped."""
        if lane.current is not None or lane.queue:
            return {"state": "runnable", "wake_ps": -1}
        wake_ps = self._next_event_ps(lane)
        if lane.threads or wake_ps is not None:
            return {"state": "waiting", "wake_ps": -1 if wake_ps is None else wake_ps}
        return {"state": "off", "wake_ps": -1}

    # --- the turn's loop ---

    def _run(self, lane: Lane, limit: int, poll: Callable[[], None]) -> None:
        core = lane.core
        while True:
            self._handle_due(lane)
            self.scheduler.evict(lane)
            if self.sends or self.acknowledges or self.watch.happened:
                return  # what leaves this core may be due elsewhere before the limit
            thread = self.scheduler.pick(lane)
            event = self.next_event_cycles(lane)
            if thread is None:
                if event >= limit:
                    return
                core.idle_until(event)
                continue
            if thread.wait is not None:
                traps.finish_wait(self, thread)
            if not self._is_ready(lane, thread):
                continue
            if lane.queue:
                self.time_dependence.arises("two threads can run on one core, in slices of time")
            stop_at = min(limit, event, lane.slice_end_cycles if lane.queue else UNLIMITED)
            if stop_at < UNLIMITED:
                now = core.now_cycles()
                if now >= limit:
                    return
                if self.scheduler.expired(lane, now):
                    self.scheduler.yield_core(thread)
                if now >= stop_at:
                    continue
            stop = core.run(stop_at, poll)
            traps.HANDLERS[stop.reason](self, thread, stop)
            if core.yields:
                limit = min(limit, core.now_cycles())

    def _is_ready(self, lane: Lane, thread: Thread) -> bool:
        """Deliver what signals ask for; True when the thread still has the core."""
        if thread.alive and lane.current is thread and (
            thread.pending or thread.process.pending or thread.interrupted is not None
            or thread.mask_to_restore is not None
        ):  # fmt: skip
            try:
                self.signals.deliver(thread)
            except PageWait as block:
                traps.sleep(self, thread, block)
        return thread.alive and lane.current is thread

    def _next_event_ps(self, lane: Lane) -> int | None:
        """When the next timer or interrupt of a core is due; None when there is none."""
        timer_ps = lane.timers.earliest_ps()
        if lane.interrupts:
            at_ps = lane.interrupts[0]["at_ps"]
            return at_ps if timer_ps is None else min(at_ps, timer_ps)
        return timer_ps

    def next_event_cycles(self, lane: Lane) -> int:
        """The same in cycles of the core; UNLIMITED when there is none."""
        event_ps = self._next_event_ps(lane)
        return UNLIMITED if event_ps is None else cycles_of_ps(event_ps, self.frequency_hz)

    def _handle_due(self, lane: Lane) -> None:
        """Handle interrupts, then timers, whose time has come on this core."""
        while (event_ps := self._next_event_ps(lane)) is not None:
            self.time_dependence.arises("a timer runs, or an interrupt is on its way")
            now_ps = lane.core.now_ps()
            if event_ps > now_ps:
                return
            if lane.interrupts and lane.interrupts[0]["at_ps"] <= now_ps:
                interrupts.deliver(self, lane, lane.interrupts.pop(0))
            elif (timer := lane.timers.pop_due(now_ps)) is not None:
                self.memory.charge("interrupt")
                timer.expire(timer)

    # --- what somebody outside waits for ---

    def happens(self, occurrence: str, subject: object, process: Process) -> None:
        """Something that may be waited for happens to a process."""
        if self.watch.wants(occurrence, subject):
            home = self.node_index if process.pid in self.tasks.processes else process.home
            self.watch.note(occurrence, subject, home, process.pid, self.clock.now_ps())

    def _heard(self, data: bytes) -> None:
        for text in self.watch.texts(data):
            self.watch.note("console", text, self.node_index, 0, self.clock.now_ps())

    # --- what the parts need of each other ---

    def send_interrupt(
        self, target_core: int, function: int, payload: int, acknowledge: bool = False
    ) -> None:
        """Interrupt another core of the machine; it leaves with the turn's result."""
        interrupts.send(self, target_core, function, payload, acknowledge)

    def machine_core(self, node: int, core: int) -> int | None:
        """Machine-wide number of core `core` of a node, None when there is none."""
        first = 0
        for row in self.node_rows:
            if row["index"] == node:
                return first + core if 0 <= core < row["cores"] else None
            first += row["cores"]
        return None

    def node_of_core(self, core: int) -> int:
        """Index of the node that a machine-wide core number belongs to."""
        for row in self.node_rows:
            if core < row["cores"]:
                return row["index"]
            core -= row["cores"]
        raise InvariantError(f"there is no core {core} behind the last node's")

    def directory_of(self, node: int) -> int:
        """Physical address of a node's DIRECTORY, the root of all that its kernel shares."""
        return self._directories[node]

    def current_thread(self) -> Thread:
        """The thread in whose name the kernel works now."""
        (lane,) = (lane for lane in self.scheduler.lanes if lane.core is self.memory.core)
        thread = lane.current
        assert thread is not None
        return thread

    def wake_task(self, tid: int) -> None:
        """A futex waiter left its bucket."""
        thread = self.tasks.by_tid.get(tid)
        if thread is not None:
            self.scheduler.wake(thread, Cause.EVENT)

    def translations_shrunk(self, space: AddressSpace, page: int | None) -> None:
        """Translations of a space are gone: every engine that uses it forgets them; other cores pay
        with an interrupt.
        """
        for lane in self.scheduler.lanes:
            if lane.loaded_space is not space:
                continue
            lane.core.engine.flush_tlb(page)
            others = self.memory.core is not None and lane.core is not self.memory.core
            if others and lane.current is not None:
                self.send_interrupt(lane.core.index, Function.CALL_FUNCTION, 0)

    def end_by_signal(self, thread: Thread, info: SignalInfo) -> None:
        """The default action of most signals: the process ends, with a report."""
        report = fault_report.compose(self, thread, info)
        self.processes.end(thread.process, 0, info.number, report)

    def trampoline(self, process: Process) -> int:
        """Address of code that calls rt_sigreturn."""
        return self.processes.trampoline(process)

    def random_bytes(self, process: Process, length: int) -> bytes:
        """The next bytes of the process's random stream."""
        return self.processes.random_bytes(process, length)

    def parent_pid(self, process: Process) -> int:
        """pid of the parent, 0 for a program that was loaded."""
        return process.parent.pid if process.parent is not None else 0

    def real_ns(self) -> int:
        """The real-time clock, in ns since 1970."""
        if self.memory.core is None:
            return EPOCH_S * NS_PER_SECOND
        return self.clock.now_ns(ClockId.REALTIME, None)

    def inode_of_path(self, path: str) -> int:
        """Inode number of one of the kernel's own files."""
        if path not in self._path_inodes:
            self._path_inodes[path] = self.file_system.inodes.new()
        return self._path_inodes[path]

    def mapping_source(self, file: OpenFile) -> object:
        """What AddressSpace.map needs of an open file.  KernelError(ENODEV) for what cannot be
        mapped.
        """
        if isinstance(file, SegmentFile):
            return file.segment
        if isinstance(file, HostFile):
            return file.duplicate()
        if isinstance(file, (BytesFile, DeviceFile)):
            return file
        raise KernelError(Errno.ENODEV, f"{file.path} cannot be mapped")

    def count_unknown(self, name: str) -> None:
        """A system call that there is not was answered with ENOSYS."""
        self.unknown_calls[name] = self.unknown_calls.get(name, 0) + 1

    # --- what is known at the end ---

    def statistics(self) -> dict[str, int]:
        """Counters of this kernel and its cores, by dotted name."""
        return reports.statistics(self)

    def register_words(self) -> list[int]:
        """Architectural registers of every core, for the digest."""
        return [word for core in self.cores for word in core.engine.register_words()]

    def transcript(self) -> bytes | None:
        """Everything that left the serial port, in order; None where another node owns it."""
        return None if self.console.uart is None else bytes(self.console.uart.transcript)

    def dump(self) -> dict:
        """Who runs, who waits for what, and what was found out, as plain data."""
        return reports.dump(self)
