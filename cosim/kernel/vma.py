"""The tree of virtual memory areas of one address space, in simulated memory: an AA tree ordered by
start address.

An AA tree is a balanced binary tree with one number per node (level) and two repairs, skew and
split (A. Andersson, "Balanced search trees made simple", 1993).  Nodes are AREA records of one
cache line; the root, the count and the sequence number are in the ADDRESS_SPACE record, so that a
kernel of any ISA can search the tree given that record.

The last area found is remembered with the sequence number it was read under, as Linux did with its
vmacache: a repeated lookup costs three references.  Any change of the tree, by whatever kernel,
moves the sequence number.
"""

import struct
from dataclasses import dataclass

from cosim.kernel.layout import ADDRESS_SPACE, AREA
from cosim.kernel.memory import KernelMemory
from cosim.kernel.slab import Slab

START = AREA.offset("start")
END = AREA.offset("end")
LEFT = AREA.offset("left")
RIGHT = AREA.offset("right")
LEVEL = AREA.offset("level")
PROTECTION = AREA.offset("protection")
FLAGS = AREA.offset("flags")
KIND = AREA.offset("kind")
OFFSET = AREA.offset("offset")
SOURCE = AREA.offset("source")

NODE = struct.Struct(
    "<QQ16xIIIIQQ"
)  # start, end, (left, right), level, protection, flags, kind, offset, source
assert NODE.size == AREA.size


@dataclass(slots=True)
class Vma:
    """One area, as read from its node at physical address `node` (0: not in a tree).

    protection: PROT_* bits.  flags: AreaFlag bits.  kind: AreaKind.  offset: byte of source number
    `source` at `start`.
    """

    start: int
    end: int
    protection: int
    flags: int = 0
    kind: int = 0
    offset: int = 0
    source: int = 0
    node: int = 0

    def same_but_place(self, other: "Vma") -> bool:
        """Do both describe the same memory with the same rights, apart from the range?"""
        return (self.protection, self.flags, self.kind, self.source) == (
            other.protection,
            other.flags,
            other.kind,
            other.source,
        )


class VmaTree:
    """Areas that never overlap, for the ADDRESS_SPACE at physical address `space`."""

    def __init__(self, memory: KernelMemory, slab: Slab, space: int) -> None:
        self._memory = memory
        self._slab = slab
        self._root = space + ADDRESS_SPACE.offset("area_root")
        self._count = space + ADDRESS_SPACE.offset("area_count")
        self._sequence = space + ADDRESS_SPACE.offset("sequence")
        self._last: Vma | None = None
        self._last_sequence = 0

    # --- searching ---

    def find(self, address: int) -> Vma | None:
        """The area that holds `address`."""
        load = self._memory.load
        last = self._last
        if (
            last is not None
            and load(self._sequence) == self._last_sequence
            and load(last.node + START) <= address < load(last.node + END)
        ):
            return last
        node = load(self._root)
        steps = 0
        while node:
            steps += 1
            if address < load(node + START):
                node = load(node + LEFT)
            elif address < load(node + END):
                break
            else:
                node = load(node + RIGHT)
        self._memory.charge("vma_step", steps)
        if not node:
            return None
        self._last = self._read(node)
        self._last_sequence = load(self._sequence)
        return self._last

    def at_or_after(self, address: int) -> Vma | None:
        """The lowest area that ends behind `address`: the one that holds it, or the next."""
        load = self._memory.load
        node = load(self._root)
        best = steps = 0
        while node:
            steps += 1
            if address < load(node + END):
                best = node
                if load(node + START) <= address:
                    break
                node = load(node + LEFT)
            else:
                node = load(node + RIGHT)
        self._memory.charge("vma_step", steps)
        return self._read(best) if best else None

    def before(self, address: int) -> Vma | None:
        """The highest area that starts below `address`."""
        load = self._memory.load
        node = load(self._root)
        best = steps = 0
        while node:
            steps += 1
            if load(node + START) < address:
                best = node
                node = load(node + RIGHT)
            else:
                node = load(node + LEFT)
        self._memory.charge("vma_step", steps)
        return self._read(best) if best else None

    def overlapping(self, start: int, end: int) -> list[Vma]:
        """All areas that share an address with [start, end), ascending."""
        found = []
        area = self.at_or_after(start)
        while area is not None and area.start < end:
            found.append(area)
            area = self.at_or_after(area.end)
        return found

    def all(self) -> list[Vma]:
        """Every area, ascending."""
        load = self._memory.load
        found: list[Vma] = []
        path: list[int] = []
        node = load(self._root)
        while node or path:
            while node:
                path.append(node)
                node = load(node + LEFT)
            node = path.pop()
            found.append(self._read(node))
            node = load(node + RIGHT)
        self._memory.charge("vma_step", len(found))
        return found

    @property
    def count(self) -> int:
        """Areas in the tree (a charged load)."""
        return self._memory.load(self._count)

    def _read(self, node: int) -> Vma:
        """The whole node: one line."""
        start, end, _, protection, flags, kind, offset, source = NODE.unpack(
            self._memory.read(node, AREA.size)
        )
        return Vma(start, end, protection, flags, kind, offset, source, node)

    # --- changing ---

    def insert(self, area: Vma) -> Vma:
        """Add an area that overlaps no other; sets and returns it with its node.
        KernelError(ENOMEM) without memory.
        """
        memory = self._memory
        memory.charge("vma_change")
        area.node = self._slab.allocate()
        self._write(area)
        memory.store(area.node + LEVEL, 1, 4)
        self._replace_root(self._insert(memory.load(self._root), area.node, area.start))
        memory.store(self._count, memory.load(self._count) + 1)
        self._changed()
        return area

    def remove(self, area: Vma) -> None:
        """Take an area out."""
        memory = self._memory
        memory.charge("vma_change")
        self._replace_root(self._remove(memory.load(self._root), area.start))
        memory.store(self._count, memory.load(self._count) - 1)
        self._slab.free(area.node)
        area.node = 0
        self._changed()

    def update(self, area: Vma) -> None:
        """Write an area's fields back.  Its place in the order must not change."""
        self._memory.charge("vma_change")
        self._write(area)
        self._changed()

    def split(self, area: Vma, address: int) -> Vma:
        """Cut an area in two at `address`, inside it; `area` keeps the lower part, the upper one is
        returned.
        """
        upper = Vma(
            address,
            area.end,
            area.protection,
            area.flags,
            area.kind,
            area.offset + address - area.start if area.source else area.offset,
            area.source,
        )
        self.insert(upper)
        area.end = address
        self.update(area)
        return upper

    def _write(self, area: Vma) -> None:
        store = self._memory.store
        node = area.node
        store(node + START, area.start)
        store(node + END, area.end)
        store(node + PROTECTION, area.protection, 4)
        store(node + FLAGS, area.flags, 4)
        store(node + KIND, area.kind, 4)
        store(node + OFFSET, area.offset)
        store(node + SOURCE, area.source)

    def _changed(self) -> None:
        self._memory.store(self._sequence, self._memory.load(self._sequence) + 1)

    def _replace_root(self, node: int) -> None:
        if self._memory.load(self._root) != node:
            self._memory.store(self._root, node)

    def _link(self, node: int, side: int, child: int) -> None:
        """Set a child, writing only what changes: a store would take the line away from other
        nodes' caches.
        """
        if self._memory.load(node + side) != child:
            self._memory.store(node + side, child)

    def _insert(self, node: int, new: int, start: int) -> int:
        """Insert below `node`; the root of the repaired subtree."""
        if not node:
            return new
        load = self._memory.load
        if start < load(node + START):
            self._link(node, LEFT, self._insert(load(node + LEFT), new, start))
            node = self._skew(node)
        else:
            self._link(node, RIGHT, self._insert(load(node + RIGHT), new, start))
        return self._split_level(node)

    def _skew(self, node: int) -> int:
        """Rotate right when the left child is on the node's level."""
        load = self._memory.load
        left = load(node + LEFT)
        if not left or load(left + LEVEL, 4) != load(node + LEVEL, 4):
            return node
        self._link(node, LEFT, load(left + RIGHT))
        self._link(left, RIGHT, node)
        return left

    def _split_level(self, node: int) -> int:
        """Rotate left and lift when two right steps stay on the node's level."""
        load = self._memory.load
        right = load(node + RIGHT)
        if not right:
            return node
        outer = load(right + RIGHT)
        level = load(node + LEVEL, 4)
        if not outer or load(outer + LEVEL, 4) != level:
            return node
        self._link(node, RIGHT, load(right + LEFT))
        self._link(right, LEFT, node)
        self._memory.store(right + LEVEL, level + 1, 4)
        return right

    def _remove(self, node: int, start: int) -> int:
        """Unlink the node that starts at `start` from the subtree; the root of what is left,
        repaired.
        """
        assert node, f"area tree: no node starts at {start:#x}"
        load = self._memory.load
        key = load(node + START)
        if start != key:
            side = LEFT if start < key else RIGHT
            self._link(node, side, self._remove(load(node + side), start))
            return self._repair(node)
        left, right = load(node + LEFT), load(node + RIGHT)
        if not left or not right:
            return left or right
        rest, heir = self._take_lowest(right)
        self._link(heir, LEFT, left)
        self._link(heir, RIGHT, rest)
        self._memory.store(heir + LEVEL, load(node + LEVEL, 4), 4)
        return self._repair(heir)

    def _take_lowest(self, node: int) -> tuple[int, int]:
        """(repaired subtree without its lowest node, that node)."""
        load = self._memory.load
        left = load(node + LEFT)
        if not left:
            return load(node + RIGHT), node
        rest, lowest = self._take_lowest(left)
        self._link(node, LEFT, rest)
        return self._repair(node), lowest

    def _level(self, node: int) -> int:
        return self._memory.load(node + LEVEL, 4) if node else 0

    def _repair(self, node: int) -> int:
        """Restore the AA rules at `node` after something below it got lower."""
        load, store = self._memory.load, self._memory.store
        level = self._level(node)
        right = load(node + RIGHT)
        left_level, right_level = self._level(load(node + LEFT)), self._level(right)
        allowed = min(left_level, right_level) + 1
        straight = right_level < level or self._level(load(right + RIGHT)) < level
        if allowed >= level and left_level < level and straight:
            return node
        if allowed < level:
            store(node + LEVEL, allowed, 4)
            if right_level > allowed:
                store(right + LEVEL, allowed, 4)
        node = self._skew(node)
        right = load(node + RIGHT)
        if right:
            self._link(node, RIGHT, self._skew(right))
            right = load(node + RIGHT)
            outer = load(right + RIGHT)
            if outer:
                self._link(right, RIGHT, self._skew(outer))
        node = self._split_level(node)
        right = load(node + RIGHT)
        if right:
            self._link(node, RIGHT, self._split_level(right))
        return node
