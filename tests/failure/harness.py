"""Starting machines that are about to fail, and checking that nothing of them is left.

`toy_machine` starts real processes with the toy roles; `Command` starts `stramash run` itself;
`Killer` makes the supervisor of a real machine kill one of its processes at a chosen moment.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from cosim import transport
from cosim.engine.stream import CORE_STREAM_BYTES, Word
from cosim.local_channel import SCHEME, LocalDealer
from launch.supervisor import Supervisor

DOWN_SECONDS_MAX = 5.0
BAD_GUEST = Path(__file__).parent / "guests" / "bad.c"
TOYS = {role: f"tests.failure.toys:{role}" for role in ("memsys", "timebase", "node")}
NODES = [
    {"name": "x86", "isa": "x86_64", "cores": 1, "frequency_hz": 10**9, "index": 0},
    {"name": "arm", "isa": "aarch64", "cores": 1, "frequency_hz": 10**9, "index": 1},
]


def toy_configuration(**run: object) -> dict:
    """A configuration of two toy nodes; `run` is its part of that name."""
    settings = {"ipi.latency_ns": 2000, "time.quantum_ns": 2000}
    return {"settings": settings, "nodes": NODES, "run": {"toy_turns": 5, **run}}


def toy_machine(**run: object) -> Supervisor:
    """A supervisor of toy processes, not started yet."""
    return Supervisor(
        toy_configuration(**run),
        entries=TOYS,
        segment_statistics=lambda segments, _c: {
            "toy.memory": int(segments["hierarchy"].array[:8].view("<u8")[0])
        },
    )


def stranger_channel(kind: int, endpoint: str) -> transport.Channel:
    """A way to send frames to an endpoint without being anybody there.  kind: of a ZeroMQ
    socket.
    """
    if endpoint.startswith(SCHEME):
        return LocalDealer(endpoint, b"stranger", transport.MESSAGE_BYTES_MAX, 30)
    channel = transport.SocketChannel(kind, transport.Limits())
    channel.connect(endpoint, "")
    return channel


def run_whole(supervisor: Supervisor) -> object:
    """Start, load one program per node, run."""
    supervisor.start()
    for node in NODES:
        supervisor.load(node["name"], {"name": f"on-{node['name']}"})
    return supervisor.run()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Living processes whose command line names this run's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(folder) in " ".join(
            process.info["cmdline"] or ()
        ):
            found.append(process)
    return found


def assert_nothing_left(folder: Path) -> None:
    """No process and no socket folder of the run; segments are memory of those processes alone."""
    assert not processes_of(folder)
    assert not folder.exists()


@contextmanager
def down_in_time(seconds: float = DOWN_SECONDS_MAX) -> Iterator[None]:
    """Fail when the block takes longer than a machine may take to go down."""
    began_s = time.monotonic()
    yield
    taken_s = time.monotonic() - began_s
    assert taken_s < seconds, f"{taken_s:.1f} s"


def segments_of(pid: int) -> set[int]:
    """Inodes of the memory segments that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if os.readlink(link).startswith("/memfd:stramash-"):
                found.add(link.stat().st_ino)
    return found


def assert_segments_gone(segments: set[int]) -> None:
    """No process of this host has one of these segments open.

    A process that dies gives its memory back first, and its command line with it, then its files.
    """

    def holders() -> list[int]:
        pids = [process.pid for process in psutil.process_iter()]
        return [pid for pid in pids if segments_of(pid) & segments]

    deadline_s = time.monotonic() + DOWN_SECONDS_MAX
    while holders():
        assert time.monotonic() < deadline_s, f"still open in {holders()}"
        time.sleep(0.05)


class Command:
    """`stramash run ...` as a user starts it; a context manager that leaves nothing running.

    folder: its private folder, known once `child` has seen a child.
    """

    def __init__(self, *arguments: object) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "launch.cli", "run", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.folder: Path | None = None

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()  # its processes end with it
        self.process.communicate()

    def child(self, name: str, seconds: float = 60.0) -> psutil.Process:
        """The process of the component `name`, as soon as it exists."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            for process in psutil.Process(self.process.pid).children():
                words = []
                with suppress(psutil.Error):  # the compiler, for example, may end meanwhile
                    words = process.cmdline()
                if "--name" in words and words[words.index("--name") + 1] == name:
                    self.folder = Path(words[words.index("--folder") + 1])
                    return process
            time.sleep(0.01)
        raise AssertionError(f"no process {name!r} within {seconds:g} s")

    def kill(self) -> None:
        """kill -9 of the supervisor."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Killer:
    """kill -9 (or `number`) of one component of a real machine at one moment, from inside the
    supervisor.

    moment: "spawn", the kind of a control message (just before it is sent), "run" (a guest has
    executed a million instructions) or "end" (everything is collected).  killed_s: host time of the
    kill, 0.0 before it.  segments: inodes of the machine's memory, as far as it had any.
    limits: of the machine, see transport.Limits.  resume_s: so long after, SIGCONT.
    """

    def __init__(
        self,
        component: str,
        moment: str,
        number: signal.Signals = signal.SIGKILL,
        limits: Mapping[str, float] | None = None,
        resume_s: float = 0,
    ) -> None:
        self.component, self.moment, self.number = component, moment, number
        self.limits, self.resume_s = dict(limits or {}), resume_s
        self.killed_s = 0.0
        self.segments: set[int] = set()
        self.supervisor: Supervisor | None = None

    def kill(self, supervisor: Supervisor) -> None:
        """Do it, once."""
        if self.killed_s:
            return
        self.supervisor = supervisor
        self.segments = segments_of(supervisor.children["memsys"].process.pid)
        supervisor.children[self.component].process.send_signal(self.number)
        self.killed_s = time.monotonic()
        if self.resume_s:
            process = supervisor.children[self.component].process
            threading.Timer(self.resume_s, process.send_signal, [signal.SIGCONT]).start()

    def machine(self) -> type[Supervisor]:
        """A class of supervisors that suffers it."""
        killer = self

        class Doomed(Supervisor):
            def __init__(self, configuration: dict, *arguments: Any, **options: Any) -> None:
                configuration["run"]["limits"] = killer.limits
                super().__init__(configuration, *arguments, **options)

            def _spawn(self, name: str, role: str) -> None:
                super()._spawn(name, role)
                if (killer.moment, killer.component) == ("spawn", name):
                    killer.kill(self)

            def _send(self, name: str, message: dict) -> None:
                anyones = message["kind"] == "load"  # only a node that runs something gets one
                if message["kind"] == killer.moment and (anyones or name == killer.component):
                    killer.kill(self)
                super()._send(name, message)

            def _show(self) -> None:
                super()._show()
                if (killer.moment, self.phase) == ("run", "run") and self._executed() > 1_000_000:
                    killer.kill(self)

            def _executed(self) -> int:
                words = self.segments["stream"].array.view("<u8")
                return int(words[Word.INSTRUCTIONS_USER :: CORE_STREAM_BYTES // 8].sum())

            def _end_children(self) -> None:
                if killer.moment == "end":
                    killer.kill(self)
                super()._end_children()

        return Doomed
