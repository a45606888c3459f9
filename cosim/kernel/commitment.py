"""What kernels have promised to programs, and what they can promise: no page that was promised dies
for want of a frame.

This is Linux' strict accounting (vm.overcommit_memory=2) with the machine's real frames as its
limit.  A promise is made when memory is mapped or becomes accessible, whether it is touched or not,
and refused with ENOMEM when it could not be kept:

```text
 frames of the machine - kept for kernels ─▶ promised to programs | used by kernels | left
                                             the DIRECTORY of each node: its own changes only;
                                             sums over all nodes are the machine's
```
What takes a frame counts: there is neither a zero page nor a page cache, so what is only read
counts too.  Not counted are areas without any right that never had one, the shared window, which
has memory of its own, MAP_NORESERVE and growing stacks: a page of the latter two is promised when
it is touched, and the thread dies when that fails.

Page tables are promised with the pages: every kernel may need a table for every 2 MiB, 1 GiB, ...
in which something counts.  Tables that are there count as the kernel's as well; that is the price
(two frames in a thousand) for not asking which of the promised tables exist.
"""

from typing import TYPE_CHECKING

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import ADDRESS_SPACE, DIRECTORY, AreaFlag, AreaKind
from cosim.kernel.mapping import PROT_NONE
from cosim.units import PAGE_SHIFT

if TYPE_CHECKING:
    from cosim.kernel.memory import KernelMemory
    from cosim.kernel.vma import Vma, VmaTree

COMMITTED = DIRECTORY.offset("committed")
KERNEL_FRAMES = DIRECTORY.offset("kernel_frames")
OF_SPACE = ADDRESS_SPACE.offset("committed")
TABLE_BITS = 9  # of an address, per level of page tables
SIGN = 1 << 63
LATER = AreaFlag.NO_RESERVE | AreaFlag.GROWS_DOWN  # pages are promised when they are touched


class Commitment:
    """The count of one kernel, and the sums of all that share their frames.

    kernels: how many these are.
    """

    def __init__(
        self,
        memory: "KernelMemory",
        own: int,
        directories: list[int],
        attainable: int,
        kept: int,
    ) -> None:
        """own, directories: DIRECTORY of this kernel and of all.  attainable: frames these have
        together; kept: so many of them no program is promised.
        """
        self._memory = memory
        self._own = own
        self._directories = directories
        self._attainable = attainable
        self._kept = kept
        self.kernels = len(directories)

    def promise(
        self, frames: int, *, replaced: int = 0, freed: int = 0, urgent: bool = False
    ) -> None:
        """KernelError(ENOMEM) when so many frames more could not be supplied.

        replaced: promised frames that are given back next; freed: that were given back for this.
        What does not exceed them is never refused.  urgent: from what is kept, too.
        """
        if frames > replaced + freed:
            self.check(frames - replaced, urgent=urgent)
        self._add(COMMITTED, frames)

    def check(self, frames: int, *, urgent: bool = False) -> None:
        """As promise, but nothing is promised."""
        kept = 0 if urgent else self._kept
        used = self._sum(COMMITTED) + self._sum(KERNEL_FRAMES)
        if used + frames > self._attainable - kept:
            raise KernelError(Errno.ENOMEM, "more than there is was promised already")

    def share(self, directories: list[int], kept: int) -> None:
        """From now on these kernels, by DIRECTORY, have their frames together."""
        self._directories, self._kept = directories, kept
        self.kernels = len(directories)

    def give_back(self, frames: int) -> None:
        """A promise is no longer needed."""
        self._add(COMMITTED, -frames)

    def add(self, frames: int) -> None:
        """What was promised means so many frames more now, whether they are there or not."""
        self._add(COMMITTED, frames)

    def count_kernel(self, frames: int) -> None:
        """The kernel uses more frames for itself, or fewer."""
        self._add(KERNEL_FRAMES, frames)

    def _add(self, field: int, change: int) -> None:
        memory, at = self._memory, self._own + field
        if change:
            found = memory.load(at)
            memory.compare_and_swap(at, found, found + change)

    def _sum(self, field: int) -> int:
        """Of a field over all nodes.  One of them may be below zero: what one kernel promised,
        another gives back.
        """
        found = [self._memory.load(directory + field) for directory in self._directories]
        return sum(value - ((value & SIGN) << 1) for value in found)

    # --- looking, without charge ---

    @property
    def committed(self) -> int:
        """Frames that are promised now."""
        with self._memory.uncharged():
            return self._sum(COMMITTED)

    @property
    def limit(self) -> int:
        """Frames that can be promised."""
        with self._memory.uncharged():
            return self._attainable - self._kept - self._sum(KERNEL_FRAMES)


class Account:
    """What one address space was promised.

    An area that counts has the flag COMMITTED and keeps it whatever its rights become, so that it
    is given back exactly.  Callers hold the address space lock.
    """

    def __init__(
        self,
        memory: "KernelMemory",
        commitment: Commitment,
        space: int,
        tree: "VmaTree",
        levels: int,
    ) -> None:
        """space: address of the ADDRESS_SPACE record.  levels: of page tables."""
        self._memory = memory
        self._commitment = commitment
        self._record = space + OF_SPACE
        self._tree = tree
        self._shifts = [PAGE_SHIFT + TABLE_BITS * level for level in range(1, levels)]

    @property
    def total(self) -> int:
        """Frames that are promised (a charged load)."""
        return self._memory.load(self._record)

    # --- areas ---

    def add(self, area: "Vma", *, replaced: int = 0, freed: int = 0) -> None:
        """Before an area is entered into the tree.  KernelError(ENOMEM).

        replaced, freed: see Commitment.promise.
        """
        if self._counts(area):
            need = self._need(area, area.start, area.end)
            self._promise(need, replaced=replaced, freed=freed)
            area.flags |= AreaFlag.COMMITTED

    def change(self, area: "Vma") -> None:
        """An area in the tree is about to get its new rights.  KernelError(ENOMEM)."""
        if not area.flags & AreaFlag.COMMITTED:
            self.add(area)

    def extend(self, area: "Vma", end: int) -> None:
        """Before an area grows at its end.  KernelError(ENOMEM)."""
        if area.flags & AreaFlag.COMMITTED:
            self._promise(self._need(area, area.end, end))

    def remove(self, area: "Vma") -> None:
        """An area leaves the tree, or is not entered after all."""
        self._give_back(self.promised(area))

    def promised(self, area: "Vma") -> int:
        """Frames that are given back when the area goes."""
        if area.flags & AreaFlag.COMMITTED:
            return self._need(area, area.start, area.end)
        return 0

    def check(self, area: "Vma", length: int, *gone: tuple[int, int]) -> None:
        """Would `length` bytes like `area` be refused if the ranges `gone` were unmapped before?
        Asked so that a refusal finds them in place.
        """
        if self._counts(area):
            more = self._pages(area, 0, length) - sum(
                self._pages(old, max(start, old.start), min(end, old.end))
                for start, end in gone
                for old in self._tree.overlapping(start, end)
                if old.flags & AreaFlag.COMMITTED
            )
            if more > 0:
                self._commitment.check(more)

    def follow(self, kernels: int) -> None:
        """So many kernels more, or fewer, may need tables and text of their own for it."""
        frames = kernels * self._per_kernel()
        self._commitment.add(frames)
        self._memory.store(self._record, self.total + frames)

    def _per_kernel(self) -> int:
        """Promised frames that every kernel needs for itself."""
        frames, served = 0, dict.fromkeys(self._shifts, -1)
        for area in self._tree.all():
            if not area.flags & AreaFlag.COMMITTED:
                continue
            for shift in self._shifts:
                first, last = max(area.start >> shift, served[shift] + 1), area.end - 1 >> shift
                frames += max(0, last - first + 1)
                served[shift] = max(served[shift], last)
            if area.flags & AreaFlag.PER_ISA:
                frames += area.end - area.start >> PAGE_SHIFT
        return frames

    def close(self) -> None:
        """The address space is over."""
        self._give_back(self.total)

    # --- pages of areas that do not count ---

    def touch(self, area: "Vma") -> None:
        """Before a page gets a frame.  KernelError(ENOMEM)."""
        if not area.flags & AreaFlag.COMMITTED:
            self._promise(1, urgent=bool(area.flags & AreaFlag.GROWS_DOWN))

    def drop(self, area: "Vma", pages: int) -> None:
        """Pages lost their frames, or did not get them."""
        if not area.flags & AreaFlag.COMMITTED and area.kind != AreaKind.WINDOW:
            self._give_back(pages)

    # --- counting ---

    def _counts(self, area: "Vma") -> bool:
        if area.flags & AreaFlag.COMMITTED:
            return True
        takes_frames = area.kind != AreaKind.WINDOW and area.protection != PROT_NONE
        return takes_frames and not area.flags & LATER

    def _need(self, area: "Vma", start: int, end: int) -> int:
        """Frames for the pages of [start, end), in `area`, and for tables that only they need."""
        below, above = self._neighbours(start, end)
        tables = 0
        for shift in self._shifts:
            first, last = start >> shift, end - 1 >> shift
            served = (below is not None and below.end - 1 >> shift == first) + (
                above is not None and above.start >> shift == last
            )
            tables += max(0, last - first + 1 - served)
        return self._pages(area, start, end) + tables * self._commitment.kernels

    def _neighbours(self, start: int, end: int) -> tuple["Vma | None", "Vma | None"]:
        """The nearest areas around [start, end) that count."""
        below = self._tree.before(start)
        while below is not None and not below.flags & AreaFlag.COMMITTED:
            below = self._tree.before(below.start)
        above = self._tree.at_or_after(end)
        while above is not None and not above.flags & AreaFlag.COMMITTED:
            above = self._tree.at_or_after(above.end)
        return below, above

    def _pages(self, area: "Vma", start: int, end: int) -> int:
        copies = self._commitment.kernels if area.flags & AreaFlag.PER_ISA else 1
        return (end - start >> PAGE_SHIFT) * copies

    def _promise(
        self, frames: int, *, replaced: int = 0, freed: int = 0, urgent: bool = False
    ) -> None:
        if frames:
            self._commitment.promise(frames, replaced=replaced, freed=freed, urgent=urgent)
            self._memory.store(self._record, self.total + frames)

    def _give_back(self, frames: int) -> None:
        if frames:
            self._memory.store(self._record, self.total - frames)
            self._commitment.give_back(frames)
