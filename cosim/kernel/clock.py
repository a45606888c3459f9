"""Clocks and timers, all in virtual time.

The monotonic clock is the core's exact local time; the real-time clock adds a fixed epoch, so that
dates are the same in every run.  CPU clocks count a thread's cycles on its core.  Timers belong to
a core: they fire at the first instruction boundary of that core at or after their time.

With time.guest_clock=instructions, what clocks show leaves out the cycles of memory, so that it
does not depend on the caches; timers and waits still last as long in virtual time.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.time_dependence import TimeDependence
from cosim.units import PS_PER_NS, ps_of_cycles

NS_PER_SECOND = 10**9
EPOCH_S = 1_735_689_600  # 2025-01-01 00:00:00 UTC: the real-time clock at virtual time 0
TICKS_PER_SECOND = 100  # USER_HZ: unit of times()
SLACK_NS_MAX = 1 << 62  # longer timeouts mean "for ever"


class ClockId(IntEnum):
    """CLOCK_* of Linux (include/uapi/linux/time.h)."""

    REALTIME = 0
    MONOTONIC = 1
    PROCESS_CPUTIME = 2
    THREAD_CPUTIME = 3
    MONOTONIC_RAW = 4
    REALTIME_COARSE = 5
    MONOTONIC_COARSE = 6
    BOOTTIME = 7
    REALTIME_ALARM = 8
    BOOTTIME_ALARM = 9
    TAI = 11


REAL = frozenset((ClockId.REALTIME, ClockId.REALTIME_COARSE, ClockId.REALTIME_ALARM, ClockId.TAI))
CPU = frozenset((ClockId.PROCESS_CPUTIME, ClockId.THREAD_CPUTIME))


def clock_id(number: int) -> ClockId:
    """The clock with this number.  KernelError(EINVAL) for one that does not exist (dynamic CPU
    clocks neither).
    """
    try:
        return ClockId(number)
    except ValueError:
        raise KernelError(Errno.EINVAL, f"clock {number}") from None


@dataclass(eq=False)
class Timer:
    """One armed timer; `expire(timer)` runs when it fires, in the kernel of its core."""

    at_ps: int
    expire: Callable[["Timer"], None]
    active: bool = True


class TimerQueue:
    """The timers of one core, earliest first; equal times in the order they were armed."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0

    def arm(self, at_ps: int, expire: Callable[[Timer], None]) -> Timer:
        """A new timer."""
        timer = Timer(at_ps, expire)
        self._count += 1
        heapq.heappush(self._heap, (at_ps, self._count, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """The timer will not fire; harmless when it did or when there is none."""
        if timer is not None:
            timer.active = False

    def earliest_ps(self) -> int | None:
        """When the next timer fires, None without one."""
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ps: int) -> Timer | None:
        """The earliest timer that is due at `now_ps`, taken out; None when none is."""
        earliest = self.earliest_ps()
        if earliest is None or earliest > now_ps:
            return None
        timer = heapq.heappop(self._heap)[2]
        timer.active = False
        return timer


@dataclass(eq=False)
class IntervalTimer:
    """ITIMER_REAL and alarm: the armed timer and its period (0 = once)."""

    timer: Timer
    period_ps: int


class Clock:
    """Reads the clocks in the name of a thread on the core that runs it."""

    def __init__(self, memory, frequency_hz: int, time_dependence: TimeDependence) -> None:
        self._memory = memory
        self.frequency_hz = frequency_hz
        self._time_dependence = time_dependence

    def now_ps(self) -> int:
        """Exact local time of the current core, from which timers and waits are counted."""
        self._time_dependence.arises("a program or kernel waits for a time, or looks at it")
        return self._memory.core.now_ps()

    def shown_cycles(self) -> int:
        """The current core's clock as a guest reads it, in cycles."""
        self._time_dependence.shown()
        return self._memory.core.shown_cycles()

    def shown_ps(self) -> int:
        """The same as a time."""
        return ps_of_cycles(self.shown_cycles(), self.frequency_hz)

    def now_ns(self, clock: ClockId, thread) -> int:
        """What `clock` shows to `thread`, in ns."""
        if clock in CPU:
            cycles = self.thread_cycles(thread)
            if clock is ClockId.PROCESS_CPUTIME:
                cycles = self.process_cycles(thread.process)
            return ps_of_cycles(cycles, self.frequency_hz) // PS_PER_NS
        now_ns = self.shown_ps() // PS_PER_NS
        return now_ns + EPOCH_S * NS_PER_SECOND if clock in REAL else now_ns

    def thread_cycles(self, thread) -> int:
        """Busy cycles `thread` has used, up to now, as clocks show them."""
        self._time_dependence.shown()
        lane = thread.lane
        if lane.current is not thread:
            return thread.cpu_cycles
        return thread.cpu_cycles + lane.core.shown_busy_cycles() - lane.busy_at_switch

    def process_cycles(self, process) -> int:
        """Busy cycles of all threads of a process, dead ones included."""
        living = sum(self.thread_cycles(thread) for thread in process.threads)
        return living + process.cpu_cycles_of_dead_threads

    def deadline_ps(self, clock: ClockId, time_ns: int, absolute: bool) -> int | None:
        """Virtual time at which a wait for `time_ns` on `clock` ends; None: never comes."""
        if time_ns > SLACK_NS_MAX:
            return None
        if not absolute:
            return self.now_ps() + time_ns * PS_PER_NS
        if clock in REAL:
            time_ns -= EPOCH_S * NS_PER_SECOND
        if self._time_dependence.counts_instructions:  # the clock is behind virtual time
            return self.now_ps() + max(0, time_ns * PS_PER_NS - self.shown_ps())
        return max(0, time_ns) * PS_PER_NS
