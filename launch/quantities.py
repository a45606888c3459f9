"""Numbers of an experiment, computed from the rows of its comparisons, with what made them so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launch.experiments.declaration import (
    TOLERANCE,
    Cell,
    Claim,
    Count,
    Largest,
    Quantity,
    Reduction,
    Relation,
    Spread,
    TimeRatio,
)

PS_PER_MS = 10**9
Rows = Mapping[tuple[str, str], Mapping[str, Any]]  # (subject, system) -> row of a comparison
DECIMALS = 6


class Missing(Exception):
    """A run that a quantity needs is not there; the reason in one line."""


@dataclass(frozen=True)
class Result:
    """A number of ours.  component: what of the runs makes it so, as measured."""

    value: float
    component: dict[str, Any]


def row(rows: Rows, cell: Cell) -> Mapping[str, Any]:
    """The row of a cell.  Raises Missing."""
    found = rows.get((cell.subject, cell.system))
    where = f"{cell.subject}, {cell.system}"
    if found is None:
        raise Missing(f"{where}: was not run")
    if found["failure"]:
        raise Missing(f"{where}: {found['failure']}")
    return found


def compute(quantity: Quantity, rows: Rows) -> Result:
    """The quantity from the rows.  Raises Missing."""
    match quantity:
        case TimeRatio(of, by):
            return ratio(row(rows, of), row(rows, by), quantity)
        case Largest(ratios):
            return max((compute(one, rows) for one in ratios), key=lambda result: result.value)
        case Spread(cells):
            ordered = sorted(cells, key=lambda cell: row(rows, cell)["elapsed_ps"])
            return compute(TimeRatio(ordered[-1], ordered[0]), rows)
        case Count(counter, cell):
            found = row(rows, cell)
            return Result(found[counter], most(found, counter))
        case Reduction(counter, of, by):
            small, large = row(rows, of), row(rows, by)
            if not large[counter]:
                raise Missing(f"{by.subject}, {by.system}: no {counter}")
            return Result(
                round(1 - small[counter] / large[counter], DECIMALS), most(small, counter)
            )


def ratio(of: Mapping, by: Mapping, asked: TimeRatio) -> Result:
    """A ratio of times, and the part of time that differs most between the two runs."""
    differences = {name: of["parts_ps"][name] - by["parts_ps"][name] for name in of["parts_ps"]}
    name = max(differences, key=lambda part: abs(differences[part]))
    moved = sum(abs(value) for value in differences.values())
    component = {
        "of": f"{asked.of.subject}, {asked.of.system}",
        "by": f"{asked.by.subject}, {asked.by.system}",
        "component": name,
        "difference_ms": round(differences[name] / PS_PER_MS, DECIMALS),
        "share_of_difference": round(abs(differences[name]) / moved, 4) if moved else 0.0,
    }
    return Result(round(of["elapsed_ps"] / max(by["elapsed_ps"], 1), DECIMALS), component)


def most(found: Mapping, counter: str) -> dict[str, Any]:
    """The kind that a count mostly consists of."""
    kinds = found["kinds"].get(counter, {})
    if not kinds:
        return {}
    name = max(kinds, key=lambda kind: kinds[kind])
    total = max(sum(kinds.values()), 1)
    return {"component": name, "count": kinds[name], "share": round(kinds[name] / total, 4)}


def judge(claim: Claim, rows: Rows, letter: str) -> dict[str, Any]:
    """A claim beside our number: a row of the report."""
    start = {
        "name": claim.name,
        "statement": claim.statement,
        "source": claim.source,
        "relation": str(claim.relation),
        "paper": claim.paper,
    }
    try:
        found = compute(claim.quantity, rows)
    except Missing as missing:
        empty = {"ours": None, "difference": None, "status": "not measured"}
        return {**start, **empty, "why": str(missing)}
    difference = round(apart(claim, found.value), 4)
    answer = {**start, "ours": found.value, "difference": difference}
    if claim.classes and letter not in claim.classes:
        why = f"the paper's number is of class {' or '.join(claim.classes)}"
        return {**answer, "status": "other class", "why": why}
    if abs(difference) <= TOLERANCE:
        return {**answer, "status": "agrees"}
    status = "explained" if claim.reason else "unexplained"
    return {**answer, "status": status, "reason": claim.reason, "measured": found.component}


def apart(claim: Claim, ours: float) -> float:
    """By which fraction ours misses the relation to the paper's number, 0 when it holds."""
    difference = ours / claim.paper - 1
    if claim.relation is Relation.AT_LEAST:
        return min(0.0, difference)
    if claim.relation is Relation.AT_MOST:
        return max(0.0, difference)
    return difference
