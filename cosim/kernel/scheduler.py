"""Which thread runs on which core: one first-in first-out queue per core, time slices only while
somebody waits.

A thread belongs to one core.  Waking a thread of another core is an interprocessor interrupt whose
payload is the thread id: it enters that core's queue when the interrupt arrives there, so no core
ever sees a wake from its future.

Cores of a node share no queue.  Threads find a core by three rules, among those that their affinity
allows, by what the RUN_QUEUE lines say:
- a new thread goes to the core with the least to run;
- a thread that wakes stays on its core, unless that is busy and another one idle;
- when a slice ends, the thread that has waited longest goes to an idle core, if there is one.
A thread never leaves its node here: only migrate_call does that.
"""

from collections import deque
from collections.abc import Sequence

from cosim.broker import Function
from cosim.kernel.clock import TimerQueue
from cosim.kernel.run_queues import RunQueues
from cosim.kernel.task import TaskState, Thread
from cosim.kernel.waiting import Cause, Wait
from cosim.units import PAGE_SHIFT

HURRY_SHARE = 100  # the part of a slice that a thread gets which others may be spinning for


class Lane:
    """Everything the scheduler keeps for one core.

    current: the thread that has the core.  loaded: the thread whose registers are in the engine (it
    stays loaded while nobody else needs the core).  slice_end_cycles: when `current` must let
    others run.
    """

    def __init__(self, core) -> None:
        self.core = core
        self.queue: deque[Thread] = deque()
        self.current: Thread | None = None
        self.loaded: Thread | None = None
        self.loaded_space = None
        self.generation = 0  # of the loaded space's translations
        self.timers = TimerQueue()
        self.slice_end_cycles = 0
        self.hurried = 0  # threads that get short slices, see Scheduler.wake_first
        self.busy_at_switch = 0
        self.threads = 0  # living threads that belong here
        self.interrupts: list[dict] = []  # on their way, by time
        self.arrived: deque[int] = deque()  # source cores of USER interrupts nobody waited for
        self.ipi_waiters: list[Thread] = []


class Scheduler:
    """Queues, sleeping and waking for the cores of one node.

    slice_cycles: time slice.  send: kernel's send_interrupt(target core, function, payload).
    first_processor: number of the node's first core as programs count them.
    """

    def __init__(
        self, memory, frames, tasks, cores: list, slice_cycles: int, send, first_processor: int = 0
    ) -> None:
        self._memory = memory
        self._tasks = tasks
        self._send = send
        self.first_processor = first_processor
        self.slice_cycles = slice_cycles
        self.lanes = [Lane(core) for core in cores]
        self.by_core = {lane.core.index: lane for lane in self.lanes}
        self.context_switches = self.moves = 0
        several = len(cores) > 1
        self._queues = RunQueues(memory, frames, self.by_core) if several else None

    # --- which core ---

    def allowed(self, affinity: int) -> list[Lane]:
        """The cores of this node in a set of processors; all, when it names none of them."""
        mask = affinity >> self.first_processor
        return [lane for i, lane in enumerate(self.lanes) if mask >> i & 1] or self.lanes

    def emptiest(self, affinity: int = 0) -> Lane:
        """The core with the least to run; of equal ones, with the fewest threads; the first."""
        lanes = self.allowed(affinity)
        if self._queues is None or len(lanes) == 1:
            return lanes[0]
        return min(lanes, key=lambda lane: (self._runnable(lane), lane.threads))

    def _runnable(self, lane: Lane) -> int:
        assert self._queues is not None
        return self._queues.runnable(lane.core.index)

    def _count(self, lane: Lane, change: int) -> None:
        if self._queues is not None:
            self._queues.count(lane.core.index, change)

    def _place(self, thread: Thread) -> None:
        """Choose the core on which a thread that waited goes on."""
        if self._queues is None:
            return
        lanes, own = self.allowed(thread.affinity), thread.lane
        if own not in lanes:
            self._move(thread, self.emptiest(thread.affinity))
            return
        if len(lanes) == 1:
            return
        self._memory.charge("scheduler_place")
        if self._runnable(own):
            idle = (lane for lane in lanes if lane is not own and not self._runnable(lane))
            self._move(thread, next(idle, own))

    def _move(self, thread: Thread, lane: Lane) -> None:
        """A thread that is in no queue belongs to another core from now on."""
        before = thread.lane
        if lane is before:
            return
        if before.loaded is thread:
            self.unload(before)
        before.threads -= 1
        lane.threads += 1
        thread.lane = lane
        self._tasks.runs_on(thread, lane.core.index)
        self.moves += 1

    def take_to(self, thread: Thread, lane: Lane) -> None:
        """A thread that came to this node while its part here waited belongs to the core it came
        to.
        """
        if thread.state is TaskState.WAITING and self._queues is not None:
            self._move(thread, lane)

    def restrict(self, thread: Thread, affinity: int) -> None:
        """A thread may use only these processors; one that is on another leaves it."""
        self._tasks.set_affinity(thread, affinity)
        lane = thread.lane
        if self._queues is None or lane in self.allowed(affinity):
            return
        if thread in lane.queue:
            lane.queue.remove(thread)
            self._leave_for_another(thread)
        elif lane.current is thread and lane.core is not self._memory.core:
            self._send(lane.core.index, Function.RESCHEDULE, 0)  # it sees to that: evict

    def evict(self, lane: Lane) -> None:
        """The current thread leaves a core that it may not use any more."""
        thread = lane.current
        if thread is not None and thread.affinity and lane not in self.allowed(thread.affinity):
            self._leave_core(thread)
            self._leave_for_another(thread)

    def _leave_for_another(self, thread: Thread) -> None:
        """A runnable thread that is in no queue any more goes where _place says."""
        self._count(thread.lane, -1)
        self._make_runnable(thread)

    def _shed(self, lane: Lane) -> None:
        """Give the thread that has waited longest to an idle core."""
        if self._queues is None:
            return
        self._memory.charge("scheduler_place")
        idle = [other for other in self.lanes if other is not lane and not self._runnable(other)]
        for thread in tuple(lane.queue)[:-1]:  # the last one has just had the core
            target = next((t for t in self.allowed(thread.affinity) if t in idle), None)
            if target is not None:
                lane.queue.remove(thread)
                self._count(lane, -1)
                self._move(thread, target)
                self._start(thread)
                return

    # --- becoming runnable ---

    def admit(self, thread: Thread) -> None:
        """A new thread, ready to run on its core."""
        thread.lane.threads += 1
        if self._memory.core is None:  # loaded before the machine started
            self._count(thread.lane, 1)
            thread.lane.queue.append(thread)
        else:
            self._make_runnable(thread)

    def _make_runnable(self, thread: Thread) -> None:
        self._memory.charge("scheduler_enqueue")
        self._place(thread)
        self._start(thread)

    def _start(self, thread: Thread) -> None:
        """Into the queue of its core, or on the way to it."""
        self._count(thread.lane, 1)
        if thread.lane.core is self._memory.core:
            self._tasks.set_state(thread, TaskState.RUNNABLE)
            self.enqueue(thread)
        else:
            self._tasks.set_state(thread, TaskState.WAKING)
            self._send(thread.lane.core.index, Function.RESCHEDULE, thread.tid)

    def enqueue(self, thread: Thread) -> None:
        """Last in the queue of its core; the slice of whoever runs there starts now if it ran
        alone.
        """
        lane = thread.lane
        if lane.current is not None and not lane.queue:
            lane.slice_end_cycles = lane.core.now_cycles() + self.slice_cycles
        lane.queue.append(thread)

    def arrive(self, tid: int) -> None:
        """A RESCHEDULE interrupt for thread `tid` reached this core."""
        thread = self._tasks.by_tid.get(tid)
        if thread is None or thread.state is not TaskState.WAKING:
            return
        if thread.lane.core is not self._memory.core:
            return  # an interrupt that was on its way before the thread went to another core
        if thread.lane not in self.allowed(thread.affinity):
            self._leave_for_another(thread)
            return
        self._tasks.set_state(thread, TaskState.RUNNABLE)
        self.enqueue(thread)

    def sleep(self, thread: Thread, wait: Wait) -> None:
        """The current thread gives up its core until `wait` ends."""
        self._memory.charge("scheduler_enqueue")
        thread.wait = wait
        self._count(thread.lane, -1)
        self._tasks.set_state(thread, TaskState.WAITING)
        if wait.deadline_ps is not None:
            self._memory.charge("timer_operation")
            thread.timer = thread.lane.timers.arm(
                wait.deadline_ps, lambda _: self.wake(thread, Cause.TIMEOUT)
            )
        self._leave_core(thread)

    def wake(self, thread: Thread, cause: Cause) -> bool:
        """End a thread's wait; False when it was not waiting."""
        if thread.state is not TaskState.WAITING:
            return False
        assert thread.wait is not None
        thread.wait.leave()
        thread.wake_cause = cause
        thread.lane.timers.cancel(thread.timer)
        thread.timer = None
        self._make_runnable(thread)
        return True

    def wake_first(self, threads: Sequence[Thread], cause: Cause) -> None:
        """Wake threads that others may be spinning for: they go before everybody else on their
        core, in this order and for a short while each, and whoever has the core gives it up.
        """
        for thread in reversed(threads):
            lane = thread.lane
            if self.wake(thread, cause) and thread in lane.queue:
                lane.queue.remove(thread)
                lane.queue.appendleft(thread)
                lane.slice_end_cycles = 0
                lane.hurried += 1

    def yield_core(self, thread: Thread) -> None:
        """The current thread goes to the end of its core's queue, if anybody waits there."""
        lane = thread.lane
        if lane.queue:
            self._memory.charge("scheduler_enqueue")
            self._leave_core(thread)
            lane.queue.append(thread)
            self._shed(lane)

    def _leave_core(self, thread: Thread) -> None:
        lane = thread.lane
        busy = lane.core.shown_busy_cycles()
        thread.cpu_cycles += busy - lane.busy_at_switch
        lane.busy_at_switch = busy
        lane.current = None

    def drop(self, thread: Thread) -> None:
        """Take a thread that ends out of everything here."""
        self.forget(thread)
        self._tasks.set_state(thread, TaskState.DEAD)

    def forget(self, thread: Thread) -> None:
        """Take a thread out of everything here, but leave its TASK record alone."""
        lane = thread.lane
        self.stop(thread)
        if lane.loaded is thread:
            lane.loaded = None
        thread.process.cpu_cycles_of_dead_threads += thread.cpu_cycles
        thread.state = TaskState.DEAD
        lane.threads -= 1

    def stop(self, thread: Thread) -> None:
        """Take a thread off its core, out of its queue and out of what it waits for."""
        lane = thread.lane
        if thread.state is TaskState.WAITING:
            assert thread.wait is not None
            thread.wait.leave()
        elif thread.alive:
            self._count(lane, -1)
        lane.timers.cancel(thread.timer)
        thread.timer = None
        if thread in lane.queue:
            lane.queue.remove(thread)
        if lane.current is thread:
            self._leave_core(thread)

    def park(self, thread: Thread, wait: Wait) -> None:
        """Stop a thread, whatever it does, until `wait` ends."""
        self.stop(thread)
        thread.wait = wait
        self._tasks.set_state(thread, TaskState.WAITING)

    def pick(self, lane: Lane) -> Thread | None:
        """The thread to run now on `lane`'s core, loaded into its engine; None without one."""
        if lane.current is None:
            if not lane.queue:
                return None
            self._memory.charge("scheduler_pick")
            thread = lane.queue.popleft()
            if lane.loaded is not thread:
                self._switch(lane, thread)
            lane.current = thread
            if lane.queue:
                share = HURRY_SHARE if lane.hurried else 1
                lane.slice_end_cycles = lane.core.now_cycles() + self.slice_cycles // share
            lane.hurried = max(lane.hurried - 1, 0)
            lane.busy_at_switch = lane.core.shown_busy_cycles()
        return lane.current

    def _switch(self, lane: Lane, thread: Thread) -> None:
        """Load `thread`; whoever was loaded keeps its registers in its context."""
        self._memory.charge("context_switch")
        self.context_switches += 1
        self.unload(lane)
        lane.core.engine.restore(thread.context)
        lane.loaded = thread
        self.use_space(lane, thread.process.space)

    def unload(self, lane: Lane) -> None:
        """Save the registers of the thread that is loaded on `lane`'s core, which holds none
        afterwards.
        """
        if lane.loaded is not None:
            lane.loaded.context = lane.core.engine.save()
            lane.loaded = None

    def use_space(self, lane: Lane, space) -> None:
        """Translate through the tables of `space`."""
        if lane.loaded_space is not space:
            lane.core.engine.set_translation(space.page_table.root, space.address >> PAGE_SHIFT)
            lane.loaded_space = space
            lane.generation = space.generation

    def refresh(self, lane: Lane) -> None:
        """A turn begins: forget translations that another kernel took back since the last one."""
        space = lane.loaded_space
        if space is not None and space.generation != lane.generation:
            lane.core.engine.flush_tlb()
            lane.generation = space.generation

    def expired(self, lane: Lane, now_cycles: int) -> bool:
        """True when the current thread has used its slice while somebody waits for the core."""
        return bool(lane.queue) and now_cycles >= lane.slice_end_cycles
