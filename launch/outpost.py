"""`stramash node`: the processes of one node, on a host that is not the machine's.

```text
 connect ─▶ hello ─▶ welcome ─▶ start NAME.pager and NAME ─▶ ready ─▶ tell when one ends ─▶ stop
```
Nothing outlives it: when the machine stops, when its connection breaks, when somebody ends this
command or kills it, both processes and their folder go.
"""

import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cosim.errors import InputError, MachineError
from cosim.process import ROLES, ChildExit, Shell, Stopped, remove_folder
from cosim.protocol import control as control_protocol
from cosim.remote import userfault
from cosim.transport import Keys, Limits, connect_dealer, end_all
from launch.children import Child, last_words, spawn
from launch.hosts import KeyFile, handshake_digest
from launch.sockets import Sockets, private_folder
from launch.system import NODE_NAME

ENDPOINT = re.compile(r"^tcp://[^:/\s]+:\d{1,5}$")
KEY_CHARACTERS = 40  # a CURVE key as Z85
LOOK_MS = 100  # at the connection
STEPS = (signal.SIGTERM, signal.SIGKILL)
Notice = Callable[[str], None]


def read_key(path: str) -> KeyFile:
    """The key file, `-` for stdin.  InputError when it is not one, or others may read it."""
    try:
        if path == "-":
            text = sys.stdin.read()
        else:
            with open(path) as file:
                if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise InputError(f"{path}: others may read this key; chmod 600 {path}")
                text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        key = KeyFile(**json.loads(text))
    except (ValueError, TypeError):
        key = KeyFile("", "")
    if not (type(key.token) is str and type(key.server_key) is str) or (
        len(key.server_key) != KEY_CHARACTERS
    ):
        raise InputError(f"{path}: not a key file; bring the one that `stramash run` names")
    return key


class Outpost:
    """One node's processes here.  notice: says a line to the person who started it."""

    def __init__(self, connect: str, key_file: str, name: str, notice: Notice) -> None:
        """Raises InputError for arguments that cannot be right, and when this host cannot."""
        if not ENDPOINT.match(connect):
            raise InputError(f"--connect {connect}: write tcp://HOST:PORT, as `stramash run` says")
        if not NODE_NAME.match(name):
            raise InputError(f"--name {name}: not the name of a node")
        key = read_key(key_file)
        os.close(userfault.create())  # what a node cannot do without, before it is promised
        self.connect, self.key_file, self.name, self.notice = connect, key_file, name, notice
        self.dealer = connect_dealer(
            control_protocol.PROTOCOL,
            "host",
            connect,
            name=f"{name}.host",
            peer_role="supervisor",
            server_key=key.server_key,
            watched=True,
        )
        assert self.dealer.connection is not None
        self.connection = self.dealer.connection
        self.shell = Shell(f"{name}.host", "host", self.dealer, key.token)
        self.shell.server_key = key.server_key
        self.shell.answer("signal", self._signal)
        self.shell.answer("beat", lambda _message: None)
        self.folder: Path | None = None
        self.children: dict[str, Child] = {}
        self._keys = key

    def serve(self) -> None:
        """The whole life.  InputError when the machine does not want us, MachineError when it is
        gone.
        """
        self._introduce()
        self.folder = private_folder()
        lifeline, held = os.pipe()
        try:
            self._start(lifeline)
            while True:
                self.shell.wait(LOOK_MS)
                self._look()
        except Stopped:
            self.notice(f"node {self.name!r}: the machine has ended")
        finally:
            try:
                self._end(gently=not self.connection.lost)
            finally:
                os.close(held)
                os.close(lifeline)
                remove_folder(str(self.folder))

    def _introduce(self) -> None:
        """Say hello until we are welcome."""
        self.shell.hello(handshake_digest())
        limit_s = Limits().admit_s
        deadline_s = time.monotonic() + limit_s
        while (message := self.dealer.receive(LOOK_MS)) is None or message["kind"] != "welcome":
            self.connection.look()
            if self.dealer.last_error:
                raise InputError(f"{self.connect}: {self.dealer.last_error}")
            if self.connection.refused:
                raise InputError(
                    f"{self.connect}: refuses the key of {self.key_file}; bring the key file of the"
                    " run that is there now"
                )
            if time.monotonic() > deadline_s:
                why = "nobody answers; has the machine ended?"
                if self.connection.connected:
                    why = f"no answer in {limit_s:g} s; is {self.name!r} there already?"
                raise InputError(f"{self.connect}: {why}")
        self.shell.configure(message["configuration"])

    def _start(self, lifeline: int) -> None:
        assert self.folder is not None
        places = Sockets(self.folder, {}, self._keys.token, Keys(self._keys.server_key, ""))
        for name, role in ((f"{self.name}.pager", "pager"), (self.name, "node")):
            child = spawn(name, role, ROLES[role].entry, self.connect, places, lifeline)
            self.children[name] = child
            self.shell.watch(child.watch)
        self.shell.ready(endpoints={"folder": str(self.folder)})
        self.notice(f"node {self.name!r} belongs to the machine at {self.connect}")

    def _look(self) -> None:
        self.connection.look()
        if self.connection.lost:
            raise MachineError(f"node {self.name!r}: the machine at {self.connect} is gone")
        for child in self.children.values():
            if child.state != "gone" and child.process.poll() is not None:
                self._report(child)

    def _report(self, child: Child) -> None:
        child.state = "gone"
        self.shell.unwatch(child.watch)
        os.close(child.watch)
        code = child.process.returncode
        self._ended(child.name, code, last_words(child.stderr))

    def _ended(self, name: str, code: int, said: str = "") -> None:
        self.shell.send({"kind": "ended", "name": name, "code": int(code), "said": said})

    def _signal(self, message: dict) -> None:
        child = self.children.get(message["name"])
        if child is not None and child.state != "gone":
            child.process.send_signal(message["number"])

    def _end(self, *, gently: bool) -> None:
        """End both processes; tell the supervisor, if it is there."""
        limits = self.shell.limits
        waits = (limits.stop_s, limits.terminate_s, limits.kill_s)
        for seconds, number in zip(waits, (*STEPS, None), strict=True):
            deadline_s = time.monotonic() + seconds * gently
            while any(c.process.poll() is None for c in self.children.values()):
                if time.monotonic() > deadline_s:
                    break
                time.sleep(0.01)
            for child in self.children.values():
                if number is not None and child.process.poll() is None:
                    child.process.send_signal(number)
        for child in self.children.values():
            if child.state != "gone" and gently:
                self._report(child)
        if gently:
            self._ended(self.shell.name, ChildExit.OK)
        end_all(limits.flush_s)


def serve(connect: str, key_file: str, name: str, notice: Notice) -> None:
    """Run a node for the machine at `connect` until that ends.  See Outpost for errors."""
    Outpost(connect, key_file, name, notice).serve()
