"""Caches of a node that leaves are empty, and no directory lists it any more.

The machine stands still; what was dirty is written back without being counted, as before a
processor is switched off.  There is one copy of the data, physical memory, so only states change.
"""

import numpy as np

from memsys import entries
from memsys.coherence import State as Coherence
from memsys.entries import OWNED
from memsys.specification import Domain, Specification
from memsys.state import State, copies

PRIVATE = ("l1i", "l1d", "l2")


def empty(specification: Specification, arrays: State, node: int) -> None:
    """Take every line out of the caches of node number `node`."""
    leaving = {core.index for core in specification.cores if core.node == node}
    for domain in specification.domains:
        cores = [core for core in domain.cores if core in leaving]
        if cores == list(domain.cores):
            _empty_domain(specification, arrays, domain)
        elif cores:
            _empty_cores(specification, arrays, domain, cores)


def _lines(words: np.ndarray, least: Coherence = Coherence.S) -> np.ndarray:
    """Lines that a cache has in this state or a stronger one."""
    lines, states = copies(words)
    return lines[states >= least]


def _empty_domain(specification: Specification, arrays: State, domain: Domain) -> None:
    names = [f"{specification.cores[c].name}.{level}" for c in domain.cores for level in PRIVATE]
    if domain.l3 is not None:
        names.append(f"{domain.name}.l3")
    held = np.unique(np.concatenate([_lines(arrays.caches[name]) for name in names]))
    for name in names:
        arrays.caches[name][:] = 0
    if domain.has_directory:
        arrays.directories[domain.index][held] = 0
    if specification.filter_entries:
        _leave_limited(arrays, 1 << domain.index)
    elif specification.has_filter:
        table = arrays.filter_entries
        _leave(table, held, 1 << domain.index, entries.owned_bit(len(specification.domains)))


def _empty_cores(
    specification: Specification, arrays: State, domain: Domain, cores: list[int]
) -> None:
    """Some cores below an L3 that others use, too: new data of theirs is the L3's from now on."""
    table, owned = arrays.directories[domain.index], entries.owned_bit(len(domain.cores))
    third = arrays.caches[f"{domain.name}.l3"]
    for core in cores:
        caches = [arrays.caches[f"{specification.cores[core].name}.{level}"] for level in PRIVATE]
        held = np.unique(np.concatenate([_lines(words) for words in caches]))
        dirty = np.concatenate([_lines(words, Coherence.M) for words in caches[1:]])
        lines, states = copies(third)
        third[np.isin(lines, dirty) & (states != 0)] |= third.dtype.type(Coherence.M)
        for words in caches:
            words[:] = 0
        _leave(table, held, 1 << core - domain.cores[0], owned)


def _leave(table: np.ndarray, lines: np.ndarray, member: int, owned: int) -> None:
    """A member of an unlimited table holds these lines no more; it may be listed for others, too,
    which it gave up silently.
    """
    found = table[lines].astype(np.int64) & ~member
    table[lines] = np.where(found == owned, 0, found).astype(table.dtype)
    stale = np.flatnonzero(table & table.dtype.type(member))
    table[stale] &= table.dtype.type(~member & (1 << 8 * table.itemsize) - 1)


def _leave_limited(arrays: State, member: int) -> None:
    """The same in a filter of sets, whose entries are closed when they list nobody."""
    found = arrays.filter_entries
    for number in np.flatnonzero((found & member).any(axis=1)).tolist():
        row = found[number] & ~member
        lives = (row & ~OWNED) != 0
        for array, values in ((arrays.filter_lines, arrays.filter_lines[number]), (found, row)):
            kept = values[lives]
            array[number] = np.pad(kept, (0, len(values) - len(kept)))
