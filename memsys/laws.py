"""Laws that hold in every run, checked over the counters and the arrays at its end (DESIGN 5.4).

A law that does not hold means that the numbers of the run are wrong: the run failed.  That every
read returns the last write in virtual-time order needs no check: there is one copy of the data,
physical memory itself, and lockstep turns order every access to it.
"""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from memsys import header, repricing
from memsys.coherence import State
from memsys.directory_laws import places_out_of_order
from memsys.specification import Core, Specification
from memsys.state import State as Arrays
from memsys.state import copies
from memsys.statistics import Counter, accesses, hits, misses, total

SENT_RECEIVED = ("SNOOP_DATA", "SNOOP_INVALIDATE", "BACK_INVALIDATE")
REFERENCES = ("REFERENCES_USER", "REFERENCES_KERNEL", "L1D_SPLITS")


class Holder(NamedTuple):
    """Who may have copies: a core, or an L3 for itself.  owned, held: line numbers, sorted."""

    name: str
    domain: int
    core: int | None
    owned: np.ndarray
    held: np.ndarray


def violations(
    specification: Specification,
    arrays: Arrays,
    charged: Sequence[int] | None = None,
    fetches: Sequence[int] | None = None,
    *,
    booked: bool = True,
) -> list[str]:
    """Every law that does not hold, one line each; empty when the run is sound.

    charged, fetches: cycles told to each core and instructions it fetched, from its stream, if
    there was one.  booked False: accesses came without records (a replay), so references and cycles
    were not counted.
    """
    rows, paid = arrays.counters.tolist(), repricing.charged(arrays)
    laws: list[tuple[str, int, int]] = []
    for core, row in zip(specification.cores, rows, strict=True):
        own = core_laws(specification, core, row)
        if booked:
            own += booked_laws(row, int(paid[core.index].sum()))
        if charged is not None:
            cycles = total(row, ("CYCLES_USER", "CYCLES_KERNEL"))
            own.append(("cycles counted = cycles told to the core", cycles, charged[core.index]))
        if fetches is not None:
            beyond = max(0, row[Counter["FETCHES"]] - fetches[core.index])
            own.append(("line fetches beyond the instructions fetched", beyond, 0))
        laws += [(f"{core.name}: {law}", left, right) for law, left, right in own]
    for name in SENT_RECEIVED:
        sent, received = (
            sum(total(row, (f"{name}_{way}",)) for row in rows) for way in ("SENT", "RECEIVED")
        )
        laws.append((f"machine: {name.lower()} snoops sent = received", sent, received))
    impossible = "machine: transitions that the coherence table calls impossible"
    laws.append((impossible, int(arrays.words[header.BROKEN]), 0))
    broken = [
        f"{law}: {left} is not {right} (off by {left - right})"
        for law, left, right in laws
        if left != right
    ]
    broken += copies_out_of_place(specification, arrays)
    return broken + places_out_of_order(specification, arrays)


def core_laws(
    specification: Specification, core: Core, row: Sequence[int]
) -> list[tuple[str, int, int]]:
    """(law, left side, right side) of one core's counters."""
    has_l3 = specification.domains[core.domain].l3 is not None
    last = misses(row, "l3" if has_l3 else "l2")
    laws = [
        (
            f"{level} hits + misses = accesses",
            hits(row, level) + misses(row, level),
            accesses(row, level),
        )
        for level in ("l1d", "l2", "l3")
    ]
    l1_misses = misses(row, "l1d") + row[Counter["L1I_MISSES"]]
    laws += [
        ("L1 misses = L2 accesses", l1_misses, accesses(row, "l2")),
        (
            "local + remote memory = last-level misses",
            total(row, ("MEMORY_LOCAL", "MEMORY_REMOTE")),
            last,
        ),
    ]
    if has_l3:
        laws.append(("L2 misses = L3 accesses", misses(row, "l2"), accesses(row, "l3")))
    return laws


def booked_laws(row: Sequence[int], priced: int) -> list[tuple[str, int, int]]:
    """(law, left side, right side) of what is counted with records only.

    priced: cycles of everything counted.
    """
    cycles = total(row, ("CYCLES_USER", "CYCLES_KERNEL"))
    cached = total(row, REFERENCES) - row[Counter["REFERENCES_IDEAL"]]
    return [
        ("references + splits = L1D accesses", cached, accesses(row, "l1d")),
        ("cycles = everything counted, priced", cycles, priced),
        ("references outside the physical map", row[Counter["REFERENCES_OUTSIDE"]], 0),
    ]


def valid(cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lines, states) of a cache's valid ways."""
    lines, states = copies(cache)
    return lines[cache != 0], states[cache != 0]


def copies_out_of_place(specification: Specification, arrays: Arrays) -> list[str]:
    """Inclusion, and who holds what: never two owners of a line, never an owner beside a holder."""
    broken: list[str] = []
    holders: list[Holder] = []
    for domain in specification.domains:
        outer = None
        if domain.l3 is not None:
            outer, states = valid(arrays.caches[f"{domain.name}.l3"])
            owned = np.unique(outer[states != State.S])
            holders.append(Holder(f"{domain.name}.l3", domain.index, None, owned, np.unique(outer)))
        for number in domain.cores:
            name = specification.cores[number].name
            caches = {
                level: valid(arrays.caches[f"{name}.{level}"]) for level in ("l1i", "l1d", "l2")
            }
            if specification.inclusive:
                broken += inclusion(name, caches, outer)
            held = np.unique(np.concatenate([lines for lines, _ in caches.values()]))
            data = (caches["l1d"], caches["l2"])
            owned = np.unique(np.concatenate([lines[found != State.S] for lines, found in data]))
            holders.append(Holder(name, domain.index, number, owned, held))
    for one, other in permutations(holders, 2):
        if one.domain != other.domain or (one.core is not None and other.core is not None):
            both = np.intersect1d(one.owned, other.held, assume_unique=True)
            broken += some_of(f"{one.name} owns what {other.name} holds", both)
    return broken


def inclusion(name: str, caches: dict, outer: np.ndarray | None) -> list[str]:
    """Everything in an L1 is in its L2, everything in L2 in the L3."""
    second = caches["l2"][0]
    broken: list[str] = []
    for level in ("l1i", "l1d"):
        alone = np.setdiff1d(caches[level][0], second)
        broken += some_of(f"{name}: {level} holds what L2 does not", alone)
    if outer is not None:
        broken += some_of(f"{name}: L2 holds what L3 does not", np.setdiff1d(second, outer))
    return broken


def some_of(law: str, lines: np.ndarray) -> list[str]:
    """One line for a law that these lines break, nothing when there are none."""
    return [f"{law}: {len(lines)} lines, the first {int(lines[0]):#x}"] if len(lines) else []
