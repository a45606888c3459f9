"""Rows of results as one table: CSV and Parquet files, a table on the terminal.

A row is a dictionary; all rows have the same columns.  A column has one type: whole numbers, real
numbers, or text when its values are neither or mixed.  A value that is missing is None: an empty
cell, null in Parquet.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from launch import results

if TYPE_CHECKING:
    import pyarrow

CSV, PARQUET = "table.csv", "table.parquet"
Row = Mapping[str, Any]


def columns(rows: Sequence[Row]) -> list[str]:
    """Every column, in the order in which the rows name them."""
    return list(dict.fromkeys(name for row in rows for name in row))


def arrow(rows: Sequence[Row]) -> "pyarrow.Table":
    """The rows as a pyarrow.Table: int64, double or string columns."""
    import pyarrow  # 0.3 s that nobody else should wait for

    types = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    arrays = {}
    for name in columns(rows):
        kind = kind_of([row.get(name) for row in rows])
        cells = [None if (value := row.get(name)) is None else kind(value) for row in rows]
        arrays[name] = pyarrow.array(cells, type=types[kind])
    return pyarrow.table(arrays)


def kind_of(values: Sequence[object]) -> type:
    """int, float or str: the narrowest type that all values have."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return int
    return float if kinds and kinds <= {int, float} else str


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write both files; each appears complete or not at all."""
    from pyarrow import csv, parquet

    table = arrow(rows)
    for name, writer in ((CSV, csv.write_csv), (PARQUET, parquet.write_table)):
        content = io.BytesIO()
        writer(table, content)
        results.put(folder / name, content.getvalue())


def shown(rows: Sequence[Row], shortened: Mapping[str, int], hidden: Sequence[str] = ()) -> Table:
    """For a terminal.  shortened: columns of which only so many characters are shown."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = [name for name in columns(rows) if name not in hidden]
    for name in names:
        number = kind_of([row.get(name) for row in rows]) is not str
        table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        cells = [cell(row.get(name))[: shortened.get(name)] for name in names]
        table.add_row(*(Text(text) for text in cells))
    return table


def cell(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
