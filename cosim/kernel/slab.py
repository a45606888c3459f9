"""Pools of small kernel structures: equal objects cut from frames, free ones linked through their
first word.

The pool's state is a SLAB record in simulated memory, so that another kernel can follow and even
use it.  The last object freed is the first reused.  Frames go back only when the whole pool is
released.
"""

from cosim.kernel.frames import FrameAllocator
from cosim.kernel.layout import SLAB
from cosim.kernel.memory import KernelMemory
from cosim.units import LINE_BYTES, PAGE_BYTES

FREE = SLAB.offset("free")
PAGES = SLAB.offset("pages")
USED = SLAB.offset("used")
OBJECT = SLAB.offset("object")


class Slab:
    """Allocates objects of `object_bytes` (a multiple of 64) for the SLAB record at `address`."""

    def __init__(
        self,
        memory: KernelMemory,
        frames: FrameAllocator,
        address: int,
        object_bytes: int,
        *,
        attach: bool = False,
    ) -> None:
        """Makes the record: an empty pool; or attaches to one that another kernel made."""
        if object_bytes <= 0 or object_bytes % LINE_BYTES or object_bytes > PAGE_BYTES - LINE_BYTES:
            raise ValueError(
                f"slab objects of {object_bytes} bytes: a multiple of {LINE_BYTES} below a page "
                "is needed"
            )
        self._memory = memory
        self._frames = frames
        self._address = address
        self._object_bytes = object_bytes
        if attach:
            return
        for offset, value in ((FREE, 0), (PAGES, 0), (USED, 0), (OBJECT, object_bytes)):
            memory.store(address + offset, value)

    def allocate(self) -> int:
        """Physical address of a cleared object.  KernelError(ENOMEM) when no frame is left for
        it.
        """
        memory = self._memory
        memory.charge("slab_operation")
        item = memory.load(self._address + FREE)
        if not item:
            item = self._grow()
        memory.store(self._address + FREE, memory.load(item))
        memory.store(self._address + USED, memory.load(self._address + USED) + 1)
        memory.zero(item, self._object_bytes)
        return item

    def free(self, item: int) -> None:
        """Give an object back."""
        memory = self._memory
        memory.charge("slab_operation")
        memory.store(item, memory.load(self._address + FREE))
        memory.store(self._address + FREE, item)
        memory.store(self._address + USED, memory.load(self._address + USED) - 1)

    def add(self, start: int, end: int) -> int:
        """Hand memory that somebody else owns to the pool; the first of its objects, all linked."""
        memory = self._memory
        items = list(range(start, end - self._object_bytes + 1, self._object_bytes))
        for item, following in zip(
            items, [*items[1:], memory.load(self._address + FREE)], strict=True
        ):
            memory.store(item, following)
        memory.store(self._address + FREE, items[0])
        return items[0]

    def _grow(self) -> int:
        """One more page; its first object."""
        memory = self._memory
        page = self._frames.allocate()
        memory.store(page, memory.load(self._address + PAGES))
        memory.store(self._address + PAGES, page)
        return self.add(page + LINE_BYTES, page + PAGE_BYTES)

    def give_up(self) -> None:
        """Give back the pages, and the frame of the record, which is the pool's own."""
        self.release()
        self._frames.free(self._address)

    def release(self) -> None:
        """Give all pages back; the pool is empty afterwards, whatever was in use."""
        memory = self._memory
        page = memory.load(self._address + PAGES)
        while page:
            following = memory.load(page)
            self._frames.free(page)
            page = following
        for offset in (FREE, PAGES, USED):
            memory.store(self._address + offset, 0)
