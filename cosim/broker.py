"""The interrupt broker: translates interrupts of one instruction set into native ones of another.

A sending kernel writes its own interrupt controller (x86: ICR of the local APIC, Arm:
ICC_SGI1R_EL1, RISC-V: SETSSIP).  The broker decodes that word with the sender's tables into (target
core, function), encodes the function as the receiver's controller shows it (vector, INTID, pending
bit), and gives it the time at which it arrives: sent + latency of the pair of nodes.  It does not
move anything: the timebase hands interrupts over with the turns.

Not modelled: controllers' priorities and masking beyond what kernels do, lost interrupts, more than
one word of payload.
"""

from dataclasses import dataclass
from enum import IntEnum
from types import ModuleType

from cosim.errors import InputError, ProtocolError, suggest
from cosim.units import PS_PER_NS


class Function(IntEnum):
    """Why one kernel interrupts another: the function number common to all instruction sets."""

    RESCHEDULE = 0  # a task became runnable on the target
    CALL_FUNCTION = 1  # run something there; TLB shootdown
    MESSAGE = 2  # a message ring has something
    MIGRATE = 3  # a thread arrives
    USER = 4  # a guest's ipi_send
    ACKNOWLEDGE = 5  # an interrupt that asked for it was handled; payload: its id
    NETWORK = 6  # a network message arrives; it takes the network's time, not an interrupt's


@dataclass(frozen=True)
class Interrupt:
    """An interrupt on its way.

    native: what the receiver's controller shows; at_ps: earliest handling.
    """

    id: int
    function: int
    native: int
    source_core: int
    target_core: int
    sent_ps: int
    at_ps: int
    payload: int
    acknowledge: bool

    def row(self) -> dict:
        """The row of a `turn` message."""
        return {
            "id": self.id,
            "function": self.function,
            "native": self.native,
            "source_core": self.source_core,
            "sent_ps": self.sent_ps,
            "at_ps": self.at_ps,
            "payload": self.payload,
            "acknowledge": self.acknowledge,
        }


def arrival(row: dict) -> tuple[int, int, int, int]:
    """What orders interrupt rows of one core: when they are due; of equal ones, when they were
    sent, by whom, and which first.  Numbers alone follow the turns, and so the quantum.
    """
    return row["at_ps"], row["sent_ps"], row["source_core"], row["id"]


class Broker:
    """Translation, latency, numbering, acknowledgement and counters of interrupts.

    nodes: name of each core's node.  tables: the `interrupts` module of each node's ISA.
    latency_ps: (source node, target node) -> latency.  network_ps: of NETWORK, whatever the pair.
    """

    def __init__(
        self,
        nodes: dict[int, str],
        tables: dict[str, ModuleType],
        latency_ps: dict[tuple[str, str], int],
        network_ps: int = 0,
    ) -> None:
        self.nodes = nodes
        self.tables = tables
        self.latency_ps = latency_ps
        self.network_ps = network_ps or max(latency_ps.values())
        self.sent = dict.fromkeys(tables, 0)
        self.received = dict.fromkeys(tables, 0)
        self._count = 0
        self._awaited: dict[int, Interrupt] = {}

    @property
    def latency_ps_min(self) -> int:
        """The smallest latency: how far ahead of the others a core may run."""
        return min(self.latency_ps.values())

    def extend(
        self,
        nodes: dict[int, str],
        tables: dict[str, ModuleType],
        latency_ps: dict[tuple[str, str], int],
    ) -> None:
        """The machine has these nodes from now on: those it had, and more; see the constructor."""
        self.nodes, self.tables, self.latency_ps = nodes, tables, latency_ps
        for counts in (self.sent, self.received):
            counts.update({node: 0 for node in tables if node not in counts})

    def check_send(self, source_core: int, row: dict) -> None:
        """Translate the `sends` row of a core's turn, without sending.

        ProtocolError when the native word does not say what the row says, or names a core that does
        not exist.
        """
        target_core, function = self.tables[self.nodes[source_core]].decode_send(row["native"])
        if (target_core, function) != (row["target_core"], row["function"]):
            raise ProtocolError(
                f"interrupt of core {source_core}: the word {row['native']:#x} says core "
                f"{target_core}, function "
                f"{function}; the message says core {row['target_core']}, function "
                f"{row['function']}"
            )
        if target_core not in self.nodes:
            raise ProtocolError(f"interrupt of core {source_core}: there is no core {target_core}")

    def send(self, source_core: int, row: dict) -> Interrupt:
        """The interrupt that a row asks for which check_send has passed."""
        return self._new(
            source_core,
            row["target_core"],
            row["function"],
            row["sent_ps"],
            row["payload"],
            row["acknowledge"],
        )

    def check_acknowledges(self, core: int, interrupt_ids: list[int]) -> None:
        """ProtocolError when nobody waits for one of them, or another core was to handle it, or one
        is there twice.
        """
        for number in interrupt_ids:
            original = self._awaited.get(number)
            if original is None or original.target_core != core or interrupt_ids.count(number) > 1:
                raise ProtocolError(
                    f"core {core} acknowledges interrupt {number}, which nobody waits for"
                )

    def acknowledge(self, core: int, interrupt_id: int, now_ps: int) -> Interrupt:
        """The ACKNOWLEDGE that goes back when `core` has handled the interrupt, which
        check_acknowledges passed.
        """
        original = self._awaited.pop(interrupt_id)
        return self._new(
            core, original.source_core, Function.ACKNOWLEDGE, now_ps, interrupt_id, False
        )

    def delivered(self, interrupt: Interrupt) -> None:
        """Count an interrupt that is handed over now."""
        self.received[self.nodes[interrupt.target_core]] += 1
        if interrupt.acknowledge:
            self._awaited[interrupt.id] = interrupt

    def statistics(self) -> dict[str, int]:
        """<node>.ipi.sent and <node>.ipi.received."""
        counters = {f"{node}.ipi.sent": count for node, count in self.sent.items()}
        return counters | {f"{node}.ipi.received": count for node, count in self.received.items()}

    def _new(
        self, source: int, target: int, function: int, sent_ps: int, payload: int, acknowledge: bool
    ) -> Interrupt:
        source_node, target_node = self.nodes[source], self.nodes[target]
        self.sent[source_node] += 1
        self._count += 1
        latency_ps = self.latency_ps[source_node, target_node]
        if function == Function.NETWORK:
            latency_ps = max(latency_ps, self.network_ps)
        return Interrupt(
            id=self._count,
            function=int(function),
            native=self.tables[target_node].encode_receive(function),
            source_core=source,
            target_core=target,
            sent_ps=sent_ps,
            at_ps=sent_ps + latency_ps,
            payload=payload,
            acknowledge=acknowledge,
        )


def latencies(settings: dict, nodes: list[str]) -> dict[tuple[str, str], int]:
    """Latency in ps of every ordered pair of nodes (a node with itself included).

    settings: `ipi.latency_ns`, overridden by `ipi.latency_ns.<source>.<target>`.  InputError for a
    latency of 0 or a node that does not exist.
    """
    prefix = "ipi.latency_ns"
    for name in settings:
        pair = name.removeprefix(prefix + ".").split(".")
        if name.startswith(prefix + ".") and (len(pair) != 2 or not set(pair) <= set(nodes)):
            unknown = next((part for part in pair if part not in nodes), name)
            raise InputError(f"{name}: no node {unknown!r}{suggest(unknown, nodes)}")
    found = {}
    for source in nodes:
        for target in nodes:
            latency_ns = settings.get(f"{prefix}.{source}.{target}", settings[prefix])
            if latency_ns < 1:
                raise InputError(f"{prefix} {source} to {target}: {latency_ns} ns, allowed from 1")
            found[source, target] = latency_ns * PS_PER_NS
    return found
