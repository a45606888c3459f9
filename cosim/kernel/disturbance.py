"""What could disturb a core's current thread, so that the kernel must look at every turn of it."""

from typing import Any, NamedTuple

from cosim.engine.control import Control
from cosim.kernel.address_space import GENERATION


class Undisturbed(NamedTuple):
    """A core may run its thread, turn after turn, as long as this holds.

    event_cycles: its clock is before this: then its next timer or interrupt is due.
    generation: of its translations, the value of the u64 at host address generation_at.
    """

    event_cycles: int
    generation_at: int
    generation: int


def undisturbed(kernel: Any, core_index: int) -> Undisturbed | None:
    """None when the kernel has something to do at the start of a turn of this core.

    It says what kernel.turn would find there without any effect: see Kernel._run.
    """
    lane = kernel.scheduler.by_core[core_index]
    thread, core = lane.current, lane.core
    if thread is None or lane.loaded is not thread or not thread.alive:
        return None
    if lane.queue or lane.interrupts or thread.wait is not None or not core.writer.inline:
        return None
    if thread.pending or thread.process.pending:
        return None
    if thread.interrupted is not None or thread.mask_to_restore is not None:
        return None
    if thread.affinity and lane not in kernel.scheduler.allowed(thread.affinity):
        return None
    space = lane.loaded_space
    if space.generation != lane.generation:
        return None
    at = core.engine.words[Control.MEMORY_BASE] + space.address + GENERATION
    return Undisturbed(kernel.next_event_cycles(lane), at, lane.generation)
