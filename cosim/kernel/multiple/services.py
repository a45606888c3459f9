"""Multiple kernels put together: what they exchange in cosim.kernel.kernel.Services.

SHARED_MEMORY is multi-shm, whose messages and pages go through shared memory; NETWORK is multi-tcp,
which shares none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cosim.broker import Function
from cosim.kernel import interrupts
from cosim.kernel.calls.process import exit_group
from cosim.kernel.calls.table import Call
from cosim.kernel.distributed.delegation import Delegation
from cosim.kernel.distributed.late_writes import late
from cosim.kernel.distributed.messages import Handler, MessageKind, Messages
from cosim.kernel.distributed.migration import MIGRATION_CALLS
from cosim.kernel.futex import FutexTable
from cosim.kernel.kernel import CALLS, Kernel, Services
from cosim.kernel.mapping import USER_END
from cosim.kernel.multiple import departure
from cosim.kernel.multiple.address_space import MultipleAddressSpace
from cosim.kernel.multiple.areas import AreaExchange
from cosim.kernel.multiple.migration import MultipleMigrations
from cosim.kernel.multiple.network import NetworkMessages
from cosim.kernel.multiple.pages import Pages
from cosim.kernel.multiple.processes import MultipleProcesses

HANDLERS: dict[int, Handler] = {
    MessageKind.TASK_MIGRATE: lambda kernel, message: kernel.migrations.arrived(message),
    MessageKind.TASK_PAIRING: lambda kernel, message: kernel.processes.paired(message),
    MessageKind.TASK_MIGRATE_BACK: lambda kernel, message: kernel.migrations.returned(message),
    MessageKind.PROCESS_ENDS: lambda kernel, message: kernel.processes.process_ends(message),
    MessageKind.PROCESS_ENDED: lambda kernel, message: kernel.processes.process_ended(message),
    MessageKind.PROCESS_EXIT: lambda kernel, message: kernel.processes.process_exit(message),
    MessageKind.THREAD_ENDS: lambda kernel, message: kernel.processes.thread_ends(message),
    MessageKind.THREAD_CREATE: lambda kernel, message: kernel.delegation.thread_create(message),
    MessageKind.THREAD_CREATED: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.CHILD_CREATE: lambda kernel, message: kernel.delegation.child_create(message),
    MessageKind.CHILD_CREATED: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.THREAD_EXIT: lambda kernel, message: kernel.delegation.thread_exit(message),
    MessageKind.SYSTEM_CALL: lambda kernel, message: kernel.delegation.asked(message),
    MessageKind.SYSTEM_CALL_RESULT: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.FUTEX: lambda kernel, message: kernel.delegation.asked(message),
    MessageKind.FUTEX_RESULT: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.VMA_OPERATION: lambda kernel, message: kernel.delegation.asked(message),
    MessageKind.VMA_OPERATION_RESULT: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.VMA_INFO: lambda kernel, message: kernel.areas.asked(message),
    MessageKind.VMA_INFO_RESULT: lambda kernel, message: kernel.areas.answered(message),
    MessageKind.VMA_CHANGE: lambda kernel, message: kernel.areas.changed(message),
    MessageKind.VMA_CHANGED: lambda kernel, message: kernel.areas.confirmed(message),
    MessageKind.PAGE_REQUEST: lambda kernel, message: kernel.pages.handle(message),
    MessageKind.PAGE_INVALIDATE: lambda kernel, message: kernel.pages.handle(message),
    MessageKind.PAGE_RESPONSE: lambda kernel, message: kernel.pages.answered(message),
    MessageKind.PAGE_RESPONSE_SHORT: lambda kernel, message: kernel.pages.answered(message),
    MessageKind.PAGE_INVALIDATED: lambda kernel, message: kernel.pages.answered(message),
}
MEMORY_CALLS = ("mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "msync", "mincore")
# Calls whose writes others must see before what the call does next: the end of a thread.
AT_ONCE = frozenset(
    ("exit", "exit_group", "migrate_call", "migrate_return", "rt_sigreturn", "execve")
)
KINDS = {
    **dict.fromkeys((*MEMORY_CALLS, "pkey_mprotect"), MessageKind.VMA_OPERATION),
    "futex": MessageKind.FUTEX,
}


def confirmed(function):
    """A call on memory that answers when all other kernels have followed what it changed."""

    def call(kernel, thread, *arguments: int) -> int:
        result = function(kernel, thread, *arguments)
        space = thread.process.space
        return kernel.areas.wait_for_all(thread, space, result) if space.unconfirmed else result

    return call


def leave(kernel, thread, status: int) -> None:
    """exit_group: pages of shared file areas come home before, to be written back."""
    thread.process.space.gather_files(0, USER_END)
    return exit_group(kernel, thread, status)


INTERRUPTS = {
    **interrupts.HANDLERS,
    Function.MESSAGE: lambda kernel, _lane, row: kernel.messages.interrupted(row["source_core"]),
    Function.NETWORK: lambda kernel, _lane, row: kernel.messages.arrived(row["source_core"]),
}


@dataclass(frozen=True)
class MultipleServices(Services):
    """Services of multiple kernels.

    messages: what carries messages.  handlers: what is done with them, by kind.  shares_memory: can
    a kernel copy a page out of another's memory?
    """

    address_space: Any = MultipleAddressSpace
    futexes: Any = FutexTable
    processes: Any = MultipleProcesses
    messages: Any = Messages
    handlers: Any = field(default_factory=lambda: dict(HANDLERS))
    shares_memory: bool = True
    calls: Any = field(default_factory=dict)
    interrupts: Any = field(default_factory=lambda: dict(INTERRUPTS))

    def prepare(self, kernel: Kernel, settings: Mapping) -> None:
        """See Services.prepare."""
        kernel.migrations = MultipleMigrations(kernel)
        changing = {
            name: Call(confirmed(call.function), call.arguments)
            for name, call in CALLS.items()
            if name in KINDS and name != "futex"
        }
        calls = {
            **CALLS,
            **changing,
            "exit_group": Call(leave, 1),
            **MIGRATION_CALLS,
            **self.calls,
        }
        calls = {
            name: Call(late(call.function), call.arguments) if name not in AT_ONCE else call
            for name, call in calls.items()
        }
        kernel.delegation = Delegation(kernel, calls, kinds=KINDS)
        kernel.calls = kernel.delegation.table()

    def complete(self, kernel: Kernel, settings: Mapping) -> None:
        """See Services.complete."""
        kernel.pages = Pages(kernel, settings, long=not self.shares_memory)
        kernel.areas = AreaExchange(kernel, settings)
        kernel.messages = self.messages(kernel, settings, self.handlers)

    def nodes_changed(self, kernel: Kernel, settings: Mapping) -> None:
        """See Services.nodes_changed."""
        for row in kernel.node_rows:
            if "legacy" in row:
                departure.node_left(kernel, row)
        kernel.messages.find_rings(settings)

    def vacate(self, kernel: Kernel) -> dict[str, Any]:
        """See Services.vacate."""
        return departure.vacate(kernel)

    def turn_begins(self, kernel: Kernel, lane) -> None:
        """See Services.turn_begins."""
        kernel.messages.start_polling(lane)

    def statistics(self, kernel: Kernel) -> dict[str, int]:
        """Counters of the multiple kernels' parts, by dotted name below the node's."""
        counts = kernel.pages.counts
        return {
            **kernel.messages.statistics(),
            "migrations.sent": kernel.migrations.sent,
            "migrations.received": kernel.migrations.received,
            "pages.replicated": counts["replicated"],
            "pages.transferred": counts["transferred"],
            "pages.invalidated": counts["invalidated"],
            "pages.retried": counts["retried"],
            "pages.followed": kernel.pages.serialisation.followed,
            "system_calls.delegated": kernel.delegation.delegated,
        }


SHARED_MEMORY = MultipleServices()
NETWORK = MultipleServices(messages=NetworkMessages, shares_memory=False)
