"""The fused kernel put together: what it exchanges in cosim.kernel.kernel.Services."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cosim import physical_map
from cosim.broker import Function
from cosim.kernel import interrupts
from cosim.kernel.calls.table import Call
from cosim.kernel.distributed.messages import Handler, MessageKind, Messages
from cosim.kernel.distributed.migration import MIGRATION_CALLS
from cosim.kernel.fused import departure, namespaces
from cosim.kernel.fused.address_space import FusedAddressSpace, translations_moved
from cosim.kernel.fused.allocator import GlobalAllocator
from cosim.kernel.fused.delegation import FusedDelegation
from cosim.kernel.fused.faults import DirectAccess
from cosim.kernel.fused.frames import FusedFrames
from cosim.kernel.fused.futex import FusedFutexTable, reschedule
from cosim.kernel.fused.migration import FusedMigrations
from cosim.kernel.fused.processes import FusedProcesses
from cosim.kernel.fused.remote_cpu import RemoteCpuDriver
from cosim.kernel.fused.remote_pages import RemotePages
from cosim.kernel.kernel import CALLS, Kernel, Services
from cosim.kernel.task import TASK

RUNS_ON = TASK.offset("node")

HANDLERS: dict[int, Handler] = {
    MessageKind.PROCESS: lambda kernel, message: kernel.processes.introduced(message),
    MessageKind.PROCESS_ENDS: lambda kernel, message: kernel.processes.process_ends(message),
    MessageKind.PROCESS_ENDED: lambda kernel, message: kernel.processes.process_ended(message),
    MessageKind.PROCESS_EXIT: lambda kernel, message: kernel.processes.process_exit(message),
    MessageKind.THREAD_ENDS: lambda kernel, message: kernel.processes.thread_ends(message),
    MessageKind.PAGE: lambda kernel, message: kernel.remote_pages.asked(message),
    MessageKind.PAGE_READY: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.SYSTEM_CALL: lambda kernel, message: kernel.delegation.asked(message),
    MessageKind.SYSTEM_CALL_RESULT: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.THREAD_CREATE: lambda kernel, message: kernel.delegation.thread_create(message),
    MessageKind.THREAD_CREATED: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.CHILD_CREATE: lambda kernel, message: kernel.delegation.child_create(message),
    MessageKind.CHILD_CREATED: lambda kernel, message: kernel.delegation.answered(message),
    MessageKind.THREAD_EXIT: lambda kernel, message: kernel.delegation.thread_exit(message),
    MessageKind.SIGNAL: namespaces.signal_arrived,
    MessageKind.MEMORY_REQUEST: lambda kernel, message: kernel.allocator.asked(message),
    MessageKind.MEMORY_RESPONSE: lambda kernel, message: kernel.allocator.answered(message),
    MessageKind.DRAIN_FRAMES: lambda kernel, _message: kernel.frames.drain_returned(),
}


def thread_is_here(kernel) -> bool:
    """Does the kernel work for a thread that runs here?  Its access can be made again later; a call
    in the name of a thread that is away cannot, and an interrupt has no thread.
    """
    (lane,) = (lane for lane in kernel.scheduler.lanes if lane.core is kernel.memory.core)
    thread = lane.current
    return thread is not None and kernel.memory.load(thread.descriptor + RUNS_ON, 4) == (
        kernel.node_index
    )


INTERRUPTS = {
    **interrupts.HANDLERS,
    Function.RESCHEDULE: reschedule,
    Function.MESSAGE: lambda kernel, _lane, row: kernel.messages.interrupted(row["source_core"]),
    Function.MIGRATE: lambda kernel, lane, row: kernel.migrations.arrived(lane, row["payload"]),
}


@dataclass(frozen=True)
class FusedServices(Services):
    """Services of the fused kernel.

    page_policy: class of what page faults do, called without arguments (see faults.DirectAccess).
    """

    address_space: Any = FusedAddressSpace
    futexes: Any = FusedFutexTable
    processes: Any = FusedProcesses
    page_policy: Any = DirectAccess
    calls: Any = field(default_factory=dict)
    interrupts: Any = field(default_factory=lambda: dict(INTERRUPTS))

    def make_frames(self, memory, ranges, block_bytes: int, node: int) -> FusedFrames:
        """See Services.make_frames."""
        return FusedFrames(memory, ranges[node], block_bytes, node, ranges)

    def directories(self, frames, ranges: list[list[tuple[int, int]]]) -> list[int]:
        """See Services.directories."""
        return frames.directories

    def offer(self, kernel: Kernel) -> tuple[int, int, int]:
        """See Services.offer."""
        return kernel.allocator.offer()

    def donate(self, kernel: Kernel, node: int) -> tuple[int, int]:
        """See Services.donate."""
        return kernel.allocator.donate(node)

    def nodes_changed(self, kernel: Kernel, settings: Mapping) -> None:
        """See Services.nodes_changed."""
        frames = kernel.frames
        assert isinstance(frames, FusedFrames)
        layout = physical_map.build(settings, kernel.node_rows)
        before = frames.commitment.kernels
        machine = [layout.boot_ranges(row["index"]) for row in kernel.node_rows]
        frames.reshape(machine, kernel.nodes())
        for row in kernel.node_rows:
            if "legacy" in row:
                departure.node_left(kernel, row, kernel.nodes()[0])
        for space in kernel.processes.spaces():
            space.account.follow(frames.commitment.kernels - before)
        kernel.messages.find_rings(settings)
        if kernel.node_index == 0:
            kernel.namespaces.publish()

    def vacate(self, kernel: Kernel) -> dict[str, Any]:
        """See Services.vacate."""
        return departure.vacate(kernel)

    def prepare(self, kernel: Kernel, settings: Mapping) -> None:
        """Make the parts that the others need."""
        kernel.translations_moved = partial(translations_moved, kernel)
        kernel.page_policy = self.page_policy()
        kernel.remote_cpu = RemoteCpuDriver(kernel.memory, kernel.frames)
        kernel.remote_pages = RemotePages(kernel)
        kernel.migrations = FusedMigrations(kernel)
        kernel.namespaces = namespaces.Namespaces(kernel)
        calls = {
            **CALLS,
            **MIGRATION_CALLS,
            "kill": Call(namespaces.kill, 2),
            "sethostname": Call(namespaces.set_host_name, 2),
            **self.calls,
        }
        kernel.delegation = FusedDelegation(kernel, calls, bool(settings["futex.direct"]))
        kernel.calls = kernel.delegation.table()

    def complete(self, kernel: Kernel, settings: Mapping) -> None:
        """Make the parts that need the others."""
        kernel.messages = Messages(kernel, settings, HANDLERS)
        kernel.allocator = GlobalAllocator(kernel, settings)
        kernel.allocator.can_wait = partial(thread_is_here, kernel)
        assert isinstance(kernel.frames, FusedFrames)
        kernel.frames.on_foreign = lambda node: kernel.messages.send(node, MessageKind.DRAIN_FRAMES)

    def host_name(self, kernel: Kernel) -> str:
        """See Services.host_name."""
        return kernel.namespaces.host_name()

    def processors(self, kernel: Kernel) -> list[dict[str, Any]]:
        """See Services.processors."""
        return kernel.namespaces.processors()

    def first_processor(self, kernel: Kernel) -> int:
        """See Services.first_processor: programs count the cores of the whole machine."""
        return kernel.cores[0].index

    def turn_begins(self, kernel: Kernel, lane) -> None:
        """See Services.turn_begins."""
        kernel.messages.start_polling(lane)

    def statistics(self, kernel: Kernel) -> dict[str, int]:
        """Counters of the fused parts, by dotted name below the node's."""
        counts = kernel.page_policy.counts
        return {
            **kernel.messages.statistics(),
            "migrations.sent": kernel.migrations.sent,
            "migrations.received": kernel.migrations.received,
            "pages.replicated": kernel.remote_pages.replicated,
            "pages.remote_allocated": counts["remote_allocated"],
            "pages.mapped": counts["mapped"],
            "pages.own": counts["own"],
            "futex.interrupts": kernel.futexes.interrupts,  # type: ignore[attr-defined]
            "system_calls.delegated": kernel.delegation.delegated,
            **kernel.allocator.statistics(),
        }


SERVICES = FusedServices()
