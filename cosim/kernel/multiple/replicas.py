"""The other kernels' side of the page protocol: copies of the home's pages, or the only ones.

A page that is taken away keeps its frame, closed (layout.HELD_FRAME): it is used again when the
page comes back, and given back with the area.
"""

from cosim.engine.interface import Access
from cosim.errors import InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import KernelError
from cosim.kernel.mapping import PROT_WRITE, SI_KERNEL, SIGKILL
from cosim.kernel.multiple.directory import Verdict
from cosim.kernel.multiple.ownership import ALONE, HAS
from cosim.kernel.multiple.serialisation import Fault, Running, back_off_ps
from cosim.kernel.vma import Vma
from cosim.units import PAGE_BYTES


class Replicas:
    """See the module.  pages: multiple.pages.Pages of the same kernel."""

    def __init__(self, kernel, pages) -> None:
        self._kernel = kernel
        self._pages = pages
        # Space and page -> times sent away, and whether for writing: a store-exclusive reads first,
        # and must not ask for less than it was refused.
        self._attempts: dict[tuple[int, int], tuple[int, bool]] = {}

    def rights(self, space, page: int, rights: int) -> int:
        """See Pages.rights."""
        word = space.ownership.read(page)
        if not word & HAS:
            return 0
        return rights if word & ALONE else rights & ~PROT_WRITE

    # --- faults here ---

    def supply(self, space, area: Vma, page: int, wanted: Running) -> bool:
        """A fault of a node that is not the home.  Raises PageWait."""
        word = space.ownership.read(page)
        write = wanted is Running.LOCAL_WRITE
        if word & HAS and (word & ALONE or not write):
            self._pages.renew(space, area, page)
            return True
        attempt, wrote = self._attempts.get((space.address, page), (0, False))
        asks_more = wrote and not write and bool(area.protection & PROT_WRITE)
        if asks_more:
            write, wanted = True, Running.LOCAL_WRITE
        thread = self._kernel.current_thread()
        fault = self._pages.serialisation.start(
            space, page, wanted, thread=thread, asks_more=asks_more
        )
        access = Access.WRITE if write else Access.READ
        self._pages.send(space.home, MessageKind.PAGE_REQUEST, space, page, access, attempt)
        home = self._kernel.node_rows[space.home]["name"]
        raise self._pages.wait(fault, f"PAGE_REQUEST to {home}")

    def answered(self, space, message: Message) -> None:
        """The home's response to a fault here."""
        page, verdict = message.words[2:4]
        fault = self._pages.serialisation.find(space, page)
        if fault is None or fault.granted:
            raise InvariantError(f"page {page:#x}: a response of the home that nobody waits for")
        if verdict == Verdict.RETRY:
            self._retry(fault)
            return
        self._attempts.pop((space.address, page), None)
        if verdict == Verdict.SIGNAL:
            fault.signal = tuple(message.words[4:7])
        else:
            try:
                self._install(space, message)
            except KernelError:  # no frame for the copy
                fault.signal = (SIGKILL, SI_KERNEL, page)
        self._pages.serialisation.grant(fault)

    def _install(self, space, message: Message) -> None:
        """The page is here, or may be written now."""
        page, verdict, _, write = message.words[2:6]
        if verdict == Verdict.PAGE:
            slot = space.page_table.slot(page, create=True)
            found = space.page_table.read_slot(slot)
            if found is None:
                nowhere = Vma(page, page + PAGE_BYTES, 0)  # its area may not have been asked for
                frame = space.frame_for(space.tree.find(page) or nowhere, page, zero=False)
                space.page_table.write_slot(slot, frame, 0)
                self._pages.counts["replicated"] += 1
            else:
                frame = found.physical
            self._pages.take(message, frame)
        word = HAS | ALONE if write else HAS | space.ownership.read(page)
        space.ownership.write(page, word)
        self._pages.renew(space, space.tree.find(page), page)

    def _retry(self, fault: Fault) -> None:
        """Somebody else's turn: the fault is made again after a while."""
        key = (fault.space.address, fault.page)
        attempt, wrote = self._attempts.get(key, (0, False))
        attempt, wrote = attempt + 1, wrote or fault.running is Running.LOCAL_WRITE
        self._attempts[key] = (attempt, wrote)
        self._pages.counts["retried"] += 1
        kernel = self._kernel
        lane = kernel.scheduler.by_core[kernel.memory.core.index]
        at_ps = kernel.clock.now_ps() + back_off_ps(attempt)
        # What waits for this fault must not wait for the break as well: the other may be waiting
        # for exactly that.
        queued, fault.queue = fault.queue, []
        for message in queued:
            self._yield_to(fault.space, message)
        lane.timers.arm(at_ps, lambda _: self._pages.serialisation.end(fault))

    # --- the home's requests ---

    def asked(self, space, message: Message) -> None:
        """PAGE_REQUEST or PAGE_INVALIDATE of the home."""
        page = message.words[2]
        fault = self._pages.serialisation.find(space, page)
        if fault is not None and (space.address, page) not in self._attempts:
            write = message.kind == MessageKind.PAGE_INVALIDATE or message.words[3] == Access.WRITE
            self._pages.serialisation.action(
                fault, Running.REMOTE_WRITE if write else Running.REMOTE_READ
            )
            self._pages.serialisation.wait(fault, message)
            return
        self._yield_to(space, message)

    def _yield_to(self, space, message: Message) -> None:
        """Give the page, or the copy, up as the home asks."""
        page = message.words[2]
        invalidate = message.kind == MessageKind.PAGE_INVALIDATE
        write = invalidate or message.words[3] == Access.WRITE
        found = space.page_table.lookup(page)
        word = space.ownership.read(page)
        if not word & HAS or found is None:
            raise InvariantError(
                f"page {page:#x}: the home asks node {self._kernel.node_index} for it, which does "
                "not have it"
            )
        space.ownership.write(page, 0 if write else HAS)
        self._pages.renew(space, space.tree.find(page), page)
        self._pages.counts["invalidated"] += write
        if invalidate:
            self._pages.send(message.source, MessageKind.PAGE_INVALIDATED, space, page)
        else:
            self._pages.give(message.source, space, page, found.physical, write=write)
