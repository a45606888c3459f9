"""Names of statistics: unit and meaning of each, as patterns, and the numbers that are derived from
others.

`<node>` stands for a node's name, `<i>` for a core's number within its node, `*` for one more word.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memsys.statistics import meanings as memory_system_meanings


class Row(NamedTuple):
    """One family of names."""

    pattern: str
    unit: str
    meaning: str


# fmt: off
TABLE = (
    Row("<node>.core<i>.instructions_user", "instruction", "executed by guest programs"),
    Row("<node>.core<i>.instructions_kernel", "instruction", "charged for kernel work"),
    Row("<node>.core<i>.data_references_user", "reference", "loads and stores of guest programs"),
    Row("<node>.core<i>.data_references_kernel", "reference", "loads and stores of the kernel"),
    Row("<node>.core<i>.cycles", "cycle", "busy: instructions and memory"),
    Row("<node>.core<i>.idle_cycles", "cycle", "waiting with nothing to run"),
    Row("<node>.core<i>.memory_cycles", "cycle", "charged by the memory system"),
    Row("<node>.core<i>.l1i.accesses", "access", "instruction fetches"),
    Row("<node>.core<i>.*.accesses", "access", "looked up in this cache"),
    Row("<node>.core<i>.*.hits", "access", "found in this cache"),
    Row("<node>.core<i>.*.misses", "access", "not found in this cache"),
    Row("<node>.core<i>.l1d.splits", "access", "second halves of references that cross a line"),
    Row("<node>.l3.accesses", "access", "looked up in the node's L3"),
    Row("<node>.l3.hits", "access", "found in the node's L3"),
    Row("<node>.l3.misses", "access", "not found in the node's L3"),
    Row("machine.l3.accesses", "access", "looked up in the L3 that all nodes share"),
    Row("machine.l3.hits", "access", "found in the L3 that all nodes share"),
    Row("machine.l3.misses", "access", "not found in the L3 that all nodes share"),
    Row("<node>.l3_transfers", "line", "moved or invalidated between cores below one L3"),
    Row("<node>.memory.local", "access", "served by local memory"),
    Row("<node>.memory.remote", "access", "served by remote memory"),
    Row("<node>.write_backs.local", "line", "dirty lines written to local memory"),
    Row("<node>.write_backs.remote", "line", "dirty lines written to remote memory"),
    Row("<node>.snoops.data.sent", "snoop", "SnpData caused by this node's loads"),
    Row("<node>.snoops.data.received", "snoop", "SnpData that this node answered"),
    Row("<node>.snoops.invalidate.sent", "snoop", "SnpInv caused by this node's stores"),
    Row("<node>.snoops.invalidate.received", "snoop", "SnpInv that this node answered"),
    Row("<node>.snoops.back_invalidate.sent", "snoop", "BISnp caused by this node's misses"),
    Row("<node>.snoops.back_invalidate.received", "snoop", "BISnp that this node answered"),
    Row("<node>.devices.local", "access", "to device registers of this node"),
    Row("<node>.devices.remote", "access", "to device registers of other nodes"),
    Row("<node>.ipi.sent", "interrupt", "inter-processor interrupts sent"),
    Row("<node>.ipi.received", "interrupt", "inter-processor interrupts received"),
    Row("lockstep.turns", "turn", "granted by the timebase, or handed from node to node"),
    Row("lockstep.turns_contended", "turn", "bounded, because another core could act soon"),
    Row("lockstep.turns_extended", "turn", "unbounded, because no other core could act"),
    Row("lockstep.overshoot_ps_max", "ps", "longest stretch past a turn's limit: one kernel event cannot be cut"),
    Row("<node>.messages.sent", "message", "sent to other kernels"),
    Row("<node>.messages.received", "message", "received from other kernels"),
    Row("<node>.pages.replicated", "page", "copied from another kernel"),
    Row("<node>.pages.remote_allocated", "page", "allocated for another kernel's process"),
    Row("<node>.messages.retries", "message", "that found their ring full"),
    Row("<node>.messages.sent.*", "message", "sent, by kind"),
    Row("<node>.messages.received.*", "message", "received, by kind"),
    Row("<node>.migrations.sent", "thread", "sent to run a function on another node"),
    Row("<node>.migrations.received", "thread", "taken in to run a function here"),
    Row("<node>.pages.mapped", "page", "of another kernel's table mapped where they are"),
    Row("<node>.pages.own", "page", "filled from this node's own program: text and constants"),
    Row("<node>.futex.interrupts", "interrupt", "sent to wake a thread on another node"),
    Row("<node>.memory.blocks.*", "block", "of memory that changed hands"),
    Row("<node>.memory.*", "", "of the global allocator"),
    Row("<node>.faults.*", "fault", "handled by the kernel, by kind"),
    Row("<node>.system_calls.*", "call", "made by guest programs, by name"),
    Row("machine.runtime_cycles", "cycle", "busy cycles of all nodes together, as the artifact defines runtime"),
    Row("machine.virtual_time_ns", "ns", "virtual time at the end"),
    Row("machine.digest", "", "of memory, registers, simulated statistics and consoles"),
    Row("host.seconds", "s", "host time of the run, without building and starting"),
    Row("host.<node>.engine_us", "us", "host time in the engine; references priced at once included"),
    Row("host.<node>.kernel_us", "us", "host time in the kernel's Python"),
    Row("host.<node>.waiting_us", "us", "host time spent waiting for the memory system"),
    Row("host.turns_granted", "turn", "granted by a message: all others were handed from node to node"),
    Row("host.turn_ns.*", "ns", "host time of a bounded turn, from grant to answer, by percentile; of turns that nodes handed over, the mean of each stretch"),
    Row("host.<node>.turn_ns.*", "ns", "of that in the node: kernel and engine, by percentile"),
    Row("host.*.cpu_us", "us", "processor time of the process since it was ready"),
    Row("host.*.memory_kib", "KiB", "of host memory that the process shares with no other"),
    Row("host.<node>.pager.bytes", "byte", "moved between the hosts for a node on another one"),
    Row("host.<node>.pager.turns", "turn", "after which its writes were brought home, loading and collecting included"),
    Row("host.<node>.pager.fetches", "", "requests for pages it touched first"),
    Row("host.<node>.pager.pages_fetched", "page", "that came with them"),
    Row("host.<node>.pager.pages_refreshed", "page", "that others had changed before a turn"),
    Row("host.<node>.pager.pages_committed", "page", "that it had changed in a turn"),
    Row("host.<node>.pager.forgotten", "", "times that all its pages were dropped, because they were too many"),
    Row("host.<node>.pager.*_us", "us", "host time of fetching, refreshing, committing"),
    Row("host.<node>.core<i>.native.blocks_entered", "", "stretches of translated blocks"),
    Row("host.<node>.core<i>.native.instructions_translated", "instruction", "guest instructions made into blocks"),
    Row("host.<node>.core<i>.native.stencils_built", "", "instruction forms that LLVM compiled in this run"),
    Row("host.<node>.core<i>.native.stencils_us", "us", "host time that took"),
    Row("host.<node>.core<i>.native.unicorn_instructions", "instruction", "executed by Unicorn: fallbacks and ends of slices"),
    Row("host.<node>.core<i>.native.fallback.<form>", "", "times this form was left to Unicorn"),
    Row("host.mips", "instruction/us", "simulated user and kernel instructions per host microsecond"),
)
# fmt: on

HOST_PREFIX = "host."
# How the simulation was carried out, not what it simulated: host times, and turns, which follow the quantum.
NOT_SIMULATED = (HOST_PREFIX, "lockstep.")
UNKNOWN = Row("", "", "")


def _pattern(row: Row, nodes: Sequence[str]) -> re.Pattern[str]:
    text = re.escape(row.pattern).replace(r"\*", r"[^.]+(?:\.[^.]+)*")
    text = text.replace("<i>", r"\d+")
    return re.compile(text.replace("<node>", f"(?:{'|'.join(map(re.escape, nodes))})"))


class Meanings:
    """Looks names of one machine up.  nodes: its node names."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._rows = [(_pattern(row, nodes), row) for row in TABLE]
        self._prefix = re.compile(rf"(?:{'|'.join(map(re.escape, nodes))}|machine)\.(?:core\d+\.)?")
        self._of_memory = memory_system_meanings()

    def of(self, name: str) -> Row:
        """The row of a name, ours or the memory system's; UNKNOWN when nothing covers it."""
        for pattern, row in self._rows:
            if pattern.fullmatch(name):
                return row
        suffix = self._prefix.sub("", name, count=1)
        found = self._of_memory.get(suffix)
        return Row(name, *found) if found else UNKNOWN


def total(statistics: Mapping[str, int], node: str, suffix: str) -> int:
    """Sum over the cores of a node of `<node>.core<i>.<suffix>`."""
    pattern = re.compile(rf"{re.escape(node)}\.core\d+\.{re.escape(suffix)}")
    return sum(value for name, value in statistics.items() if pattern.fullmatch(name))


def runtime_cycles(statistics: Mapping[str, int], nodes: Sequence[str]) -> int:
    """machine.runtime_cycles: the busy cycles of every core of every node."""
    return sum(total(statistics, node, "cycles") for node in nodes)


def instructions(statistics: Mapping[str, int], nodes: Sequence[str]) -> int:
    """User and kernel instructions of the whole machine."""
    kinds = ("instructions_user", "instructions_kernel")
    return sum(total(statistics, node, kind) for node in nodes for kind in kinds)
