"""Tables for people, made of run folders and of nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from launch.breakdown import NAMES, breakdown
from launch.results import RunFolder
from launch.statistics import total

Number = int | float | str
NS_PER_MS = 1e6
PS_PER_MS = 10**9


class Counters:
    """Statistics of one node: sums over its cores (`core`) and its own counters (`own`)."""

    def __init__(self, statistics: Mapping[str, Number], node: str, frequency_hz: int) -> None:
        self._numbers = {
            name: value for name, value in statistics.items() if isinstance(value, int)
        }
        self._node = node
        self.frequency_hz = frequency_hz

    def core(self, suffix: str) -> int:
        """Sum over the node's cores."""
        return total(self._numbers, self._node, suffix)

    def own(self, suffix: str) -> int:
        """A counter of the node as a whole, 0 when it has none of that name."""
        return self._numbers.get(f"{self._node}.{suffix}", 0)

    def core_rate(self, level: str) -> str:
        """Hit rate of a private level."""
        return rate(self.core(f"{level}.hits"), self.core(f"{level}.accesses"))

    def both(self, prefix: str) -> str:
        """Sent and received."""
        return f"{self.own(f'{prefix}.sent'):,} / {self.own(f'{prefix}.received'):,}"


class Line(NamedTuple):
    """One row of the summary."""

    name: str
    value: Callable[[Counters], str]
    optional: bool = False  # not shown when nothing of the kind happened


NOTHING = frozenset(("0", "0 / 0", "0 / 0 / 0"))


def rate(hits: int, accesses: int) -> str:
    """A hit rate in percent, or a dash when nothing was accessed."""
    return f"{100 * hits / accesses:.2f} %" if accesses else "-"


LINES = (
    Line("instructions, user", lambda c: f"{c.core('instructions_user'):,}"),
    Line("instructions, kernel", lambda c: f"{c.core('instructions_kernel'):,}"),
    Line("data references, user", lambda c: f"{c.core('data_references_user'):,}"),
    Line("data references, kernel", lambda c: f"{c.core('data_references_kernel'):,}"),
    Line("L1I hit rate", lambda c: c.core_rate("l1i")),
    Line("L1D hit rate", lambda c: c.core_rate("l1d")),
    Line("L2 hit rate", lambda c: c.core_rate("l2")),
    Line("L3 hit rate", lambda c: rate(c.own("l3.hits"), c.own("l3.accesses"))),
    Line(
        "memory, local / remote",
        lambda c: f"{c.own('memory.local'):,} / {c.own('memory.remote'):,}",
    ),
    Line("snoop data, sent / received", lambda c: c.both("snoops.data")),
    Line("snoop invalidate, sent / received", lambda c: c.both("snoops.invalidate")),
    Line("back-invalidate, sent / received", lambda c: c.both("snoops.back_invalidate")),
    Line("IPIs, sent / received", lambda c: c.both("ipi")),
    Line("threads migrated, sent / received", lambda c: c.both("migrations"), True),
    Line("messages, sent / received", lambda c: c.both("messages"), True),
    Line(
        "pages mapped / allocated remotely / replicated",
        lambda c: (
            f"{c.own('pages.mapped'):,} / {c.own('pages.remote_allocated'):,}"
            f" / {c.own('pages.replicated'):,}"
        ),
        True,
    ),
    Line("busy cycles", lambda c: f"{c.core('cycles'):,}"),
    Line("busy time", lambda c: f"{c.core('cycles') / c.frequency_hz * 1e3:,.3f} ms"),
)


def summary(run: RunFolder) -> RenderableType:
    """What a person wants to see after a run: one column per node, then the machine as a whole."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    counters = []
    for node in run.manifest["nodes"]:
        table.add_column(f"{node['name']} ({node['isa']})", justify="right")
        counters.append(Counters(run.statistics, node["name"], node["frequency_hz"]))
    for line in LINES:
        cells = [line.value(counter) for counter in counters]
        if not line.optional or not NOTHING.issuperset(cells):
            table.add_row(line.name, *cells)
    shared = run.statistics.get("machine.l3.accesses")
    if isinstance(shared, int):
        hits = run.statistics.get("machine.l3.hits", 0)
        table.add_row("L3 hit rate, shared by all", rate(int(hits), shared))
    return Group(table, Text(), *(Text(text) for text in _machine_lines(run)))


def _machine_lines(run: RunFolder) -> list[str]:
    values = run.statistics
    ended = run.manifest["ended"]
    lines = [
        f"virtual time   {int(values['machine.virtual_time_ns']) / NS_PER_MS:,.3f} ms"
        f" · runtime {int(values['machine.runtime_cycles']):,} cycles",
        f"host           {values['host.seconds']} s · {values['host.mips']} MIPS",
        f"digest         {values['machine.digest']}",
    ]
    for program in ended["programs"]:
        how = (
            f"signal {program['signal']}" if program.get("signal") else f"exit {program['status']}"
        )
        lines.append(f"program        {program['program']} on {program['node']}: {how}")
    for name, count in values.items():
        node, marker, call = name.partition(".system_calls.unknown.")
        if marker:
            lines.append(f"note           {node}: system call {call} is not known, {count} times")
    for law in ended["laws"]["violations"]:
        lines.append(f"LAW VIOLATED   {law}")
    if ended["failure"]:
        lines.append(f"failed         {ended['failure']}")
    if ended["reason"] == "limit":
        lines.append("ended          at the limit of virtual time, before the programs did")
    lines.append(f"run folder     {run.path}")
    return lines


def fed_table(runs: Sequence[RunFolder]) -> RenderableType:
    """What one execution gave under each of its memory systems, a line each.  runs: the run itself,
    then those of --also.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("memory system")
    for head in ("virtual ms", "runtime, cycles", "digest"):
        table.add_column(head, justify="right")
    table.add_column("run folder")
    for run in runs:
        given = run.manifest["also"]
        settings = given["settings"] if isinstance(given, Mapping) else {}
        table.add_row(
            ", ".join(f"{name}={value}" for name, value in settings.items()) or "as asked",
            f"{int(run.statistics['machine.virtual_time_ns']) / NS_PER_MS:,.3f}",
            f"{int(run.statistics['machine.runtime_cycles']):,}",
            str(run.statistics["machine.digest"]),
            str(run.path),
        )
    return table


def differences(
    left: RunFolder, right: RunFolder
) -> list[tuple[str, Number | None, Number | None]]:
    """(name, left, right) of every simulated statistic and setting that differs; None where one has
    no such name."""
    found = []
    for kind in ("settings", "statistics"):
        a = left.manifest["settings"] if kind == "settings" else left.statistics
        b = right.manifest["settings"] if kind == "settings" else right.statistics
        for name in sorted({**a, **b}):
            if not name.startswith("host.") and a.get(name) != b.get(name):
                found.append((name, a.get(name), b.get(name)))
    return found


def difference_table(left: RunFolder, right: RunFolder) -> RenderableType:
    """The differences of two runs, aligned, with the ratio of numbers."""
    rows = differences(left, right)
    if not rows:
        return Text("no setting and no simulated statistic differs")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name")
    for run in (left, right):
        table.add_column(run.path.name or str(run.path), justify="right")
    table.add_column("ratio", justify="right")
    for name, a, b in rows:
        table.add_row(name, _cell(a), _cell(b), _ratio(a, b))
    return table


def _cell(value: Number | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _ratio(left: Number | None, right: Number | None) -> str:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (left, right))
    return f"{right / left:.3f}" if numbers and left else ""  # type: ignore[operator]


def where_time_went(run: RunFolder) -> RenderableType:
    """The breakdown of a run: time in ms by part, for each node and for the machine."""
    found = breakdown(run)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"ms of {'the run' if found.measured.what == 'run' else found.measured.what}")
    for head in (*found.nodes, "machine", "%"):
        table.add_column(head, justify="right")
    for name in NAMES:
        parts = [found.node_groups(node)[name] for node in found.nodes]
        share = f"{100 * found.shares()[name]:.2f}"
        table.add_row(name, *(_ms(ps) for ps in (*parts, found.machine[name])), share)
        if name == "instructions":
            kernel = [found.nodes[node]["instructions_kernel"] for node in found.nodes]
            table.add_row("  of the kernel", *(_ms(ps) for ps in kernel), "", "")
    table.add_row("elapsed", *("" for _ in found.nodes), _ms(found.elapsed_ps), "")
    lines = [Text(found.measured.note)] if found.measured.note else []
    if found.overlap > 1:
        lines.append(
            Text(
                f"cores were busy {found.overlap:.3f} times as long as time passed;"
                " the machine's parts are scaled to what passed"
            )
        )
    return Group(table, *lines)


def _ms(ps: int) -> str:
    return f"{ps / PS_PER_MS:,.3f}"


def comparison(runs: Sequence[RunFolder]) -> RenderableType:
    """Several runs, one after the other: their summaries, and where the time went."""
    return Group(
        *(part for run in runs for part in (summary(run), Text(), where_time_went(run), Text()))
    )
