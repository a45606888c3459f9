"""Counters of the memory system: one table of rows, kept per core, and the statistics made of them.

Every counter belongs to a core: the one that asked (costs, levels, messages it sent), or the one whose
copies were touched (evictions, losses, snoops received; a domain counts with its first core).  Sums over
the cores of a node or of the machine give the other levels.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from memsys.specification import Core, Specification


class Row(NamedTuple):
    """One counter: its key in code, its name below `<node>.core<i>.`, unit and meaning."""

    key: str
    name: str
    unit: str
    meaning: str


# fmt: off
ROWS = (
    Row("REFERENCES_USER",      "data_references_user",     "reference", "loads and stores of guest programs"),
    Row("REFERENCES_KERNEL",    "data_references_kernel",   "reference", "loads and stores of the kernel"),
    Row("REFERENCES_IDEAL",     "data_references_ideal",    "reference", "those of the kernel left out of the caches"),
    Row("REFERENCES_OUTSIDE",   "references_outside",       "access",    "line accesses outside the physical map"),
    Row("CYCLES_USER",          "memory_cycles_user",       "cycle",     "charged for user references and fetches"),
    Row("CYCLES_KERNEL",        "memory_cycles_kernel",     "cycle",     "charged for kernel and device references"),
    Row("L1D_LOADS",            "l1d.loads",                "access",    "line accesses that read"),
    Row("L1D_STORES",           "l1d.stores",               "access",    "line accesses that write, atomics included"),
    Row("L1D_SPLITS",           "l1d.splits",               "reference", "references that crossed a line: two accesses"),
    Row("L1D_LOAD_HITS",        "l1d.load_hits",            "access",    "loads served by L1D"),
    Row("L1D_STORE_HITS",       "l1d.store_hits",           "access",    "stores served by L1D"),
    Row("L1D_SILENT_UPGRADES",  "l1d.silent_upgrades",      "access",    "store hits in E that made it M"),
    Row("L1D_LOAD_MISSES",      "l1d.load_misses",          "access",    "loads of a line not in L1D"),
    Row("L1D_STORE_ABSENT",     "l1d.store_misses_absent",  "access",    "stores to a line not in L1D"),
    Row("L1D_STORE_SHARED",     "l1d.store_misses_shared",  "access",    "stores to an S line that had to ask the L3"),
    Row("L1D_EVICTIONS_S",      "l1d.evictions_shared",     "line",      "victims in S"),
    Row("L1D_EVICTIONS_E",      "l1d.evictions_exclusive",  "line",      "victims in E"),
    Row("L1D_EVICTIONS_M",      "l1d.evictions_modified",   "line",      "victims in M, written to the next level"),
    Row("L1D_LOST_OWN_S",       "l1d.lost_to_l2_shared",    "line",      "S copies lost to an eviction of the own L2"),
    Row("L1D_LOST_OWN_E",       "l1d.lost_to_l2_exclusive", "line",      "E copies lost to an eviction of the own L2"),
    Row("L1D_LOST_OWN_M",       "l1d.lost_to_l2_modified",  "line",      "M copies lost to an eviction of the own L2"),
    Row("L1D_LOST_OWN_NONE",    "l1d.lost_to_l2_absent",    "message",   "L2 evictions that looked in L1D in vain"),
    Row("L1D_LOST_REMOTE_S",    "l1d.lost_to_others_shared",    "line",  "S copies lost to another core's access"),
    Row("L1D_LOST_REMOTE_E",    "l1d.lost_to_others_exclusive", "line",  "E copies lost to another core's access"),
    Row("L1D_LOST_REMOTE_M",    "l1d.lost_to_others_modified",  "line",  "M copies lost to another core's access"),
    Row("L1D_LOST_RECALL_S",    "l1d.recalled_shared",      "line",      "S copies back-invalidated from outside"),
    Row("L1D_LOST_RECALL_E",    "l1d.recalled_exclusive",   "line",      "E copies back-invalidated from outside"),
    Row("L1D_LOST_RECALL_M",    "l1d.recalled_modified",    "line",      "M copies back-invalidated from outside"),
    Row("L1D_LOST_ELSE_NONE",   "l1d.lost_absent",          "message",   "other losses that looked in L1D in vain"),
    Row("FETCHES",              "l1i.line_fetches",         "access",    "fetches of a line by the front end"),
    Row("L1I_LINE_HITS",        "l1i.line_hits",            "access",    "line fetches served by L1I"),
    Row("L1I_MISSES",           "l1i.misses",               "access",    "line fetches not served by L1I"),
    Row("L1I_EVICTIONS",        "l1i.evictions",            "line",      "victims"),
    Row("L1I_LOST",             "l1i.lost",                 "line",      "copies lost to a store or to outer levels"),
    Row("L2_ACCESSES",          "l2.accesses",              "access",    "requests of L1D and L1I"),
    Row("L2_LOAD_HITS",         "l2.load_hits",             "access",    "loads served by L2"),
    Row("L2_STORE_HITS",        "l2.store_hits",            "access",    "stores served by L2"),
    Row("L2_FETCH_HITS",        "l2.fetch_hits",            "access",    "fetches served by L2"),
    Row("L2_LOAD_MISSES",       "l2.load_misses",           "access",    "loads of a line not in L2"),
    Row("L2_FETCH_MISSES",      "l2.fetch_misses",          "access",    "fetches of a line not in L2"),
    Row("L2_STORE_ABSENT",      "l2.store_misses_absent",   "access",    "stores to a line not in L2"),
    Row("L2_STORE_SHARED",      "l2.store_misses_shared",   "access",    "stores to an S line that had to ask the L3"),
    Row("L2_EVICTIONS_SHARED",  "l2.evictions_shared",      "line",      "victims in S"),
    Row("L2_EVICTIONS_CLEAN",   "l2.evictions_clean",       "line",      "exclusive victims without new data"),
    Row("L2_EVICTIONS_DIRTY",   "l2.evictions_dirty",       "line",      "exclusive victims with new data"),
    Row("L2_INVALIDATIONS",     "l2.invalidations",         "message",   "shared copies another core's store took"),
    Row("L2_INVALIDATIONS_NONE", "l2.invalidations_absent", "message",   "those that found nothing (stale sharer)"),
    Row("L2_RECALLS",           "l2.recalls",               "message",   "back-invalidations by L3 or snoop filter"),
    Row("L2_RECALLS_NONE",      "l2.recalls_absent",        "message",   "those that found nothing (stale sharer)"),
    Row("L2_RECALLS_OWNER",     "l2.recalls_owner",         "message",   "those that took an E or M line"),
    Row("L2_DOWNGRADES",        "l2.downgrades",            "message",   "E or M lines another core's load made S"),
    Row("L2_OWNERSHIP_LOST",    "l2.ownership_lost",        "message",   "E or M lines another core's store took"),
    Row("L3_ACCESSES",          "l3.accesses",              "access",    "this core's requests to L3"),
    Row("L3_ABSENT_LOAD",       "l3.absent_loads",          "access",    "loads and fetches of a line not in L3"),
    Row("L3_ABSENT_STORE",      "l3.absent_stores",         "access",    "stores to a line not in L3"),
    Row("L3_SHARED_LOAD",       "l3.shared_loads",          "access",    "loads of a line that cores share"),
    Row("L3_SHARED_STORE",      "l3.shared_stores",         "access",    "stores, with data, to a line that cores share"),
    Row("L3_UPGRADES",          "l3.upgrades",              "access",    "stores by a sharer: permission, no data"),
    Row("L3_VALID_LOAD",        "l3.valid_loads",           "access",    "loads of a line that no core holds"),
    Row("L3_VALID_STORE",       "l3.valid_stores",          "access",    "stores to a line that no core holds"),
    Row("L3_OWNED_LOAD",        "l3.owned_loads",           "access",    "loads of a line another core owns"),
    Row("L3_OWNED_STORE",       "l3.owned_stores",          "access",    "stores to a line another core owns"),
    Row("L3_INVALIDATIONS",     "l3.invalidations_sent",    "message",   "to sharers below the same L3, for stores"),
    Row("L3_RECALLS",           "l3.recalls_sent",          "message",   "to cores below, for evictions of L3"),
    Row("L3_TRANSFER_WAITS",    "l3.transfer_waits",        "access",    "accesses that waited for cores below one L3"),
    Row("L3_TRANSFERS",         "l3.transfers",             "line",      "data moved between cores below one L3"),
    Row("L3_DOWNGRADED_DIRTY",  "l3.downgraded_dirty",      "line",      "new data a load brought to L3"),
    Row("L3_DOWNGRADED_CLEAN",  "l3.downgraded_clean",      "line",      "loads whose owner had no new data"),
    Row("L3_RECALLED_DIRTY",    "l3.recalled_dirty",        "line",      "owned victims, owner had new data"),
    Row("L3_RECALLED_CLEAN",    "l3.recalled_clean",        "line",      "owned victims, owner had no new data"),
    Row("L3_EVICTED_VALID_CLEAN", "l3.evicted_valid_clean", "line",      "victims no core held, L3 copy clean"),
    Row("L3_EVICTED_VALID_DIRTY", "l3.evicted_valid_dirty", "line",      "victims no core held, L3 copy dirty"),
    Row("L3_EVICTED_SHARED_CLEAN", "l3.evicted_shared_clean", "line",    "victims that cores shared, L3 copy clean"),
    Row("L3_EVICTED_SHARED_DIRTY", "l3.evicted_shared_dirty", "line",    "victims that cores shared, L3 copy dirty"),
    Row("L3_EVICTED_OWNED_CLEAN", "l3.evicted_owned_clean", "line",      "victims a core owned, L3 copy clean"),
    Row("L3_EVICTED_OWNED_DIRTY", "l3.evicted_owned_dirty", "line",      "victims a core owned, L3 copy dirty"),
    Row("MEMORY_LOCAL",         "memory.local",             "access",    "served by local memory"),
    Row("MEMORY_REMOTE",        "memory.remote",            "access",    "served by remote memory"),
    Row("WRITE_BACKS_LOCAL",    "write_backs.local",        "line",      "new data this core's accesses sent to local memory"),
    Row("WRITE_BACKS_REMOTE",   "write_backs.remote",       "line",      "new data this core's accesses sent to remote memory"),
    Row("SNOOP_DATA_SENT",      "snoops.data.sent",         "message",   "SnpData"),
    Row("SNOOP_DATA_RECEIVED",  "snoops.data.received",     "message",   "SnpData"),
    Row("SNOOP_DATA_WAITS",     "snoops.data.waits",        "access",    "accesses that paid for SnpData"),
    Row("SNOOP_INVALIDATE_SENT", "snoops.invalidate.sent",  "message",   "SnpInv"),
    Row("SNOOP_INVALIDATE_RECEIVED", "snoops.invalidate.received", "message", "SnpInv"),
    Row("SNOOP_INVALIDATE_WAITS", "snoops.invalidate.waits", "access",   "accesses that paid for SnpInv"),
    Row("BACK_INVALIDATE_SENT", "snoops.back_invalidate.sent", "message", "BISnp, for the access that needed the entry"),
    Row("BACK_INVALIDATE_RECEIVED", "snoops.back_invalidate.received", "message", "BISnp"),
    Row("BACK_INVALIDATE_WAITS", "snoops.back_invalidate.waits", "access", "accesses that paid for BISnp"),
    Row("DEVICES_LOCAL",        "devices.local",            "access",    "to device registers of the own node"),
    Row("DEVICES_REMOTE",       "devices.remote",           "access",    "to device registers of another node"),
)
# fmt: on

_members_from_rows: Any = IntEnum  # so that a type checker takes the members from the table
Counter = _members_from_rows("Counter", [row.key for row in ROWS], start=0)
COUNTERS = len(ROWS)

NODE_PREFIXES = ("memory.", "write_backs.", "snoops.", "devices.")  # reported per node, not per core
CORE_HITS = {
    "l1d": (("L1D_LOAD_HITS", "L1D_STORE_HITS"), ("L1D_LOAD_MISSES", "L1D_STORE_ABSENT", "L1D_STORE_SHARED")),
    "l2": (
        ("L2_LOAD_HITS", "L2_STORE_HITS", "L2_FETCH_HITS"),
        ("L2_LOAD_MISSES", "L2_STORE_ABSENT", "L2_STORE_SHARED", "L2_FETCH_MISSES"),
    ),
    "l3": (
        ("L3_SHARED_LOAD", "L3_SHARED_STORE", "L3_UPGRADES", "L3_VALID_LOAD", "L3_VALID_STORE",
         "L3_OWNED_LOAD", "L3_OWNED_STORE"),
        ("L3_ABSENT_LOAD", "L3_ABSENT_STORE"),
    ),
}  # fmt: skip


def total(row: Sequence[int], names: Sequence[str]) -> int:
    """Sum of the named counters of one core's row."""
    return sum(int(row[Counter[name]]) for name in names)


def hits(row: Sequence[int], level: str) -> int:
    """Accesses that l1d, l2 or l3 served for one core."""
    return total(row, CORE_HITS[level][0])


def misses(row: Sequence[int], level: str) -> int:
    """Accesses of one core that l1d, l2 or l3 did not serve."""
    return total(row, CORE_HITS[level][1])


def accesses(row: Sequence[int], level: str) -> int:
    """Accesses of one core to l1d, l2 or l3, counted on arrival."""
    names = {"l1d": ("L1D_LOADS", "L1D_STORES"), "l2": ("L2_ACCESSES",), "l3": ("L3_ACCESSES",)}
    return total(row, names[level])


class Charge(NamedTuple):
    """Cycles a core pays: their name below `<node>.core<i>.memory_cycles.`, the price of one
    (specification.Prices), the counters of what costs it, and the meaning.
    """

    name: str
    price: str
    counters: tuple[str, ...]
    meaning: str


# Everything a core is ever charged; their sum is memory_cycles, which memsys.laws checks in every run.
CHARGES = (
    Charge("l1",               "l1",              CORE_HITS["l1d"][0],          "data references that L1D served"),
    Charge("fetch",            "fetch_hit",       ("L1I_LINE_HITS",),           "line fetches that L1I served"),
    Charge("l2",               "l2",              CORE_HITS["l2"][0],           "accesses that L2 served"),
    Charge("l3",               "l3",              CORE_HITS["l3"][0],           "accesses that L3 served"),
    Charge("memory_local",     "memory",          ("MEMORY_LOCAL",),            "accesses that local memory served"),
    Charge("memory_remote",    "remote",          ("MEMORY_REMOTE",),           "accesses that remote memory served"),
    Charge("write_backs_local", "memory",         ("WRITE_BACKS_LOCAL",),       "new data sent to local memory"),
    Charge("write_backs_remote", "remote",        ("WRITE_BACKS_REMOTE",),      "new data sent to remote memory"),
    Charge("devices_local",    "memory",          ("DEVICES_LOCAL",),           "device registers of the own node"),
    Charge("devices_remote",   "remote",          ("DEVICES_REMOTE",),          "device registers of another node"),
    Charge("l3_transfers",     "l3_transfer",     ("L3_TRANSFER_WAITS",),       "waits for other cores below the L3"),
    Charge("snoop_data",       "snoop_data",      ("SNOOP_DATA_WAITS",),        "waits for SnpData"),
    Charge("snoop_invalidate", "snoop_invalidate", ("SNOOP_INVALIDATE_WAITS",), "waits for SnpInv"),
    Charge("back_invalidate",  "back_invalidate", ("BACK_INVALIDATE_WAITS",),   "waits for BISnp"),
)


def charges(core: Core, row: Sequence[int]) -> dict[str, int]:
    """Cycles by kind of charge, for the counted accesses, write-backs and messages of one core."""
    return {charge.name: total(row, charge.counters) * getattr(core.prices, charge.price) for charge in CHARGES}


def report(
    specification: Specification,
    counters: np.ndarray,
    fetches: Sequence[int] | None = None,
    charged: np.ndarray | None = None,
) -> dict[str, int]:
    """Every statistic by its dotted name.

    counters: (cores, COUNTERS) i64.  fetches: instructions each core fetched (one L1I access each);
    None: the line fetches are the accesses, as in a replay.  charged: (cores, len(CHARGES)) i64,
    cycles by kind; None: at prices that never changed.
    """
    found: dict[str, int] = {}
    l3_names = dict.fromkeys(range(len(specification.nodes)), "")
    for core, row in zip(specification.cores, counters.tolist(), strict=True):
        domain = specification.domains[core.domain]
        if domain.l3 is not None:
            shared = specification.model == "fully-shared"
            l3_names[core.node] = "machine.l3" if shared else f"{specification.nodes[core.node]}.l3"
        fetched = row[Counter["FETCHES"]] if fetches is None else int(fetches[core.index])
        _report_core(found, core.name, row, fetched)
        paid = charges(core, row)
        if charged is not None:
            paid = dict(zip(paid, charged[core.index].tolist(), strict=True))
        for name, cycles in paid.items():
            found[f"{core.name}.memory_cycles.{name}"] = cycles
    for index, node in enumerate(specification.nodes):
        rows = counters[[core.index for core in specification.cores if core.node == index]]
        _report_node(found, node, l3_names[index], rows.sum(axis=0).tolist())
    return found


def _report_core(found: dict[str, int], core: str, row: list[int], fetched: int) -> None:
    for column, value in zip(ROWS, row, strict=True):
        if not column.name.startswith((*NODE_PREFIXES, "l3.")):
            found[f"{core}.{column.name}"] = value
    found[f"{core}.memory_cycles"] = total(row, ("CYCLES_USER", "CYCLES_KERNEL"))
    for level in ("l1d", "l2"):
        found[f"{core}.{level}.accesses"] = accesses(row, level)
        found[f"{core}.{level}.hits"] = hits(row, level)
        found[f"{core}.{level}.misses"] = misses(row, level)
    found[f"{core}.l1i.accesses"] = fetched
    found[f"{core}.l1i.hits"] = fetched - row[Counter["L1I_MISSES"]]


def _report_node(found: dict[str, int], node: str, l3: str, row: list[int]) -> None:
    """Sums over a node's cores; an L3 of several nodes adds up under its own name."""
    for column, value in zip(ROWS, row, strict=True):
        if column.name.startswith(NODE_PREFIXES):
            found[f"{node}.{column.name}"] = value
        elif column.name.startswith("l3.") and l3:
            name = f"{l3}{column.name.removeprefix('l3')}"
            found[name] = found.get(name, 0) + value
    found[f"{node}.l3_transfers"] = row[Counter["L3_TRANSFERS"]]
    if not l3:
        return
    for name, value in (("hits", hits(row, "l3")), ("misses", misses(row, "l3"))):
        found[f"{l3}.{name}"] = found.get(f"{l3}.{name}", 0) + value


def meanings() -> dict[str, tuple[str, str]]:
    """Name below `<node>.core<i>.`, `<node>.` or an L3 -> (unit, meaning), for stats.txt."""
    found = {row.name: (row.unit, row.meaning) for row in ROWS}
    for level, where in (("l1i", "L1I"), ("l1d", "L1D"), ("l2", "L2"), ("l3", "L3")):
        found[f"{level}.accesses"] = ("access", f"accesses to {where}")
        found[f"{level}.hits"] = ("access", f"accesses that {where} served")
        found[f"{level}.misses"] = ("access", f"accesses that {where} did not serve")
    found["l1i.accesses"] = ("access", "one an executed instruction: the line of its first byte")
    found["memory_cycles"] = ("cycle", "all cycles the memory system charged")
    for charge in CHARGES:
        found[f"memory_cycles.{charge.name}"] = ("cycle", f"charged for {charge.meaning}")
    found["l3_transfers"] = ("line", "data moved between cores below one L3")
    return found
