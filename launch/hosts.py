"""Nodes on other hosts, as the supervisor sees them: who is awaited, what each receives, when one
is lost.

```text
 this host    supervisor ─ memsys ─ timebase ─ home ─ local nodes
 other host   NAME.host (`stramash node`: launch.outpost) ─ NAME.pager ─ NAME
```
A person starts `stramash node` there; it starts the other two and tells when one ends.  Its
connection is watched by heartbeats: when the host falls silent, all three count as ended.
"""

import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim import wire
from cosim.errors import InputError
from cosim.remote import files
from cosim.transport import Router
from launch.children import HOST_LOST, Child
from launch.results import bytes_digest, simulator_digest
from launch.sockets import Sockets

DISCARD_PORT = 9  # nothing is sent there: it only asks the kernel for a route
HASH_DIGITS = 16


def handshake_digest() -> str:
    """Equal on hosts whose nodes give the same results: of message tables and simulator."""
    return bytes_digest(f"{wire.digest()} {simulator_digest()}".encode())[:HASH_DIGITS]


def address_towards(hosts: Mapping[str, str]) -> str:
    """This host's IPv4 address on the way to these hosts.  InputError when there is not one."""
    found = {}
    for node, host in hosts.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((host, DISCARD_PORT))
            except OSError as error:
                raise InputError(
                    f"node {node!r}: host {host!r} cannot be reached: {error.strerror or error}"
                ) from error
            found[node] = probe.getsockname()[0]
    if len(set(found.values())) > 1:
        ways = ", ".join(f"{node} from {address}" for node, address in found.items())
        raise InputError(f"hosts are reached from different addresses of this one: {ways}")
    return next(iter(found.values()))


class RemoteProcess:
    """What the supervisor uses of a subprocess.Popen, for a process that another host started."""

    def __init__(self, name: str, control: Router, host: str) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.watch = os.eventfd(0)
        self._name, self._control, self._host = name, control, host

    def ended(self, code: int) -> None:
        """It has: `watch` can be read."""
        if self.returncode is None:
            self.returncode = code
            os.eventfd_write(self.watch, 1)

    def send_signal(self, number: int) -> None:
        """Ask its host to."""
        message = {"kind": "signal", "name": self._name, "number": int(number)}
        self._control.send(self._host, message)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int | None:
        """Its exit code: called when it has ended."""
        return self.returncode


@dataclass(frozen=True)
class KeyFile:
    """What lets `stramash node` in: the CURVE key of the machine, and the run's token."""

    server_key: str
    token: str

    def write(self, path: Path) -> None:
        """For the owner alone."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"server_key": self.server_key, "token": self.token}, file)


class Hosts:
    """The nodes that run elsewhere.  places: host by name of the node, empty for most machines."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = dict(places)
        self._children: dict[str, Child] = {}
        self._given: dict[str, dict] = {}  # `ready` messages of hosts and pagers, by name
        self._control: Router

    def expect(self, control: Router, sockets: Sockets, nodes: list[str]) -> list[Child]:
        """The components that will come, by node: itself, its pager, its host.

        They write to memory one after the other, behind the nodes of this host.
        """
        self._control = control
        before = [node for node in nodes if node not in self.places]
        for node, place in self.places.items():
            rows = (
                (node, "node", ("memsys", "timebase", f"{node}.pager", *before)),
                (f"{node}.pager", "pager", ("home", f"{node}.host")),
                (f"{node}.host", "host", ()),
            )
            for name, role, needs in rows:
                process = RemoteProcess(name, control, f"{node}.host")
                stderr = sockets.folder / f"{name}.stderr"
                self._children[name] = Child(
                    name, role, process, process.watch, stderr, "awaited",  # type: ignore[arg-type]
                    doing=f"waiting for `stramash node` on {place}", needs=needs, place=place,
                )  # fmt: skip
            before.append(node)
        return list(self._children.values())

    def invitation(self, node: str, endpoint: str, sockets: Sockets) -> str:
        """Write the node's key file; the lines that tell a person what to do."""
        path = sockets.folder / f"{node}.key"
        assert sockets.keys is not None, "nodes on other hosts come by tcp"
        KeyFile(sockets.keys.public, sockets.token).write(path)
        return (
            f"node {node!r} is awaited from {self.places[node]}; bring {path} there, and run\n"
            f"  stramash node --connect {endpoint} --key-file {path} --name {node}"
        )

    def took(self, child: Child, message: dict) -> bool:
        """Is this `ready` of one of ours, with places that mean nothing here?"""
        if child.role in ("host", "pager"):
            self._given[child.name] = message
            return True
        return False

    def configuration(self, child: Child, configuration: dict[str, Any]) -> dict[str, Any]:
        """What a component receives: for others than ours the configuration as it is."""
        node = child.name.partition(".")[0]
        if node not in self.places:
            return configuration
        run = configuration["run"]
        if child.role == "host":
            endpoints = configuration["endpoints"]
            return {"run": {"limits": run.get("limits", {})}, "endpoints": endpoints}
        run = {**run, "scratch": self._given[f"{node}.host"]["endpoints"]["folder"]}
        if child.role == "pager":
            return {**configuration, "run": run, "pager_of": node}
        named = run.get("program_files", {}).values()
        run = files.pack(run, [path for images in named for path in images.values()])
        segments = self._given[f"{node}.pager"]["segments"]
        return {**configuration, "run": run, "segments": segments}

    def program(self, node: str, program: dict) -> dict:
        """A program as the kernel of this node can load it."""
        if node not in self.places or "path" not in program:
            return program
        return files.pack(program, [program["path"], *program.get("images", {}).values()])

    def ended(self, host: Child, message: dict) -> None:
        """A process of a host has ended."""
        child = self._children.get(message["name"])
        if (
            child is not None
            and child.place
            and host.name.partition(".")[0] == (child.name.partition(".")[0])
        ):
            child.stderr.write_text(message["said"])
            child.process.ended(message["code"])  # type: ignore[attr-defined]

    def beat(self) -> None:
        """See whether the hosts are there."""
        for node in self.places:
            host = self._children.get(f"{node}.host")
            if host is None or host.state not in ("welcomed", "ready"):
                continue
            if not self._control.send(host.name, {"kind": "beat"}):
                for name in (node, f"{node}.pager", host.name):
                    self._children[name].process.ended(HOST_LOST)  # type: ignore[attr-defined]
