"""What the kernel does when user code stops: system calls, page faults, exceptions, clock reads.

HANDLERS maps the engine's reasons to function(kernel, thread, stop).
"""

from contextlib import suppress

from cosim.engine.interface import Reason, Stop
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import (
    BUS_ADRALN,
    BUS_ADRERR,
    FPE_INTDIV,
    Signal,
    SignalInfo,
)
from cosim.kernel.task import Thread
from cosim.kernel.waiting import Block, Cause, Interrupted, PageWait

WORD_MASK = 0xFFFF_FFFF_FFFF_FFFF
NO_SYSTEM_CALL = -Errno.ENOSYS & WORD_MASK
FAULT_NAMES = {0: "read", 1: "write", 2: "execute"}

EXCEPTION_SIGNALS = {  # the rest is in the ISA's signals.EXCEPTION_SIGNALS
    Reason.ARITHMETIC: (Signal.SIGFPE, FPE_INTDIV),
    Reason.ALIGNMENT: (Signal.SIGBUS, BUS_ADRALN),
    Reason.MACHINE_CHECK: (Signal.SIGBUS, BUS_ADRERR),
}


def system_call(kernel, thread: Thread, _stop: Stop) -> None:
    """Look the number up, run the call, put its result in the result register."""
    kernel.memory.charge("system_call")
    read = thread.lane.core.engine.read
    traps = kernel.isa.traps
    number = read(traps.SYSTEM_CALL_NUMBER)
    name = kernel.isa.system_calls.NUMBERS.get(number)
    call = kernel.calls.get(name)
    if call is None:
        kernel.count_unknown(name or f"number_{number:#x}")
        thread.lane.core.engine.write(traps.SYSTEM_CALL_RESULT, NO_SYSTEM_CALL)
        return
    kernel.call_counts[name] = kernel.call_counts.get(name, 0) + 1
    arguments = [read(register) for register in traps.SYSTEM_CALL_ARGUMENTS[: call.arguments]]
    first = arguments[0] if arguments else read(traps.SYSTEM_CALL_ARGUMENTS[0])
    thread.call = (number, first)
    finish_call(kernel, thread, lambda: call.function(kernel, thread, *arguments))


def finish_call(kernel, thread: Thread, work) -> None:
    """Run `work` (a call, or the end of its wait); answer the thread or put it to sleep."""
    try:
        result = work()
    except KernelError as error:
        result = -error.errno
    except Interrupted as interruption:
        thread.interrupted = interruption.restart
        return
    except PageWait as block:
        wait = block.wait
        then = wait.finish
        ends = wait.killable  # then only a signal that ends the process can come first
        wait.finish = lambda cause: _again(then, cause, work, ends=ends)
        sleep(kernel, thread, block)
        return
    except Block as block:
        sleep(kernel, thread, block)
        return
    if result is not None and thread.alive:
        engine = thread.lane.core.engine
        engine.write(kernel.isa.traps.SYSTEM_CALL_RESULT, result & WORD_MASK)


def _again(then, cause: Cause, work, *, ends: bool):
    """The page that a call waited for is there: run the call from its start."""
    then(cause)
    return None if ends and cause is Cause.SIGNAL else work()


def _access_again(then, cause: Cause) -> None:
    """What a user access waited for is there, or the signal that it deserves."""
    with suppress(KernelError):  # the registers are the program's own: no result goes into them
        then(cause)


def sleep(kernel, thread: Thread, block: Block) -> None:
    """Put the thread to sleep, unless a signal is there already."""
    wait = block.wait
    if kernel.signals.is_due(thread, wait):
        wait.leave()
        finish_call(kernel, thread, lambda: wait.finish(Cause.SIGNAL))
        return
    kernel.scheduler.sleep(thread, wait)


def finish_wait(kernel, thread: Thread) -> None:
    """The thread has a core again: end the wait that it was in."""
    wait, cause = thread.wait, thread.wake_cause
    assert wait is not None and cause is not None
    thread.wait = thread.wake_cause = None
    finish_call(kernel, thread, lambda: wait.finish(cause))


def page_fault(kernel, thread: Thread, stop: Stop) -> None:
    """Supply the page, or send the signal the access deserves."""
    kernel.fault_counts[FAULT_NAMES[stop.access]] += 1
    thread.process.faults += 1
    try:
        signal = thread.process.space.fault(stop.address, stop.access)
    except PageWait as block:
        then = block.wait.finish
        block.wait.finish = lambda cause: _access_again(then, cause)
        sleep(kernel, thread, block)
        return
    if signal is None:
        return
    info = SignalInfo(signal.number, signal.code, address=signal.address)
    if signal.number == Signal.SIGKILL:
        kernel.end_by_signal(thread, info)
    else:
        kernel.signals.force(thread, info)


def exception(kernel, thread: Thread, stop: Stop) -> None:
    """An instruction that cannot be executed."""
    kernel.memory.charge("exception")
    kernel.fault_counts["exception"] += 1
    thread.fault_detail = stop.detail
    number, code = EXCEPTION_SIGNALS.get(stop.reason, (0, 0))
    for row in kernel.isa.signals.EXCEPTION_SIGNALS:
        if row.reason == stop.reason and stop.detail.startswith(row.detail):
            number, code = row.signal, row.code
            engine = thread.lane.core.engine
            engine.write("pc", engine.read("pc") + row.step_bytes)
            break
    kernel.signals.force(thread, SignalInfo(number, code, address=stop.address))


def clock_read(kernel, thread: Thread, stop: Stop) -> None:
    """rdtsc, CNTVCT: the core's clock, at the node's frequency on every ISA."""
    cycles = kernel.clock.shown_cycles()
    thread.lane.core.engine.complete_clock_read(stop.clock_form, cycles)


def limit(_kernel, _thread: Thread, _stop: Stop) -> None:
    """The turn, the slice or the wait for a timer is over: the turn's loop looks at the clock."""


HANDLERS = {
    Reason.LIMIT: limit,
    Reason.SYSTEM_CALL: system_call,
    Reason.PAGE_FAULT: page_fault,
    Reason.CLOCK_READ: clock_read,
    **dict.fromkeys((*EXCEPTION_SIGNALS, Reason.ILLEGAL, Reason.BREAKPOINT), exception),
}
