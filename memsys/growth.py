"""A hierarchy that gets more cores: the state of the old one in a new one, at the same place.

The machine stands still meanwhile: nothing is under way, every ring is empty.  Nodes are only ever
added at the end, so cores, domains and members keep their numbers, and with them everything that
was cached or counted.  Only the layout changes: entries of directories may need more bits.
"""

from typing import NamedTuple

import numpy as np

from cosim.errors import InputError
from cosim.shared import Segment
from memsys import entries, repricing, state
from memsys.coherence import State as Coherence
from memsys.entries import OWNED
from memsys.pages import data_extents
from memsys.specification import Domain, Specification
from memsys.state import WORD_BYTES, State, copies

# Room for what a machine may grow to, in sparse memory that costs nothing until it is used: tables
# with the widest entries for two directories, and the caches of some dozen large nodes.
TABLES = 2
CACHES_BYTES = 1 << 28


class Sparse(NamedTuple):
    """A table of entries without its zeroes.  lines: (n,) i64.  entries: (n,) i64 with OWNED."""

    lines: np.ndarray
    entries: np.ndarray


def room_bytes(specification: Specification) -> int:
    """Bytes of a hierarchy segment in which this machine can grow."""
    tables = TABLES * specification.line_count * WORD_BYTES
    return state.size_bytes(specification) + tables + CACHES_BYTES


def grow(before: Specification, arrays: State, after: Specification, segment: Segment) -> State:
    """The arrays of `after`, in `segment` where those of `before` were, with their content.

    Raises InputError, and has changed nothing, when `after` does not fit or cannot be made of
    `before`.
    """
    check(before, after, segment.size_bytes)
    counters, paid = arrays.counters.copy(), repricing.charged(arrays)
    caches = {name: words.copy() for name, words in arrays.caches.items()}
    limited = arrays.filter_lines.copy(), arrays.filter_entries.copy()
    tables = {
        index: _sparse(segment, table, len(before.domains[index].cores))
        for index, table in arrays.directories.items()
    }
    filtered = _filter_of(before, arrays, segment)
    segment.clear()
    grown = state.build(after, segment.array)
    grown.counters[: len(counters)] = counters
    grown.corrections[: len(paid)] = paid - repricing.charged(grown)[: len(paid)]
    for name, words in caches.items():
        grown.caches[name][:] = words
    for index, domain in enumerate(after.domains):
        if domain.has_directory and index < len(before.domains):
            found = tables.get(index) or _held(before, before.domains[index], caches, True)
            _fill(grown.directories[index], len(domain.cores), found)
    if after.filter_entries:
        for old, new in zip(limited, (grown.filter_lines, grown.filter_entries), strict=True):
            new[:] = old
    elif after.has_filter:
        found = filtered or _held(before, before.domains[0], caches, False)
        _fill(grown.filter_entries, len(after.domains), found)
    return grown


def check(before: Specification, after: Specification, segment_bytes: int) -> None:
    """Raise InputError when the machine cannot grow so."""
    if state.size_bytes(after) > segment_bytes:
        raise InputError(
            f"machine: {len(after.cores)} cores need {state.size_bytes(after)} bytes of caches and "
            f"directories, {segment_bytes} were set aside when it started; start a machine that "
            "has these nodes"
        )
    if after.filter_entries and not before.has_filter:
        raise InputError(
            "cache.snoop_filter.entries: a machine with one last-level cache has no snoop filter, "
            "and a limited one cannot be filled later; start with two nodes, or set it to 0"
        )


def _filter_of(specification: Specification, arrays: State, segment: Segment) -> Sparse | None:
    if not specification.has_filter or specification.filter_entries:
        return None
    return _sparse(segment, arrays.filter_entries, len(specification.domains))


def _sparse(segment: Segment, table: np.ndarray, members: int) -> Sparse:
    """What is in a table; only parts of it that were ever written are read."""
    base = table.ctypes.data - segment.address
    parts = [np.empty(0, np.int64)]
    for start, end in data_extents(segment.descriptor, base + table.nbytes):
        first = (max(start, base) - base) // table.itemsize
        if (last := (end - base) // table.itemsize) > first:
            parts.append(np.flatnonzero(table[first:last]) + first)
    lines = np.concatenate(parts)
    found = table[lines].astype(np.int64)
    owned = entries.owned_bit(members)
    return Sparse(lines, np.where(found & owned, found & ~owned | OWNED, found))


def _fill(table: np.ndarray, members: int, content: Sparse) -> None:
    owned = entries.owned_bit(members)
    found = content.entries
    packed = np.where(found & OWNED, found & ~OWNED | owned, found)
    table[content.lines] = packed.astype(table.dtype)


def _held(
    specification: Specification, domain: Domain, caches: dict[str, np.ndarray], private: bool
) -> Sparse:
    """What a directory would say of a domain that was alone so far, member 0.

    private: of its only core's caches; else its L3 counts too.
    """
    names = [
        f"{specification.cores[core].name}.{level}"
        for core in domain.cores
        for level in ("l1i", "l1d", "l2")
    ]
    if domain.l3 is not None and not private:
        names.append(f"{domain.name}.l3")
    owned: dict[int, bool] = {}
    for name in names:
        lines, states = (column.ravel().tolist() for column in copies(caches[name]))
        for line, found in zip(lines, states, strict=True):
            if not found:
                continue
            is_owned = found > Coherence.S and not name.endswith("l1i")
            owned[line] = owned.get(line, False) or is_owned
    held = sorted(owned)
    listed = [int(OWNED) | 1 if owned[line] else 1 for line in held]
    return Sparse(np.array(held, np.int64), np.array(listed, np.int64))
