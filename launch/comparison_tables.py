"""Comparisons as tables that line up: one on a wide terminal, two on a narrow one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from launch.breakdown import WAITING

PS_PER_MS = 10**9
WIDE_COLUMNS = 108  # one table needs this
Row = Mapping[str, Any]


class Column(NamedTuple):
    """One column: its head and its cell.  times: of the first table on a narrow terminal."""

    head: str
    cell: Callable[[Row], str]
    times: bool


def share(name: str) -> Callable[[Row], str]:
    """The cell of a part: its share of the time in percent."""

    def cell(row: Row) -> str:
        percent = 100 * row["shares"][name]
        return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"

    return cell


def normalised(row: Row) -> str:
    """The cell of the time by that of vanilla."""
    return "-" if row["normalised"] is None else f"{row['normalised']:.3f}"


COLUMNS = (
    Column("time ms", lambda row: f"{row['elapsed_ps'] / PS_PER_MS:,.3f}", True),
    Column("norm.", normalised, True),
    Column("instr %", share("instructions"), True),
    Column("cache %", share("caches"), True),
    Column("local %", share("local"), True),
    Column("remote %", share("remote"), True),
    Column("coh. %", share("coherence"), True),
    Column("wait %", share(WAITING), True),
    Column("messages", lambda row: f"{row['messages']:,}", False),
    Column("pages", lambda row: f"{row['pages_replicated']:,}", False),
    Column("migr.", lambda row: f"{row['migrations']:,}", False),
    Column("exit", lambda row: str(row["exit_status"]), False),
)


def tables(rows: Sequence[Row], width: int) -> list[RenderableType]:
    """The tables, then a line for everything that failed or needs a word."""
    if width >= WIDE_COLUMNS:
        found: list[RenderableType] = [table(rows, COLUMNS)]
    else:
        found = [
            table(rows, [column for column in COLUMNS if column.times]),
            Text(),
            table(rows, [column for column in COLUMNS if not column.times]),
        ]
    lines = remarks(rows)
    return [*found, Text(), *(Text(line) for line in lines)] if lines else [*found, Text()]


def table(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    """One table."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    made.add_column("system", no_wrap=True)
    for column in columns:
        made.add_column(column.head, justify="right", no_wrap=True)
    for row in rows:
        if row["failure"]:
            made.add_row(row["name"], *("failed" if i == 0 else "-" for i in range(len(columns))))
        else:
            made.add_row(row["name"], *(column.cell(row) for column in columns))
    return made


def remarks(rows: Sequence[Row]) -> list[str]:
    """What the numbers do not say themselves."""
    good = [row for row in rows if not row["failure"]]
    lines = [f"failed         {row['name']}: {row['failure']}" for row in rows if row["failure"]]
    kinds = {row["measured"] for row in good}
    if len(kinds) == 1:
        what = kinds.pop()
        whole = "the whole run" if what == "run" else what
        lines.append(f"time           of {whole}, norm. by vanilla's; counts of the whole run")
    elif kinds:
        for row in good:
            lines.append(f"time           {row['name']}: {row['measured']}")
    lines += [f"note           {row['name']}: {row['note']}" for row in good if row["note"]]
    lines += [
        f"overlap        {row['name']}: cores were busy {row['overlap']:.3f} times as long as time"
        " passed; parts are scaled to what passed"
        for row in good
        if row["overlap"] > 1
    ]
    return lines
