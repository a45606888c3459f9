"""Tables for people: what each process does, and what each core waits for."""


def table(columns: tuple[str, ...], rows: list[tuple]) -> str:
    """Aligned plain text."""
    cells = [columns, *[tuple(str(cell) for cell in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _waits_for(row: dict) -> str:
    if row["state"] == "runnable":
        return "its turn"
    if row["state"] == "off":
        return "nothing: off"
    timer = f"its timer at {row['wake_ps']} ps, " if row["wake_ps"] >= 0 else ""
    return f"{timer}an interrupt ({row['pending']} on the way)"


def core_table(rows: list[dict]) -> str:
    """The cores as the timebase sees them."""
    return table(
        ("core", "node", "state", "clock_ps", "waits for"),
        [(r["core"], r["node"], r["state"], r["now_ps"], _waits_for(r)) for r in rows],
    )


def _thread_waits_for(row: dict) -> str:
    reason = row.get("waits_for") or ("nothing: it can run" if row["state"] != "dead" else "")
    until = row.get("until_ps", -1)
    return f"{reason}, until {until} ps" if until >= 0 else reason


def thread_table(details: dict[str, dict]) -> str:
    """The guest threads as the kernels see them; '' when there are none.

    details: by node, what its dump says.
    """
    rows = [
        (node, row["pid"], row["tid"], row["name"], row["state"], _thread_waits_for(row))
        for node, given in details.items()
        for row in given.get("kernel", {}).get("threads", ())
    ]
    return table(("node", "process", "thread", "name", "state", "waits for"), rows) if rows else ""
