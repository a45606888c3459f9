"""System calls on signals."""

import struct

from cosim.kernel.calls.table import Call, read_time_ns, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import (
    SI_TKILL,
    SIGNALS_MAX,
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
    STACK_BYTES_MIN,
    UNBLOCKABLE,
    Action,
    Signal,
    SignalInfo,
    bit,
)
from cosim.kernel.waiting import Block, Cause, Interrupted, Wait
from cosim.units import PS_PER_NS

SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2
SET_BYTES = 8
STACK = struct.Struct("<QIxxxxQ")


def signal_number(number: int, *, zero: bool = False) -> int:
    """A signal's number as a call gets it.  KernelError(EINVAL) when there is none such."""
    number = signed(number)
    if not (0 if zero else 1) <= number <= SIGNALS_MAX:
        raise KernelError(Errno.EINVAL, f"signal {number}")
    return number


def _set_size(size: int) -> None:
    if size != SET_BYTES:
        raise KernelError(Errno.EINVAL, f"signal set of {size} bytes")


def rt_sigaction(kernel, thread, number: int, new: int, old: int, size: int) -> int:
    """rt_sigaction(2)."""
    number = signal_number(number)
    _set_size(size)
    process = thread.process
    tables = kernel.isa.signals
    form = struct.Struct(tables.SIGACTION_FORMAT)
    before = kernel.signals.action(process, number)
    if new:
        if number in (Signal.SIGKILL, Signal.SIGSTOP):
            raise KernelError(Errno.EINVAL, f"signal {number} cannot be handled")
        values = form.unpack(process.space.read(new, form.size))
        process.actions[number] = Action(**dict(zip(tables.SIGACTION_FIELDS, values, strict=True)))
        if kernel.signals.is_ignored(process, number):
            kernel.signals.forget(process, number)
    if old:
        data = form.pack(*(getattr(before, name) for name in tables.SIGACTION_FIELDS))
        process.space.write(old, data)
    return 0


def rt_sigprocmask(_kernel, thread, how: int, new: int, old: int, size: int) -> int:
    """rt_sigprocmask(2)."""
    _set_size(size)
    space = thread.process.space
    before = thread.mask
    if new:
        change = space.read_word(new)
        how = signed(how)
        if how not in (SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK):
            raise KernelError(Errno.EINVAL, f"how {how}")
        masks = {SIG_BLOCK: before | change, SIG_UNBLOCK: before & ~change, SIG_SETMASK: change}
        thread.mask = masks[how] & ~UNBLOCKABLE
    if old:
        space.write_word(old, before)
    return 0


def rt_sigpending(_kernel, thread, buffer: int, size: int) -> int:
    """rt_sigpending(2)."""
    _set_size(size)
    pending = 0
    for info in (*thread.pending, *thread.process.pending):
        pending |= bit(info.number)
    thread.process.space.write_word(buffer, pending & thread.mask)
    return 0


def rt_sigsuspend(_kernel, thread, mask: int, size: int) -> int:
    """rt_sigsuspend(2)."""
    _set_size(size)
    wanted = thread.process.space.read_word(mask) & ~UNBLOCKABLE
    thread.mask_to_restore, thread.mask = thread.mask, wanted
    return _pause("sigsuspend")


def pause(_kernel, _thread) -> int:
    """pause(2)."""
    return _pause("pause")


def _pause(reason: str) -> int:
    def finish(_cause: Cause) -> int:
        raise Interrupted(restart=False)

    raise Block(Wait(reason, finish))


def rt_sigtimedwait(kernel, thread, wanted: int, info: int, timeout: int, size: int) -> int:
    """rt_sigtimedwait(2)."""
    _set_size(size)
    space = thread.process.space
    mask = space.read_word(wanted) & ~UNBLOCKABLE
    deadline_ps = None
    if timeout:
        deadline_ps = kernel.clock.now_ps() + read_time_ns(space, timeout) * PS_PER_NS

    def attempt() -> int | None:
        found = kernel.signals.take(thread, mask)
        if found is None:
            return None
        if info:
            space.write(info, found.pack())
        return found.number

    def finish(cause: Cause) -> int:
        number = attempt()
        if number is not None:
            return number
        if cause is Cause.TIMEOUT:
            raise KernelError(Errno.EAGAIN)
        raise Interrupted(restart=False)

    number = attempt()
    if number is not None:
        return number
    if deadline_ps is not None and deadline_ps <= kernel.clock.now_ps():
        raise KernelError(Errno.EAGAIN)
    raise Block(Wait("sigtimedwait", finish, deadline_ps, signals=mask))


def rt_sigreturn(kernel, thread) -> None:
    """rt_sigreturn(2)."""
    kernel.signals.leave(thread)


def sigaltstack(kernel, thread, new: int, old: int) -> int:
    """sigaltstack(2)."""
    space = thread.process.space
    now = kernel.signals.stack_now(thread)
    if new:
        base, flags, size = STACK.unpack(space.read(new, STACK.size))
        if now[1] & SS_ONSTACK:
            raise KernelError(Errno.EPERM, "the alternate stack is in use")
        if flags & ~(SS_DISABLE | SS_ONSTACK | SS_AUTODISARM):
            raise KernelError(Errno.EINVAL, f"stack flags {flags:#x}")
        if flags & SS_DISABLE:
            base = size = 0
        elif size < STACK_BYTES_MIN:
            raise KernelError(Errno.ENOMEM, f"stack of {size} bytes")
        thread.alternate_stack = (base, flags & ~SS_ONSTACK, size)
    if old:
        space.write(old, STACK.pack(*now))
    return 0


def kill(kernel, thread, pid: int, number: int) -> int:
    """kill(2): one process, or with 0 and -1 every process of this node."""
    pid, number = signed(pid), signal_number(number, zero=True)
    if pid > 0:
        if pid not in kernel.tasks.processes:
            raise KernelError(Errno.ESRCH, f"process {pid}")
        targets = [kernel.tasks.processes[pid]]
    else:
        own = thread.process
        targets = [p for p in kernel.tasks.processes.values() if pid != -1 or p is not own]
    for target in targets:
        if number:
            kernel.signals.post(target, SignalInfo(number, sender=thread.process.pid))
    return 0


def tgkill(kernel, thread, group: int, tid: int, number: int) -> int:
    """tgkill(2)."""
    group, tid, number = signed(group), signed(tid), signal_number(number, zero=True)
    target = kernel.tasks.by_tid.get(tid)
    if target is None or (group > 0 and target.process.pid != group):
        raise KernelError(Errno.ESRCH, f"thread {tid}")
    if number:
        info = SignalInfo(number, SI_TKILL, thread.process.pid)
        kernel.signals.post(target.process, info, target)
    return 0


def tkill(kernel, thread, tid: int, number: int) -> int:
    """tkill(2)."""
    return tgkill(kernel, thread, 0, tid, number)


def rt_sigqueueinfo(kernel, thread, pid: int, number: int, info: int) -> int:
    """rt_sigqueueinfo(2)."""
    pid, number = signed(pid), signal_number(number)
    if pid not in kernel.tasks.processes:
        raise KernelError(Errno.ESRCH, f"process {pid}")
    code, sender, value = struct.unpack("<8xi4xi4xQ", thread.process.space.read(info, 32))
    kernel.signals.post(kernel.tasks.processes[pid], SignalInfo(number, code, sender, value=value))
    return 0


CALLS = {
    "rt_sigaction": Call(rt_sigaction, 4),
    "rt_sigprocmask": Call(rt_sigprocmask, 4),
    "rt_sigpending": Call(rt_sigpending, 2),
    "rt_sigsuspend": Call(rt_sigsuspend, 2),
    "rt_sigtimedwait": Call(rt_sigtimedwait, 4),
    "rt_sigreturn": Call(rt_sigreturn, 0),
    "rt_sigqueueinfo": Call(rt_sigqueueinfo, 3),
    "sigaltstack": Call(sigaltstack, 2),
    "pause": Call(pause, 0),
    "kill": Call(kill, 2),
    "tkill": Call(tkill, 2),
    "tgkill": Call(tgkill, 3),
}
