"""Prices that change while the machine runs, and what was charged before and after.

A price is a word of the core's block; whoever consumes records reads it for each.  It changes
between two turns, when all rings are empty, so every reference before is paid for at the old price
and every one after at the new.  What was charged of a kind is then no longer count x price, but
count x price + correction: a word for each core and kind of charge, 0 until a price changes.
"""

import numpy as np

from memsys.specification import Specification
from memsys.state import PRICES, State
from memsys.statistics import CHARGES, Counter

COLUMNS = [[Counter[name] for name in charge.counters] for charge in CHARGES]
PRICE_OF = [list(PRICES).index(charge.price) for charge in CHARGES]


def counted(counters: np.ndarray) -> np.ndarray:
    """(cores, len(CHARGES)) i64: how often each kind was charged.  counters: (cores, COUNTERS)."""
    return np.stack([counters[:, columns].sum(axis=1) for columns in COLUMNS], axis=1)


def charged(arrays: State) -> np.ndarray:
    """(cores, len(CHARGES)) i64: cycles charged until now, by kind."""
    return counted(arrays.counters) * arrays.prices[:, PRICE_OF] + arrays.corrections


def reprice(specification: Specification, arrays: State) -> None:
    """Put the prices of `specification` in place; what was charged stays charged."""
    before = charged(arrays)
    for row, core in zip(arrays.prices, specification.cores, strict=True):
        row[:] = [getattr(core.prices, name) for name in PRICES]
    arrays.corrections[:] += before - charged(arrays)
