"""The coherence protocol as a table: states x events, every pair declared or impossible with a reason.

MESI seen from one holder of a line.  The same rows hold between cores below one L3 (the L3 is the
directory, a message costs an L3 transfer) and between domains (the snoop filter is, messages are the
CXL snoops SnpData, SnpInv and BISnp).  Sources: the paper, 7.3 and 8.1; CXL 3.0, 3.3 (names of snoops).
Transient states do not exist: an access is complete before the next one begins.
"""

from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np


class State(IntEnum):
    """What a holder may do with its copy."""

    I = 0  # noqa: E741  invalid: no copy
    S = 1  # shared: read; memory (or the L3) has the same data
    E = 2  # exclusive: nobody else has it; a store needs no message
    M = 3  # modified: exclusive, and newer than anything outside


class Event(IntEnum):
    """What happens to one holder's copy.  The first six are its own access, by what the others hold."""

    LOAD_ALONE = 0  # load or fetch, no other holder
    LOAD_SHARED = 1  # load or fetch, others hold S
    LOAD_OWNED = 2  # load or fetch, another holder has E or M
    STORE_ALONE = 3  # store, no other holder
    STORE_SHARED = 4  # store, others hold S
    STORE_OWNED = 5  # store, another holder has E or M
    REMOTE_LOAD = 6  # another holder loads or fetches
    REMOTE_STORE = 7  # another holder stores
    BACK_INVALIDATE = 8  # the directory gives up its entry
    EVICT = 9  # no room: the copy is the victim


class Action(IntFlag):
    """What goes with a transition."""

    NONE = 0
    FILL = 1  # data comes from memory, or from the level that has it
    SNOOP_DATA = 2  # SnpData to the owner
    SNOOP_INVALIDATE = 4  # SnpInv to every other holder
    WRITE_BACK = 8  # this copy's data goes to the line's home (inside a domain: to the L3)


class Served(IntEnum):
    """Who served an access: what a replay reports for each one."""

    L1 = 0
    L2 = 1
    L3 = 2  # data from the L3
    UPGRADE = 3  # the L3 gave a sharer permission to store; no data moved
    PEER = 4  # another core below the same L3 supplied the data
    MEMORY_LOCAL = 5
    MEMORY_REMOTE = 6
    OUTSIDE = 7  # not in the physical map: nothing served it


class T(NamedTuple):
    """One transition."""

    state: State
    event: Event
    target: State
    actions: Action
    why: str


I, S, E, M = State  # noqa: E741  the protocol's own letter
FILL, SNOOP_DATA, SNOOP_INVALIDATE, WRITE_BACK, NONE = (
    Action.FILL, Action.SNOOP_DATA, Action.SNOOP_INVALIDATE, Action.WRITE_BACK, Action.NONE,
)  # fmt: skip

# fmt: off
ROWS = (
    #  state  event             target  actions                  why
    T(I, Event.LOAD_ALONE,      E, FILL,                    "nobody has it: the next store will be silent"),
    T(I, Event.LOAD_SHARED,     S, FILL,                    "one more sharer, no message"),
    T(I, Event.LOAD_OWNED,      S, FILL | SNOOP_DATA,       "the owner becomes a sharer and writes back new data"),
    T(I, Event.STORE_ALONE,     M, FILL,                    "write-allocate"),
    T(I, Event.STORE_SHARED,    M, FILL | SNOOP_INVALIDATE, "every sharer loses its copy"),
    T(I, Event.STORE_OWNED,     M, FILL | SNOOP_INVALIDATE, "the owner loses its copy and writes back new data"),
    T(S, Event.LOAD_ALONE,      S, NONE,                    "hit; a sharer left alone does not learn of it"),
    T(S, Event.LOAD_SHARED,     S, NONE,                    "hit"),
    T(S, Event.STORE_ALONE,     M, NONE,                    "the directory knows no other holder: nobody is asked"),
    T(S, Event.STORE_SHARED,    M, SNOOP_INVALIDATE,        "only permission is missing"),
    T(S, Event.REMOTE_LOAD,     S, NONE,                    "clean: memory or the L3 answers"),
    T(S, Event.REMOTE_STORE,    I, NONE,                    "SnpInv; clean, nothing to save"),
    T(S, Event.BACK_INVALIDATE, I, NONE,                    "an untracked copy must not exist"),
    T(S, Event.EVICT,           I, NONE,                    "told to the directory unless shared evictions are silent"),
    T(E, Event.LOAD_ALONE,      E, NONE,                    "hit"),
    T(E, Event.STORE_ALONE,     M, NONE,                    "silent"),
    T(E, Event.REMOTE_LOAD,     S, NONE,                    "SnpData; clean, memory or the L3 answers"),
    T(E, Event.REMOTE_STORE,    I, NONE,                    "SnpInv; clean, nothing to save"),
    T(E, Event.BACK_INVALIDATE, I, NONE,                    "an untracked copy must not exist"),
    T(E, Event.EVICT,           I, NONE,                    "told to the directory: the owner is always known"),
    T(M, Event.LOAD_ALONE,      M, NONE,                    "hit"),
    T(M, Event.STORE_ALONE,     M, NONE,                    "hit"),
    T(M, Event.REMOTE_LOAD,     S, WRITE_BACK,              "SnpData; the home gets the data, both may read"),
    T(M, Event.REMOTE_STORE,    I, WRITE_BACK,              "SnpInv; below one L3 the data goes to the new owner"),
    T(M, Event.BACK_INVALIDATE, I, WRITE_BACK,              "the only new copy must not be lost"),
    T(M, Event.EVICT,           I, WRITE_BACK,              "the only new copy must not be lost"),
)

IMPOSSIBLE = {
    (I, Event.REMOTE_LOAD):     "holds nothing; a stale sharer is not asked on loads",
    (I, Event.REMOTE_STORE):    "holds nothing; a stale sharer answers without a transition",
    (I, Event.BACK_INVALIDATE): "holds nothing; a stale sharer answers without a transition",
    (I, Event.EVICT):           "an invalid way is no victim",
    (S, Event.LOAD_OWNED):      "an owner has no sharer beside it",
    (S, Event.STORE_OWNED):     "an owner has no sharer beside it",
    (E, Event.LOAD_SHARED):     "exclusive: nobody else has it",
    (E, Event.LOAD_OWNED):      "exclusive: nobody else has it",
    (E, Event.STORE_SHARED):    "exclusive: nobody else has it",
    (E, Event.STORE_OWNED):     "exclusive: nobody else has it",
    (M, Event.LOAD_SHARED):     "exclusive: nobody else has it",
    (M, Event.LOAD_OWNED):      "exclusive: nobody else has it",
    (M, Event.STORE_SHARED):    "exclusive: nobody else has it",
    (M, Event.STORE_OWNED):     "exclusive: nobody else has it",
}
# fmt: on


def compile_rows(
    rows: tuple[T, ...], impossible: dict[tuple[State, Event], str]
) -> tuple[np.ndarray, np.ndarray]:
    """(next state, actions), both (states, events) i64; -1 marks the impossible pairs.

    Raises ValueError for a pair that is declared twice, both declared and impossible, or missing.
    """
    targets = np.full((len(State), len(Event)), -1, dtype=np.int64)
    actions = np.full((len(State), len(Event)), -1, dtype=np.int64)
    for row in rows:
        if targets[row.state, row.event] >= 0:
            raise ValueError(f"coherence: {row.state.name} x {row.event.name} is declared twice")
        targets[row.state, row.event] = row.target
        actions[row.state, row.event] = int(row.actions)
    for state in State:
        for event in Event:
            declared, excluded = targets[state, event] >= 0, (state, event) in impossible
            if declared == excluded:
                problem = "both declared and impossible" if declared else "neither declared nor impossible"
                raise ValueError(f"coherence: {state.name} x {event.name} is {problem}")
    return targets, actions


NEXT, ACTIONS = compile_rows(ROWS, IMPOSSIBLE)


def describe() -> str:
    """COHERENCE.md: the table as text, generated so that it cannot differ from what runs."""
    lines = [
        "# Coherence protocol",
        "",
        "Generated from `memsys/coherence.py`; do not edit. The states of one holder of a line, and what",
        "happens to it. Holders are the domains below one snoop filter, and the cores below one L3.",
        "",
        "| state | event | next | messages and data | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in ROWS:
        actions = ", ".join(str(a.name).lower() for a in Action if a and a in row.actions) or "-"
        lines.append(
            f"| {row.state.name} | {row.event.name} | {row.target.name} | {actions} | {row.why} |"
        )
    lines += ["", "Impossible:", ""]
    lines += [f"- {state.name} x {event.name}: {why}" for (state, event), why in IMPOSSIBLE.items()]
    return "\n".join(lines) + "\n"
