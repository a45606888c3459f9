"""System calls on time: clocks, sleeping, interval timers, resource usage."""

import struct

from cosim.kernel.calls.table import (
    Call,
    microtime_bytes,
    read_time_ns,
    time_bytes,
)
from cosim.kernel.clock import (
    CPU,
    NS_PER_SECOND,
    TICKS_PER_SECOND,
    ClockId,
    IntervalTimer,
    clock_id,
)
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import SI_KERNEL, Signal, SignalInfo
from cosim.kernel.waiting import Block, Cause, Interrupted, Wait
from cosim.units import PS_PER_NS, ps_of_cycles

TIMER_ABSTIME = 1
ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF = 0, 1, 2
TIMEVALS = struct.Struct("<qqqq")
RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD = 0, -1, 1
NS_PER_TICK = NS_PER_SECOND // TICKS_PER_SECOND


def clock_gettime(kernel, thread, clock: int, buffer: int) -> int:
    """clock_gettime(2)."""
    kernel.memory.charge("clock_read")
    time_ns = kernel.clock.now_ns(clock_id(clock), thread)
    thread.process.space.write(buffer, time_bytes(time_ns))
    return 0


def clock_getres(_kernel, thread, clock: int, buffer: int) -> int:
    """clock_getres(2): 1 ns."""
    clock_id(clock)
    if buffer:
        thread.process.space.write(buffer, time_bytes(1))
    return 0


def clock_settime(_kernel, _thread, clock: int, _buffer: int) -> int:
    """clock_settime(2): virtual time cannot be set."""
    clock_id(clock)
    raise KernelError(Errno.EPERM, "virtual time cannot be set")


def gettimeofday(kernel, thread, time: int, zone: int) -> int:
    """gettimeofday(2)."""
    kernel.memory.charge("clock_read")
    if time:
        now_ns = kernel.clock.now_ns(ClockId.REALTIME, thread)
        thread.process.space.write(time, microtime_bytes(now_ns))
    if zone:
        thread.process.space.write(zone, bytes(8))
    return 0


def time(kernel, thread, buffer: int) -> int:
    """time(2)."""
    kernel.memory.charge("clock_read")
    seconds = kernel.clock.now_ns(ClockId.REALTIME, thread) // NS_PER_SECOND
    if buffer:
        thread.process.space.write_word(buffer, seconds)
    return seconds


def _sleep(kernel, thread, clock: ClockId, time_ns: int, absolute: bool, remaining: int) -> int:
    deadline_ps = kernel.clock.deadline_ps(clock, time_ns, absolute)

    def finish(cause: Cause) -> int:
        if cause is Cause.TIMEOUT:
            return 0
        if remaining and not absolute:
            left_ns = (deadline_ps - kernel.clock.now_ps()) // PS_PER_NS if deadline_ps else time_ns
            thread.process.space.write(remaining, time_bytes(max(0, left_ns)))
        raise Interrupted(restart=False)

    if deadline_ps is not None and deadline_ps <= kernel.clock.now_ps():
        return 0
    raise Block(Wait("sleep", finish, deadline_ps))


def nanosleep(kernel, thread, wanted: int, remaining: int) -> int:
    """nanosleep(2)."""
    time_ns = read_time_ns(thread.process.space, wanted)
    return _sleep(kernel, thread, ClockId.MONOTONIC, time_ns, False, remaining)


def clock_nanosleep(kernel, thread, clock: int, flags: int, wanted: int, remaining: int) -> int:
    """clock_nanosleep(2): on every clock that runs while the thread sleeps."""
    number = clock_id(clock)
    if number in CPU:
        raise KernelError(Errno.EOPNOTSUPP, "sleeping on a CPU clock")
    time_ns = read_time_ns(thread.process.space, wanted)
    return _sleep(kernel, thread, number, time_ns, bool(flags & TIMER_ABSTIME), remaining)


def _arm(kernel, thread, delay_ps: int, period_ps: int) -> None:
    """Start the process's real-time interval timer."""
    process = thread.process
    lane = thread.lane

    def expire(timer) -> None:
        kernel.memory.charge("timer_operation")
        process.interval_timers.pop(ITIMER_REAL, None)
        if not process.threads:
            return
        kernel.signals.post(process, SignalInfo(Signal.SIGALRM, SI_KERNEL))
        if period_ps:
            following = lane.timers.arm(timer.at_ps + period_ps, expire)
            process.interval_timers[ITIMER_REAL] = IntervalTimer(following, period_ps)

    kernel.memory.charge("timer_operation")
    timer = lane.timers.arm(kernel.clock.now_ps() + delay_ps, expire)
    process.interval_timers[ITIMER_REAL] = IntervalTimer(timer, period_ps)


def _disarm(kernel, thread) -> tuple[int, int]:
    """Stop the timer; (time left, period) in ns, 0 when it was not armed."""
    armed = thread.process.interval_timers.pop(ITIMER_REAL, None)
    if armed is None:
        return 0, 0
    thread.lane.timers.cancel(armed.timer)
    left_ps = max(1000, armed.timer.at_ps - kernel.clock.now_ps())
    return left_ps // PS_PER_NS, armed.period_ps // PS_PER_NS


def alarm(kernel, thread, seconds: int) -> int:
    """alarm(2)."""
    left_ns, _ = _disarm(kernel, thread)
    if seconds & 0xFFFF_FFFF:
        _arm(kernel, thread, (seconds & 0xFFFF_FFFF) * NS_PER_SECOND * PS_PER_NS, 0)
    return -(-left_ns // NS_PER_SECOND)


def setitimer(kernel, thread, which: int, new: int, old: int) -> int:
    """setitimer(2): ITIMER_REAL; the CPU-time ones do not exist."""
    if which != ITIMER_REAL:
        raise KernelError(Errno.EINVAL, f"interval timer {which}")
    space = thread.process.space
    period_s, period_us, delay_s, delay_us = (
        TIMEVALS.unpack(space.read(new, 32)) if new else (0,) * 4
    )
    if not (0 <= period_us < 10**6 and 0 <= delay_us < 10**6 and period_s >= 0 and delay_s >= 0):
        raise KernelError(Errno.EINVAL, "interval")
    left_ns, old_period_ns = _disarm(kernel, thread)
    if old:
        space.write(old, microtime_bytes(old_period_ns) + microtime_bytes(left_ns))
    if delay_s or delay_us:
        microsecond_ps = 1000 * PS_PER_NS
        _arm(
            kernel,
            thread,
            (delay_s * 10**6 + delay_us) * microsecond_ps,
            (period_s * 10**6 + period_us) * microsecond_ps,
        )
    return 0


def getitimer(kernel, thread, which: int, buffer: int) -> int:
    """getitimer(2)."""
    armed = thread.process.interval_timers.get(which)
    left_ns = period_ns = 0
    if armed is not None:
        left_ns = max(0, armed.timer.at_ps - kernel.clock.now_ps()) // PS_PER_NS
        period_ns = armed.period_ps // PS_PER_NS
    thread.process.space.write(buffer, microtime_bytes(period_ns) + microtime_bytes(left_ns))
    return 0


def times(kernel, thread, buffer: int) -> int:
    """times(2): all CPU time counts as user time."""
    cycles = kernel.clock.process_cycles(thread.process)
    ticks = ps_of_cycles(cycles, kernel.frequency_hz) // PS_PER_NS // NS_PER_TICK
    if buffer:
        thread.process.space.write(buffer, struct.pack("<qqqq", ticks, 0, 0, 0))
    return kernel.clock.shown_ps() // PS_PER_NS // NS_PER_TICK


def getrusage(kernel, thread, who: int, buffer: int) -> int:
    """getrusage(2): CPU time and page faults; the rest is 0."""
    who = who - (1 << 32) if who >> 31 & 1 else who
    if who not in (RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD):
        raise KernelError(Errno.EINVAL, f"who {who}")
    cpu_ns = faults = 0
    if who != RUSAGE_CHILDREN:
        clock = ClockId.THREAD_CPUTIME if who == RUSAGE_THREAD else ClockId.PROCESS_CPUTIME
        cpu_ns = kernel.clock.now_ns(clock, thread)
        faults = thread.process.faults
    fields = struct.pack("<14q", 0, 0, 0, 0, faults, *([0] * 9))
    thread.process.space.write(buffer, microtime_bytes(cpu_ns) + bytes(16) + fields)
    return 0


CALLS = {
    "clock_gettime": Call(clock_gettime, 2),
    "clock_getres": Call(clock_getres, 2),
    "clock_settime": Call(clock_settime, 2),
    "gettimeofday": Call(gettimeofday, 2),
    "time": Call(time, 1),
    "nanosleep": Call(nanosleep, 2),
    "clock_nanosleep": Call(clock_nanosleep, 4),
    "alarm": Call(alarm, 1),
    "setitimer": Call(setitimer, 3),
    "getitimer": Call(getitimer, 2),
    "times": Call(times, 1),
    "getrusage": Call(getrusage, 2),
}
