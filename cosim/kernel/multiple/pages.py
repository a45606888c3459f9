"""A page fault's way to its page, between kernels with memory of their own.

```text
 away                                            home (directory)               owner, a third node
 PAGE_REQUEST: page, access  ─────────────────▶  read: keep a copy, or fetch ─▶ PAGE_REQUEST
                                                 write: PAGE_INVALIDATE to all that have it
 PAGE_RESPONSE(_SHORT)       ◀─────────────────  answers counted, verdict sent
```
A response says PAGE (here it is), CONTINUE (you have it, write), RETRY (somebody else's turn) or
SIGNAL.  A short one names the frame in the sender's memory, and the receiver copies it, which is
what the artifact does; a long one carries the bytes.  The receiver copies before it handles the
sender's next message, so the frame still holds what was sent.

Source: Popcorn Linux, kernel/popcorn/page_server.c (as described in the artifact's facts, 4.4).
"""

from collections import Counter

from cosim.errors import InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.layout import AreaFlag, AreaKind
from cosim.kernel.mapping import Signal
from cosim.kernel.multiple.directory import Directory, Verdict
from cosim.kernel.multiple.replicas import Replicas
from cosim.kernel.multiple.serialisation import Action, Fault, Running, Serialisation
from cosim.kernel.page_faults import page_of
from cosim.kernel.vma import Vma
from cosim.kernel.waiting import Cause, PageWait, Wait
from cosim.units import LINE_BYTES, PAGE_BYTES, PS_PER_NS


class Pages:
    """One kernel's part: its running faults, the home's side and the others' side.

    counts: replicated (frames made for copies of another kernel's pages), transferred (pages that
    came), invalidated (copies given up), retried (faults sent away).
    """

    def __init__(self, kernel, settings, *, long: bool) -> None:
        """long: pages travel in the message whatever the settings say: no memory is shared."""
        self._kernel = kernel
        self._long = long or settings["dsm.page_response"] == "long"
        self._limit_ps = int(settings["message.answer_limit_ns"]) * PS_PER_NS
        self.counts: Counter[str] = Counter()
        self.serialisation = Serialisation(kernel, self.handle)
        self.directory = Directory(kernel, self)
        self.replicas = Replicas(kernel, self)

    # --- faults ---

    def supply(self, space, area: Vma, page: int, *, write: bool) -> bool:
        """See AddressSpace.supply.  Raises PageWait while messages are under way."""
        if area.flags & AreaFlag.PER_ISA:
            return self._own(space, area, page)
        if area.kind == AreaKind.WINDOW or not space.distributed:
            return space.supply_alone(area, page, write=write)
        wanted = Running.LOCAL_WRITE if write else Running.LOCAL_READ
        fault = self.serialisation.find(space, page)
        if fault is not None and fault.granted and fault.thread is self._kernel.current_thread():
            self.serialisation.end(fault)  # it has its page, and wants more of it
            fault = self.serialisation.find(space, page)  # who waited for that may have begun
        if fault is not None:
            self._meet(fault, wanted)
        if space.is_home:
            return self.directory.supply(space, area, page, wanted)
        return self.replicas.supply(space, area, page, wanted)

    def _own(self, space, area: Vma, page: int) -> bool:
        """A page of this kernel's own program: text and constants."""
        table = space.page_table
        slot = table.slot(page, create=True)
        found = table.read_slot(slot)
        physical = found.physical if found is not None else space.own_page(area, page)
        table.write_slot(slot, physical, area.protection)
        return True

    def _meet(self, fault: Fault, wanted: Running) -> None:
        """Another fault runs on the page already."""
        thread = self._kernel.current_thread()
        action = self.serialisation.action(fault, wanted)
        if action is Action.FOLLOW and fault.granted:
            return
        self.serialisation.follow(fault, thread)
        reason = f"page {fault.page:#x}, which {fault.running.name} has"

        def leave() -> None:
            self.serialisation.leave(fault, thread)

        raise PageWait(Wait(reason, lambda _cause: None, leave=leave, killable=True))

    def wait(self, fault: Fault, what: str) -> PageWait:
        """The wait for a fault's page; raise it.  what: the request that must be answered."""
        clock = self._kernel.clock
        reason = f"page {fault.page:#x}: {what}, not answered"

        def finish(cause: Cause) -> None:
            if cause is Cause.TIMEOUT and not fault.over:
                limit_ns = self._limit_ps // PS_PER_NS
                raise InvariantError(f"{self._kernel.node_name}: {reason} within {limit_ns} ns")
            if fault.over or cause is Cause.SIGNAL:
                return
            if not fault.granted:
                raise self.wait(fault, what)
            assert fault.thread is not None
            fault.resumed = fault.thread.lane.core.engine.instructions

        def leave() -> None:
            fault.waiting = False

        fault.waiting = True
        deadline_ps = clock.now_ps() + self._limit_ps
        return PageWait(Wait(reason, finish, deadline_ps, leave, killable=True))

    def refusal(self, space, page: int) -> Signal | None:
        """The signal that the current thread's fault on a page was answered with, once."""
        fault = self.serialisation.find(space, page)
        if fault is None or fault.signal is None:
            return None
        if fault.thread is not self._kernel.current_thread():
            return None
        self.serialisation.end(fault)
        return None if fault.asks_more else Signal(*fault.signal)

    def rights(self, space, page: int, rights: int) -> int:
        """What is left of an area's rights in the entry of one page."""
        if not space.distributed:
            return rights
        side = self.directory if space.is_home else self.replicas
        return side.rights(space, page, rights)

    # --- messages ---

    def handle(self, message: Message) -> None:
        """PAGE_REQUEST or PAGE_INVALIDATE, whether it has just come or has waited."""
        space = self._space(message)
        if space is None:
            return  # its process has ended
        if space.is_home:
            self.directory.requested(space, message)
        else:
            self.replicas.asked(space, message)

    def answered(self, message: Message) -> None:
        """PAGE_RESPONSE, PAGE_RESPONSE_SHORT or PAGE_INVALIDATED."""
        space = self._space(message)
        if space is None:
            return
        if space.is_home:
            self.directory.answered(space, message)
        else:
            self.replicas.answered(space, message)

    def _space(self, message: Message):
        self._kernel.memory.charge("dsm_event")
        home, key = message.words[:2]
        return self._kernel.processes.space_of(home, key)

    def send(self, node: int, kind: MessageKind, space, page: int, *words: int) -> None:
        """A message about a page: home, key of the address space, page, and more words."""
        words = (space.home, space.key, page, *words)
        self._kernel.messages.send(node, kind, words)

    def give(self, node: int, space, page: int, physical: int, *, write: bool) -> None:
        """Send a page that is in the frame at `physical`."""
        words = (space.home, space.key, page, Verdict.PAGE, physical, int(write))
        if self._long:
            data = self._kernel.memory.read(physical, PAGE_BYTES)
            self._kernel.messages.send(node, MessageKind.PAGE_RESPONSE, words, data)
        else:
            self._kernel.messages.send(node, MessageKind.PAGE_RESPONSE_SHORT, words)

    def say(self, node: int, space, page: int, verdict: Verdict, *words: int) -> None:
        """Send a response without a page."""
        self.send(node, MessageKind.PAGE_RESPONSE_SHORT, space, page, verdict, *words)

    def take(self, message: Message, frame: int) -> None:
        """Put the page that a response brings into a frame of this kernel."""
        memory = self._kernel.memory
        self.counts["transferred"] += 1
        if message.data:
            memory.write(frame, message.data)
            return
        memory.charge("copy_line", PAGE_BYTES // LINE_BYTES)
        memory.copy(frame, message.words[4], PAGE_BYTES)

    # --- this kernel's own entries ---

    def present(self, space, area: Vma, page: int) -> int | None:
        """At home: the frame of a page, made when nobody has touched it; None behind the end of
        its source.  KernelError(ENOMEM).
        """
        table = space.page_table
        slot = table.slot(page, create=True)
        found = table.read_slot(slot)
        if found is not None:
            return found.physical
        physical = page_of(space, area, page)
        if physical is not None:
            table.write_slot(slot, physical, space.entry_rights(area, page, changed=True))
        return physical

    def renew(self, space, area: Vma | None, page: int) -> None:
        """Write the rights that a page has now into its entry, and forget older translations."""
        slot = space.page_table.slot(page, create=False)
        found = space.page_table.read_slot(slot) if slot else None
        if found is None:
            return
        rights = 0 if area is None else space.entry_rights(area, page, changed=True)
        if rights != found.protection:
            space.page_table.write_slot(slot, found.physical, rights)
            space.translations_changed([page])

    def void(self, space, start: int, end: int) -> None:
        """Pages of [start, end) are unmapped.  Away from home an answer that is on its way speaks
        of what the home has mapped there since.
        """
        if space.is_home:
            self.serialisation.void(space, start, end)

    def forget(self, space) -> None:
        """The address space is gone."""
        self.serialisation.forget(space)
