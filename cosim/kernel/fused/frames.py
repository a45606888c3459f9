"""Frames that several kernels use: the kernel that allocated a frame frees it.

A kernel that drops the last mapping of another's frame puts it on the owner's list of returned
frames, in shared memory; the owner takes the list in when it is told, or when it runs short.

```text
 owner's DIRECTORY: returned ─▶ frame: | next | ... | ─▶ frame: | 0 | ... |
```
"""

from collections.abc import Callable

from cosim.kernel.errno import KernelError
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import BLOCK, DIRECTORY, FrameUse
from cosim.kernel.spinlock import Spinlock

RETURNED, LOCK = DIRECTORY.offset("returned"), DIRECTORY.offset("returned_lock")
BLOCK_COUNT, BLOCK_TABLE = DIRECTORY.offset("block_count"), DIRECTORY.offset("block_table")
BASE, FRAMES = BLOCK.offset("base"), BLOCK.offset("frames")


class FusedFrames(FrameAllocator):
    """See FrameAllocator.  on_foreign(node): the first frame was put on that node's empty list."""

    def __init__(self, memory, ranges, block_bytes: int, node: int, machine=()) -> None:
        """machine: the boot ranges of every node, in machine order; a node's DIRECTORY is first."""
        super().__init__(memory, ranges, block_bytes, node)
        self._node = node
        self._ranges = [
            (start, end, index) for index, found in enumerate(machine) for start, end in found
        ]
        self._directories = [found[0][0] for found in machine]
        self.on_foreign: Callable[[int], None] = lambda _node: None

    def owner_of(self, address: int) -> int:
        """Index of the node that allocates and frees the frame at `address`."""
        for start, end, node in self._ranges:
            if start <= address < end:
                return node
        return self._node

    def _returned_lock(self, node: int) -> Spinlock:
        at = self._directories[node] + LOCK
        return Spinlock(self._memory, at, self._node, f"returned frames of node {node}")

    def free(self, address: int) -> None:
        """Free a frame of this kernel, or give it back to its owner."""
        owner = self.owner_of(address)
        if owner == self._node:
            super().free(address)
            return
        memory, head = self._memory, self._directories[owner] + RETURNED
        memory.charge("frame_free")
        with self._returned_lock(owner):
            following = memory.load(head)
            memory.store(address, following)
            memory.store(head, address)
        if not following:
            self.on_foreign(owner)

    def drain_returned(self) -> int:
        """Free what other kernels gave back; how many frames."""
        memory, head = self._memory, self.directory + RETURNED
        with self._returned_lock(self._node):
            frame = memory.load(head)
            memory.store(head, 0)
        count = 0
        while frame:
            following = memory.load(frame)
            super().free(frame)
            frame = following
            count += 1
        return count

    def allocate(
        self, zero: bool = True, use: int = FrameUse.KERNEL, user: int = 0, virtual: int = 0
    ) -> int:
        """See FrameAllocator.allocate; takes returned frames in before it gives up."""
        try:
            return super().allocate(zero, use, user, virtual)
        except KernelError:
            if not self.drain_returned():
                raise
            return super().allocate(zero, use, user, virtual)

    def set_user(self, address: int, use: int, user: int, virtual: int) -> None:
        """See FrameAllocator.set_user; another kernel's frame keeps the row it has."""
        if self.owner_of(address) == self._node:
            super().set_user(address, use, user, virtual)
