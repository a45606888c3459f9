"""Taking turns: a node's side of the lockstep.

A turn comes by message from the timebase, or from another node by the baton (cosim/relay.py).
Between turns the node waits for either; in one, `poll` keeps the sockets alive, so that a dump, a
stop and a look at the progress never wait for the guest.
"""

import time
from typing import Any

from cosim.baton import Baton
from cosim.core import Core
from cosim.durations import Durations
from cosim.errors import MachineError
from cosim.kernel.disturbance import undisturbed
from cosim.kernel.kernel import Kernel
from cosim.local_channel import SCHEME
from cosim.process import Shell
from cosim.protocol import control as control_protocol
from cosim.protocol import turns as turns_protocol
from cosim.relay import Ending
from cosim.remote.memory import SharedMemory
from cosim.transport import connect_dealer

NEXT_TURN_MS = 20  # without a turn for this long, the control socket is watched as well
EXITED_NAMES = tuple(item.name for item in control_protocol.EXITED.fields)
TURNED_NAMES = ("now_ps", "state", "wake_ps", "sends", "acknowledges")  # what the kernel decides
ALIVE_SECONDS = 1.0  # host time between signs of progress in a long turn
RELAYED_NS = 50_000_000  # of turns without Python, between two looks at the control socket
STILL_RUNNABLE = {"state": "runnable", "wake_ps": -1, "sends": [], "acknowledges": []}


class Outbox:
    """Where a kernel puts what leaves its node.  taker: set once there is one."""

    taker: "TurnTaker"

    def device(self, message: dict) -> None:
        """A write to a device that another node owns: fields device, source, sent_ps, value."""
        self.taker.spoke = True
        self.taker.turns.send({**message, "kind": "device"})

    def console(self, data: bytes) -> None:
        """Bytes for the console of this node."""
        if data:
            self.taker.spoke = True
            self.taker.shell.send({"kind": "console", "data": bytes(data)})
        if self.taker.turn and self.taker.shell.poll_is_due():
            self.taker.poll()  # one system call may print for minutes


class TurnTaker:
    """One node's end.

    turn: the `turn` message in progress, {} between turns.  now_ps: clock of each core, by number.
    seconds: of the host, in turns with Python.  times: of bounded turns, without the messages.
    spoke: something left the node in this turn.
    """

    def __init__(
        self, shell: Shell, memory: SharedMemory, kernel: Kernel, cores: list[Core], joined_ps: int
    ) -> None:
        """joined_ps: virtual time at which the cores begin."""
        self.shell, self.memory, self.kernel = shell, memory, kernel
        self.cores = {core.index: core for core in cores}
        endpoints = shell.configuration["endpoints"]
        endpoint = endpoints["turns"]
        self.turns = connect_dealer(
            turns_protocol.PROTOCOL,
            "node",
            endpoint,
            name=shell.name,
            peer_role="timebase",
            server_key=endpoints.get("turns_key", ""),
            limits=shell.limits,
        )
        self._own_baton = Baton(endpoint, min(self.cores)) if endpoint.startswith(SCHEME) else None
        self.baton: Baton | None = None  # set when the timebase has a relay
        self.relayed: dict[int, Any] = {}  # relayed turns of cores that need no Python for them
        self.spoke = False
        self.turn: dict[str, Any] = {}
        self.now_ps = dict.fromkeys(self.cores, joined_ps)
        self.seconds = self._alive_at_s = 0.0
        self.times = Durations()
        shell.watch(self.turns)

    def serve(self) -> None:
        """Serve turns and the control socket, for ever."""
        while True:
            if self._something_comes():
                # Turns follow each other: wait for them alone, which saves 40 us a turn.
                while self._serve_next():
                    self.shell.poll_sometimes()
                self._refused()

    def join(self) -> None:
        """Take part.  MachineError when the timebase does not admit the node."""
        self.shell.doing = "joining the timebase"
        self.turns.send(
            {
                "kind": "join",
                "node": self.shell.name,
                "token": self.shell.token,
                "cores": list(self.cores),
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
            for core in self.cores.values():
                if (relayed := core.relayed(self.baton)) is not None:
                    self.relayed[core.index] = relayed

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
            if self.baton is not None:
                self.baton.read()
        elif kind == "yield":
            pass  # it came when the turn was over
        elif kind == "drain":
            with self.memory.current():
                for core in self.cores.values():
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
                self.times.add((relayed.seconds - seconds) / count, count)
                self.now_ps[index] = relayed.now_ps
        turn = baton.turn
        if relayed is not None and ending == Ending.ANSWER:
            self._answer(turn, {"now_ps": relayed.now_ps, **STILL_RUNNABLE})
        elif ending == Ending.UNFINISHED:
            self._run_turn(turn)

    def _run_turn(self, message: dict) -> None:
        self.turn, self.spoke = message, False
        began_s = self._alive_at_s = time.monotonic()
        waited_s = self.waiting_seconds()
        core = message["core"]
        with self.memory.current():
            result = self.kernel.turn(
                core, message["until_ps"], message["contended"], message["interrupts"], self.poll
            )
        seconds = time.monotonic() - began_s
        self.seconds += seconds
        if message["until_ps"] >= 0:
            self.times.add(seconds - (self.waiting_seconds() - waited_s))
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
            core = self.cores[turn["core"]]
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
                self.cores[self.turn["core"]].yields = True

    def waiting_seconds(self) -> float:
        """Host time that cores waited for the memory system."""
        return sum(core.writer.waiting_seconds for core in self.cores.values())

    def clocks_ps(self) -> list[int]:
        """The clock of every core now."""
        if self.turn:
            running = self.turn["core"]
            self.now_ps[running] = self.cores[running].now_ps()
        return list(self.now_ps.values())
