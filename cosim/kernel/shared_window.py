"""Named segments of physical memory that programs on every node may map: POSIX shared memory across
the machine.

The table is in the window itself and used by all kernels through their own KernelMemory, under a
spinlock:

```text
 | WINDOW | SEGMENT rows | free space: each segment one run of whole pages ... |
```
A segment is contiguous, so a kernel of any ISA maps it without asking anybody: page n is at base +
n * 4096.  The name is what follows /dev/shm/.  A segment lives while it has a name or references
(open files and mappings, on any node). Not modelled: a page that was mapped before its segment
shrank stays mapped.
"""

from cosim.errors import InputError
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import SEGMENT, WINDOW, WINDOW_MAGIC
from cosim.kernel.memory import KernelMemory
from cosim.kernel.spinlock import Spinlock
from cosim.units import LINE_BYTES, PAGE_BYTES, align_up

ROWS = 62  # rows that fit with the head in two pages
FREE, NAMED, UNLINKED = 0, 1, 2
NAME_BYTES_MAX = SEGMENT.by_name["name"].size - 1


class SharedWindow:
    """The window at physical [start, end), seen by one node's kernel."""

    def __init__(self, memory: KernelMemory, start: int, end: int, node: int) -> None:
        """Join the window; whoever comes first lays the table out (at boot, uncharged)."""
        self._memory = memory
        self._rows = start + WINDOW.size
        self.lock = Spinlock(memory, start + WINDOW.offset("lock"), node, "shared window lock")
        data = align_up(self._rows + ROWS * SEGMENT.size, PAGE_BYTES)
        if end - data < PAGE_BYTES or start % PAGE_BYTES:
            raise InputError(
                f"memory.shared_window: {start:#x}..{end:#x} has no room for segments; "
                "make it larger"
            )
        with memory.uncharged():
            if memory.load(start + WINDOW.offset("magic")) != WINDOW_MAGIC:
                memory.zero(start, data - start)
                for name, value in (
                    ("rows", ROWS),
                    ("data", data),
                    ("end", end),
                    ("magic", WINDOW_MAGIC),
                ):
                    memory.store(start + WINDOW.offset(name), value)
        self._data, self._end = data, end

    # --- rows ---

    def _get(self, number: int, name: str) -> int:
        return self._memory.load(self._row(number) + SEGMENT.offset(name))

    def _set(self, number: int, name: str, value: int) -> None:
        self._memory.store(self._row(number) + SEGMENT.offset(name), value)

    def _row(self, number: int) -> int:
        """Physical address of row `number`; numbers start at 1, so that 0 can mean none."""
        assert 1 <= number <= ROWS, f"shared window: no row {number}"
        return self._rows + (number - 1) * SEGMENT.size

    def _name(self, number: int) -> bytes:
        item = SEGMENT.by_name["name"]
        return self._memory.read(self._row(number) + item.offset, item.size).rstrip(b"\0")

    def _find(self, name: bytes) -> int:
        """Number of the segment called `name`, 0 when there is none."""
        for number in range(1, ROWS + 1):
            if self._get(number, "state") == NAMED and self._name(number) == name:
                return number
        return 0

    # --- names ---

    def open(
        self, name: bytes, *, create: bool = False, exclusive: bool = False, writable: bool = True
    ) -> "WindowSegment":
        """The segment called `name`, with a reference taken.

        Raises KernelError: ENOENT, EEXIST, EINVAL, ENAMETOOLONG, ENOSPC (no row left).
        """
        if not name or b"/" in name or b"\0" in name:
            raise KernelError(Errno.EINVAL, f"segment name {name!r}")
        if len(name) > NAME_BYTES_MAX:
            raise KernelError(Errno.ENAMETOOLONG, f"{name!r} has more than {NAME_BYTES_MAX} bytes")
        with self.lock:
            number = self._find(name)
            if number and create and exclusive:
                raise KernelError(Errno.EEXIST, name.decode(errors="replace"))
            if not number:
                if not create:
                    raise KernelError(Errno.ENOENT, name.decode(errors="replace"))
                number = self._new_row(name)
            self._set(number, "references", self._get(number, "references") + 1)
        return WindowSegment(self, number, writable)

    def _new_row(self, name: bytes) -> int:
        for number in range(1, ROWS + 1):
            if self._get(number, "state") == FREE:
                item = SEGMENT.by_name["name"]
                self._memory.write(self._row(number) + item.offset, name.ljust(item.size, b"\0"))
                for field in ("base", "size", "capacity", "references"):
                    self._set(number, field, 0)
                self._set(number, "serial", self._get(number, "serial") + 1)
                self._set(number, "state", NAMED)
                return number
        raise KernelError(Errno.ENOSPC, f"all {ROWS} segments are in use")

    def unlink(self, name: bytes) -> None:
        """Take the name away; the memory goes with the last reference.  KernelError(ENOENT) when
        there is no such name.
        """
        with self.lock:
            number = self._find(name)
            if not number:
                raise KernelError(Errno.ENOENT, name.decode(errors="replace"))
            self._set(number, "state", UNLINKED if self._get(number, "references") else FREE)

    def names(self) -> list[bytes]:
        """Names of all segments, in row order."""
        with self.lock:
            return [self._name(n) for n in range(1, ROWS + 1) if self._get(n, "state") == NAMED]

    def acquire(self, number: int) -> None:
        """One more open file or mapping."""
        with self.lock:
            self._set(number, "references", self._get(number, "references") + 1)

    def release(self, number: int) -> None:
        """One less; an unlinked segment without references is free."""
        with self.lock:
            left = self._get(number, "references") - 1
            assert left >= 0, f"shared window: row {number} released once too often"
            self._set(number, "references", left)
            if not left and self._get(number, "state") == UNLINKED:
                self._set(number, "state", FREE)

    # --- space ---

    def size(self, number: int) -> int:
        """Bytes of the segment, as ftruncate set it."""
        return self._get(number, "size")

    def serial(self, number: int) -> int:
        """Tells successive segments in one row apart."""
        return self._get(number, "serial")

    def page(self, number: int, offset: int) -> int | None:
        """Physical address of the page that holds byte `offset`; None behind the end."""
        if not 0 <= offset < self._get(number, "size"):
            return None
        return self._get(number, "base") + offset - offset % PAGE_BYTES

    def read(self, number: int, offset: int, length: int) -> bytes:
        """Up to `length` bytes of a segment: fewer at its end, none behind it."""
        length = min(length, self._get(number, "size") - offset)
        if length <= 0 or offset < 0:
            return b""
        self._memory.charge("copy_line", -(-length // LINE_BYTES))
        return self._memory.read(self._get(number, "base") + offset, length)

    def write(self, number: int, offset: int, data: bytes) -> None:
        """Replace bytes of a segment.  KernelError(EINVAL) when they do not lie inside it."""
        if offset < 0 or offset + len(data) > self._get(number, "size"):
            raise KernelError(
                Errno.EINVAL, f"{len(data)} bytes at {offset} are outside the segment"
            )
        self._memory.charge("copy_line", -(-len(data) // LINE_BYTES))
        self._memory.write(self._get(number, "base") + offset, data)

    def resize(self, number: int, size: int) -> None:
        """ftruncate: what is new reads as zero.  A segment that has memory grows only into free
        space behind it.

        Raises KernelError: EINVAL, ENOMEM when the window has no room.
        """
        if size < 0:
            raise KernelError(Errno.EINVAL, f"size {size}")
        with self.lock:
            base, old, capacity = (self._get(number, name) for name in ("base", "size", "capacity"))
            wanted = align_up(size, PAGE_BYTES)
            if wanted > capacity:
                base = base or self._place(wanted)
                if base + wanted > self._free_until(number, base):
                    raise KernelError(Errno.ENOMEM, f"{size} bytes do not fit in the shared window")
                self._clear(base + capacity, wanted - capacity)
                self._set(number, "base", base)
                self._set(number, "capacity", wanted)
            if size < old:
                # So that a later growth finds zeroes.
                self._clear(base + size, align_up(old, PAGE_BYTES) - size)
            self._set(number, "size", size)

    def _clear(self, start: int, length: int) -> None:
        self._memory.charge("zero_line", -(-length // LINE_BYTES))
        self._memory.zero(start, length)

    def _runs(self) -> list[tuple[int, int, int]]:
        """(base, end, number) of everything allocated, ascending."""
        runs = []
        for number in range(1, ROWS + 1):
            if self._get(number, "state") != FREE and (base := self._get(number, "base")):
                runs.append((base, base + self._get(number, "capacity"), number))
        return sorted(runs)

    def _place(self, length: int) -> int:
        """The lowest hole of `length` bytes.  KernelError(ENOMEM) when there is none."""
        at = self._data
        for base, end, _ in self._runs():
            if base - at >= length:
                break
            at = end
        if at + length > self._end:
            raise KernelError(
                Errno.ENOMEM, f"no {length} bytes in one piece are left in the shared window"
            )
        return at

    def _free_until(self, number: int, base: int) -> int:
        """Where the free space behind a segment at `base` ends."""
        return min(
            (start for start, _, other in self._runs() if start > base and other != number),
            default=self._end,
        )


class WindowSegment:
    """An open segment: what /dev/shm/NAME is to the file half of the kernel, and a source for
    AddressSpace.map.

    number: its row.  Holds one reference until `close`.
    """

    def __init__(self, window: SharedWindow, number: int, writable: bool) -> None:
        self._window = window
        self.number = number
        self.writable = writable

    @property
    def size(self) -> int:
        """Bytes, as ftruncate set it."""
        return self._window.size(self.number)

    def resize(self, size: int) -> None:
        """ftruncate; see SharedWindow.resize."""
        self._window.resize(self.number, size)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes, for read and for private mappings."""
        return self._window.read(self.number, offset, length)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write inside the segment; see SharedWindow.write."""
        self._window.write(self.number, offset, data)

    def close(self) -> None:
        """Give the reference back."""
        self._window.release(self.number)
