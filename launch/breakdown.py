"""Where the time of a run went: virtual time split into what was paid for, exact to the picosecond.

Every cycle of a core is an instruction's or a charge of the memory system, counted by kind
(memsys.statistics.CHARGES), so the parts of a core add up to its busy time without a rest.  Time
in which no core computes is waiting: interrupts and messages on their way, timers, devices.

*What is measured* is the timed region, label 1, when the program has one, else the whole run.  A
program that has several rows of label 1 one after the other is measured over all of them.

*Overlap.*  Waiting is the elapsed time less the busy time of all cores.  When cores computed at
the same time, busy time can exceed what elapsed; then every part is scaled by elapsed / busy, so
that the parts still add up to the elapsed time: a part is its share of the machine's work.
`overlap` says by how much: busy / elapsed, 1 or less when nothing was scaled.  Time in which two
cores computed is in two parts, so waiting is at least what is shown: a kernel that works on while
its message travels hides some of the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from cosim.units import PS_PER_NS, ps_of_cycles
from launch.results import RunFolder
from memsys.statistics import CHARGES

TIMED = 1  # label of the region that comparisons measure
WAITING = "waiting"


class Group(NamedTuple):
    """Parts that are shown as one.  parts: kinds of instructions, or names of charges."""

    name: str
    parts: tuple[str, ...]
    meaning: str


GROUPS = (
    Group(
        "instructions",
        ("instructions_user", "instructions_kernel"),
        "executed, at the fixed rate of time.ipc",
    ),
    Group("caches", ("l1", "fetch", "l2", "l3"), "served by L1, L2 and L3"),
    Group(
        "local",
        ("memory_local", "write_backs_local", "devices_local"),
        "local memory, write-backs to it included",
    ),
    Group(
        "remote",
        ("memory_remote", "write_backs_remote", "devices_remote"),
        "remote memory, write-backs to it included",
    ),
    Group(
        "coherence",
        ("l3_transfers", "snoop_data", "snoop_invalidate", "back_invalidate"),
        "waits for other cores' copies",
    ),
)
NAMES = (*(group.name for group in GROUPS), WAITING)
PARTS = tuple(part for group in GROUPS for part in group.parts)
assert set(PARTS[2:]) == {charge.name for charge in CHARGES}


@dataclass(frozen=True)
class Measured:
    """What is measured of a run: its statistics and its length.

    what: "region 1" or "run".  note: why it is not the region, when the program has one.
    """

    what: str
    elapsed_ps: int
    statistics: Mapping[str, int]
    note: str = ""


@dataclass(frozen=True)
class Breakdown:
    """measured: what it is of.  nodes: node -> part -> ps, as each node spent it.  machine: group
    (NAMES) -> ps, which add up to the elapsed time.  busy_ps: of all cores together.
    """

    measured: Measured
    nodes: Mapping[str, Mapping[str, int]]
    machine: Mapping[str, int]
    busy_ps: int

    @property
    def elapsed_ps(self) -> int:
        """Virtual time that passed."""
        return self.measured.elapsed_ps

    @property
    def overlap(self) -> float:
        """Busy time of all cores by elapsed time."""
        return self.busy_ps / self.elapsed_ps if self.elapsed_ps else 0.0

    def shares(self) -> dict[str, float]:
        """Each group's part of the elapsed time."""
        return {name: ps / max(self.elapsed_ps, 1) for name, ps in self.machine.items()}

    def node_groups(self, node: str) -> dict[str, int]:
        """The groups of one node, and the time in which it waited."""
        parts = self.nodes[node]
        found = {group.name: sum(parts[part] for part in group.parts) for group in GROUPS}
        return {**found, WAITING: parts[WAITING]}


def measured(run: RunFolder) -> Measured:
    """The timed region of a run, or the run."""
    numbers = {name: value for name, value in run.statistics.items() if isinstance(value, int)}
    elapsed_ps = run.manifest.get(
        "virtual_time_ps", numbers.get("machine.virtual_time_ns", 0) * PS_PER_NS
    )
    whole = Measured("run", elapsed_ps, numbers)
    found = [row for rows in run.manifest["regions"].values() for row in rows]
    rows = sorted((r for r in found if r["label"] == TIMED), key=lambda row: row["begin_ps"])
    if not rows:
        return whole
    if any(before["end_ps"] > after["begin_ps"] for before, after in pairwise(rows)):
        return Measured("run", elapsed_ps, numbers, "timed regions overlap: the whole run")
    if any(row.get("statistics") is None for row in rows):
        return Measured("run", elapsed_ps, numbers, "regions without statistics: the whole run")
    sums: dict[str, int] = {}
    for row in rows:
        for name, value in row["statistics"].items():
            sums[name] = sums.get(name, 0) + value
    lasted_ps = sum(row["end_ps"] - row["begin_ps"] for row in rows)
    return Measured(f"region {TIMED}", lasted_ps, sums)


def breakdown(run: RunFolder) -> Breakdown:
    """Where the measured time of a run went."""
    return split(measured(run), run.manifest["nodes"])


def split(part: Measured, nodes: Sequence[Mapping]) -> Breakdown:
    """The breakdown of what was measured on a machine of these nodes (rows of a manifest)."""
    found: dict[str, dict[str, int]] = {}
    busy_ps = 0
    for node in nodes:
        sums = dict.fromkeys(PARTS, 0)
        for number in range(int(node["cores"])):
            cycles = core_cycles(part.statistics, f"{node['name']}.core{number}")
            for name, ps in times(cycles, int(node["frequency_hz"])).items():
                sums[name] += ps
        own_ps = sum(sums.values())
        busy_ps += own_ps
        sums[WAITING] = max(0, part.elapsed_ps * int(node["cores"]) - own_ps)
        found[node["name"]] = sums
    machine = {
        group.name: sum(parts[name] for parts in found.values() for name in group.parts)
        for group in GROUPS
    }
    if busy_ps > part.elapsed_ps:
        machine = scaled(machine, part.elapsed_ps, busy_ps)
    machine[WAITING] = part.elapsed_ps - sum(machine.values())
    return Breakdown(part, found, machine, busy_ps)


def core_cycles(statistics: Mapping[str, int], core: str) -> dict[str, int]:
    """Busy cycles of a core by part, in the order of PARTS."""

    def get(name: str) -> int:
        return int(statistics.get(f"{core}.{name}", 0))

    charged = {name: get(f"memory_cycles.{name}") for name in PARTS[2:]}
    user, kernel = get("instructions_user"), get("instructions_kernel")
    executing = get("cycles") - sum(charged.values())  # instructions / IPC
    for_user = executing * user // max(user + kernel, 1)
    return {
        "instructions_user": for_user,
        "instructions_kernel": executing - for_user,
        **charged,
    }


def times(cycles: Mapping[str, int], frequency_hz: int) -> dict[str, int]:
    """Cycles by part as ps by part; their sum is the ps of the sum of cycles.

    Each part is the time between two moments of the core's clock, so nothing is lost in rounding.
    """
    found, until, before_ps = {}, 0, 0
    for name, count in cycles.items():
        until += count
        now_ps = ps_of_cycles(until, frequency_hz)
        found[name], before_ps = now_ps - before_ps, now_ps
    return found


def scaled(parts: Mapping[str, int], numerator: int, denominator: int) -> dict[str, int]:
    """Every part times numerator / denominator, rounded so that the sum is exact."""
    found, until, before = {}, 0, 0
    for name, value in parts.items():
        until += value
        now = until * numerator // denominator
        found[name], before = now - before, now
    return found
