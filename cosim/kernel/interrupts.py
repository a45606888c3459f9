"""Interprocessor interrupts as a kernel sees them: sending in the ISA's native form, and what each
function does.

HANDLERS maps function numbers of cosim/broker.py to function(kernel, lane, row); a design with more
services replaces or adds some through Services.interrupts.
"""

from cosim.broker import Function
from cosim.kernel.waiting import Cause


def reschedule(kernel, _lane, row: dict) -> None:
    """A thread of this core was woken elsewhere; payload: its id."""
    kernel.scheduler.arrive(row["payload"])


def call_function(kernel, _lane, _row: dict) -> None:
    """TLB shootdown: the engine's translations were dropped when it was sent, the work is charged
    here.
    """
    kernel.memory.charge("tlb_flush")


def user(kernel, lane, row: dict) -> None:
    """A guest's ipi_send: the longest waiter gets it, else the next to ask."""
    lane.arrived.append(row["source_core"])
    if lane.ipi_waiters:
        kernel.scheduler.wake(lane.ipi_waiters[0], Cause.EVENT)


def ignored(kernel, _lane, row: dict) -> None:
    """A function this kernel has no service for."""
    kernel.ignored_interrupts += 1


HANDLERS = {
    Function.RESCHEDULE: reschedule,
    Function.CALL_FUNCTION: call_function,
    Function.MESSAGE: ignored,
    Function.MIGRATE: ignored,
    Function.USER: user,
    Function.ACKNOWLEDGE: ignored,
}


def deliver(kernel, lane, row: dict) -> None:
    """Handle one interrupt that is due on the current core."""
    kernel.memory.charge("interrupt")
    kernel.memory.charge("ipi_receive")
    kernel.services.interrupts[row["function"]](kernel, lane, row)
    if row["acknowledge"]:
        kernel.acknowledges.append(row["id"])


def send(kernel, target_core: int, function: int, payload: int, acknowledge: bool) -> None:
    """Compose the native command and hand it to the turn's result; the broker does the rest."""
    kernel.time_dependence.arises("a core sends an interrupt to another")
    kernel.memory.charge("ipi_send")
    kernel.sends.append({
        "target_core": target_core,
        "native": kernel.own_isa.interrupts.encode_send(target_core, int(function)),
        "function": int(function),
        "sent_ps": kernel.clock.now_ps(),
        "payload": payload,
        "acknowledge": acknowledge,
    })  # fmt: skip
