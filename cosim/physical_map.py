"""The physical address map: which range is what, whose it is, and to which nodes it is local.

```text
 default pair, 8 GiB             separated        shared           fully-shared
 0        .. 1.5 GiB   RAM       x86 local        x86 local        local to all
 1.5      .. 3   GiB   RAM       arm local        arm local        local to all
 3        .. 4   GiB   hole: one 4 KiB device page per node from 0xC000_0000
 4   GiB  .. + 128 MiB message   x86 local        pool             local to all
          .. +  64 MiB window    x86 local        pool             local to all
          .. 6   GiB   RAM       x86 local        pool             local to all
 6        .. 8   GiB   RAM       arm local        pool             local to all
```
The pool is remote to every node.  N nodes divide the low 3 GiB and everything above 4 GiB into N
slices, in machine order.  The message area and the shared window lie at the same addresses in every
model, so that runs of different models differ in prices only.  Source: the paper, 8.1 and Figure 4;
the place of the window is ours.

A node that joins a machine which runs brings no memory; its row says which it was given (`memory`):

| | it boots in | separated | shared | fully-shared |
|---|---|---|---|---|
| fused | a block that another kernel gave up | remote | remote, as a rule in the pool | local |
| else | a share that was set aside | local | remote: part of the pool | local |

Shares (`memory.attach_shares` of `memory.attach_share` bytes) lie at the end of memory, the first
one last, and belong to nobody until a node joins.  With no memory above the hole there is no pool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cosim.errors import InputError
from cosim.units import PAGE_BYTES, GiB, MiB, align_down

HOLE_START = 3 * GiB
HOLE_END = 4 * GiB
DEVICE_BASE = 0xC000_0000
SLICE_BYTES = 32 * MiB  # slices are multiples of the smallest block a kernel may hand over
# every boundary of a memory row is a multiple: the memory system keeps one word per MiB
BOUNDARY_BYTES = MiB

MODELS = ("separated", "shared", "fully-shared")
DEFAULTS: dict[str, Any] = {
    "memory.model": "shared",
    "memory.size": 8 * GiB,
    "memory.message_area": 128 * MiB,
    "memory.shared_window": 64 * MiB,
    "memory.attach_share": 512 * MiB,
    "memory.attach_shares": 0,
}
POOL = "pool"


class RowKind(Enum):
    """What a range is for."""

    RAM = "ram"
    MESSAGE = "message"
    SHARED_WINDOW = "shared_window"
    DEVICE = "device"


@dataclass(frozen=True)
class Row:
    """One range of the map: bytes start <= address < end.

    owner: name of the node whose memory or device it is, or POOL.  boot_node: index of the node
    whose kernel
    starts with this RAM, None for everything that is not RAM.  local_nodes: indices of the nodes it
    is local to.
    """

    start: int
    end: int
    kind: RowKind
    owner: str
    boot_node: int | None
    local_nodes: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Length of the range."""
        return self.end - self.start


@dataclass(frozen=True)
class PhysicalMap:
    """The resolved map.  rows: sorted, without overlap; what no row covers does not exist.

    given: memory of nodes that joined, by index.
    """

    model: str
    size_bytes: int
    node_names: tuple[str, ...]
    rows: tuple[Row, ...]
    given: Mapping[int, tuple[tuple[int, int], ...]]

    def row_of(self, address: int) -> Row | None:
        """The row that holds `address`, None outside the map."""
        for row in self.rows:
            if row.start <= address < row.end:
                return row
        return None

    def is_local(self, node_index: int, address: int) -> bool:
        """True when `address` is memory or a device local to the node."""
        row = self.row_of(address)
        return row is not None and node_index in row.local_nodes

    def local_ranges(self, node_index: int) -> list[tuple[int, int]]:
        """(start, end) of all memory that is local to the node, adjacent rows joined."""
        return _joined(
            [
                (row.start, row.end)
                for row in self.rows
                if row.kind is not RowKind.DEVICE and node_index in row.local_nodes
            ]
        )

    def boot_ranges(self, node_index: int) -> list[tuple[int, int]]:
        """(start, end) of the RAM the node's kernel starts with, local ranges first.

        Excludes the message area and the shared window.  In the shared model the node's part of the
        pool comes last.
        """
        if node_index in self.given:
            return list(self.given[node_index])
        rows = [row for row in self.rows if row.boot_node == node_index]
        rows.sort(key=lambda row: (node_index not in row.local_nodes, row.start))
        return [(row.start, row.end) for row in rows]

    def only(self, kind: RowKind) -> Row:
        """The one row of a kind that occurs once (message area, shared window)."""
        (row,) = (row for row in self.rows if row.kind is kind)
        return row

    @property
    def message_area(self) -> Row:
        """The memory of the message rings."""
        return self.only(RowKind.MESSAGE)

    @property
    def shared_window(self) -> Row:
        """The memory of machine-wide named segments."""
        return self.only(RowKind.SHARED_WINDOW)

    def device_page(self, node_index: int) -> int:
        """Physical address of the node's device page."""
        return DEVICE_BASE + node_index * PAGE_BYTES

    def device_owner(self, address: int) -> int | None:
        """Index of the node whose device page holds `address`, None when none does."""
        index = (address - DEVICE_BASE) // PAGE_BYTES
        return index if 0 <= index < len(self.node_names) else None

    def describe(self) -> list[str]:
        """One line per row, for reports and the run manifest."""
        return [
            f"{row.start:#012x}..{row.end:#012x} {row.kind.value} of {row.owner}, local to "
            + (" ".join(self.node_names[i] for i in row.local_nodes) or "none")
            for row in self.rows
        ]


def build(settings: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> PhysicalMap:
    """The map of a machine from the flat settings (memory.*) and its nodes in machine order.

    Raises InputError naming the setting that does not fit.
    """
    model, size, message, window, share, count = (
        settings.get(name, DEFAULTS[name]) for name in DEFAULTS
    )
    born = [node for node in nodes if "memory" not in node]
    _check(model, size, message, window, share, count, born)
    names = tuple(str(node["name"]) for node in nodes)
    top = size - share * count
    high = max(0, top - HOLE_END)
    slices = [
        (start, end, index, False)
        for index, (start, end) in enumerate(_slices(0, min(top, HOLE_START), len(born)))
    ] + [
        (start, end, index, True)
        for index, (start, end) in enumerate(_slices(HOLE_END, HOLE_END + high, len(born)))
        if end > start
    ]
    everyone = tuple(range(len(names)))
    given = _given(nodes)
    rows = [
        _share_row(model, names, index, start, end, everyone)
        for index, ranges in given.items()
        for start, end in ranges
        if start >= top
    ]
    for start, end, index, is_high in slices:
        pooled = is_high and model == "shared"
        local = everyone if model == "fully-shared" else () if pooled else (index,)
        owner = POOL if pooled else names[index]
        if index == 0 and is_high == (high > 0):
            # Node 0 gives up the start of its high slice; with no memory above the hole, the end of
            # its low one.
            areas = start if is_high else end - message - window
            if end - start <= message + window:
                raise InputError(
                    f"memory.message_area {message:#x} + memory.shared_window {window:#x} do not "
                    f"fit in the {end - start:#x} bytes of {owner} at {start:#x}; raise memory.size"
                )
            rows.append(Row(areas, areas + message, RowKind.MESSAGE, owner, None, local))
            rows.append(
                Row(
                    areas + message,
                    areas + message + window,
                    RowKind.SHARED_WINDOW,
                    owner,
                    None,
                    local,
                )
            )
            start, end = (areas + message + window, end) if is_high else (start, areas)
        rows.append(Row(start, end, RowKind.RAM, owner, index, local))
    rows += [_device_row(index, name) for index, name in enumerate(names)]
    return PhysicalMap(model, size, names, tuple(sorted(rows, key=lambda row: row.start)), given)


def _given(nodes: Sequence[Mapping[str, Any]]) -> dict[int, tuple[tuple[int, int], ...]]:
    """Memory of the nodes that joined, by index."""
    return {
        index: tuple((int(start), int(end)) for start, end in node["memory"])
        for index, node in enumerate(nodes)
        if "memory" in node
    }


def _device_row(index: int, name: str) -> Row:
    page = DEVICE_BASE + index * PAGE_BYTES
    return Row(page, page + PAGE_BYTES, RowKind.DEVICE, name, None, (index,))


def share(settings: Mapping[str, Any], number: int) -> tuple[int, int] | None:
    """[start, end) of the share of the `number`th node that joins, from 0; None when it was not set
    aside.
    """
    size, bytes_each, count = (
        settings.get(f"memory.{name}", DEFAULTS[f"memory.{name}"])
        for name in ("size", "attach_share", "attach_shares")
    )
    end = size - number * bytes_each
    return (end - bytes_each, end) if 0 <= number < count else None


def _share_row(
    model: str, names: tuple[str, ...], index: int, start: int, end: int, everyone: tuple[int, ...]
) -> Row:
    pooled = model == "shared" and start >= HOLE_END
    local = everyone if model == "fully-shared" else () if pooled else (index,)
    return Row(start, end, RowKind.RAM, POOL if pooled else names[index], index, local)


def _slices(start: int, end: int, count: int) -> list[tuple[int, int]]:
    """`count` neighbouring ranges that fill start..end, bounds on SLICE_BYTES."""
    bounds = [start + align_down((end - start) * i // count, SLICE_BYTES) for i in range(count)] + [
        end
    ]
    return list(zip(bounds, bounds[1:], strict=False))


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _check(
    model: str,
    size: int,
    message: int,
    window: int,
    share: int,
    count: int,
    nodes: Sequence[object],
) -> None:
    if model not in MODELS:
        raise InputError(f"memory.model: {model!r} is none of {', '.join(MODELS)}")
    if not nodes:
        raise InputError("machine: no nodes; a machine needs at least one")
    if len(nodes) * SLICE_BYTES > HOLE_START:
        raise InputError(
            f"machine: {len(nodes)} nodes, at most {HOLE_START // SLICE_BYTES} have memory"
        )
    if size % SLICE_BYTES or size < len(nodes) * SLICE_BYTES or HOLE_START < size <= HOLE_END:
        raise InputError(
            f"memory.size: {size:#x} must be a multiple of {SLICE_BYTES:#x}, "
            f"at least {SLICE_BYTES:#x} a node, and not end in the device hole "
            f"{HOLE_START:#x}..{HOLE_END:#x}"
        )
    top = size - share * count
    if share % SLICE_BYTES or top < len(nodes) * SLICE_BYTES or HOLE_START < top <= HOLE_END:
        raise InputError(
            f"memory.attach_share: {count} shares (memory.attach_shares) of {share:#x} bytes, a "
            f"multiple of {SLICE_BYTES:#x}, must leave memory to each node, and not end in the "
            f"device hole {HOLE_START:#x}..{HOLE_END:#x}"
        )
    for name, value in (("memory.message_area", message), ("memory.shared_window", window)):
        if value <= 0 or value % BOUNDARY_BYTES:
            raise InputError(
                f"{name}: {value:#x} must be a positive multiple of {BOUNDARY_BYTES:#x}"
            )
