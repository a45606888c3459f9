"""Lockstep: which core may run next, until when, and what it is interrupted with.

Cores touch memory one at a time, in an order that depends on virtual time only.  One turn:

```text
 TimeBase (one)                              node of core c
 next_turn(): c acts next
 turn(c, until, interrupts) ──────────────▶  was it waiting: idle to the interrupts' at_ps;
                                             handle them; run to the first instruction boundary
                                             not before `until`, or stop at the boundary after a
                                             send or an acknowledge, or block
 wait* ◀──────────────────────────────────  turned(now, state, wake, sends, acknowledges)
                                             * has a limit
 invariants: now never decreases; sent_ps lies within the turn;
             between turn and turned nothing runs but c
```
- *Next action* of a core: runnable - its clock; waiting - its timer or its first interrupt;
  off - its first interrupt.  A core's state changes only in its own turn or by an interrupt.
  Equal times are ordered by core number.
- `until` = smallest next action of the *other* cores + quantum.  Whatever they do happens not
  before that action, and reaches c not before that + latency; quantum <= latency, so no interrupt
  can come from c's past.  None of the others can act: until = -1, the turn is extended.
- An interrupt already on its way to c ends the turn at its time, so interrupts are always due at
  a turn's first boundary.
- A core with interrupts masked (inside a kernel) may overshoot `until`; it takes the interrupt at
  its next boundary.  The largest overshoot is a statistic.
- Quiet turns are handed from node to node, by the same rule: cosim/relay.py.
- Nobody's turn starts at or after `halt_ps`, and none goes on beyond the first boundary there: what
  is done to the machine meanwhile is done at that time, in every repetition.
"""

import heapq

from cosim.broker import Broker, Function, Interrupt, arrival
from cosim.core_time import EXTENDED, CoreTime, End, Halt, Turn
from cosim.errors import InputError, InvariantError, ProtocolError
from cosim.relay import NEVER_PS, Relay, Stretch
from cosim.units import PS_PER_SECOND, cycles_of_ps, ps_of_cycles


class TimeBase:
    """The state machine: next_turn and turned alternate.

    It knows no socket and no clock of the host.

    limit_ps: virtual time at which the run ends, 0 for none.  relay: where nodes that hand turns to
    each other look; None when they do not.  InputError when the quantum exceeds a latency.
    """

    def __init__(
        self, broker: Broker, *, quantum_ps: int, limit_ps: int = 0, relay: Relay | None = None
    ) -> None:
        if not 0 < quantum_ps <= broker.latency_ps_min:
            raise InputError(
                f"time.quantum_ns: {quantum_ps / 1000:g} ns, allowed up to the smallest "
                f"interrupt latency, "
                f"{broker.latency_ps_min / 1000:g} ns (ipi.latency_ns): with more an interrupt "
                f"could come too late"
            )
        self.broker = broker
        self.relay = relay
        self.quantum_ps = quantum_ps
        self.limit_ps = limit_ps
        self.cores: dict[int, CoreTime] = {}
        self.programs_live = 0
        self.halt_ps = NEVER_PS
        self.notice_ps = broker.latency_ps_min  # how long the news of an occurrence travels
        self.news = False  # something occurred whose news has not arrived
        self.turns = self.turns_contended = self.turns_extended = self.overshoot_ps_max = 0
        self.granted: Turn | None = None
        self._heap: list[
            tuple[int, int, int]
        ] = []  # (next action, core, version); old versions are skipped
        self._runnable = 0
        self._pending = 0

    def join(
        self, index: int, node: str, frequency_hz: int = PS_PER_SECOND, at_ps: int = 0
    ) -> None:
        """A core takes part from `at_ps` on, runnable then so that its first turn tells its
        state.
        """
        if index in self.cores:
            raise ProtocolError(f"core {index} has joined already")
        now_ps = ps_of_cycles(cycles_of_ps(at_ps, frequency_hz), frequency_hz)
        self.cores[index] = CoreTime(index, node, frequency_hz, now_ps=now_ps, safe_until_ps=now_ps)
        self._runnable += 1
        if self.relay is not None:
            self.relay.join(index, self._first_core(node))
        self._schedule(self.cores[index])

    def _first_core(self, node: str) -> int:
        return min(core for core, owner in self.broker.nodes.items() if owner == node)

    def post(self, node: str) -> None:
        """A message is about to be sent to a node that has no turn: none by relay before it."""
        if self.relay is not None:
            self.relay.post(self._first_core(node))

    def leave(self, node: str) -> None:
        """The cores of a node, which have nothing to do, take part no more.

        InvariantError when one has.
        """
        for core in [core for core in self.cores.values() if core.node == node]:
            if core.state == "runnable" or core.pending:
                raise InvariantError(f"core {core.index} of {node!r} leaves while it is needed")
            core.state, core.wake_ps = "off", -1
            core.version += 1
            self._schedule(core)

    def is_idle(self, node: str) -> bool:
        """Does no core of the node run, or get an interrupt?"""
        cores = [core for core in self.cores.values() if core.node == node]
        return not any(core.state == "runnable" or core.pending for core in cores)

    def next_turn(self) -> Turn | Halt | End:
        """Grant the next turn, or say why there is none."""
        assert self.granted is None, f"turn {self.turns} is not answered yet"
        first = self._pop()
        if first is None and (self.programs_live or self.news) and self.halt_ps != NEVER_PS:
            return self._halt()
        if first is None:
            return End("deadlock" if self.programs_live else "exited", self.virtual_time_ps)
        core, start_ps = first
        if self.programs_live == 0 and self._runnable == 0 and self._pending == 0:
            if self.news:
                self._schedule(core)
                return self._halt()
            return End("exited", self.virtual_time_ps)  # only timers of kernels are left
        if self.limit_ps and start_ps >= self.limit_ps:
            return End("limit", self.limit_ps)
        if start_ps >= self.halt_ps:
            self._schedule(core)
            return self._halt()
        other_ps = self._peek()
        due = self._take_due(core, start_ps)
        until_ps = NEVER_PS if other_ps == NEVER_PS else other_ps + self.quantum_ps
        if core.pending:
            until_ps = min(until_ps, core.pending[0][1].at_ps)
        if self.limit_ps:
            until_ps = min(until_ps, self.limit_ps)
        until_ps = min(until_ps, self.halt_ps)
        self.turns += 1
        contended = other_ps <= start_ps + self.quantum_ps
        self.turns_contended += contended
        self.turns_extended += until_ps == NEVER_PS
        self.granted = Turn(
            core.index,
            core.node,
            self.turns,
            start_ps,
            EXTENDED if until_ps == NEVER_PS else until_ps,
            contended,
            due,
        )
        if self.relay is not None:
            self._open_relay(self.relay, core, self.granted, until_ps)
        return self.granted

    def _open_relay(self, relay: Relay, core: CoreTime, turn: Turn, until_ps: int) -> None:
        """What follows this turn quietly needs no grant."""
        counts = self.turns, self.turns_contended, self.overshoot_ps_max
        bound_ps = min(self.halt_ps, self.limit_ps or NEVER_PS)
        stretch = Stretch(*counts, core.index, turn.start_ps, until_ps, turn.contended)
        relay.show(core.index, turn.start_ps, takes_part=not core.pending)
        relay.grant(stretch, self.quantum_ps, bound_ps)

    @property
    def turns_so_far(self) -> int:
        """Turns granted or handed over."""
        return self.turns if self.relay is None else self.relay.turns

    def in_progress(self) -> Turn | None:
        """The turn granted last, or the last one handed over since; None when it is answered."""
        relay, granted = self.relay, self.granted
        if relay is None or granted is None or relay.turns == granted.sequence:
            return granted
        stretch = relay.stretch
        node = self.cores[stretch.core].node
        times = stretch.start_ps, stretch.until_ps
        contended = bool(stretch.is_contended)
        return Turn(stretch.core, node, stretch.turns, *times, contended, ())

    def latest_ps(self) -> int:
        """virtual_time_ps, of turns that were handed over as well."""
        latest_ps = self.virtual_time_ps
        if (turn := self.in_progress()) is not None:
            latest_ps = max(latest_ps, turn.start_ps)
        return latest_ps

    def take_over(self) -> None:
        """Turns may have been handed over since the one granted: the last of them is the granted
        one now.  Whoever holds it must have stopped.
        """
        relay, before = self.relay, self.granted
        if relay is None or before is None or relay.turns == before.sequence:
            return
        self.granted = self.in_progress()
        self.turns, self.turns_contended, self.overshoot_ps_max = relay.stretch[:3]
        for core in self.cores.values():
            now_ps, safe_until_ps = relay.times_ps(core.index)
            if core.index != before.core and (core.state != "runnable" or core.now_ps == now_ps):
                continue
            self._runnable += core.state != "runnable"
            core.now_ps, core.safe_until_ps = now_ps, safe_until_ps
            core.state, core.wake_ps, core.ran = "runnable", -1, True
            core.version += 1
            self._schedule(core)
        self.cores[relay.stretch.core].version += 1  # it is at work, not in the heap

    def turned(self, reply: dict) -> None:
        """Take the answer to the granted turn.

        ProtocolError when it cannot be one, and nothing has changed.
        """
        turn = self.granted
        if turn is None or (reply["core"], reply["sequence"]) != (turn.core, turn.sequence):
            raise ProtocolError(
                f"turned: core {reply['core']}, turn {reply['sequence']}, is not the turn granted"
            )
        core = self.cores[turn.core]
        now_ps = reply["now_ps"]
        if now_ps < core.now_ps:
            raise ProtocolError(
                f"turned: clock of core {core.index} went back from {core.now_ps} to {now_ps} ps"
            )
        if reply["ended"] > self.programs_live:
            raise ProtocolError(
                f"turned: {reply['ended']} programs ended, {self.programs_live} were left"
            )
        for row in reply["sends"]:
            if not core.now_ps <= row["sent_ps"] <= now_ps:
                raise ProtocolError(
                    f"turned: core {core.index} sent at {row['sent_ps']} ps, outside its turn"
                )
            self.broker.check_send(core.index, row)
        self.broker.check_acknowledges(core.index, reply["acknowledges"])
        sent = [self.broker.send(core.index, row) for row in reply["sends"]]
        sent += [
            self.broker.acknowledge(core.index, number, now_ps) for number in reply["acknowledges"]
        ]
        stands = (now_ps, reply["state"], reply["wake_ps"]) == (
            core.now_ps,
            core.state,
            core.wake_ps,
        )
        if stands and not sent and not turn.interrupts and not reply["ended"]:
            raise InvariantError(
                f"core {core.index} of {core.node!r} made no progress in turn {turn.sequence} from "
                f"{turn.start_ps} ps until {turn.until_ps} ps: still {core.state} at {now_ps} ps"
            )
        self._runnable += (reply["state"] == "runnable") - (core.state == "runnable")
        self.programs_live -= reply["ended"]
        core.now_ps, core.state, core.wake_ps, core.ran = (
            now_ps,
            reply["state"],
            reply["wake_ps"],
            True,
        )
        core.safe_until_ps = self._safe_until_ps(turn, now_ps, sent)
        core.version += 1
        self._schedule(core)
        for interrupt in sent:
            self._deliver_later(interrupt)
        self.granted = None

    def _halt(self) -> Halt | End:
        if self.limit_ps and self.halt_ps >= self.limit_ps:
            return End("limit", self.limit_ps)
        self.news = False
        return Halt(self.halt_ps)

    # --- what is done from outside: while the machine stands still, but for `occurred` ---

    def occurred(self, at_ps: int) -> None:
        """Somebody waits for what happened at that time in the granted turn: halt when its news
        could have arrived.  No core has passed that time, since none ran ahead by more.
        """
        self.halt_ps = min(self.halt_ps, at_ps + self.notice_ps)
        self.news = True

    def wake(self, index: int, at_ps: int) -> None:
        """A core has something to run from that time on, its clock moved there if it was behind."""
        core = self.cores[index]
        if core.state == "runnable":
            return
        now_ps = ps_of_cycles(cycles_of_ps(at_ps, core.frequency_hz), core.frequency_hz)
        core.now_ps = max(core.now_ps, now_ps)
        core.safe_until_ps = max(core.safe_until_ps, min(now_ps, at_ps))
        core.state, core.wake_ps = "runnable", -1
        core.version += 1
        self._runnable += 1
        self._schedule(core)

    def interrupt(self, source: int, target: int, at_ps: int) -> None:
        """Send an interrupt in the name of a core, as a guest of it would."""
        row = {"target_core": target, "function": Function.USER, "sent_ps": at_ps}
        self._deliver_later(self.broker.send(source, {**row, "payload": 0, "acknowledge": False}))

    @property
    def virtual_time_ps(self) -> int:
        """The latest clock of any core that had a turn."""
        return max((core.now_ps for core in self.cores.values() if core.ran), default=0)

    def rows(self) -> list[dict]:
        """Every core, for reports."""
        return [self.cores[index].row() for index in sorted(self.cores)]

    def statistics(self) -> dict[str, int]:
        """Turns and interrupts by dotted name; of turns that were handed over as well."""
        counts = self.turns, self.turns_contended, self.overshoot_ps_max
        if self.relay is not None and self.granted is not None:
            counts = self.relay.stretch[:3]
        turns, contended, overshoot_ps_max = counts
        return {
            "lockstep.turns": turns,
            "lockstep.turns_contended": contended,
            "lockstep.turns_extended": self.turns_extended,
            "lockstep.overshoot_ps_max": overshoot_ps_max,
            **self.broker.statistics(),
        }

    def _safe_until_ps(self, turn: Turn, now_ps: int, sent: list[Interrupt]) -> int:
        """Before this no interrupt may reach the core any more: it has run (or been free to run) up
        to here.
        """
        limit_ps = NEVER_PS if turn.until_ps == EXTENDED else turn.until_ps
        if sent:
            limit_ps = min(limit_ps, min(item.at_ps for item in sent) + self.quantum_ps)
        self.overshoot_ps_max = max(self.overshoot_ps_max, now_ps - limit_ps)
        return min(limit_ps, now_ps)

    def _deliver_later(self, interrupt: Interrupt) -> None:
        target = self.cores[interrupt.target_core]
        if interrupt.at_ps < target.safe_until_ps:
            raise InvariantError(
                f"interrupt {interrupt.id} from core {interrupt.source_core} is late: due at "
                f"{interrupt.at_ps} ps, "
                f"core {target.index} has run to {target.safe_until_ps} ps; a core did not stop "
                f"after sending"
            )
        heapq.heappush(target.pending, (arrival(interrupt.row()), interrupt))
        self._pending += 1
        target.version += 1
        self._schedule(target)

    def _take_due(self, core: CoreTime, start_ps: int) -> tuple[Interrupt, ...]:
        due = []
        while core.pending and core.pending[0][1].at_ps <= start_ps:
            interrupt = heapq.heappop(core.pending)[1]
            self.broker.delivered(interrupt)
            due.append(interrupt)
        self._pending -= len(due)
        return tuple(due)

    def _schedule(self, core: CoreTime) -> None:
        action_ps = core.next_action_ps()
        if self.relay is not None:
            takes_part = core.state == "runnable" and not core.pending
            self.relay.show(core.index, action_ps, takes_part=takes_part)
        if action_ps != NEVER_PS:
            heapq.heappush(self._heap, (action_ps, core.index, core.version))

    def _peek(self) -> int:
        """The smallest next action of the cores in the heap: all but the one just popped."""
        heap = self._heap
        while heap and heap[0][2] != self.cores[heap[0][1]].version:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER_PS

    def _pop(self) -> tuple[CoreTime, int] | None:
        if self._peek() == NEVER_PS:
            return None
        start_ps, index, _ = heapq.heappop(self._heap)
        return self.cores[index], start_ps
