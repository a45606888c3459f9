"""What a scenario expects of a run, and measures of it: quantities and relations.

A quantity is a name (of a statistic, or of QUANTITIES) or a function of a Run.  Everything here
is a function of run folders: it works on runs that finished before as on those that ended now.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cosim.errors import InputError, StramashError, suggest
from cosim.units import PS_PER_NS
from launch import breakdown
from launch.machine import Run
from launch.results import RunFolder

Quantity = str | Callable[[Run], Any]
SHOWN_CHARACTERS_MAX = 300
QUANTITIES: dict[str, Callable[[Run], Any]] = {
    "exit_status": lambda run: run.exit_status,
    "console": lambda run: run.console,
    "digest": lambda run: run.digest,
    "elapsed_ns": lambda run: elapsed_ns(run),
    "failure": lambda run: run.manifest["ended"]["failure"],
    "reason": lambda run: run.manifest["ended"]["reason"],
}
# Expecting something of these says how the run may end; else it must end well.
ENDINGS = ("exit_status", "failure", "reason")
RELATIONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "equal": ("", operator.eq),
    "differs": ("other than ", operator.ne),
    "at_least": ("at least ", operator.ge),
    "at_most": ("at most ", operator.le),
    "more_than": ("more than ", operator.gt),
    "less_than": ("less than ", operator.lt),
    "contains": ("something that contains ", lambda found, part: part in found),
    "matches": ("a match of ", lambda found, pattern: re.search(pattern, found) is not None),
}


def elapsed_ns(run: Run) -> int:
    """Virtual time of the timed region, else of the run: what comparisons compare."""
    folder = RunFolder(run.folder, run.manifest, run.statistics)
    return breakdown.measured(folder).elapsed_ps // PS_PER_NS


def known(run: Run, name: str) -> Any:
    """The quantity of that name.  InputError with a suggestion when there is none."""
    if name in QUANTITIES:
        return QUANTITIES[name](run)
    if name in run.statistics:
        return run.statistics[name]
    hint = suggest(name, [*QUANTITIES, *run.statistics])
    raise InputError(f"no statistic is called {name!r} in {run.folder}{hint}")


def value(run: Run, quantity: Quantity, place: str) -> Any:
    """A quantity of a run.  InputError, with the place of its declaration, when it raises."""
    try:
        return known(run, quantity) if isinstance(quantity, str) else quantity(run)
    except StramashError as error:
        raise InputError(f"{place}: {error}") from error
    except Exception as error:  # a user's function: anything can come out of it
        raise InputError(
            f"{_inner_place(error, place)}: {type(error).__name__}: {error}"
        ) from error


def _inner_place(error: BaseException, place: str) -> str:
    """file:line in the scenario's file where it happened, if it was there."""
    file = place.rpartition(":")[0]
    trace, found = error.__traceback__, place
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


@dataclass(frozen=True)
class Measurement:
    """A column of the table.  place: where it was declared, file:line."""

    name: str
    quantity: Quantity
    place: str

    def of(self, run: Run) -> Any:
        """Its value: a number, text, or None.  InputError when it is none of them."""
        found = value(run, self.quantity, self.place)
        if isinstance(found, bool):
            return int(found)
        if found is not None and not isinstance(found, int | float | str):
            kind = type(found).__name__
            raise InputError(f"{self.place}: {self.name} is a {kind}; a number or text is needed")
        return found


@dataclass(frozen=True)
class Expectation:
    """Something that must be true of a run.

    relation: a name of RELATIONS.  right: a value, a function of the run, or a Scenario whose
    run has the same quantity.  reference: True when `right` is one.
    """

    name: str
    quantity: Quantity
    relation: str
    right: Any
    place: str
    reference: bool = False

    def broken(self, run: Run, references: Mapping[int, Run]) -> str:
        """One line with both sides when it does not hold, else "".

        references: runs of the scenarios that expectations refer to, by id.
        """
        left = value(run, self.quantity, self.place)
        if self.reference:
            right = value(references[id(self.right)], self.quantity, self.place)
        else:
            right = value(run, self.right, self.place) if callable(self.right) else self.right
        words, holds = RELATIONS[self.relation]
        try:
            if holds(left, right):
                return ""
        except (TypeError, re.error) as error:
            raise InputError(f"{self.place}: {self.name}: {error}") from error
        other = f" of {self.right.name}" if self.reference else ""
        return (
            f"{self.place}: {self.name} is {_shown(left)}, expected {words}{_shown(right)}{other}"
        )


def _shown(side: object) -> str:
    text = repr(side)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."


def relation_of(given: Mapping[str, Any]) -> tuple[str, Any]:
    """(relation, right side) from keyword arguments, exactly one."""
    for name in given:
        if name not in RELATIONS:
            hint = suggest(name, RELATIONS) or f"; relations are {', '.join(RELATIONS)}"
            raise InputError(f"expect(..., {name}=...): no such relation{hint}")
    if len(given) != 1:
        raise InputError(f"expect(): name one relation, of {', '.join(RELATIONS)}")
    return next(iter(given.items()))


def named(quantity: Quantity) -> str:
    """What a quantity is called when nobody said."""
    return quantity if isinstance(quantity, str) else getattr(quantity, "__name__", "value")


def all_broken(
    expectations: Iterable[Expectation], run: Run, references: Mapping[int, Run]
) -> list[str]:
    """The line of every expectation that does not hold."""
    lines = [expectation.broken(run, references) for expectation in expectations]
    return [line for line in lines if line]
