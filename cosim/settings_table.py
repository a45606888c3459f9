"""The table of settings: every value of a machine that a user may change, one row each.  Facts
only.

Not formatted automatically, so that the columns stay aligned.  cosim/settings.py parses, resolves
and checks.
"""

from typing import NamedTuple

from cosim.presets import (
    DEFAULT_PRESET,
    FETCH_HIT_CYCLES,
    GEOMETRY,
    PRESETS,
    SNOOP_COSTS,
)
from cosim.units import LINE_BYTES, GiB, MiB

Value = int | str | bool


class Setting(NamedTuple):
    """One row.  kind: size, integer, rational, choice or flag.  default None: derived, see
    `meaning`.

    name: may hold <node>, <source>, <target> or <primitive>; then there is one setting for each.
    """

    name: str
    default: Value | None
    kind: str
    unit: str
    meaning: str
    choices: tuple[Value, ...] = ()
    least: int = 0


# fmt: off
TABLE = (
    Setting("memory.model", "shared", "choice", "", "which memory is local to whom", ("separated", "shared", "fully-shared")),
    Setting("memory.preset", DEFAULT_PRESET, "choice", "", "where costs, L3 sizes and clocks come from", PRESETS),
    Setting("memory.size", 8 * GiB, "size", "byte", "physical memory of the whole machine", (), MiB),
    Setting("memory.message_area", 128 * MiB, "size", "byte", "memory reserved for messages between kernels"),
    Setting("memory.shared_window", 64 * MiB, "size", "byte", "memory that programs of several nodes may map"),
    Setting("memory.block", 128 * MiB, "size", "byte", "unit in which memory is handed to a kernel", (), MiB),
    Setting("memory.attach_share", 512 * MiB, "size", "byte", "a node gets that joins a machine whose kernels do not share memory", (), MiB),
    Setting("memory.attach_shares", 0, "integer", "node", "may join such a machine: memory that is set aside for them"),
    Setting("memory.blocks_at_start", 0, "integer", "block", "a fused kernel starts with; the others of its memory are for who asks first; 0: all"),
    Setting("memory.pressure_percent", 70, "integer", "percent", "of its frames a fused kernel uses before it wants one more block", (), 1),
    Setting("memory.return_percent", 30, "integer", "percent", "of its frames a fused kernel uses when it gives an empty extra block back"),
    Setting("cache.line", LINE_BYTES, "choice", "byte", "line size of every cache (fixed)", (LINE_BYTES,)),
    Setting("cache.inclusion", "inclusive", "choice", "", "do outer levels hold all that inner ones hold", ("inclusive", "nine")),
    Setting("cache.l1i.size", GEOMETRY["l1i"][0], "size", "byte", "instruction cache of a core", (), LINE_BYTES),
    Setting("cache.l1i.ways", GEOMETRY["l1i"][1], "integer", "way", "associativity", (), 1),
    Setting("cache.l1d.size", GEOMETRY["l1d"][0], "size", "byte", "data cache of a core", (), LINE_BYTES),
    Setting("cache.l1d.ways", GEOMETRY["l1d"][1], "integer", "way", "associativity", (), 1),
    Setting("cache.l2.size", GEOMETRY["l2"][0], "size", "byte", "second level, of a core", (), LINE_BYTES),
    Setting("cache.l2.ways", GEOMETRY["l2"][1], "integer", "way", "associativity", (), 1),
    Setting("cache.l3.size", GEOMETRY["l3"][0], "size", "byte", "third level, of a node (of the machine when fully-shared); 0: none"),
    Setting("cache.l3.ways", GEOMETRY["l3"][1], "integer", "way", "associativity", (), 1),
    Setting("cache.<node>.l1i.size", None, "size", "byte", "for this node; default: cache.l1i.size", (), LINE_BYTES),
    Setting("cache.<node>.l1i.ways", None, "integer", "way", "for this node; default: cache.l1i.ways", (), 1),
    Setting("cache.<node>.l1d.size", None, "size", "byte", "for this node; default: cache.l1d.size", (), LINE_BYTES),
    Setting("cache.<node>.l1d.ways", None, "integer", "way", "for this node; default: cache.l1d.ways", (), 1),
    Setting("cache.<node>.l2.size", None, "size", "byte", "for this node; default: cache.l2.size", (), LINE_BYTES),
    Setting("cache.<node>.l2.ways", None, "integer", "way", "for this node; default: cache.l2.ways", (), 1),
    Setting("cache.<node>.l3.size", None, "size", "byte", "for this node; default: preset, then cache.l3.size"),
    Setting("cache.<node>.l3.ways", None, "integer", "way", "for this node; default: cache.l3.ways", (), 1),
    Setting("cache.remote_load_drops_owner_l1", False, "flag", "", "a load of another owner's line also takes it out of the owner's L1"),
    Setting("cache.silent_shared_eviction", False, "flag", "", "shared evictions are not told to the directory; its sharers may be stale"),
    Setting("cache.snoop_filter.entries", 0, "integer", "line", "lines the snoop filter can track; 0: all"),
    Setting("cache.snoop_filter.ways", 16, "integer", "way", "associativity of the snoop filter", (), 1),
    Setting("cost.<node>.l1", None, "integer", "cycle", "load or store served by L1; default: preset"),
    Setting("cost.<node>.l2", None, "integer", "cycle", "reference served by L2; default: preset"),
    Setting("cost.<node>.l3", None, "integer", "cycle", "reference served by L3; default: preset"),
    Setting("cost.<node>.memory", None, "integer", "cycle", "reference served by local memory; default: preset"),
    Setting("cost.<node>.remote", None, "integer", "cycle", "reference served by remote memory; default: preset"),
    Setting("cost.<node>.fetch_hit", FETCH_HIT_CYCLES, "integer", "cycle", "fetch that hits L1I, on top of 1/IPC"),
    Setting("cost.<node>.l3_transfer", None, "integer", "cycle", "line moved between cores below one L3; default: cost.<node>.l3"),
    Setting("cost.snoop_data", SNOOP_COSTS["cost.snoop_data"], "integer", "cycle", "SnpData: a load finds another node's E or M copy"),
    Setting("cost.snoop_invalidate", SNOOP_COSTS["cost.snoop_invalidate"], "integer", "cycle", "SnpInv: a store invalidates another node's copies"),
    Setting("cost.back_invalidate", SNOOP_COSTS["cost.back_invalidate"], "integer", "cycle", "BISnp: the snoop filter evicts an entry"),
    Setting("time.quantum_ns", None, "integer", "ns", "longest turn beyond the other cores' time; default: smallest IPI latency", (), 1),
    Setting("time.guest_clock", "cycles", "choice", "", "what clocks show to programs: all cycles of the core, or its instructions and idle cycles, without memory", ("cycles", "instructions")),
    Setting("time.relay", True, "flag", "", "nodes of one host hand turns to each other while nothing happens; the simulated machine is the same"),
    Setting("time.ipc", "1", "rational", "instruction/cycle", "instructions per cycle without memory, as p or p/q"),
    Setting("time.<node>.frequency_hz", None, "integer", "Hz", "clock of the node's cores; default: preset", (), 1000),
    Setting("ipi.latency_ns", 2000, "integer", "ns", "from sending an inter-processor interrupt to its delivery", (), 1),
    Setting("ipi.latency_ns.<source>.<target>", None, "integer", "ns", "for this pair of nodes; default: ipi.latency_ns", (), 1),
    Setting("message.notify", "ipi", "choice", "", "how a kernel learns of a message in a ring", ("ipi", "poll")),
    Setting("message.poll_interval_ns", 1_000_000, "integer", "ns", "between two looks at the rings, with poll", (), 1000),
    Setting("message.answer_limit_ns", 1_000_000_000, "integer", "ns", "virtual time after which a request of a kernel without an answer ends the run", (), 1000),
    Setting("network.round_trip_ns", 75_000, "integer", "ns", "message of up to 64 KiB and its answer, where kernels share no memory", (), 10_000),
    Setting("dsm.page_response", "short", "choice", "", "does a page travel as an address to copy from, or in the message", ("short", "long")),
    Setting("futex.direct", True, "flag", "", "a kernel works on the shared futex buckets itself"),
    Setting("engine", "native", "choice", "", "what executes guest code; the simulated machine is the same", ("native", "unicorn", "checked")),
    Setting("engine.hot_after", 16, "integer", "visit", "to a line of code before the native engine makes blocks of it", (), 1),
    Setting("engine.recency", True, "flag", "", "the native engine counts certain hits in L1 instead of recording them"),
    Setting("engine.check_every", 10_000, "integer", "instruction", "a checked engine executes natively before it compares with Unicorn", (), 1),
    Setting("kernel.levels", 5, "choice", "level", "depth of the page tables", (5, 4)),
    Setting("kernel.slice_ns", 1_000_000, "integer", "ns", "time slice of a thread", (), 1000),
    Setting("kernel.costs.<primitive>", None, "integer", "instruction", "kernel instructions charged for one such operation"),
)
# fmt: on
