"""How a fused kernel leaves the machine: its memory stays, and is another kernel's.

A node brought no memory when it joined, so none has to move: blocks change their owner with all
that is in them, pages and structures of other homes' processes.  What was this kernel's alone is
given back: its page tables, its program's pages, its structures.  The machine stands still
meanwhile.
"""

from typing import Any


def vacate(kernel) -> dict[str, Any]:
    """See Services.vacate; legacy: blocks (addresses), committed, kernel_frames."""
    reason = kernel.processes.keeps() or kernel.migrations.keeps()
    if not reason and kernel.allocator.request_pending():
        reason = "memory is on its way"
    if reason:
        return {"reason": reason, "legacy": {}}
    for process in tuple(kernel.processes.away.values()):
        for thread in tuple(process.threads):
            kernel.processes.forget_thread(thread)
    spaces = {process.space.address: process.space for process in kernel.processes.away.values()}
    for lane in kernel.scheduler.lanes:
        lane.loaded_space = None
    for space in spaces.values():
        space.detach()
    kernel.processes.away.clear()
    kernel.tasks.give_up()
    kernel.migrations.give_up()
    kernel.frames.free(kernel.futexes.table)
    blocks, committed, kernel_frames = kernel.frames.bequeath()
    legacy = {"blocks": blocks, "committed": committed, "kernel_frames": kernel_frames}
    return {"reason": "", "legacy": legacy}


def node_left(kernel, row: dict[str, Any], heir: int) -> None:
    """Another node is gone; the heir takes what it left."""
    kernel.processes.node_left(row["index"])
    if kernel.node_index == heir:
        legacy = row["legacy"]
        kernel.frames.commitment.add(legacy["committed"])
        kernel.frames.commitment.count_kernel(legacy["kernel_frames"])
        kernel.allocator.inherit(legacy["blocks"])
