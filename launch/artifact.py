"""artifact.txt: statistics in the layout that the published artifact's cache plugin prints, for
scripts that read it.

One block per node, headed by its label; lines are `Name: value` in the plugin's order.  L1 is the
data cache, as there (its instruction cache is never accessed).  Counters that exist only there are
left out: its debug counters of the peer's cache and of memory that a node should not touch (here
such an access is a machine check).
"""

from collections.abc import Mapping, Sequence

from launch.statistics import total

LABELS = {"arm": "Arm"}
Number = int | float | str


def render(statistics: Mapping[str, Number], nodes: Sequence[str]) -> str:
    """The whole file: a block per node, then the sum that the artifact's appendix calls the final
    runtime."""
    blocks = [_block(statistics, node) for node in nodes]
    final = f"Final Runtime: {statistics.get('machine.runtime_cycles', 0)}"
    return "\n\n".join(blocks) + f"\n\n{final}\n"


def _block(statistics: Mapping[str, Number], node: str) -> str:
    numbers = {name: value for name, value in statistics.items() if isinstance(value, int)}

    def of_node(suffix: str) -> int:
        return numbers.get(f"{node}.{suffix}", 0)

    def of_cores(suffix: str) -> int:
        return total(numbers, node, suffix)

    hits = [of_cores("l1d.hits"), of_cores("l2.hits"), of_node("l3.hits")]
    accesses = [of_cores("l1d.accesses"), of_cores("l2.accesses"), of_node("l3.accesses")]
    snoops = sum(
        of_node(f"snoops.{kind}.sent") for kind in ("data", "invalidate", "back_invalidate")
    )
    references = of_cores("data_references_user") + of_cores("data_references_kernel")
    executed = of_cores("instructions_user") + of_cores("instructions_kernel")
    lines = [f"{LABELS.get(node, node)}:"]
    lines += [
        f"L{n} Cache Hit Rate: {_percent(h, a)}"
        for n, h, a in zip((1, 2, 3), hits, accesses, strict=True)
    ]
    lines += [f"L{n} Cache Hits: {h}" for n, h in enumerate(hits, 1)]
    lines += [f"L{n} Cache Accesses: {a}" for n, a in enumerate(accesses, 1)]
    lines += [
        f"d back: {of_node('write_backs.local') + of_node('write_backs.remote')}",
        f"L2 back: {of_cores('l1d.evictions_modified')}",
        f"L3 back: {of_cores('l2.evictions_dirty')}",
        f"IPI: {of_node('ipi.received')}",
        f"Local Memory Hits: {of_node('memory.local')}",
        f"Remote Memory Hits: {of_node('memory.remote')}",
        f"DEBUG broadcast: {snoops}",
        f"Number of Instructions: {executed}",
        f"Number of mem_access: {references}",
        f"Runtime: {of_cores('cycles')}",
    ]
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.2f}%"
