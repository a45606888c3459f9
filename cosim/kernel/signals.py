"""Signals: who is told, when a handler runs, and what happens without one.

A signal waits in its process or thread until a thread that does not block it is about to return to
user code; then the ISA package writes a frame of real Linux layout on the user stack.  Job control
is not modelled: stop signals are ignored, as they are by a process without a terminal that nobody
continues.  Core dumps are terminations.

Sources: signal(7), rt_sigaction(2), sigaltstack(2); Linux include/uapi/asm-generic/siginfo.h and
signal.h.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from cosim.engine.interface import Reason
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.task import Process, TaskState, Thread
from cosim.kernel.waiting import Cause, PageWait, Wait

SIGNALS_MAX = 64
SIGNAL_INFO_BYTES = 128


class Signal(IntEnum):
    """Signal numbers; the same on x86-64, AArch64 and RISC-V."""

    SIGHUP = 1
    SIGINT = 2
    SIGQUIT = 3
    SIGILL = 4
    SIGTRAP = 5
    SIGABRT = 6
    SIGBUS = 7
    SIGFPE = 8
    SIGKILL = 9
    SIGUSR1 = 10
    SIGSEGV = 11
    SIGUSR2 = 12
    SIGPIPE = 13
    SIGALRM = 14
    SIGTERM = 15
    SIGSTKFLT = 16
    SIGCHLD = 17
    SIGCONT = 18
    SIGSTOP = 19
    SIGTSTP = 20
    SIGTTIN = 21
    SIGTTOU = 22
    SIGURG = 23
    SIGXCPU = 24
    SIGXFSZ = 25
    SIGVTALRM = 26
    SIGPROF = 27
    SIGWINCH = 28
    SIGIO = 29
    SIGPWR = 30
    SIGSYS = 31


IGNORED_BY_DEFAULT = frozenset(
    (Signal.SIGCHLD, Signal.SIGURG, Signal.SIGWINCH, Signal.SIGCONT,
     Signal.SIGSTOP, Signal.SIGTSTP, Signal.SIGTTIN, Signal.SIGTTOU)
)  # fmt: skip
FAULTS = frozenset((Signal.SIGSEGV, Signal.SIGBUS, Signal.SIGILL, Signal.SIGFPE, Signal.SIGTRAP))
UNBLOCKABLE = 1 << Signal.SIGKILL - 1 | 1 << Signal.SIGSTOP - 1

DEFAULT_HANDLER = 0
IGNORE_HANDLER = 1

SA_SIGINFO = 0x0000_0004
SA_RESTORER = 0x0400_0000
SA_ONSTACK = 0x0800_0000
SA_RESTART = 0x1000_0000
SA_NODEFER = 0x4000_0000
SA_RESETHAND = 0x8000_0000

SS_ONSTACK = 1
SS_DISABLE = 2
SS_AUTODISARM = 1 << 31
STACK_BYTES_MIN = 2048

SI_USER = 0
SI_KERNEL = 0x80
SI_TKILL = -6
SEGV_MAPERR, SEGV_ACCERR = 1, 2
BUS_ADRALN, BUS_ADRERR = 1, 2
ILL_ILLOPC, ILL_ILLOPN = 1, 2
FPE_INTDIV = 1
TRAP_BRKPT = 1

CODE_MEANINGS: dict[tuple[int, int], str] = {
    (Signal.SIGSEGV, SEGV_MAPERR): "address not mapped",
    (Signal.SIGSEGV, SEGV_ACCERR): "access not permitted by the mapping",
    (Signal.SIGBUS, BUS_ADRALN): "misaligned address",
    (Signal.SIGBUS, BUS_ADRERR): "address without memory behind it",
    (Signal.SIGILL, ILL_ILLOPC): "illegal instruction",
    (Signal.SIGILL, ILL_ILLOPN): "illegal instruction",
    (Signal.SIGFPE, FPE_INTDIV): "integer division error",
    (Signal.SIGTRAP, TRAP_BRKPT): "breakpoint",
}


class SignalInfo(NamedTuple):
    """What a handler learns.  address: of a fault.  value: exit status or queued value."""

    number: int
    code: int = SI_USER
    sender: int = 0
    address: int = 0
    value: int = 0

    def pack(self) -> bytes:
        """The 128 bytes of a siginfo_t."""
        head = struct.pack("<iii4x", self.number, 0, self.code)
        if self.number in FAULTS and self.code > 0:
            body = struct.pack("<Q", self.address)
        else:
            body = struct.pack("<iIQ", self.sender, 0, self.value)
        return (head + body).ljust(SIGNAL_INFO_BYTES, b"\0")


@dataclass(frozen=True)
class Action:
    """What rt_sigaction set for one signal."""

    handler: int = DEFAULT_HANDLER
    flags: int = 0
    restorer: int = 0
    mask: int = 0


DEFAULT_ACTION = Action()


class ExceptionSignal(NamedTuple):
    """The signal of an exception whose Stop.detail begins with `detail`; step_bytes: added to the
    PC before.
    """

    reason: Reason
    detail: str
    signal: Signal
    code: int
    step_bytes: int = 0


@dataclass(frozen=True)
class Delivery:
    """What the ISA package needs to write a signal frame.

    stack_top: where the frame goes below; 0 = the interrupted stack.  mask: to be restored by the
    return. restorer: address of code that calls rt_sigreturn.
    """

    info: SignalInfo
    handler: int
    flags: int
    restorer: int
    mask: int
    alternate_stack: tuple[int, int, int]
    stack_top: int


def bit(number: int) -> int:
    """Mask bit of a signal."""
    return 1 << number - 1


def name_of(number: int) -> str:
    """SIGSEGV, or SIG40 for a real-time signal."""
    return Signal(number).name if number in Signal._value2member_map_ else f"SIG{number}"


class Signals:
    """Posting and delivering for one kernel."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        self._isa = kernel.isa
        self.delivered = 0

    def action(self, process: Process, number: int) -> Action:
        """What the process wants for a signal."""
        return process.actions.get(number, DEFAULT_ACTION)

    def is_ignored(self, process: Process, number: int) -> bool:
        """True when posting the signal has no effect at all."""
        handler = self.action(process, number).handler
        return handler == IGNORE_HANDLER or (
            handler == DEFAULT_HANDLER and number in IGNORED_BY_DEFAULT
        )

    def post(self, process: Process, info: SignalInfo, thread: Thread | None = None) -> None:
        """Send a signal to a process, or to one thread of it."""
        candidates = [thread] if thread is not None else process.threads
        waiting_for_it = any(t.mask & bit(info.number) for t in candidates)
        if self.is_ignored(process, info.number) and not waiting_for_it:
            return
        queue = thread.pending if thread is not None else process.pending
        if info.number < 32 and any(other.number == info.number for other in queue):
            return  # ordinary signals do not queue up
        queue.append(info)
        for candidate in candidates:
            wait = candidate.wait
            if wait is not None and wait.killable and not self.is_fatal(process, info.number):
                continue
            wanted = wait.signals if wait is not None else 0
            if bit(info.number) & (~candidate.mask | wanted):
                if candidate.state is TaskState.WAITING:
                    self._kernel.scheduler.wake(candidate, Cause.SIGNAL)
                break

    def force(self, thread: Thread, info: SignalInfo) -> None:
        """A synchronous fault: a blocked or ignored signal gets its default action (the process
        ends).
        """
        action = self.action(thread.process, info.number)
        if thread.mask & bit(info.number) or action.handler == IGNORE_HANDLER:
            thread.process.actions.pop(info.number, None)
            thread.mask &= ~bit(info.number)
        thread.pending.insert(0, info)

    def forget(self, process: Process, number: int) -> None:
        """Drop what is pending of a signal that has become ignored."""
        for queue in (process.pending, *(thread.pending for thread in process.threads)):
            queue[:] = [info for info in queue if info.number != number]

    def is_due(self, thread: Thread, wait: Wait) -> bool:
        """Is a signal pending that the thread does not block, and that may end this wait?"""
        pending = (*thread.pending, *thread.process.pending)
        return any(
            bit(info.number) & ~thread.mask
            and (not wait.killable or self.is_fatal(thread.process, info.number))
            for info in pending
        )

    def is_fatal(self, process: Process, number: int) -> bool:
        """Does the signal end the process?"""
        default = self.action(process, number).handler == DEFAULT_HANDLER
        return default and not self.is_ignored(process, number)

    def take(self, thread: Thread, wanted: int) -> SignalInfo | None:
        """Remove and return the pending signal in the set `wanted` with the lowest number; None
        without one.
        """
        found = [
            (info.number, place, queue)
            for queue in (thread.pending, thread.process.pending)
            for place, info in enumerate(queue)
            if bit(info.number) & wanted
        ]
        if not found:
            return None
        _, place, queue = min(found, key=lambda item: (item[0] not in FAULTS, item[0]))
        return queue.pop(place)

    def deliver(self, thread: Thread) -> None:
        """Before `thread` returns to user code: act on what is pending; sets up at most the
        handlers that nest.
        """
        interrupted = thread.interrupted
        thread.interrupted = None
        while thread.alive:
            info = self.take(thread, ~thread.mask)
            if info is None:
                break
            action = self.action(thread.process, info.number)
            if self.is_ignored(thread.process, info.number):
                continue
            if action.handler == DEFAULT_HANDLER:
                self._kernel.end_by_signal(thread, info)
                return
            if interrupted is not None:
                self._end_call(thread, restart=interrupted and bool(action.flags & SA_RESTART))
                interrupted = None
            try:
                self._run_handler(thread, info, action)
            except PageWait:  # a page of the stack is elsewhere: the signal is still to come
                thread.pending.insert(0, info)
                raise
        if thread.mask_to_restore is not None:
            thread.mask, thread.mask_to_restore = thread.mask_to_restore, None
        if interrupted is not None:
            self._end_call(thread, restart=interrupted)

    def _end_call(self, thread: Thread, restart: bool) -> None:
        """Answer EINTR, or put the thread back to the system-call instruction."""
        engine = thread.lane.core.engine
        traps = self._isa.traps
        if not restart:
            engine.write(traps.SYSTEM_CALL_RESULT, -Errno.EINTR & 0xFFFF_FFFF_FFFF_FFFF)
            return
        number, first = thread.call
        engine.write(traps.SYSTEM_CALL_ARGUMENTS[0], first)
        engine.write(traps.SYSTEM_CALL_NUMBER, number)
        engine.write("pc", engine.read("pc") - traps.SYSTEM_CALL_LENGTH_BYTES)

    def _run_handler(self, thread: Thread, info: SignalInfo, action: Action) -> None:
        """Write the frame and enter the handler; a stack that cannot take it, or no memory for the
        trampoline, ends the process.
        """
        self._kernel.memory.charge("signal_deliver")
        self.delivered += 1
        mask = thread.mask if thread.mask_to_restore is None else thread.mask_to_restore
        thread.mask_to_restore = None
        engine = thread.lane.core.engine
        try:
            delivery = Delivery(
                info, action.handler, action.flags, self._restorer(thread, action), mask,
                self.stack_now(thread), self._stack_top(thread, action, engine.read("sp")),
            )  # fmt: skip
            self._isa.signals.push(engine, thread.process.space, delivery)
        except KernelError:
            self._kernel.end_by_signal(thread, SignalInfo(Signal.SIGSEGV, SI_KERNEL))
            return
        thread.mask |= action.mask
        if not action.flags & SA_NODEFER:
            thread.mask |= bit(info.number)
        thread.mask &= ~UNBLOCKABLE
        if action.flags & SA_RESETHAND:
            thread.process.actions.pop(info.number, None)
        if thread.alternate_stack[1] & SS_AUTODISARM:
            thread.alternate_stack = (0, SS_DISABLE, 0)

    def _restorer(self, thread: Thread, action: Action) -> int:
        if action.flags & SA_RESTORER and action.restorer:
            return action.restorer
        return self._kernel.trampoline(thread.process)

    def stack_now(self, thread: Thread) -> tuple[int, int, int]:
        """The alternate stack as sigaltstack reports it: flags say whether the thread is on it."""
        base, flags, size = thread.alternate_stack
        if self._is_on_stack(thread, thread.lane.core.engine.read("sp")):
            flags |= SS_ONSTACK
        return base, flags, size

    def _is_on_stack(self, thread: Thread, stack_pointer: int) -> bool:
        base, flags, size = thread.alternate_stack
        if flags & (SS_DISABLE | SS_AUTODISARM):
            return False
        return base < stack_pointer <= base + size

    def _stack_top(self, thread: Thread, action: Action, stack_pointer: int) -> int:
        base, flags, size = thread.alternate_stack
        if (
            not action.flags & SA_ONSTACK
            or flags & SS_DISABLE
            or self._is_on_stack(thread, stack_pointer)
        ):
            return 0
        return base + size

    def leave(self, thread: Thread) -> None:
        """rt_sigreturn: everything as it was; a damaged frame ends the process."""
        self._kernel.memory.charge("signal_return")
        try:
            mask, stack = self._isa.signals.pop(thread.lane.core.engine, thread.process.space)
        except KernelError:
            self._kernel.end_by_signal(thread, SignalInfo(Signal.SIGSEGV, SI_KERNEL))
            return
        thread.mask = mask & ~UNBLOCKABLE
        thread.alternate_stack = (stack[0], stack[1] & ~SS_ONSTACK, stack[2])
