"""Toy roles that speak the real protocols, and misbehave where `run.toy` tells them to.

run.toy: {"<component>": {"at": "hello" | "boot" | "turn" | "collect" | "exit", "how": ...}}; how:
kill (SIGKILL to itself), raise, input (an InputError), hang (a loop that serves nothing), segfault.
run.toy_turns: turns a core takes before its program ends; run.toy_wait: cores then wait for ever
instead.
"""

import ctypes
import os
import signal
import time
from types import SimpleNamespace

import cosim.conductor
import cosim.isa
import isa_arm.interrupts
import isa_x86.interrupts
from cosim.core_time import core_nodes
from cosim.engine.stream import CORE_STREAM_BYTES
from cosim.errors import InputError
from cosim.process import Shell
from cosim.protocol import turns as turns_protocol
from cosim.shared import Segment
from cosim.transport import connect_dealer

ISAS = {"x86_64": isa_x86.interrupts, "aarch64": isa_arm.interrupts}


def misbehave(shell: Shell, moment: str) -> None:
    """Do what the configuration asks of this component at this moment."""
    order = shell.configuration.get("run", {}).get("toy", {}).get(shell.name, {})
    if order.get("at") != moment:
        return
    how = order["how"]
    shell.doing = f"being a toy at {moment}"
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "raise":
        raise KeyError("a toy's\nmistake")
    if how == "input":
        raise InputError("program 'x': not for this node; try --on arm")
    while how == "hang":
        time.sleep(0.05)


def memsys(shell: Shell) -> None:
    """Segments and nothing else."""
    misbehave(shell, "boot")
    segments = {
        "physical": Segment.create("physical", 1 << 20),
        "stream": Segment.create("stream", 64 * CORE_STREAM_BYTES),
        "hierarchy": Segment.create("hierarchy", 1 << 12),
    }
    segments["hierarchy"].array[:8].view("<u8")[0] = 42
    shell.answer("collect", lambda _message: collected(shell, {"toy.memory": 42}))
    shell.ready({name: s.path for name, s in segments.items()}, {"worst_reference_cycles": 1000})
    while True:
        misbehave(shell, "turn")
        shell.wait(-1)


def collected(shell: Shell, statistics: dict) -> dict:
    """The answer to collect, unless told otherwise."""
    misbehave(shell, "collect")
    return {"statistics": statistics}


def timebase(shell: Shell) -> None:
    """The real timebase over toy instruction sets."""
    cosim.isa.find = lambda name: SimpleNamespace(interrupts=ISAS[name])
    misbehave(shell, "boot")
    conductor = cosim.conductor.Conductor(shell)
    shell.answer("collect", lambda _m: collected(shell, conductor.statistics()))
    conductor.serve()


class ToyNode:
    """A node whose programs do nothing but take turns."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.run = shell.configuration.get("run", {})
        nodes = core_nodes(shell.configuration["nodes"])
        self.cores = [core for core, node in nodes.items() if node == shell.name]
        self.turns = connect_dealer(
            turns_protocol.PROTOCOL,
            "node",
            shell.configuration["endpoints"]["turns"],
            name=shell.name,
            peer_role="timebase",
            server_key=shell.configuration["endpoints"].get("turns_key", ""),
        )
        self.now_ps = dict.fromkeys(self.cores, 0)
        self.left = 0
        self.count = 0
        self.program = ""
        shell.watch(self.turns)
        shell.answer("load", self.load)
        shell.answer(
            "collect", lambda _m: collected(shell, {f"{shell.name}.toy.turns": self.count})
        )
        shell.statistics = lambda: {f"{shell.name}.toy.turns": self.count}

    def load(self, message: dict) -> dict:
        """Any program will do."""
        misbehave(self.shell, "load")
        self.program, self.left = message["program"]["name"], self.run.get("toy_turns", 5)
        return {"program": self.program, "pid": 1, "core": self.cores[0]}

    def serve(self) -> None:
        """Join and take turns."""
        self.turns.send(
            {
                "kind": "join",
                "node": self.shell.name,
                "token": self.shell.token,
                "cores": self.cores,
            }
        )
        assert self.turns.receive(10_000)["kind"] == "joined", self.turns.last_error
        self.shell.ready()
        while True:
            if self.shell.wait(-1):
                while (message := self.turns.receive(20)) is not None:
                    self.take(message)
                    self.shell.poll_sometimes()

    def take(self, message: dict) -> None:
        """One message of the timebase."""
        if message["kind"] == "drain":
            misbehave(self.shell, "exit")
            self.turns.send({"kind": "drained", "now_ps": max(self.now_ps.values())})
        if message["kind"] != "turn":
            return
        core, ended, state = message["core"], 0, "off"
        if core == self.cores[0] and self.left:
            self.count += 1
            if self.count == 3:
                misbehave(self.shell, "turn")
            self.left -= 1
            self.now_ps[core] += 1_000_000
            if self.count == 1:
                self.shell.send({"kind": "console", "data": b"."})
            state = "runnable"
            if self.left == 0:
                state = "waiting" if self.run.get("toy_wait") else "off"
                ended = int(state == "off")
        if ended:
            self.shell.send(
                {
                    "kind": "exited",
                    "program": self.program,
                    "pid": 1,
                    "status": 3,
                    "signal": 0,
                    "report": "",
                }
            )
        self.turns.send(
            {
                "kind": "turned",
                "core": core,
                "sequence": message["sequence"],
                "state": state,
                "wake_ps": -1,
                "now_ps": self.now_ps[core],
                "ended": ended,
                "sends": [],
                "acknowledges": [],
            }
        )


def node(shell: Shell) -> None:
    """Role entry."""
    misbehave(shell, "boot")
    ToyNode(shell).serve()


def die_before_hello(_shell: Shell) -> None:
    """Never reached: importing the name `tests.failure.absent` fails first."""
