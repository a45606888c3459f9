"""Laws about places: sets are in order, a core's caches agree, directories list every holder."""

import numpy as np

from memsys import entries
from memsys import state as arrays_of
from memsys.coherence import State
from memsys.sets import FLAG_BITS
from memsys.specification import Domain, Specification
from memsys.state import State as Arrays

Copies = dict[int, int]  # line -> State


def places_out_of_order(specification: Specification, arrays: Arrays) -> list[str]:
    """Every such law that does not hold, one line each."""
    broken: list[str] = []
    copies: dict[str, Copies] = {}
    for name, words in arrays.caches.items():
        broken += sets_out_of_order(name, words)
        lines, states = (column[words != 0].tolist() for column in arrays_of.copies(words))
        copies[name] = dict(zip(lines, states, strict=True))
    members: dict[int, Copies] = {}
    for domain in specification.domains:
        below = {core: _of_core(specification, core, copies, broken) for core in domain.cores}
        if domain.has_directory:
            table = arrays.directories[domain.index]
            owned = entries.owned_bit(len(domain.cores))
            for core, held in below.items():
                found = {line: int(table[line]) for line in held}
                name = f"{domain.name}'s directory"
                broken += _unlisted(name, held, found, core - domain.cores[0], owned)
        members[domain.index] = _of_domain(domain, copies, below)
    if specification.has_filter:
        broken += _filter_gaps(specification, arrays, members)
    return broken


def sets_out_of_order(name: str, words: np.ndarray) -> list[str]:
    """Sets are filled from the front, with each line once.  words: (sets, ways)."""
    lines, states = (column[words != 0] for column in arrays_of.copies(words))
    laws = {
        "a free way stands before a used one": ((words[:, :-1] == 0) & (words[:, 1:] != 0)).any(),
        "a used way is invalid": (states == State.I).any(),
        "a line is there twice": len(np.unique(lines)) != len(lines),
    }
    return [f"{name}: {law}" for law, is_broken in laws.items() if is_broken]


def _of_core(
    specification: Specification, core: int, copies: dict[str, Copies], broken: list[str]
) -> Copies:
    """The strongest state of each line a core holds; adds to `broken` where its caches disagree."""
    name = specification.cores[core].name
    l1i, l1d, l2 = (copies[f"{name}.{level}"] for level in ("l1i", "l1d", "l2"))
    torn = [line for line in l1d.keys() & l2 if (l1d[line] == State.S) != (l2[line] == State.S)]
    stale = [line for line in l1d.keys() & l1i if l1d[line] == State.M]
    broken += _lines(f"{name}: L1D and L2 disagree who may store", torn)
    broken += _lines(f"{name}: L1I holds what L1D has in M", stale)
    held = dict.fromkeys(l1i, int(State.S))
    for level in (l2, l1d):
        for line, state in level.items():
            held[line] = max(state, held.get(line, 0))
    return held


def _of_domain(domain: Domain, copies: dict[str, Copies], below: dict[int, Copies]) -> Copies:
    held = dict(copies[f"{domain.name}.l3"]) if domain.l3 else {}
    for core in below.values():
        for line, state in core.items():
            held[line] = max(state, held.get(line, 0))
    return held


def _filter_gaps(
    specification: Specification, arrays: Arrays, members: dict[int, Copies]
) -> list[str]:
    broken: list[str] = []
    limited: dict[int, int] = {}
    if specification.filter_entries:
        used = arrays.filter_lines != 0
        lines = (arrays.filter_lines[used] >> FLAG_BITS).tolist()
        limited = dict(zip(lines, arrays.filter_entries[used].tolist(), strict=True))
        owned = int(entries.OWNED)
    else:
        owned = entries.owned_bit(len(specification.domains))
    for index, held in members.items():
        if specification.filter_entries:
            found = {line: limited.get(line, 0) for line in held}
        else:
            found = {line: int(arrays.filter_entries[line]) for line in held}
        name = f"snoop filter, of {specification.domains[index].name}"
        broken += _unlisted(name, held, found, index, owned)
    return broken


def _unlisted(name: str, held: Copies, found: dict[int, int], member: int, owned: int) -> list[str]:
    """Lines a member holds without being listed, or owns without being the owner."""
    missing = [line for line in held if not found[line] >> member & 1]
    unowned = [line for line, state in held.items() if state > State.S and not found[line] & owned]
    broken = _lines(f"{name}: a holder (member {member}) is not listed", missing)
    return broken + _lines(f"{name}: an owner (member {member}) is not known as one", unowned)


def _lines(law: str, lines: list[int]) -> list[str]:
    return [f"{law}: {len(lines)} lines, the first {min(lines):#x}"] if lines else []
