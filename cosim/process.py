"""The shell of every child process: handshake, role loop, exit code; no life without a supervisor.

```text
 python -m cosim.process --role R --name N --entry module:function --control ENDPOINT --lifeline FD
   hello ─▶ (import the role's module meanwhile) ─▶ welcome ─▶ entry(shell) ─▶ exit code
```
The token, and the supervisor's public key for tcp, come in the environment, where other users
cannot see them.

A process ends within a second of its supervisor, whatever it is doing: a thread blocks on a pipe
that only the supervisor holds open, removes the folder of sockets and ends the process; and roles
that run native code for long are killed by the kernel as well (PR_SET_PDEATHSIG), should that
thread be kept from running.
"""

import argparse
import ctypes
import importlib
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from cosim import errors, wire
from cosim.errors import ExitCode, InputError, MachineError, StramashError
from cosim.protocol import control as control_protocol
from cosim.protocol import telemetry as telemetry_protocol
from cosim.transport import (
    Dealer,
    Endpoint,
    Limits,
    Poller,
    Publisher,
    connect_dealer,
    connect_publisher,
    end_all,
)

TOKEN_VARIABLE = "STRAMASH_TOKEN"
SERVER_KEY_VARIABLE = "STRAMASH_SERVER_KEY"
DEBUG_VARIABLE = "STRAMASH_DEBUG"
FOLDER_PREFIX = "stramash-"  # only folders of this name are ever removed
POLL_SECONDS = 0.05  # control messages wait at most this long while turns follow each other
PROGRESS_SECONDS = 0.25  # telemetry at most this often
LINGER_SECONDS = 1.0
LAST_WORDS_SECONDS = 3.0  # at most, for the message that says why a process failed
SIGN_OF_LIFE_MS = 500  # an idle component wakes this often to say that it lives
PR_SET_PDEATHSIG = 1  # linux/prctl.h
REPORTED_CLASSES = {
    name: getattr(errors, name) for name in control_protocol.ERROR_CLASSES if name != "unexpected"
}


class Role(NamedTuple):
    """How a role is started: `entry` is "module:function"; native: it runs compiled code for
    long.
    """

    entry: str
    native: bool


ROLES = {
    "memsys": Role("memsys.server:main", native=True),
    "timebase": Role("cosim.conductor:main", native=False),
    "node": Role("cosim.node:main", native=True),
    "home": Role("cosim.remote.home:main", native=True),
    "host": Role("", native=False),  # not started by us: a person does, with `stramash node`
    "pager": Role("cosim.remote.pager:main", native=False),  # removes its folder
}


class ChildExit(IntEnum):
    """Exit codes of a child; 128 + signal when one asked it to end."""

    OK = 0
    FAILED = 1  # it said why in a `failed` message, if it still could
    REFUSED = 2  # the supervisor did not welcome it
    ORPHANED = 3  # the supervisor is gone


class Stopped(BaseException):
    """The process was told to end; unwinds everything, not to be caught by a role (use finally).

    signal_number: the signal that asked, 0 for a `stop` message.
    """

    def __init__(self, signal_number: int = 0) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def remove_folder(path: str) -> None:
    """Remove a run's private folder of sockets, if `path` is one; losing a race to another remover
    is fine.
    """
    if Path(path).name.startswith(FOLDER_PREFIX):
        shutil.rmtree(path, ignore_errors=True)


def one_line(error: BaseException) -> str:
    """The error as one line; an unexpected one with its class and the innermost place in the
    simulator.
    """
    text = " ".join(str(error).split())
    if isinstance(error, StramashError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{place}"


def private_kib() -> int:
    """KiB of memory that this process shares with no other; 0 where Linux does not say."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def nothing_measured() -> dict[str, int]:
    """Statistics of a component that has none."""
    return {}


def no_clock() -> tuple[int, int, int]:
    """Clock of a component that has none: (virtual time in ps, instructions, cycles)."""
    return 0, 0, 0


class Shell:
    """What a role sees of the outside.

    configuration: from `welcome`.  phase, doing: shown in dumps and in the report of a death; a
    role keeps `doing` current where it costs nothing.  statistics() and clock() are called for
    telemetry.
    """

    def __init__(self, name: str, role: str, control: Dealer, token: str) -> None:
        self.name = name
        self.role = role
        self.token = token
        self.control = control
        self.configuration: dict = {}
        self.phase = "start"
        self.doing = "starting"
        self.limits = Limits()
        self.server_key = os.environ.get(SERVER_KEY_VARIABLE, "")
        self.statistics: Callable[[], dict[str, int]] = nothing_measured
        self.clock: Callable[[], tuple[int, int, int]] = no_clock
        self._answers: dict[str, Callable[[dict], dict | None]] = {}
        self._publisher: Publisher | None = None
        self._boot_cpu_s = 0.0  # processor time of this process until it was ready
        self._progress_at_s = 0.0
        self._polled_at_s = 0.0
        self._poller = Poller()
        self._poller.add(control, control)

    def send(self, message: dict) -> None:
        """Send a control message to the supervisor."""
        self.control.send(message)

    def hello(self, digest: str = "") -> None:
        """Introduce this process.  digest: of what must be equal at both ends, when it is more than
        the tables.
        """
        self.send(
            {
                "kind": "hello",
                "name": self.name,
                "role": self.role,
                "pid": os.getpid(),
                "version": control_protocol.PROTOCOL.version,
                "digest": digest or wire.digest(),
                "token": self.token,
            }
        )

    def welcomed(self) -> None:
        """Wait for the configuration.  MachineError when it does not come in Limits.welcome_s."""
        message = self.control.receive(int(self.limits.welcome_s * 1000))
        while message is not None and message["kind"] != "welcome":
            self._serve(message)
            message = self.control.receive(int(self.limits.welcome_s * 1000))
        if message is None:
            reason = self.control.last_error or "no answer to hello"
            raise MachineError(f"process {self.name!r} was not welcomed: {reason}")
        self.configure(message["configuration"])

    def configure(self, configuration: dict) -> None:
        """Take the configuration that `welcome` brought."""
        self.configuration = configuration
        self.limits = Limits.of(self.configuration)
        endpoint = self.configuration.get("endpoints", {}).get("telemetry")
        if endpoint:
            self._publisher = connect_publisher(
                telemetry_protocol.PROTOCOL, "component", endpoint, server_key=self.server_key
            )

    def ready(
        self,
        segments: dict[str, str] | None = None,
        facts: dict[str, int] | None = None,
        endpoints: dict[str, str] | None = None,
    ) -> None:
        """Say that this component has built its part, with what others need of it."""
        self.phase, self.doing = "run", "waiting for work"
        self._boot_cpu_s = time.process_time()
        self.send(
            {
                "kind": "ready",
                "segments": segments or {},
                "facts": facts or {},
                "endpoints": endpoints or {},
            }
        )

    def answer(self, kind: str, function: Callable[[dict], dict | None]) -> None:
        """Serve a control verb: function(message) gives the fields of its answer, or None for no
        answer yet.
        """
        self._answers[kind] = function

    def watch(self, source: Endpoint | int) -> None:
        """Let `wait` return when this endpoint or file descriptor can be read as well."""
        self._poller.add(source, source)

    def unwatch(self, source: Endpoint | int) -> None:
        """Not any more."""
        self._poller.remove(source)

    def poll(self) -> None:
        """Serve what has arrived, say that we live; never blocks.

        Raises Stopped when told to end.
        """
        self._polled_at_s = time.monotonic()
        while (message := self.control.receive(0)) is not None:
            self._serve(message)
        self._publish()

    def poll_is_due(self) -> bool:
        """True when the last poll is POLL_SECONDS ago; cheap enough for every turn."""
        return time.monotonic() - self._polled_at_s >= POLL_SECONDS

    def poll_sometimes(self) -> None:
        """Poll when it is due."""
        if self.poll_is_due():
            self.poll()

    def wait(self, timeout_ms: int) -> bool:
        """Like poll, but sleep up to timeout_ms for something to arrive; True when a watched
        endpoint can be read.
        """
        self.poll()
        sources = self._poller.wait(
            min(timeout_ms, SIGN_OF_LIFE_MS) if timeout_ms >= 0 else SIGN_OF_LIFE_MS
        )
        if self.control in sources:
            self.poll()
        return any(source is not self.control for source in sources)

    def serve_forever(self) -> None:
        """Answer control verbs until told to end."""
        while True:
            self.wait(-1)

    def _serve(self, message: dict) -> None:
        kind = message["kind"]
        if kind == "stop":
            raise Stopped
        if kind == "dump":
            details = self._answers["dump"](message) if "dump" in self._answers else {}
            self.send(
                {
                    "kind": "dumped",
                    "phase": self.phase,
                    "doing": self.doing,
                    "details": details or {},
                }
            )
            return
        function = self._answers.get(kind)
        if kind == "collect":
            used = self._resources()  # before the work of collecting
            fields = function(message) if function is not None else None
            self._collected(fields or {}, used)
            return
        if function is None:
            self.control.refuse(f"{kind}: {self.role} {self.name!r} does not support it")
            return
        fields = function(message)
        if fields is not None:
            self.send({"kind": control_protocol.PROTOCOL.messages[kind].answer, **fields})

    def _resources(self) -> dict[str, int]:
        """Processor time since this process was ready, and the memory that is its own alone."""
        cpu_s = time.process_time() - self._boot_cpu_s
        return {
            f"host.{self.name}.cpu_us": int(cpu_s * 1e6),
            f"host.{self.name}.memory_kib": private_kib(),
        }

    def _collected(self, fields: dict, used: dict[str, int]) -> None:
        self.phase = "collect"
        empty: dict = {"statistics": {}, "registers": [], "reports": {}}
        message: dict = {"kind": "collected", **empty, **fields}
        message["statistics"] = {**message["statistics"], **used}
        self.send(message)

    def _publish(self) -> None:
        now_s = time.monotonic()
        if self._publisher is None or now_s - self._progress_at_s < PROGRESS_SECONDS:
            return
        self._progress_at_s = now_s
        virtual_time_ps, instructions, cycles = self.clock()
        self._publisher.send(
            {
                "kind": "progress",
                "name": self.name,
                "token": self.token,
                "phase": self.phase,
                "doing": self.doing,
                "virtual_time_ps": virtual_time_ps,
                "instructions": instructions,
                "cycles": cycles,
                "statistics": self.statistics(),
            }
        )


def die_with(lifeline: int, folder: str, *, native: bool) -> None:
    """End this process when the supervisor's end of the pipe `lifeline` closes; see the module's
    text.
    """
    if native:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def watch() -> None:
        os.read(lifeline, 1)  # nothing is ever written: this returns when the supervisor is gone
        remove_folder(folder)
        os._exit(ChildExit.ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def linger(lifeline: int) -> None:
    """Give the thread of `die_with` a second before a failed process ends.

    With a killed supervisor its nodes die at once, and the timebase fails on them: when it ended
    before its thread ran, nobody was left to remove the folder (2 of 12 times on a loaded host).
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if select.select([lifeline], [], [], LINGER_SECONDS)[0]:
        time.sleep(LINGER_SECONDS)  # the thread ends the process long before


def _asked_to_end(signal_number: int, _frame: FrameType | None) -> None:
    raise Stopped(signal_number)


def _report(shell: Shell, error: BaseException) -> None:
    """Tell the supervisor why this process ends; a debugging user also gets the traceback."""
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
    name = type(error).__name__
    if not shell.configuration:
        # A message of a process that ends before it is welcomed may be lost with its connection
        # (4 of 14 times on a loaded host); the supervisor also reads the last line of our stderr.
        print(one_line(error), file=sys.stderr, flush=True)
    try:
        shell.send(
            {
                "kind": "failed",
                "error": name if name in REPORTED_CLASSES else "unexpected",
                "where": shell.doing[:1000],
                "reason": one_line(error)[:1000],
            }
        )
    except StramashError:
        print(one_line(error), file=sys.stderr)  # the supervisor reads the last line of our stderr


def run(shell: Shell, entry: str) -> int:
    """Handshake, role, exit code."""
    try:
        shell.hello()
        module_name, _, function_name = entry.partition(":")
        function = getattr(importlib.import_module(module_name), function_name)
        shell.welcomed()
        function(shell)
    except Stopped as stopped:
        return 128 + stopped.signal_number if stopped.signal_number else ChildExit.OK
    except Exception as error:  # the one place where a process turns any failure into a message
        _report(shell, error)
        return ChildExit.FAILED if shell.configuration else ChildExit.REFUSED
    return ChildExit.OK


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m cosim.process`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cosim.process", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--role", required=True, choices=control_protocol.ROLES)
    parser.add_argument("--name", required=True, help="name of this component in the machine")
    parser.add_argument(
        "--entry", default="", help="module:function of the role, when not the usual one"
    )
    parser.add_argument("--control", required=True, help="endpoint of the supervisor")
    parser.add_argument(
        "--lifeline", type=int, required=True, help="descriptor that closes with the supervisor"
    )
    parser.add_argument(
        "--folder", default="", help="private folder of sockets, removed with the supervisor"
    )
    given = parser.parse_args(arguments)
    if TOKEN_VARIABLE not in os.environ:
        print(
            f"{TOKEN_VARIABLE} is not set: this command is started by a supervisor", file=sys.stderr
        )
        return ExitCode.OURS
    role = ROLES[given.role]
    die_with(given.lifeline, given.folder, native=role.native)
    signal.signal(signal.SIGTERM, _asked_to_end)
    signal.signal(signal.SIGINT, _asked_to_end)
    try:
        dealer = connect_dealer(
            control_protocol.PROTOCOL,
            given.role,
            given.control,
            name=given.name,
            peer_role="supervisor",
            server_key=os.environ.get(SERVER_KEY_VARIABLE, ""),
        )
        shell = Shell(given.name, given.role, dealer, os.environ[TOKEN_VARIABLE])
        code = run(shell, given.entry or role.entry)
    except Stopped as stopped:
        return 128 + stopped.signal_number
    except InputError as error:
        print(error, file=sys.stderr)
        return ChildExit.FAILED
    # Who fails early may not even be connected yet, on a loaded host.
    end_all(Limits().flush_s if code == ChildExit.OK else LAST_WORDS_SECONDS)
    if code == ChildExit.FAILED and not role.native:
        linger(given.lifeline)
    return code


if __name__ == "__main__":
    # Roles import this module by its real name: run that one, so that there is only one `Stopped`.
    from cosim.process import main as real_main

    exit_code = real_main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(
        exit_code
    )  # skips tearing down compiled code, which takes longer than our whole shutdown
