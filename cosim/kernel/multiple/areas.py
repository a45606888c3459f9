"""Areas of a process's memory between kernels: asked for one by one, then kept, then taken back.

```text
 away                                       home
 VMA_INFO: address  ─────────────────────▶  looks into its tree of areas (a stack may grow)
 VMA_INFO_RESULT    ◀─────────────────────  the area's range, rights and kind
 areas and pages    ◀── VMA_CHANGE ───────  munmap, mprotect, mremap, brk, madvise at home
 VMA_CHANGED        ─────────────────────▶  the call answers when all have said so
```
mmap and its relatives of a thread that is away run at home (VMA_OPERATION, see services).
Source: Popcorn Linux, kernel/popcorn/vma_server.c (as described in the artifact's facts, 4.1, 4.5).
"""

from enum import IntEnum

from cosim.errors import InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.layout import AreaFlag, AreaKind
from cosim.kernel.page_faults import PAGE_MASK
from cosim.kernel.vma import Vma
from cosim.kernel.waiting import Cause, PageWait, Wait, WaitQueue, wait_until
from cosim.units import PS_PER_NS

KEPT = AreaFlag.GROWS_DOWN | AreaFlag.PER_ISA | AreaFlag.HEAP  # flags that matter away from home


class Change(IntEnum):
    """What the home did to a range."""

    UNMAP = 0  # its areas are gone
    DROP = 1  # its pages are gone, and come back fresh
    PROTECT = 2  # its areas have other rights


class AreaExchange:
    """One kernel's part: what it asked for, and what it has not been told yet."""

    def __init__(self, kernel, settings) -> None:
        self._kernel = kernel
        self._limit_ps = int(settings["message.answer_limit_ns"]) * PS_PER_NS
        self._asked: dict[tuple[int, int], WaitQueue] = {}
        self._absent: set[tuple[int, int]] = set()
        self._confirmed = WaitQueue()

    # --- away: asking ---

    def find(self, space, address: int) -> Vma | None:
        """The area at an address that is not known here; None when the home has none either.
        Raises PageWait until it has answered.
        """
        key = (space.address, address & PAGE_MASK)
        if key in self._absent:
            self._absent.discard(key)
            return None
        kernel = self._kernel
        thread = kernel.current_thread()
        if key not in self._asked:
            self._asked[key] = WaitQueue()
            words = (space.home, space.key, key[1])
            kernel.messages.send(space.home, MessageKind.VMA_INFO, words)
        raise self._wait(key, thread, kernel.node_rows[space.home]["name"])

    def _wait(self, key: tuple[int, int], thread, home: str) -> PageWait:
        queue = self._asked[key]
        queue.add(thread)
        reason = f"area at {key[1]:#x}: VMA_INFO to {home}, not answered"

        def finish(cause: Cause) -> None:
            if key in self._asked:
                if cause is Cause.TIMEOUT:
                    limit_ns = self._limit_ps // PS_PER_NS
                    raise InvariantError(f"{self._kernel.node_name}: {reason} within {limit_ns} ns")
                if cause is not Cause.SIGNAL:
                    raise self._wait(key, thread, home)

        deadline_ps = self._kernel.clock.now_ps() + self._limit_ps
        leave = lambda: queue.remove(thread)  # noqa: E731
        return PageWait(Wait(reason, finish, deadline_ps, leave, killable=True))

    def answered(self, message: Message) -> None:
        """VMA_INFO_RESULT, where it was asked for."""
        kernel = self._kernel
        home, key, address, found, *words = message.words
        space = kernel.processes.space_of(home, key)
        if space is None:
            return
        asked = (space.address, address)
        if found:
            self._keep(space, *words)
        else:
            self._absent.add(asked)
        queue = self._asked.pop(asked, None)
        if queue is not None:
            queue.wake(kernel.scheduler)

    def _keep(
        self, space, start: int, end: int, protection: int, flags: int, kind: int, offset: int,
        source: int, *_rest: int,
    ) -> None:  # fmt: skip
        """Know an area from now on, instead of parts of it that were known before."""
        if kind != AreaKind.WINDOW:  # pages of files come from home like all others
            shared = kind in (AreaKind.SHARED_ANONYMOUS, AreaKind.SHARED_FILE)
            kind = AreaKind.SHARED_ANONYMOUS if shared else AreaKind.ANONYMOUS
            offset = source = 0
        with space.lock:
            for area in space.cut(start, end):
                space.tree.remove(area)
                space.release(area)
            kept = Vma(start, end, protection, flags & KEPT, kind, offset, source)
            space.retain(kept)
            space.tree.insert(kept)

    # --- at home: answering and telling ---

    def asked(self, message: Message) -> None:
        """VMA_INFO."""
        kernel = self._kernel
        home, key, address = message.words[:3]
        space = kernel.processes.space_of(home, key)
        if space is None:
            return
        area = space.area_at(address)
        found = () if area is None else (
            area.start, area.end, area.protection, area.flags, area.kind, area.offset, area.source
        )  # fmt: skip
        words = (home, key, address, int(area is not None), *found)
        kernel.messages.send(message.source, MessageKind.VMA_INFO_RESULT, words)

    def tell(self, space, change: Change, start: int, end: int, protection: int = 0) -> None:
        """The home has changed a range: everybody who may have cached something of it hears so."""
        words = (space.home, space.key, change, start, end, protection)
        for node in sorted(space.contexts):
            self._kernel.messages.send(node, MessageKind.VMA_CHANGE, words)
            space.unconfirmed += 1

    def confirmed(self, message: Message) -> None:
        """VMA_CHANGED."""
        home, key = message.words[:2]
        space = self._kernel.processes.space_of(home, key)
        if space is not None:
            space.unconfirmed -= 1
            if not space.unconfirmed:
                self._confirmed.wake(self._kernel.scheduler)

    def wait_for_all(self, thread, space, result: int) -> int:
        """The result of a call once everybody has followed its change; raises Block until then."""
        return wait_until(
            thread,
            (self._confirmed,),
            lambda: None if space.unconfirmed else result,
            f"VMA_CHANGE to other nodes, {space.unconfirmed} not answered",
            on_signal=lambda: result,
        )

    # --- away: following ---

    def changed(self, message: Message) -> None:
        """VMA_CHANGE."""
        kernel = self._kernel
        home, key, change, start, end, protection = message.words[:6]
        space = kernel.processes.space_of(home, key)
        if space is not None:
            with space.lock:
                self._follow(space, Change(change), start, end, protection)
        kernel.messages.send(message.source, MessageKind.VMA_CHANGED, (home, key))

    def _follow(self, space, change: Change, start: int, end: int, protection: int) -> None:
        if change is Change.UNMAP:
            space.clear(start, end)
        elif change is Change.DROP:
            for area in space.tree.overlapping(start, end):
                space.drop_pages(area, max(start, area.start), min(end, area.end))
        else:
            for area in space.cut(start, end):
                space.change_protection(area, protection)
