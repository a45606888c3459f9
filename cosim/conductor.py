"""The timebase's process: the nodes' sockets around a TimeBase and a Broker.

It gathers the nodes, hands out the turns that the TimeBase decides, forwards accesses to devices,
holds the turns when it is asked to, and tells the supervisor how the run ended.  A node that does
not answer its turn is reported, not waited for.

While turns are handed from node to node (cosim/relay.py) it only looks whether they go on, and
takes over where they stand when a node has something to say.

A pause has a virtual time.  When it is asked for now, that is the latest time any core has reached:
the turn in progress is ended early, and the other cores run up to there.  Where turns end is no
part of what is simulated, so a repetition that pauses at the same time finds the same machine.
"""

import time

import cosim.isa
from cosim.broker import Broker, latencies
from cosim.core_time import EXTENDED, End, Halt, Turn, core_nodes
from cosim.durations import Durations
from cosim.errors import MachineError, ProtocolError
from cosim.local_channel import SCHEME
from cosim.process import Shell
from cosim.protocol import turns as turns_protocol
from cosim.relay import NEVER_PS, Relay
from cosim.timebase import TimeBase
from cosim.transport import bind_router, new_keys
from cosim.units import PS_PER_NS

POLL_MS = 50  # host time between looks at the control socket while a turn lasts
UART = "uart0"  # every machine has it; its owner is the first node unless configured


def build(configuration: dict) -> TimeBase:
    """The time base and broker that a configuration asks for, without cores yet."""
    settings, nodes, run = configuration["settings"], configuration["nodes"], configuration["run"]
    network_ps = settings.get("network.round_trip_ns", 0) * PS_PER_NS // 2  # one way
    broker = Broker(*routes(settings, nodes), network_ps)
    return TimeBase(
        broker,
        quantum_ps=quantum_ps(settings, broker),
        limit_ps=max(0, run.get("limit_ps", 0)),
        relay=Relay() if relays(configuration) else None,
    )


def relays(configuration: dict) -> bool:
    """May nodes hand turns to each other?  Not from host to host, nor beside other memory systems:
    those see one core.
    """
    wanted = configuration["settings"].get("time.relay", True)
    endpoint = configuration.get("endpoints", {}).get("turns", "")
    return wanted and endpoint.startswith(SCHEME) and not configuration.get("also")


def routes(settings: dict, nodes: list[dict]) -> tuple[dict, dict, dict]:
    """What a Broker must know of the nodes: see there."""
    tables = {node["name"]: cosim.isa.find(node["isa"]).interrupts for node in nodes}
    return core_nodes(nodes), tables, latencies(settings, list(tables))


def quantum_ps(settings: dict, broker: Broker) -> int:
    """How far a core may run ahead of the others."""
    quantum_ns = settings.get("time.quantum_ns") or broker.latency_ps_min // PS_PER_NS
    return quantum_ns * PS_PER_NS


class Conductor:
    """The timebase process: serves the nodes' sockets around a TimeBase."""

    def __init__(self, shell: Shell) -> None:
        configuration = shell.configuration
        self.shell = shell
        self.timebase = build(configuration)
        self.nodes = [node["name"] for node in configuration["nodes"]]
        self.owners = {UART: self.nodes[0], **configuration.get("devices", {})}
        self.rows = {node["name"]: node for node in configuration["nodes"]}
        self.accesses = 0
        self.granted = 0  # turns, by message
        self.turn_times = Durations()  # of bounded turns, from the grant to the answer
        self.programs = 0  # loaded, or to be loaded at a known time
        self.started = self.paused = self.pause_answered = False
        self.turn: Turn | None = None
        self.yielding = False  # the turn in progress was asked to end
        endpoint = configuration["endpoints"]["turns"]
        keys = new_keys() if endpoint.startswith("tcp:") else None
        self.router, self.endpoint = bind_router(
            turns_protocol.PROTOCOL,
            "timebase",
            endpoint,
            greeting="join",
            greeting_role="node",
            token=shell.token,
            keys=keys,
            limits=shell.limits,
        )
        self.server_key = keys.public if keys else ""
        shell.watch(self.router)
        shell.answer("start", self._start)
        shell.answer("pause", self._pause)
        shell.answer("reshape", self._reshape)
        shell.answer("vacate", self._vacate)
        shell.answer("wake", self._wake)
        shell.answer("interrupt", self._interrupt)
        shell.answer("dump", lambda _message: {"cores": self.timebase.rows()})
        shell.answer("collect", self._collect)
        shell.statistics = self.statistics
        shell.clock = lambda: (self.timebase.latest_ps(), 0, 0)

    def statistics(self) -> dict[str, int]:
        """Turns, interrupts and forwarded device accesses."""
        return {**self.timebase.statistics(), "machine.device_accesses": self.accesses}

    def _collect(self, _message: dict) -> dict:
        times = self.turn_times.statistics("host.turn_ns")  # sorts: not for each telemetry
        times["host.turns_granted"] = self.granted
        return {"statistics": {**self.statistics(), **times}}

    def serve(self) -> None:
        """The whole life: gather the nodes, conduct, tell the end."""
        self.shell.ready(endpoints={"turns": self.endpoint, "turns_key": self.server_key})
        while not (self.started and len(self.timebase.cores) == len(self.timebase.broker.nodes)):
            self.shell.doing = "waiting for the nodes and for the start"
            self._idle()
        end = self.conduct()
        self.shell.doing = f"at the end: {end.reason}"
        if end.reason == "deadlock":
            self.shell.send(
                {
                    "kind": "deadlock",
                    "virtual_time_ps": end.virtual_time_ps,
                    "cores": self.timebase.rows(),
                }
            )
        else:
            self._drain()
            self.shell.send(
                {
                    "kind": "finished",
                    "reason": end.reason,
                    "virtual_time_ps": self.timebase.virtual_time_ps,
                    "statistics": self.statistics(),
                }
            )
        while True:
            self._idle()

    def conduct(self) -> End:
        """Hand out turns until there is none."""
        while True:
            if self.paused:
                self._answer_pause()
                self._idle()
                continue
            turn = self.timebase.next_turn()
            if isinstance(turn, End):
                return turn
            if isinstance(turn, Halt):
                self.paused, self.pause_answered = True, False
                continue
            self.granted += 1
            granted_s = time.perf_counter()
            if not self.router.send(turn.node, turn.message()):
                raise MachineError(f"node {turn.node!r} does not take turn {turn.sequence}")
            self._await_turned(turn)
            if turn.until_ps != EXTENDED:
                count = self.timebase.turns - turn.sequence + 1
                self.turn_times.add((time.perf_counter() - granted_s) / count, count)

    def _await_turned(self, turn: Turn) -> None:
        self.turn, self.yielding = turn, False
        progress_s = time.monotonic()
        progress = (turn.sequence, -1)  # of the turn in progress
        while self.timebase.granted is not None:
            found = self.router.receive(POLL_MS)
            now_s = time.monotonic()
            seen = progress
            if found is not None:
                seen = self._in_turn(found, seen)
            seen = max(seen, (self.timebase.turns_so_far, -1))
            if seen > progress:
                progress, progress_s = seen, now_s
            if self.shell.poll_is_due():
                turn = self.turn = self.timebase.in_progress() or turn
                until = "it sends or blocks" if turn.until_ps == EXTENDED else f"{turn.until_ps} ps"
                self.shell.doing = (
                    f"waiting for node {turn.node!r}: turn {turn.sequence} of core {turn.core}, "
                    f"from {turn.start_ps} ps until {until}"
                )
                self.shell.poll()
            if now_s - progress_s > self.shell.limits.answer_s:
                self._unanswered(int(now_s - progress_s))
        self.turn = None
        if self.timebase.relay is not None:
            self.timebase.relay.pause(False)
        if self.yielding:
            self._halt_now()

    def _in_turn(self, found: tuple[str, dict], progress: tuple[int, int]) -> tuple[int, int]:
        """Serve one message that came while a turn lasts; (turn, its progress) that is known of."""
        peer, message = found
        kind = message["kind"]
        turn = self.timebase.in_progress()
        assert turn is not None
        if peer != turn.node or kind not in ("turned", "alive", "device", "occurred"):
            self._greet(peer, message)
        elif kind == "alive":
            return max(progress, (message["sequence"], message["progress"]))
        elif kind == "occurred":
            self.timebase.occurred(message["at_ps"])
            self.shell.send(message)
        elif kind == "device":
            self._forward(peer, message)
        else:
            self.timebase.take_over()
            try:
                self.timebase.turned(message)
            except ProtocolError as error:
                self.router.refuse(peer, str(error))
        return progress

    def _unanswered(self, seconds: int) -> None:
        """Report the turn and wait to be stopped; a late answer changes nothing any more."""
        self.timebase.take_over()
        turn = self.timebase.granted
        assert turn is not None
        self.shell.send(
            {
                "kind": "unanswered",
                "node": turn.node,
                "core": turn.core,
                "sequence": turn.sequence,
                "until_ps": turn.until_ps,
                "seconds": seconds,
                "cores": self.timebase.rows(),
            }
        )
        self.shell.serve_forever()

    def _forward(self, peer: str, message: dict) -> None:
        owner = self.owners.get(message["device"])
        if owner is None or message["source"] != peer:
            self.router.refuse(
                peer, f"device {message['device']!r} of {message['source']!r}: no such device here"
            )
            return
        self.accesses += 1
        self.timebase.post(owner)
        self.router.send(owner, {**message, "kind": "access"})

    def _greet(self, peer: str, message: dict) -> None:
        """A message outside a turn: only `join` has a place.

        MachineError when a node refused one of ours.
        """
        if message["kind"] == "error":
            raise MachineError(f"node {peer!r} refused a message: {message['reason']}")
        if message["kind"] != "join" or peer in self.router.peers:
            self.router.refuse(peer, f"{message['kind']}: it is not the turn of {peer!r}")
            return
        cores = [core for core, node in self.timebase.broker.nodes.items() if node == peer]
        if message["node"] != peer or message["cores"] != cores or not cores:
            self.router.refuse(
                peer, f"join: {peer!r} with cores {message['cores']} is not in this machine"
            )
            return
        self.router.accept(peer, "node")
        for core in cores:
            row = self.rows[peer]
            self.timebase.join(core, peer, row["frequency_hz"], row.get("joined_ps", 0))
        relay = self.timebase.relay
        path = "" if relay is None else relay.path
        quantum = self.timebase.quantum_ps
        self.router.send(peer, {"kind": "joined", "quantum_ps": quantum, "relay": path})

    def _idle(self) -> None:
        """Between turns: serve both sockets, sleeping until something comes."""
        if self.shell.wait(-1):
            while (found := self.router.receive(0)) is not None:
                self._greet(*found)
        self._answer_pause()

    def _drain(self) -> None:
        """Let every node settle.  MachineError when one does not answer in Limits.drain_s."""
        left = set(self.nodes)
        for node in self.nodes:
            self.router.send(node, {"kind": "drain"})
        deadline_s = time.monotonic() + self.shell.limits.drain_s
        while left:
            self.shell.doing = f"waiting for {', '.join(sorted(left))} to drain"
            self.shell.poll()
            found = self.router.receive(POLL_MS)
            if found is not None and found[1]["kind"] == "drained":
                left.discard(found[0])
            elif found is not None and found[1]["kind"] == "device":
                self._forward(*found)
            elif found is not None:
                self._greet(*found)
            if time.monotonic() > deadline_s:
                raise MachineError(
                    f"{', '.join(sorted(left))} did not drain in {self.shell.limits.drain_s:g} s"
                )

    def _start(self, message: dict) -> None:
        self.timebase.programs_live += message["programs"] - self.programs
        self.programs = message["programs"]
        halt_ps = message["halt_ps"]
        self.timebase.halt_ps = NEVER_PS if halt_ps < 0 else halt_ps
        self.started, self.paused = True, False

    def _pause(self, _message: dict) -> None:
        """Halt as soon as it is known where the turn in progress ends."""
        if self.turn is not None:
            self.yielding = True
            if self.timebase.relay is not None:
                self.timebase.relay.pause(True)
            self.router.send(self.turn.node, {"kind": "yield", "sequence": self.turn.sequence})
        elif not self.paused:
            self._halt_now()
            self.paused = not self.started
        self.pause_answered = False

    def _halt_now(self) -> None:
        self.timebase.halt_ps = min(self.timebase.halt_ps, self.timebase.virtual_time_ps)

    def _answer_pause(self) -> None:
        if self.paused and not self.pause_answered:
            self.pause_answered = True
            self.shell.send({"kind": "paused", "virtual_time_ps": self.timebase.halt_ps})

    def _wake(self, message: dict) -> dict:
        self.timebase.wake(message["core"], message["at_ps"])
        return {}

    def _interrupt(self, message: dict) -> dict:
        self.timebase.interrupt(message["source"], message["target"], message["at_ps"])
        return {}

    def _vacate(self, message: dict) -> dict:
        """May a node leave, as far as turns and interrupts go?"""
        name = next(name for name, row in self.rows.items() if row["index"] == message["node"])
        idle = self.timebase.is_idle(name)
        return {"reason": "" if idle else "its cores have work or get interrupts", "legacy": {}}

    def _reshape(self, message: dict) -> dict:
        """Nodes joined, and will say so themselves, or left."""
        settings, nodes = message["machine"]["settings"], message["machine"]["nodes"]
        for row in nodes:
            if "left_ps" in row and row["name"] in self.nodes:
                self.nodes.remove(row["name"])
                self.timebase.leave(row["name"])
        self.nodes += [row["name"] for row in nodes if row["name"] not in self.rows]
        self.rows = {row["name"]: row for row in nodes}
        self.timebase.broker.extend(*routes(settings, nodes))
        longest_ps = quantum_ps(settings, self.timebase.broker)
        self.timebase.quantum_ps = min(longest_ps, self.timebase.notice_ps)
        return {}


def main(shell: Shell) -> None:
    """Role entry."""
    Conductor(shell).serve()
