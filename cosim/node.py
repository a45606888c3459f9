"""A node's process: one mini-kernel with its cores, taking turns.

It attaches the shared segments, builds a core per engine and a kernel over them, joins the
timebase, and then does what it is told: load a program, run one core for a turn, write to a device,
settle.  While a core runs, `poll` keeps the sockets alive, so that a dump, a stop and a look at the
progress never wait for the guest.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

import cosim.isa
from cosim.baton import Baton
from cosim.core import Core
from cosim.durations import Durations
from cosim.errors import MachineError
from cosim.kernel.disturbance import undisturbed
from cosim.kernel.kernel import Kernel, load_services
from cosim.local_channel import SCHEME
from cosim.process import Shell
from cosim.protocol import control as control_protocol
from cosim.protocol import turns as turns_protocol
from cosim.relay import Ending
from cosim.remote import files, memory
from cosim.timebase import core_nodes
from cosim.transport import connect_dealer
from cosim.units import cycles_of_ps

# Found by name: this package does not import the memory system.
MEMORY_PORT = "memsys.port:attach"
MEMORY_COUNTERS = "memsys.snapshot:Snapshots"
MEMORY_COUNTERS_ALSO = "memsys.variants:snapshots"
NEXT_TURN_MS = 20  # without a turn for this long, the control socket is watched as well
EXITED_NAMES = tuple(item.name for item in control_protocol.EXITED.fields)
TURNED_NAMES = ("now_ps", "state", "wake_ps", "sends", "acknowledges")  # what the kernel decides
ALIVE_SECONDS = 1.0  # host time between signs of progress in a long turn
RELAYED_NS = 50_000_000  # of turns without Python, between two looks at the control socket
STILL_RUNNABLE = {"state": "runnable", "wake_ps": -1, "sends": [], "acknowledges": []}


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
        self._node.spoke = True
        self._node.turns.send({**message, "kind": "device"})

    def console(self, data: bytes) -> None:
        """Bytes for the console of this node."""
        if data:
            self._node.spoke = True
            self._node.shell.send({"kind": "console", "data": bytes(data)})
        if self._node.turn and self._node.shell.poll_is_due():
            self._node.poll()  # one system call may print for minutes


class Node:
    """The node: sockets on one side, kernel and cores on the other."""

    def __init__(self, shell: Shell) -> None:
        configuration = shell.configuration
        self.shell = shell
        self._scratch = str(configuration["run"].get("scratch", ""))
        configuration["run"] = files.unpack(configuration["run"], self._scratch)
        self.memory = memory.attach(shell.name, configuration, shell.limits.answer_s)
        self.segments = self.memory.segments
        self.description = {
            **next(node for node in configuration["nodes"] if node["name"] == shell.name),
            "worst_reference_cycles": configuration["worst_reference_cycles"],
            "inline": self.memory.remote,
        }
        self.indices = [
            i for i, name in core_nodes(configuration["nodes"]).items() if name == shell.name
        ]
        with self.memory.current():
            self._build(configuration)
        self.turns = connect_dealer(
            turns_protocol.PROTOCOL,
            "node",
            configuration["endpoints"]["turns"],
            name=shell.name,
            peer_role="timebase",
            server_key=configuration["endpoints"].get("turns_key", ""),
            limits=shell.limits,
        )
        endpoint = configuration["endpoints"]["turns"]
        self._own_baton = Baton(endpoint, self.indices[0]) if endpoint.startswith(SCHEME) else None
        self.baton: Baton | None = None  # set when the timebase has a relay
        self.relayed: dict[int, Any] = {}  # relayed turns of cores that need no Python for them
        self.spoke = False  # something left the node in this turn
        self.turn: dict[str, Any] = {}
        joined_ps = self.description.get("joined_ps", 0)
        with self.memory.current():
            for core in self.cores:
                core.idle_until(cycles_of_ps(joined_ps, core.frequency_hz))
        self.now_ps = dict.fromkeys(self.indices, joined_ps)
        self._alive_at_s = self._turn_began_s = self.turn_seconds = 0.0
        self.turn_times = Durations()  # of bounded turns, without the messages
        shell.watch(self.turns)
        for verb, answer in (
            ("load", self._load),
            ("offer", self._offer),
            ("donate", self._donate),
            ("redirect", self._redirect),
            ("reshape", self._reshape),
            ("vacate", self._vacate),
            ("collect", self._collect),
        ):
            shell.answer(verb, self._in_memory(answer))
        shell.answer("dump", self._dump)
        shell.statistics = self.statistics
        shell.clock = self._clock

    def _build(self, configuration: dict) -> None:
        """The cores and the kernel over them."""
        shell = self.shell
        isa = cosim.isa.find(self.description["isa"])
        shared = self.segments["hierarchy"].array, self.segments["stream"].array
        also = [self.segments["also"].array] if "also" in self.segments else []
        port = _find(MEMORY_PORT)(*shared, *also)
        counters, also_counters = self._counters(), self._counters_also()
        seen = (counters, *also_counters)
        classes = min(each.line_classes(self.indices) for each in seen)
        description = {**self.description, "line_classes": classes}
        self.cores = [
            Core(
                index,
                f"{shell.name}.core{number}",
                description,
                configuration["settings"],
                isa,
                self.segments,
                port,
            )
            for number, index in enumerate(self.indices)
        ]
        self.kernel = Kernel(
            configuration, self.description, isa, self.cores, self.segments, Outbox(self),
            load_services(str(configuration.get("run", {}).get("services", ""))), counters,
            also_counters,
        )  # fmt: skip

    def _in_memory(self, verb: Callable[[dict], dict]) -> Callable[[dict], dict]:
        """A control verb that works on the machine's memory between turns."""

        def served(message: dict) -> dict:
            with self.memory.current():
                return verb(message)

        return served

    def serve(self) -> None:
        """The whole life: join, then serve both sockets."""
        self._join()
        self.shell.ready()
        while True:
            if self._something_comes():
                # Turns follow each other: wait for them alone, which saves 40 us a turn.
                while self._serve_next():
                    self.shell.poll_sometimes()
                self._refused()

    def _something_comes(self) -> bool:
        """Serve the control socket for a while; True when there is a message or a turn."""
        if self.baton is None:
            return self.shell.wait(-1)
        with self.baton.asleep() as here:
            return here or self.shell.wait(-1)

    def _serve_next(self) -> bool:
        """Serve a message or a turn; False when none comes in NEXT_TURN_MS."""
        baton = self.baton
        if baton is None:
            message = self.turns.receive(NEXT_TURN_MS)
        else:
            until_s = time.monotonic() + NEXT_TURN_MS / 1000
            message = None
            while baton.core is None and (message := self.turns.receive(0)) is None:
                if time.monotonic() >= until_s:
                    return False
                baton.wait(NEXT_TURN_MS)
            if message is None:
                self._run_relayed(baton)
                return True
        if message is not None:
            self._serve(message)
        return message is not None

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
        if message["relay"] and self._own_baton is not None:
            self.baton = self._own_baton
            self.baton.attach(message["relay"], self.turns.channel.pollable)
            self.shell.watch(self.baton.descriptor)
            for core in self.cores:
                if (relayed := core.relayed(self.baton)) is not None:
                    self.relayed[core.index] = relayed

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
            with self.memory.current():
                for core in self.cores:
                    core.settle()
            self.turns.send({"kind": "drained", "now_ps": max(self.now_ps.values())})
        else:
            self.turns.refuse(f"{kind}: not now")

    def _run_relayed(self, baton: Baton) -> None:
        """Run the turn that was handed to this node, and those that follow without Python."""
        index = baton.turn["core"]
        relayed, ending = self.relayed.get(index), Ending.UNFINISHED
        if relayed is not None and (found := undisturbed(self.kernel, index)) is not None:
            core, turns, seconds = relayed.core, relayed.turns, relayed.seconds
            deadline_ns = time.monotonic_ns() + RELAYED_NS
            ending = relayed.run(core.idle_cycles, found, deadline_ns)
            if (count := relayed.turns - turns) > 0:
                self.turn_times.add((relayed.seconds - seconds) / count, count)
                self.now_ps[index] = relayed.now_ps
        turn = baton.turn
        if relayed is not None and ending == Ending.ANSWER:
            self._answer(turn, {"now_ps": relayed.now_ps, **STILL_RUNNABLE})
        elif ending == Ending.UNFINISHED:
            self._run_turn(turn)

    def _run_turn(self, message: dict) -> None:
        self.turn, self.spoke = message, False
        self._alive_at_s = self._turn_began_s = time.monotonic()
        waited_s = self._waiting_seconds()
        core = message["core"]
        with self.memory.current():
            result = self.kernel.turn(
                core, message["until_ps"], message["contended"], message["interrupts"], self.poll
            )
        seconds = time.monotonic() - self._turn_began_s
        self.turn_seconds += seconds
        if message["until_ps"] >= 0:
            self.turn_times.add(seconds - (self._waiting_seconds() - waited_s))
        self.turn = {}
        self.shell.doing = "waiting for a turn"
        self.now_ps[core] = result["now_ps"]
        baton = self.baton if self._is_quiet(result) else None
        if baton is None or not baton.pass_on(core, result["now_ps"]):
            self._answer(message, result)

    def _is_quiet(self, result: dict) -> bool:
        """Did nothing leave this node in the turn, and can its core go on?"""
        if self.spoke or result["state"] != "runnable":
            return False
        left = result["sends"] or result["acknowledges"] or self.kernel.exited
        return not left and not self.kernel.watch.happened

    def _answer(self, message: dict, result: dict) -> None:
        """Tell the timebase how the turn ended."""
        core = message["core"]
        self.now_ps[core] = result["now_ps"]
        if self.baton is not None:
            self.baton.drop()
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
        relayed = sum(found.seconds for found in self.relayed.values())
        engine = sum(core.engine_seconds for core in self.cores)
        waiting = self._waiting_seconds()
        python = max(0.0, self.turn_seconds - engine - waiting)
        engine += relayed
        parts = {"engine": engine, "waiting": waiting, "kernel": python}
        times = {f"host.{self.shell.name}.{part}_us": int(s * 1e6) for part, s in parts.items()}
        return {**self.kernel.statistics(), **times}

    def _waiting_seconds(self) -> float:
        return sum(core.writer.waiting_seconds for core in self.cores)

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
        program = files.unpack(message["program"], self._scratch)
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

    def _counters_also(self) -> Any:
        """Counters of the memory systems that get the same references, in their order."""
        if "also" not in self.segments:
            return ()
        configuration = self.shell.configuration
        settings = [variant["settings"] for variant in configuration["also"]]
        shared = self.segments["also"].array, self.segments["stream"].array
        return _find(MEMORY_COUNTERS_ALSO)(settings, configuration["nodes"], *shared)

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
        turns = self.turn_times.statistics(f"host.{self.shell.name}.turn_ns")
        return {
            "statistics": {**self.statistics(), **turns},
            "registers": self.kernel.register_words(),
            "reports": reports,
        }

    def _dump(self, message: dict) -> dict:
        look = self._look if self.turn else self._in_memory(self._look)
        return look(message)

    def _look(self, _message: dict) -> dict:
        return {
            "kernel": self.kernel.dump(),
            "turn": {k: v for k, v in self.turn.items() if k != "interrupts"},
        }


def main(shell: Shell) -> None:
    """Role entry."""
    Node(shell).serve()
