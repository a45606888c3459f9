"""The supervisor: spawns, feeds and watches the processes of a machine, and always ends them all.

```text
 start()  spawn ─▶ hello* ─▶ welcome memsys, timebase ─▶ ready* ─▶ welcome nodes ─▶ ready*
          nodes on other hosts: notice ─▶ (a person starts `stramash node`)* ─▶ hello, as above
 load()   load ─▶ loaded*
 run()    start ─▶ console, exited, ... finished ─▶ collect ─▶ collected* ─▶ stop ─▶ exits*
          now and then: paused ─▶ something is done to the machine (launch.agenda) ─▶ start
                                                                                 * has a limit
```
One loop waits for everything: control messages, telemetry, and the exit of any child.  Whatever
goes wrong at whatever moment, the machine is down within seconds: `stop`, then SIGTERM, then
SIGKILL; one error line says which process failed, in which phase and what it was doing; counters
gathered so far travel with the error.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from cosim import wire
from cosim.engine.stream import CORE_STREAM_BYTES, Word
from cosim.errors import MachineError, ProtocolError, StramashError
from cosim.process import REPORTED_CLASSES, ROLES, ChildExit
from cosim.protocol import control as control_protocol
from cosim.protocol import telemetry as telemetry_protocol
from cosim.shared import Segment
from cosim.transport import Endpoint, Limits, Poller, bind_router, bind_subscriber
from launch.children import Child, obituary, spawn
from launch.hosts import Hosts, address_towards, handshake_digest
from launch.inspection import Inspection
from launch.progression import Outcome, Progress
from launch.sockets import make_sockets
from launch.standstill import Standstill
from launch.who_waits import core_table

NEEDS = {"node": ("memsys", "timebase"), "home": ("memsys",)}  # who must be ready before, by role
PROGRESS_SECONDS = 0.1  # the progress callback is called at most this often
LAST_WORDS_SECONDS = 0.2  # after a child's death, its last messages may still arrive
LAST_WORDS_SECONDS_MAX = 2.0  # when its exit code says that there are some: the host may be busy


class Supervisor(Standstill, Inspection):
    """One machine's processes.  A context manager; every method may raise the errors of the
    machine.

    configuration: see DESIGN; run.limits overrides time limits, run.tcp_host puts the sockets on
    tcp with CURVE. console(node, bytes) and progress(Progress) are called from `start`, `load` and
    `run`. segment_statistics(segments, configuration): reads the memory system's counters from the
    shared segments; used only when the memory system itself can no longer be asked.  entries: other
    "module:function" for a component.  notice(text): what a person must do now, in run.hosts.
    """

    def __init__(
        self,
        configuration: dict,
        console: Callable[[str, bytes], None] | None = None,
        progress: Callable[[Progress], None] | None = None,
        segment_statistics: Callable[[dict[str, Segment], dict], dict[str, int]] | None = None,
        entries: dict[str, str] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.limits = Limits.of(configuration)
        self.console = console
        self.progress = progress
        self.notice = notice or (lambda _line: None)
        self.segment_statistics = segment_statistics
        self.entries = entries or {}
        self.phase = "start"
        self.children: dict[str, Child] = {}
        self.outcome = Outcome()
        self.segments: dict[str, Segment] = {}
        self._collected: dict[str, dict] = {}
        self._counted: dict[str, int] = {}  # when it failed
        self._loaded: list[dict] = []
        self._failure: StramashError | None = None
        self._programs = 0
        self._closed = False
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._listeners: dict[Endpoint, Callable[[], None]] = {}
        self._poller = Poller()
        self._open(configuration)

    def _open(self, configuration: dict) -> None:
        """Bind the sockets and complete the configuration with where they are."""
        run = configuration.get("run", {})
        self.hosts = Hosts(run.get("hosts", {}))
        own = address_towards(self.hosts.places) if self.hosts.places else ""
        self.sockets = make_sockets(run.get("tcp_host", own))
        keys, token = self.sockets.keys, self.sockets.token
        self.control, control_endpoint = bind_router(
            control_protocol.PROTOCOL,
            "supervisor",
            self.sockets.endpoints["control"],
            greeting="hello",
            greeting_role="component",
            token=token,
            keys=keys,
            limits=self.limits,
        )
        self.telemetry, telemetry_endpoint = bind_subscriber(
            telemetry_protocol.PROTOCOL,
            "supervisor",
            self.sockets.endpoints["telemetry"],
            peer_role="component",
            token=token,
            keys=keys,
            limits=self.limits,
        )
        self._poller.add(self.control, "control")
        self._poller.add(self.telemetry, "telemetry")
        self._lifeline_read, self._lifeline_write = os.pipe()
        self.configuration: dict[str, Any] = {
            **configuration,
            # Without --root, the nodes share an empty file system that goes with the sockets.
            "run": {"scratch": str(self.sockets.folder), **run},
            "endpoints": {
                "control": control_endpoint,
                "telemetry": telemetry_endpoint,
                **{name: self.sockets.endpoints[name] for name in ("turns", "pages")},
            },
            "segments": {},
        }

    # ------------------------------------------------------------------ what a caller does

    def start(self) -> None:
        """Bring every process up to `ready`."""
        for name, role in (("memsys", "memsys"), ("timebase", "timebase")):
            self._spawn(name, role)
        for node in self.configuration["nodes"]:
            if node["name"] not in self.hosts.places:
                self._spawn(node["name"], "node")
        if self.hosts.places:
            self._spawn("home", "home")
            self._await_hosts()
        seconds = self.limits.hello_s
        self._until(
            lambda: not self._in("spawned"), seconds, "say hello", self._names_in("spawned")
        )
        self._until(
            lambda: not self._in("awaited"), self.limits.host_s, "come", self._names_in("awaited")
        )
        self._until(
            lambda: not self._in("hello", "welcomed"),
            self.limits.ready_s,
            "become ready",
            self._names_in("hello", "welcomed"),
        )

    def listen(self, endpoint: Endpoint, take: Callable[[], None]) -> None:
        """Call take() whenever the endpoint can be read."""
        self._listeners[endpoint] = take
        self._poller.add(endpoint, endpoint)

    @property
    def pids(self) -> list[int]:
        """Guest pids of the programs, in the order in which they were loaded."""
        return [message["pid"] for message in self._loaded]

    @property
    def virtual_time_ps(self) -> int:
        """How far the machine is, as far as it said."""
        return max((c.last["virtual_time_ps"] for c in self.children.values() if c.last), default=0)

    @property
    def host_seconds(self) -> float:
        """Since this machine was made."""
        return time.monotonic() - self._began_s

    def load(self, node: str, program: dict) -> int:
        """Load a program on a node; its guest pid.

        program: at_ps is the virtual time when the machine runs already and stands still.
        Re-raises the node's InputError for a program it cannot run.
        """
        running = self.phase == "run"
        self.phase = "run" if running else "load"
        count = len(self._loaded)
        self._send(node, {"kind": "load", "program": self.hosts.program(node, program)})
        self._until(
            lambda: len(self._loaded) > count,
            self.limits.load_s,
            f"load {program.get('name', '')!r}",
            lambda: [node],
        )
        self._programs += 1
        loaded = self._loaded[-1]
        if running:
            message = {"kind": "wake", "core": loaded["core"], "at_ps": program.get("at_ps", 0)}
            self.ask(["timebase"], message)
        return loaded["pid"]

    def run(self, agenda: Callable[["Supervisor"], None] | None = None) -> Outcome:
        """Run until all programs have ended (or run.limit_ps has passed); collect everything; end
        the processes.

        agenda: runs the machine, by `go`, and does to it what is to be done meanwhile.
        """
        self.phase = "run"
        began_s = time.monotonic()
        if agenda is None:
            self.go()
        else:
            agenda(self)
        self.outcome.finished = {k: v for k, v in (self._end or {}).items() if k != "kind"}
        self.outcome.host_seconds = time.monotonic() - began_s
        self._collect()
        self.phase = "stop"
        self.close()
        return self.outcome

    def close(self) -> None:
        """End every process (stop, SIGTERM, SIGKILL); remove sockets and segments.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        for endpoint in self._listeners:
            self._poller.remove(endpoint)
        self._listeners.clear()
        try:
            self._release_loops()
            self._end_children()
        finally:
            os.close(self._lifeline_write)
            os.close(self._lifeline_read)
            self.control.close()
            self.telemetry.close()
            for segment in self.segments.values():
                segment.close()
            self.sockets.remove()

    # ------------------------------------------------------------------ children

    def _spawn(self, name: str, role: str, *, held: bool = False) -> Child:
        entry = self.entries.get(name, self.entries.get(role, ROLES[role].entry))
        endpoint = self.configuration["endpoints"]["control"]
        child = spawn(name, role, entry, endpoint, self.sockets, self._lifeline_read)
        child.held = held
        child.needs = NEEDS.get(role, ())
        self.children[name] = child
        self._poller.add(child.watch, name)
        return child

    def _await_hosts(self) -> None:
        """Expect the nodes of other hosts, and say how they come."""
        nodes = [node["name"] for node in self.configuration["nodes"]]
        for child in self.hosts.expect(self.control, self.sockets, nodes):
            self.children[child.name] = child
            self._poller.add(child.watch, child.name)
        endpoint = self.configuration["endpoints"]["control"]
        for node in self.hosts.places:
            self.notice(self.hosts.invitation(node, endpoint, self.sockets))

    def _in(self, *states: str) -> list[Child]:
        return [child for child in self.children.values() if child.state in states]

    def _names_in(self, *states: str) -> Callable[[], list[str]]:
        return lambda: [child.name for child in self._in(*states)]

    def _send(self, name: str, message: dict) -> None:
        if not self.control.send(name, message):
            line = f"process {name!r} does not take {message['kind']!r}"
            error = MachineError(line)
            cause = self._cause(error)
            said = self._failure if cause is error else None  # what it said itself explains more
            raise self._failed(said or cause)

    def _reap(self, child: Child) -> None:
        """A child's exit was seen: forget its watch."""
        child.process.wait()
        self._poller.remove(child.watch)
        os.close(child.watch)
        child.state = "gone"

    def _release_loops(self) -> None:
        """Compiled loops that wait in the stream give up when they see STOP."""
        stream = self.segments.get("stream")
        if stream is not None:
            words = stream.array.view("<u8")
            words[Word.STOP :: CORE_STREAM_BYTES // 8] = 1

    def _end_children(self) -> None:
        living = [c for c in self.children.values() if c.state not in ("gone", "awaited")]
        for child in living:
            if child.state in ("welcomed", "ready"):
                self.control.send(child.name, {"kind": "stop"})
            else:
                child.process.send_signal(signal.SIGTERM)
        steps = (
            (self.limits.stop_s, signal.SIGTERM),
            (self.limits.terminate_s, signal.SIGKILL),
            (self.limits.kill_s, None),
        )
        for seconds, escalation in steps:
            deadline_s = time.monotonic() + seconds
            while living and time.monotonic() < deadline_s:
                for key in self._poller.wait(max(1, int((deadline_s - time.monotonic()) * 1000))):
                    if key in self.children:
                        self._reap(self.children[key])
                    elif key == "control":
                        self._take_control(failing=True)
                    else:
                        self._take_telemetry()
                living = [child for child in living if child.state != "gone"]
            for child in living:
                if escalation is not None:
                    child.process.send_signal(escalation)

    # ------------------------------------------------------------------ the loop

    def _until(
        self,
        done: Callable[[], object],
        seconds: float | None,
        what: str,
        who: Callable[[], list[str]],
    ) -> None:
        """Serve everything until done().

        MachineError after `seconds`, naming `who` did not do `what`.
        """
        deadline_s = None if seconds is None else time.monotonic() + seconds
        try:
            while not done():
                self._pump(100)
                self._show()
                self._check_silence()
                if deadline_s is not None and time.monotonic() > deadline_s and not done():
                    names = ", ".join(repr(name) for name in who())
                    line = f"{names} did not {what} within {seconds:g} s (phase {self.phase})"
                    raise self._failed(MachineError(line), with_dump=True)
        except KeyboardInterrupt:
            self.close()
            raise

    def _pump(self, timeout_ms: int, *, failing: bool = False) -> None:
        """Wait once for anything, and serve it.  failing: only gather, raise nothing more."""
        for key in self._poller.wait(timeout_ms):
            if key == "control":
                self._take_control(failing)
            elif key == "telemetry":
                self._take_telemetry()
            elif key in self._listeners:
                self._listeners[key]()
            elif failing:
                self._reap(self.children[key])
            else:
                self._died(self.children[key])
        self.hosts.beat()
        if self._failure is not None and not failing:
            failure, self._failure = self._failure, None
            raise self._failed(self._cause(failure))

    def _take_control(self, failing: bool = False) -> None:
        while (found := self.control.receive(0)) is not None:
            peer, message = found
            kind = message["kind"]
            if failing and kind not in ("dumped", "console", "exited", "failed", "ended"):
                continue
            if kind == "hello":
                self._hello(peer, message)
                continue
            child = self.children[peer]
            child.heard_s = time.monotonic()
            getattr(self, f"_on_{kind}")(child, message)

    def _take_telemetry(self) -> None:
        while (message := self.telemetry.receive(0)) is not None:
            child = self.children.get(message["name"])
            if child is not None:
                child.heard_s = time.monotonic()
                child.last, child.phase, child.doing = message, message["phase"], message["doing"]

    def _show(self) -> None:
        now_s = time.monotonic()
        if self.progress is None or now_s - self._shown_s < PROGRESS_SECONDS:
            return
        self._shown_s = now_s
        last = [child.last for child in self.children.values() if child.last]
        self.progress(
            Progress(
                phase=self.phase,
                host_seconds=self.host_seconds,
                virtual_time_ps=self.virtual_time_ps,
                instructions=sum(m["instructions"] for m in last),
                cycles=sum(m["cycles"] for m in last),
                doing={child.name: child.doing for child in self.children.values()},
            )
        )

    def _check_silence(self) -> None:
        if self.phase != "run":
            return
        now_s = time.monotonic()
        for child in self.children.values():
            if now_s - child.heard_s > self.limits.silence_s and not child.held:
                line = (
                    f"process {child.name!r} has given no sign of life for "
                    f"{self.limits.silence_s:g} s; it was last {child.doing}"
                )
                raise self._failed(MachineError(line), with_dump=True)

    # ------------------------------------------------------------------ messages

    def _hello(self, peer: str, message: dict) -> None:
        child = self.children.get(peer)
        if (
            child is None
            or child.state not in ("spawned", "awaited")
            or message["name"] != peer
            or message["role"] != child.role
        ):
            self.control.refuse(peer, f"hello: no {message['role']} {peer!r} is expected here")
            return
        digest = handshake_digest() if child.role == "host" else wire.digest()
        version = control_protocol.PROTOCOL.version
        if message["digest"] != digest or message["version"] != version:
            reason = (
                f"{peer!r} speaks version {message['version']} (tables {message['digest']}), the "
                f"supervisor version {version} (tables {digest}); install the same release for both"
            )
            self.control.refuse(peer, reason)
            if child.held:
                child.lost = reason
            elif child.role != "host":  # a person may try again with the right one
                self._failure = ProtocolError(reason)
            return
        self.control.accept(peer, child.role)
        child.process.pid = message["pid"]
        child.state, child.doing, child.heard_s = "hello", "starting", time.monotonic()
        self._welcome()

    def _welcome(self) -> None:
        """Welcome whoever has what it needs: nodes need the segments and the turns' endpoint."""
        for child in self._in("hello"):
            ready = all(self.children[name].state == "ready" for name in child.needs)
            if ready and not child.held:
                child.state = "welcomed"
                configuration = self.hosts.configuration(child, self.configuration)
                self._send(child.name, {"kind": "welcome", "configuration": configuration})

    def _on_ready(self, child: Child, message: dict) -> None:
        if child.state != "welcomed":
            self.control.refuse(child.name, "ready: not now")
            return
        child.state, child.phase, child.doing, child.facts = (
            "ready",
            "run",
            "ready",
            message["facts"],
        )
        if self.hosts.took(child, message):
            self._welcome()
            return
        self.configuration["endpoints"].update(message["endpoints"])
        self.configuration.update(message["facts"])
        for name, path in message["segments"].items():
            self.configuration["segments"][name] = path
            self.segments[name] = Segment.attach(path)
        self._welcome()

    def _on_loaded(self, _child: Child, message: dict) -> None:
        self._loaded.append(message)

    def _on_console(self, child: Child, message: dict) -> None:
        if self.console is not None:
            self.console(child.name, message["data"])

    def _on_exited(self, child: Child, message: dict) -> None:
        row = {key: value for key, value in message.items() if key != "kind"}
        self.outcome.exited.append({**row, "node": child.name})

    def _on_ended(self, child: Child, message: dict) -> None:
        self.hosts.ended(child, message)

    def _on_collected(self, child: Child, message: dict) -> None:
        self._collected[child.name] = message

    def _on_dumped(self, child: Child, message: dict) -> None:
        child.dumped, child.phase, child.doing = message, message["phase"], message["doing"]

    def _on_error(self, child: Child, message: dict) -> None:
        self._failure = MachineError(
            f"process {child.name!r} refused a message: {message['reason']}"
        )

    def _on_failed(self, child: Child, message: dict) -> None:
        kind = REPORTED_CLASSES.get(message["error"])
        if kind is not None and not issubclass(kind, MachineError):
            self._failure = kind(message["reason"])  # the user's input: the reason says it all
            return
        line = f"process {child.name!r} failed while {message['where']}: {message['reason']}"
        self._failure = (kind or MachineError)(line)

    def _on_deadlock(self, _child: Child, message: dict) -> None:
        now_ps = message["virtual_time_ps"]
        line = f"deadlock at {now_ps} ps: no core can run, and programs have not ended"
        raise self._failed(MachineError(line, core_table(message["cores"])), with_dump=True)

    def _on_unanswered(self, _child: Child, message: dict) -> None:
        until = "no limit" if message["until_ps"] < 0 else f"limit {message['until_ps']} ps"
        line = (
            f"node {message['node']!r} has not answered turn {message['sequence']} of core "
            f"{message['core']} "
            f"({until}) and makes no progress for {message['seconds']} s"
        )
        raise self._failed(MachineError(line, core_table(message["cores"])), with_dump=True)

    # ------------------------------------------------------------------ ends

    def _collect(self) -> None:
        self.phase = "collect"
        for name, child in self.children.items():
            if not child.held:
                self._send(name, {"kind": "collect"})
        left = lambda: [  # noqa: E731
            name
            for name, child in self.children.items()
            if name not in self._collected and not child.held
        ]
        self._until(lambda: not left(), self.limits.collect_s, "answer collect", left)
        for name, message in self._collected.items():
            self.outcome.statistics.update(message["statistics"])
            self.outcome.reports[name] = message["reports"]
            if message["registers"]:
                self.outcome.registers[name] = message["registers"]

    def _died(self, child: Child) -> None:
        """A child ended although nobody asked it to: find out why, and raise."""
        self._reap(child)
        if child.held:
            child.lost = child.lost or obituary(child, self.phase)
            return
        spoke = child.process.returncode in (ChildExit.FAILED, ChildExit.REFUSED)
        wait_s = LAST_WORDS_SECONDS_MAX if spoke else LAST_WORDS_SECONDS
        deadline_s = time.monotonic() + wait_s
        while self._failure is None and time.monotonic() < deadline_s:
            if "control" in self._poller.wait(20):
                self._take_control()
        self._take_telemetry()
        if self._failure is None or child.process.returncode < 0:
            self._failure = self._death_of(child)

    def _cause(self, failure: StramashError) -> StramashError:
        """What is behind a failure: often a process died, and its partners only noticed first."""
        self._failure = None
        deadline_s = time.monotonic() + LAST_WORDS_SECONDS
        while isinstance(failure, MachineError) and time.monotonic() < deadline_s:
            for key in self._poller.wait(20):
                if key == "control":
                    self._take_control(failing=True)
                elif key == "telemetry":
                    self._take_telemetry()
                else:
                    self._reap(self.children[key])
            for child in self._in("gone"):
                if child.process.returncode < 0:
                    return self._death_of(child)
        return failure

    def _death_of(self, child: Child) -> MachineError:
        return MachineError(obituary(child, self.phase))

    def _failed(self, error: StramashError, *, with_dump: bool = False) -> StramashError:
        """Complete an error with the report and the counters so far, and take the machine down."""
        if isinstance(error, MachineError) and with_dump:
            error.report = "\n\n".join(part for part in (error.report, self.dump()) if part)
        self._counted = self.statistics_so_far()
        if isinstance(error, MachineError):
            error.statistics = self._counted
        self.close()
        return error

    def statistics_so_far(self) -> dict[str, int]:
        """Counters from the last words of each process, the memory system's from its
        segments.
        """
        if self._closed:
            return self._counted
        self._take_telemetry()
        found: dict[str, int] = {}
        for child in self.children.values():
            found.update(child.last.get("statistics", {}))
            found.update(self._collected.get(child.name, {}).get("statistics", {}))
        if self.segment_statistics is not None and "hierarchy" in self.segments:
            found.update(self.segment_statistics(self.segments, self.configuration))
        return found
