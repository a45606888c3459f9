"""Our counters under the names gem5's MESI_Three_Level counts have in tests/golden/gem5.

gem5's L0, L1 and shared L2 are our L1D, L2 and the one L3 of the fully-shared model.  Meaningful
with cache.remote_load_drops_owner_l1 and cache.silent_shared_eviction on, for traces without
fetches.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from memsys.coherence import Served
from memsys.statistics import Counter

Sums = Mapping[str, tuple[str, ...]]

# fmt: off
L0D: Sums = {
    "demand_hits":                ("L1D_LOAD_HITS", "L1D_STORE_HITS"),
    "demand_misses":              ("L1D_LOAD_MISSES", "L1D_STORE_ABSENT", "L1D_STORE_SHARED"),
    "load_hits":                  ("L1D_LOAD_HITS",),
    "store_hits":                 ("L1D_STORE_HITS",),
    "store_hits_silent_E_to_M":   ("L1D_SILENT_UPGRADES",),
    "load_misses":                ("L1D_LOAD_MISSES",),
    "store_misses_absent":        ("L1D_STORE_ABSENT",),
    "store_misses_shared_upgrade": ("L1D_STORE_SHARED",),
    "evict_S_silent":             ("L1D_EVICTIONS_S",),
    "evict_E_clean_putx":         ("L1D_EVICTIONS_E",),
    "evict_M_dirty_putx":         ("L1D_EVICTIONS_M",),
    "inv_by_own_L1_eviction_not_present": ("L1D_LOST_OWN_NONE",),
    "inv_by_else_not_present":    ("L1D_LOST_ELSE_NONE",),
}
L0D_BY_STATE = {
    "inv_by_own_L1_eviction":     "L1D_LOST_OWN",
    "inv_by_coherence":           "L1D_LOST_REMOTE",
    "inv_by_shared_L2_eviction":  "L1D_LOST_RECALL",
}
L1: Sums = {
    "demand_hits":                ("L2_LOAD_HITS", "L2_STORE_HITS"),
    "demand_misses":              ("L2_LOAD_MISSES", "L2_STORE_ABSENT", "L2_STORE_SHARED"),
    "load_hits":                  ("L2_LOAD_HITS",),
    "store_hits":                 ("L2_STORE_HITS",),
    "load_misses":                ("L2_LOAD_MISSES",),
    "store_misses_absent":        ("L2_STORE_ABSENT",),
    "store_misses_shared_upgrade": ("L2_STORE_SHARED",),
    "evict_shared_silent":        ("L2_EVICTIONS_SHARED",),
    "evict_exclusive_or_modified_putx": ("L2_EVICTIONS_CLEAN", "L2_EVICTIONS_DIRTY"),
    "l0_writebacks_received":     ("L1D_EVICTIONS_E", "L1D_EVICTIONS_M"),
    "inv_received_for_request":   ("L2_INVALIDATIONS",),
    "inv_received_for_request_line_absent": ("L2_INVALIDATIONS_NONE",),
    "inv_received_for_L2_eviction": ("L2_RECALLS",),
    "inv_received_for_L2_eviction_line_absent": ("L2_RECALLS_NONE",),
    "inv_received_for_L2_eviction_owner": ("L2_RECALLS_OWNER",),
    "fwd_gets_received":          ("L2_DOWNGRADES",),
    "fwd_getx_received":          ("L2_OWNERSHIP_LOST",),
    "evict_putx_dirty_data":      ("L2_EVICTIONS_DIRTY",),
    "evict_putx_clean_control":   ("L2_EVICTIONS_CLEAN",),
}
L2_SHARED: Sums = {
    "demand_hits":                ("L3_SHARED_LOAD", "L3_SHARED_STORE", "L3_UPGRADES",
                                   "L3_VALID_LOAD", "L3_VALID_STORE"),
    "demand_misses":              ("L3_ABSENT_LOAD", "L3_ABSENT_STORE",
                                   "L3_OWNED_LOAD", "L3_OWNED_STORE"),
    "requests":                   ("L3_ACCESSES",),
    "data_hits_GETS":             ("L3_SHARED_LOAD", "L3_VALID_LOAD"),
    "data_hits_GETX":             ("L3_SHARED_STORE", "L3_VALID_STORE"),
    "upgrades":                   ("L3_UPGRADES",),
    "present_owned_by_other_GETS": ("L3_OWNED_LOAD",),
    "present_owned_by_other_GETX": ("L3_OWNED_STORE",),
    "absent_GETS":                ("L3_ABSENT_LOAD",),
    "absent_GETX":                ("L3_ABSENT_STORE",),
    "putx_received":              ("L2_EVICTIONS_CLEAN", "L2_EVICTIONS_DIRTY"),
    "downgrade_data_received_dirty": ("L3_DOWNGRADED_DIRTY",),
    "downgrade_data_received_clean": ("L3_DOWNGRADED_CLEAN",),
    "recall_data_received_dirty": ("L3_RECALLED_DIRTY",),
    "recall_clean":               ("L3_RECALLED_CLEAN",),
    "inv_messages_for_requests":  ("L3_INVALIDATIONS",),
    "inv_messages_for_evictions": ("L3_RECALLS",),
}
L2_BY_STATE: Sums = {
    "NP.GETS": ("L3_ABSENT_LOAD",),  "NP.GETX": ("L3_ABSENT_STORE",),
    "SS.GETS": ("L3_SHARED_LOAD",),  "SS.GETX": ("L3_SHARED_STORE",),
    "SS.UPGRADE": ("L3_UPGRADES",),
    "M.GETS":  ("L3_VALID_LOAD",),   "M.GETX":  ("L3_VALID_STORE",),
    "MT.GETS": ("L3_OWNED_LOAD",),   "MT.GETX": ("L3_OWNED_STORE",),
}
L2_EVICTIONS: Sums = {
    "SS_dirty": ("L3_EVICTED_SHARED_DIRTY",), "SS_clean": ("L3_EVICTED_SHARED_CLEAN",),
    "M_dirty":  ("L3_EVICTED_VALID_DIRTY",),  "M_clean":  ("L3_EVICTED_VALID_CLEAN",),
    "MT_dirty": ("L3_EVICTED_OWNED_DIRTY",),  "MT_clean": ("L3_EVICTED_OWNED_CLEAN",),
}
MEMORY: Sums = {
    "reads":                      ("MEMORY_LOCAL", "MEMORY_REMOTE"),
    "dirty_writebacks":           ("WRITE_BACKS_LOCAL", "WRITE_BACKS_REMOTE"),
}
# fmt: on
SERVED = ("L0", "L1", "L2_data", "L2_upgrade_no_data", "other_core_L1", "memory")


def _sums(row: np.ndarray, table: Sums) -> dict[str, int]:
    return {name: sum(int(row[Counter[key]]) for key in keys) for name, keys in table.items()}


def served_counts(served: np.ndarray) -> dict[str, int]:
    """How many accesses each source served, by gem5's names; served: (n,) u8 of Served."""
    codes = np.minimum(served, Served.MEMORY_LOCAL)  # local and remote memory are one to gem5
    return {name: int((codes == code).sum()) for code, name in enumerate(SERVED)}


def counts(counters: np.ndarray, cores: Sequence[int]) -> dict[str, object]:
    """Every count with a counterpart.  counters: (cores, COUNTERS); cores: those the trace used."""
    machine = counters.sum(axis=0)
    evictions = _sums(machine, L2_EVICTIONS)
    memory = _sums(machine, MEMORY)
    memory["clean_replacement_notices"] = sum(evictions.values()) - memory["dirty_writebacks"]
    states = {name: count for name, count in _sums(machine, L2_BY_STATE).items() if count}
    return {
        "per_core": [
            {
                "L0D": _sums(counters[core], L0D)
                | {
                    name: {s: int(counters[core][Counter[f"{key}_{s}"]]) for s in "SEM"}
                    for name, key in L0D_BY_STATE.items()
                },
                "L1": _sums(counters[core], L1),
            }
            for core in cores
        ],
        "L2_shared": _sums(machine, L2_SHARED) | {"by_state": states, "evictions": evictions},
        "memory": memory,
    }
