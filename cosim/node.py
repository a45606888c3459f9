"""A node's process: one mini-kernel with its cores, taking turns.

It attaches the shared segments, builds a core per engine and a kernel over them, joins the
timebase, and then does what it is told: load a program, run one core for a turn, write to a device,
settle.  While a core runs, `poll` keeps the sockets alive, so that a dump, a stop and a look at the
progress never wait for the guest.
"""

import importlib
import time
from typing import Any

import cosim.isa
from cosim.core import Core
from cosim.errors import MachineError
from cosim.kernel.kernel import Kernel, load_services
from cosim.process import Shell
from cosim.protocol import control as control_protocol
from cosim.protocol import turns as turns_protocol
from cosim.shared import Segment
from cosim.timebase import core_nodes
from cosim.transport import connect_dealer
from cosim.units import cycles_of_ps

# Found by name: this package does not import the memory system.
MEMORY_PORT = "memsys.port:attach"
MEMORY_COUNTERS = "memsys.snapshot:Snapshots"
NEXT_TURN_MS = 20  # without a turn for this long, the control socket is watched as well
EXITED_NAMES = tuple(item.name for item in control_protocol.EXITED.fields)
TURNED_NAMES = ("now_ps", "state", "wake_ps", "sends", "acknowledges")  # what the kernel decides
ALIVE_SECONDS = 1.0  # host time between signs of progress in a long turn


def _find(place: str) -> Any:
    """What is at "module:NAME"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class Outbox:
    """Where a kernel puts what leaves its node."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def device(self, message: dict) -> None:
        """A write to a device that another node owns: fields device, source, sent_ps, value."""
        self._node.turns.send({**message, "kind": "device"})

    def console(self, data: bytes) -> None:
        """Bytes for the console of this node."""
        if data:
            self._node.shell.send({"kind": "console", "data": bytes(data)})
        if self._node.turn and self._node.shell.poll_is_due():
            self._node.poll()  # one system call may print for minutes


class Node:
    """The node: sockets on one side, kernel and cores on the other."""

    def __init__(self, shell: Shell) -> None:
        configuration = shell.configuration
        self.shell = shell
        self.description = {
            **next(node for node in configuration["nodes"] if node["name"] == shell.name),
            "worst_reference_cycles": configuration["worst_reference_cycles"],
        }
        self.indices = [
            i for i, name in core_nodes(configuration["nodes"]).items() if name == shell.name
        ]
        self.segments = {
            name: Segment.attach(path) for name, path in configuration["segments"].items()
        }
        isa = cosim.isa.find(self.description["isa"])
        shared = self.segments["hierarchy"].array, self.segments["stream"].array
        port = _find(MEMORY_PORT)(*shared)
        counters = self._counters()
        self.cores = [
            Core(
                index,
                f"{shell.name}.core{number}",
                self.description,
                configuration["settings"],
                isa,
                self.segments,
                port,
            )
            for number, index in enumerate(self.indices)
        ]
        self.turns = connect_dealer(
            turns_protocol.PROTOCOL,
            "node",
            configuration["endpoints"]["turns"],
            name=shell.name,
            peer_role="timebase",
            server_key=configuration["endpoints"].get("turns_key", ""),
            limits=shell.limits,
        )
        self.kernel = Kernel(
            configuration, self.description, isa, self.cores, self.segments, Outbox(self),
            load_services(str(configuration.get("run", {}).get("services", ""))), counters,
        )  # fmt: skip
        self.turn: dict[str, Any] = {}
        joined_ps = self.description.get("joined_ps", 0)
        for core in self.cores:
            core.idle_until(cycles_of_ps(joined_ps, core.frequency_hz))
        self.now_ps = dict.fromkeys(self.indices, joined_ps)
        self._alive_at_s = self._turn_began_s = self.turn_seconds = 0.0
        shell.watch(self.turns)
        shell.answer("load", self._load)
        shell.answer("offer", self._offer)
        shell.answer("donate", self._donate)
        shell.answer("redirect", self._redirect)
        shell.answer("reshape", self._reshape)
        shell.answer("vacate", self._vacate)
        shell.answer("collect", self._collect)
        shell.answer("dump", self._dump)
        shell.statistics = self.statistics
        shell.clock = self._clock

    def serve(self) -> None:
        """The whole life: join, then serve both sockets."""
        self._join()
        self.shell.ready()
        while True:
            if self.shell.wait(-1):
                # Turns follow each other: wait on their socket alone, which saves 40 us a turn.
                while (message := self.turns.receive(NEXT_TURN_MS)) is not None:
                    self._serve(message)
                    self.shell.poll_sometimes()
                self._refused()

    def _join(self) -> None:
        self.shell.doing = "joining the timebase"
        self.turns.send(
            {
                "kind": "join",
                "node": self.shell.name,
                "token": self.shell.token,
                "cores": self.indices,
            }
        )
        message = self.turns.receive(int(self.shell.limits.welcome_s * 1000))
        if message is None or message["kind"] != "joined":
            reason = self.turns.last_error or "no answer to join"
            raise MachineError(f"node {self.shell.name!r} could not join the timebase: {reason}")

    def _refused(self) -> None:
        """The timebase refused something of ours: this node is wrong, and waiting would only hide
        it.
        """
        if self.turns.last_error:
            raise MachineError(
                f"node {self.shell.name!r}: the timebase refused: {self.turns.last_error}"
            )

    def _serve(self, message: dict) -> None:
        kind = message["kind"]
        if kind == "turn":
            self._run_turn(message)
        elif kind == "access":
            self.kernel.device({key: value for key, value in message.items() if key != "kind"})
        elif kind == "yield":
            pass  # it came when the turn was over
        elif kind == "drain":
            for core in self.cores:
                core.settle()
            self.turns.send({"kind": "drained", "now_ps": max(self.now_ps.values())})
        else:
            self.turns.refuse(f"{kind}: not now")

    def _run_turn(self, message: dict) -> None:
        self.turn = message
        self._alive_at_s = self._turn_began_s = time.monotonic()
        core = message["core"]
        result = self.kernel.turn(
            core, message["until_ps"], message["contended"], message["interrupts"], self.poll
        )
        self.turn_seconds += time.monotonic() - self._turn_began_s
        self.turn = {}
        self.shell.doing = "waiting for a turn"
        self.now_ps[core] = result["now_ps"]
        ended = list(self.kernel.exited)
        self.kernel.exited.clear()
        for program in ended:
            self.shell.send({"kind": "exited", **{name: program[name] for name in EXITED_NAMES}})
        for occurrence in self.kernel.watch.take():
            self.turns.send({"kind": "occurred", **occurrence})
        answer = {name: result[name] for name in TURNED_NAMES}
        self.turns.send(
            {
                **answer,
                "kind": "turned",
                "core": core,
                "sequence": message["sequence"],
                "ended": len(ended),
            }
        )

    def poll(self) -> None:
        """Serve the sockets and say that the turn proceeds; every ~50 ms of host time while it
        does.
        """
        turn = self.turn
        until = "it sends or blocks" if turn["until_ps"] < 0 else f"{turn['until_ps']} ps"
        self.shell.doing = f"running turn {turn['sequence']} of core {turn['core']} until {until}"
        self.shell.poll()
        self._look_for_yield()
        if time.monotonic() - self._alive_at_s >= ALIVE_SECONDS:
            self._alive_at_s = time.monotonic()
            core = self.cores[self.indices.index(turn["core"])]
            self.turns.send(
                {
                    "kind": "alive",
                    "core": turn["core"],
                    "sequence": turn["sequence"],
                    "progress": core.engine.instructions + int(core.writer.written),
                }
            )

    def _look_for_yield(self) -> None:
        """During a turn nothing but `yield` can come from the timebase."""
        while (message := self.turns.receive(0)) is not None:
            if message["kind"] != "yield":
                self.turns.refuse(f"{message['kind']}: not during a turn")
            elif message["sequence"] == self.turn["sequence"]:
                self.cores[self.indices.index(self.turn["core"])].yields = True

    def statistics(self) -> dict[str, int]:
        """The kernel's counters, and where this process's host time went, in us."""
        engine = sum(core.engine_seconds for core in self.cores)
        waiting = sum(core.writer.waiting_seconds for core in self.cores)
        python = max(0.0, self.turn_seconds - engine - waiting)
        parts = {"engine": engine, "waiting": waiting, "kernel": python}
        times = {f"host.{self.shell.name}.{part}_us": int(s * 1e6) for part, s in parts.items()}
        return {**self.kernel.statistics(), **times}

    def _clock(self) -> tuple[int, int, int]:
        """(virtual time in ps, instructions, cycles) for displays; settling changes nothing that is
        simulated.
        """
        if self.turn:
            running = self.turn["core"]
            self.now_ps[running] = self.cores[self.indices.index(running)].now_ps()
        instructions = sum(
            int(core.engine.instructions) + core.instructions_kernel for core in self.cores
        )
        frequency_hz = self.description["frequency_hz"]
        cycles = sum(cycles_of_ps(now_ps, frequency_hz) for now_ps in self.now_ps.values())
        return max(self.now_ps.values()), instructions, cycles

    def _load(self, message: dict) -> dict:
        program = message["program"]
        self.shell.doing = f"loading {program.get('name', '')}"
        pid = self.kernel.load(program)
        core = self.kernel.tasks.by_tid[pid].lane.core
        core.idle_until(cycles_of_ps(program.get("at_ps", 0), core.frequency_hz))
        return {"program": program.get("name", ""), "pid": pid, "core": core.index}

    # --- nodes join and leave, while the machine stands still ---

    def _counters(self) -> Any:
        configuration = self.shell.configuration
        shared = self.segments["hierarchy"].array, self.segments["stream"].array
        return _find(MEMORY_COUNTERS)(configuration["settings"], configuration["nodes"], *shared)

    def _offer(self, _message: dict) -> dict:
        with self.kernel.memory.uncharged():
            offered = self.kernel.services.offer(self.kernel)
        return dict(zip(("memory_bytes", "used", "total"), offered, strict=True))

    def _donate(self, message: dict) -> dict:
        with self.kernel.memory.uncharged():
            start, end = self.kernel.services.donate(self.kernel, message["node"])
        return {"start": start, "end": end}

    def _reshape(self, message: dict) -> dict:
        configuration = self.shell.configuration
        configuration["settings"] = message["machine"]["settings"]
        configuration["nodes"][:] = message["machine"]["nodes"]
        self.kernel.reshape(configuration["settings"], self._counters())
        return {}

    def _redirect(self, message: dict) -> dict:
        self.kernel.migrations.redirect(message["pid"], message["node"])
        return {}

    def _vacate(self, _message: dict) -> dict:
        with self.kernel.memory.uncharged():
            return self.kernel.services.vacate(self.kernel)

    def _collect(self, _message: dict) -> dict:
        reports = self.kernel.dump()
        if (transcript := self.kernel.transcript()) is not None:
            reports["transcript"] = transcript
        return {
            "statistics": self.statistics(),
            "registers": self.kernel.register_words(),
            "reports": reports,
        }

    def _dump(self, _message: dict) -> dict:
        return {
            "kernel": self.kernel.dump(),
            "turn": {k: v for k, v in self.turn.items() if k != "interrupts"},
        }


def main(shell: Shell) -> None:
    """Role entry."""
    Node(shell).serve()
