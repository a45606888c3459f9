"""The home's side of the page protocol: it knows who has which page, and only it sends
invalidations.

What follows a request is read off the page's word in the directory:

```text
 who has it          a node reads                        a node writes
 the home            its entry loses the right to write  its entry is closed
                     PAGE                                PAGE
 home and others     PAGE                                PAGE_INVALIDATE to the others, then
                                                         PAGE, or CONTINUE if it has a copy
 one other node      PAGE_REQUEST to that: it shares     PAGE_REQUEST to that: it gives the page
                     with the home, then PAGE            up, then PAGE
```
The home's own faults are the same with nobody to answer.  When the home does not have a page,
exactly one other node has it: every page passes through the home.
"""

from enum import IntEnum

from cosim.engine.interface import Access
from cosim.errors import InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import KernelError
from cosim.kernel.mapping import (
    BUS_ADRERR,
    PROT_WRITE,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SI_KERNEL,
    SIGBUS,
    SIGKILL,
    SIGSEGV,
)
from cosim.kernel.multiple.serialisation import REFUSALS_MAX, Action, Fault, Running
from cosim.kernel.page_faults import permits
from cosim.kernel.vma import Vma


class Verdict(IntEnum):
    """What a response says."""

    PAGE = 0  # here it is
    CONTINUE = 1  # you have it
    RETRY = 2  # somebody else's turn
    SIGNAL = 3  # you may not


class Directory:
    """See the module.  pages: multiple.pages.Pages of the same kernel."""

    def __init__(self, kernel, pages) -> None:
        self._kernel = kernel
        self._pages = pages
        self._own = 1 << kernel.node_index

    def owners(self, space, page: int) -> int:
        """Nodes that have a page, a bit each."""
        return space.ownership.read(page) or self._own

    def rights(self, space, page: int, rights: int) -> int:
        """See Pages.rights."""
        owners = self.owners(space, page)
        if not owners & self._own:
            return 0
        return rights if owners == self._own else rights & ~PROT_WRITE

    # --- the home's own faults ---

    def supply(self, space, area: Vma, page: int, wanted: Running) -> bool:
        """A fault of the home.  Raises PageWait."""
        owners = self.owners(space, page)
        write = wanted is Running.LOCAL_WRITE
        if owners & self._own and (not write or owners == self._own):
            return space.supply_alone(area, page, write=write)
        thread = self._kernel.current_thread()
        fault = self._pages.serialisation.start(space, page, wanted, thread=thread)
        what = self._ask(fault, owners, owners & ~self._own, write=write)
        raise self._pages.wait(fault, what)

    def acquire(self, space, page: int) -> None:
        """Have a page at home alone, for calls that move it or write it back.  Raises PageWait."""
        if self.owners(space, page) != self._own:
            area = space.tree.find(page)
            assert area is not None
            self._pages.supply(space, area, page, write=True)

    def _ask(self, fault: Fault, owners: int, others: int, *, write: bool) -> str:
        """Send what must be answered before the page is ready; says what."""
        space, page = fault.space, fault.page
        fault.pending = {node for node in range(owners.bit_length()) if others >> node & 1}
        names = ", ".join(self._kernel.node_rows[node]["name"] for node in sorted(fault.pending))
        if owners & self._own:
            for node in sorted(fault.pending):
                self._pages.send(node, MessageKind.PAGE_INVALIDATE, space, page)
            return f"PAGE_INVALIDATE to {names}"
        if len(fault.pending) != 1:
            raise InvariantError(
                f"page {page:#x}: the home does not have it, and nodes {names} do; exactly one may"
            )
        (node,) = fault.pending
        access = Access.WRITE if write else Access.READ
        self._pages.send(node, MessageKind.PAGE_REQUEST, space, page, access)
        return f"PAGE_REQUEST to {names}"

    # --- the others' requests ---

    def requested(self, space, message: Message) -> None:
        """PAGE_REQUEST of another node."""
        page, access, attempt = message.words[2:5]
        running = self._pages.serialisation.find(space, page)
        if running is not None:
            wanted = Running.REMOTE_WRITE if access == Access.WRITE else Running.REMOTE_READ
            action = self._pages.serialisation.action(running, wanted)
            if action is Action.RETRY and attempt < REFUSALS_MAX:
                self._pages.say(message.source, space, page, Verdict.RETRY)
            else:
                self._pages.serialisation.wait(running, message)
            return
        self._serve(space, message)

    def _serve(self, space, message: Message) -> None:
        """Nobody else wants the page now."""
        page, access = message.words[2:4]
        node, write = message.source, access == Access.WRITE
        area = space.area_at(page)
        refusal = self._refusal(space, area, page, access)
        if refusal is not None:
            self._pages.say(node, space, page, Verdict.SIGNAL, *refusal)
            return
        owners, asker = self.owners(space, page), 1 << node
        others = owners & ~self._own & ~asker
        if owners == asker:
            self._pages.say(node, space, page, Verdict.CONTINUE, 0, int(write))
        elif not owners & self._own or (write and others):
            wanted = Running.REMOTE_WRITE if write else Running.REMOTE_READ
            fault = self._pages.serialisation.start(space, page, wanted, message=message)
            self._ask(fault, owners, others, write=write)
        else:
            self._give(space, area, page, node, owners, write=write)

    def _refusal(self, space, area: Vma | None, page: int, access: int):
        """The signal a request deserves, None when it can be served: then the home has a frame."""
        if area is None:
            return SIGSEGV, SEGV_MAPERR, page
        if not permits(area.protection, access):
            return SIGSEGV, SEGV_ACCERR, page
        try:
            physical = self._pages.present(space, area, page)
        except KernelError:
            return SIGKILL, SI_KERNEL, page
        return None if physical is not None else (SIGBUS, BUS_ADRERR, page)

    def _give(self, space, area: Vma, page: int, node: int, owners: int, *, write: bool) -> None:
        """The home has the page, and nobody else is in the way: hand it out."""
        asker = 1 << node
        space.ownership.write(page, asker if write else owners | asker)
        self._pages.renew(space, area, page)
        if owners & asker:
            self._pages.say(node, space, page, Verdict.CONTINUE, 0, int(write))
            return
        physical = space.page_table.lookup(page).physical
        self._pages.give(node, space, page, physical, write=write)

    # --- answers ---

    def answered(self, space, message: Message) -> None:
        """A page that the home asked for, or an invalidation that was done."""
        page = message.words[2]
        fault = self._pages.serialisation.find(space, page)
        if fault is None or message.source not in fault.pending:
            raise InvariantError(
                f"page {page:#x}: an answer of node {message.source} that nobody waits for"
            )
        fault.pending.discard(message.source)
        area = space.tree.find(page)
        owners = self.owners(space, page)
        if not fault.void:
            if message.kind == MessageKind.PAGE_INVALIDATED:
                space.ownership.write(page, owners & ~(1 << message.source))
            else:
                frame = self._pages.present(space, area, page)
                self._pages.take(message, frame)
                write = bool(message.words[5])
                space.ownership.write(page, self._own if write else owners | self._own)
        if not fault.pending:
            self._complete(space, area, fault)

    def _complete(self, space, area: Vma | None, fault: Fault) -> None:
        """Everybody has answered."""
        if fault.message is not None:
            # Its node may have been overtaken by a change of rights: look again from the start.
            message, queued = fault.message, fault.queue
            fault.queue = []
            self._pages.serialisation.end(fault)
            self._serve(space, message)
            for waiting in queued:
                self._pages.handle(waiting)
        elif fault.void:
            self._pages.serialisation.end(fault)
        else:
            self._pages.renew(space, area, fault.page)
            self._pages.serialisation.grant(fault)
