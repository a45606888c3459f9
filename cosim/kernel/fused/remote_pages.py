"""Pages that only a process's home can make: the third outcome of a remote fault.

```text
 faulting kernel                        home
 PAGE: space, page, write, tid   ──▶   resolves the fault in its own table
 the fault is made again         ◀──   PAGE_READY: tid, signal, code
```
"""

from cosim.engine.interface import Access
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.mapping import SIGKILL
from cosim.kernel.signals import SignalInfo
from cosim.kernel.waiting import Cause, PageWait, Wait


class RemotePages:
    """Both ends of the two messages.  replicated: pages made here for other nodes."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        self.replicated = 0

    def ask(self, space, page: int, *, write: bool) -> PageWait:
        """Ask the home for a page in the name of the current thread; raise what is returned."""
        kernel = self._kernel
        thread = kernel.current_thread()
        words = (space.address, page, int(write), thread.tid)
        kernel.messages.send(space.home, MessageKind.PAGE, words)
        thread.answer = None

        def finish(_cause: Cause) -> None:
            if thread.answer is None:
                raise PageWait(wait)
            number, code, address = thread.answer[:3]
            if number == SIGKILL:
                kernel.end_by_signal(thread, SignalInfo(number, code, address=address))
            elif number:
                kernel.signals.force(thread, SignalInfo(number, code, address=address))
                raise KernelError(Errno.EFAULT, f"{address:#x}")

        wait = Wait(f"page {page:#x} at home, node {space.home}", finish, killable=True)
        return PageWait(wait)

    def asked(self, message: Message) -> None:
        """PAGE, at the home."""
        kernel = self._kernel
        address, page, write, tid = message.words[:4]
        space = kernel.processes.space_at(address)
        signal = None
        if space is not None:
            with kernel.allocator.without_waiting():
                signal = space.fault(page, Access.WRITE if write else Access.READ)
            self.replicated += 1
        words = (tid, *signal) if signal is not None else (tid, 0, 0, page)
        kernel.messages.send(message.source, MessageKind.PAGE_READY, words)
