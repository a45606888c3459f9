"""Two hosts for a test: network namespaces with a cable between them, or this host twice.

Where the kernel does not permit namespaces (a container without CAP_SYS_ADMIN), both are this host
and the address is that of the loopback: the same processes, sockets and pages, no cable to cut.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

INVITATION = re.compile(r"stramash node --connect (\S+) --key-file (\S+) --name (\S+)")
ADDRESSES = ("198.18.0.1", "198.18.0.2")  # RFC 2544: for tests of networks
ISAS = {"x86": "x86_64", "arm": "aarch64"}
START_SECONDS_MAX = 60.0
RUN_SECONDS_MAX = 240.0
# `ip` is in /usr/sbin, which not everybody's path has.
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, env={"PATH": PATH})


@dataclass(frozen=True)
class TwoHosts:
    """prefixes: what starts a command on the near and on the far host.  far: its address."""

    prefixes: tuple[tuple[str, ...], tuple[str, ...]]
    far: str
    cable: str = ""

    @property
    def apart(self) -> bool:
        """Are they two, with a cable between?"""
        return bool(self.cable)

    def cut(self) -> None:
        """Cut the cable: packets vanish, nobody is told."""
        near = self.prefixes[0][-1]
        _ip("-n", near, "link", "set", self.cable, "down")

    def mend(self) -> None:
        """Undo `cut`."""
        if self.cable:
            _ip("-n", self.prefixes[0][-1], "link", "set", self.cable, "up")


@contextmanager
def two_hosts() -> Iterator[TwoHosts]:
    """Make them, and take them away."""
    tag = f"stramash{os.getpid()}"
    names, ends = (f"{tag}a", f"{tag}b"), (f"v{os.getpid()}a", f"v{os.getpid()}b")
    tool = shutil.which("ip", path=PATH)
    try:
        if tool is None:
            raise OSError("no ip command")
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", ends[0], "netns", names[0], "type", "veth",
            "peer", "name", ends[1], "netns", names[1])  # fmt: skip
        for name, end, address in zip(names, ends, ADDRESSES, strict=True):
            _ip("-n", name, "addr", "add", f"{address}/30", "dev", end)
            for link in ("lo", end):
                _ip("-n", name, "link", "set", link, "up")
        near, far = ((tool, "netns", "exec", name) for name in names)
        yield TwoHosts((near, far), ADDRESSES[1], ends[0])
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no network namespaces here ({error}): both hosts are this one")
        yield TwoHosts(((), ()), "127.0.0.1")
    finally:
        for name in names:
            with suppress(OSError, subprocess.CalledProcessError):
                _ip("netns", "del", name)


def machine_file(folder: Path, hosts: TwoHosts, away: Sequence[str], cores: int) -> Path:
    """A machine of x86 and arm with so many cores each, with the nodes `away` on the far host."""
    text = ""
    for name, isa in ISAS.items():
        text += f'[[node]]\nname = "{name}"\nisa = "{isa}"\ncores = {cores}\n'
        text += f'host = "{hosts.far}"\n' if name in away else ""
    path = folder / "machine.toml"
    path.write_text(text)
    return path


class Process:
    """A command on one of the hosts, its output in files."""

    def __init__(
        self,
        prefix: Sequence[str],
        words: Sequence[str],
        folder: Path,
        tag: str,
        program: Sequence[str] = ("-m", "launch.cli"),
    ) -> None:
        self.out, self.err = folder / f"{tag}.out", folder / f"{tag}.err"
        environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }  # fmt: skip
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *program, *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment,
            )  # fmt: skip

    def wait(self, seconds: float = RUN_SECONDS_MAX) -> int:
        return self.process.wait(seconds)

    @property
    def said(self) -> str:
        return self.err.read_text()

    def child(self, name: str) -> psutil.Process:
        """Its process with this name of a component, as soon as it exists."""
        deadline_s = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline_s:
            for process in psutil.Process(self.process.pid).children():
                with suppress(psutil.Error):
                    words = process.cmdline()
                    # Before it is the new program, a child has its parent's words.
                    if "--role" in words and words[words.index("--name") + 1] == name:
                        return process
            time.sleep(0.02)
        raise AssertionError(f"no process {name!r}: {self.said}")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
            self.process.wait()


class RemoteRun:
    """`stramash run` on the near host with nodes that come from the far one; a context manager.

    invitations: (endpoint, key file, name) of each, as the run printed them.
    """

    def __init__(
        self,
        hosts: TwoHosts,
        folder: Path,
        *words: object,
        away: Sequence[str] = ("arm",),
        cores: int = 1,
    ) -> None:
        self.hosts, self.folder = hosts, folder
        machine = str(machine_file(folder, hosts, away, cores))
        command = ["run", *map(str, words)]
        place = command.index("--") if "--" in command else len(command)
        command[place:place] = ["--machine", machine, "--out", str(folder / "run"), "--quiet"]
        self.run = Process(hosts.prefixes[0], command, folder, "run")
        self.nodes: list[Process] = []
        self.away = away
        self.invitations: list[tuple[str, str, str]] = []

    def __enter__(self) -> "RemoteRun":
        deadline_s = time.monotonic() + START_SECONDS_MAX
        while len(self.invitations) < len(self.away):
            self.invitations = INVITATION.findall(self.run.said)
            assert self.run.process.poll() is None and time.monotonic() < deadline_s, self.run.said
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.run, *self.nodes):
            process.end()

    @property
    def near_folder(self) -> Path:
        """The private folder of the run."""
        return Path(self.invitations[0][1]).parent

    def node(
        self,
        *,
        connect: str = "",
        key_file: object = "",
        name: str = "",
        program: Sequence[str] = ("-m", "launch.cli"),
    ) -> Process:
        """Start `stramash node` on the far host, as invited but for what is given."""
        invited = next((i for i in self.invitations if i[2] == name), self.invitations[0])
        words = ["node", "--connect", connect or invited[0]]
        words += ["--key-file", str(key_file or invited[1]), "--name", name or invited[2]]
        tag = f"node{len(self.nodes)}"
        process = Process(self.hosts.prefixes[1], words, self.folder, tag, program)
        self.nodes.append(process)
        return process

    def finish(self) -> dict:
        """Start all nodes, wait for everything; the statistics."""
        for _, _, name in self.invitations:
            self.node(name=name)
        status = self.run.wait()
        assert status == 0, self.run.said
        for node in self.nodes:
            assert node.wait(10) == 0, node.said
        return json.loads((self.folder / "run" / "stats.json").read_text())
