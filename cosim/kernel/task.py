"""Processes and threads.

What another kernel may want to know of a thread (identity, state, exit code, futex it waits on) is
its TASK record in simulated memory, linked into one list per node that starts in the node's
DIRECTORY.  What only this kernel uses (saved registers, open files, signal handlers) are Python
objects that hold the record's address.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import DIRECTORY, Field, Structure
from cosim.kernel.slab import Slab
from cosim.kernel.waiting import Cause, Wait, WaitQueue

PIDS_PER_NODE = 1 << 16  # thread ids of node n are n * PIDS_PER_NODE + FIRST_PID and up
FIRST_PID = 100  # below it Linux has its own daemons; programs give pid 1 a meaning

# fmt: off
TASK = Structure("TASK", 192, "task descriptor: one per thread, in a list per node", (
    Field("tid",             0, 4, "thread id, unique in the machine"),
    Field("tgid",            4, 4, "thread id of the process's first thread"),
    Field("node",            8, 4, "node it runs on"),
    Field("state",          12, 4, "TaskState"),
    Field("exit_code",      16, 4, "exit status, or 128 + signal"),
    Field("core",           20, 4, "machine-wide number of the core it runs on"),
    Field("space",          24, 8, "its ADDRESS_SPACE"),
    Field("next",           32, 8, "next TASK of the node"),
    Field("previous",       40, 8, "previous one"),
    Field("clear_child_tid",48, 8, "virtual address cleared at its end, 0 = none"),
    Field("futex_next",     64, 8, "next waiter in the bucket"),
    Field("futex_space",    72, 8, "key: ADDRESS_SPACE, 0 when the futex is shared"),
    Field("futex_address",  80, 8, "key: virtual address, or physical when shared"),
    Field("futex_bitset",   88, 4, "bits of the wake calls it answers to"),
    Field("futex_waiting",  92, 4, "1 while it is in a bucket"),
    Field("futex_bucket",   96, 8, "that bucket"),
    Field("affinity",      104, 8, "bits of the processors it may use, as programs count; 0: all"),
))
# fmt: on


class TaskState(IntEnum):
    """TASK.state."""

    RUNNABLE = 0
    WAITING = 1
    WAKING = 2  # woken, but its core has not heard of it yet
    DEAD = 3


STATE = TASK.offset("state")
EXIT_CODE = TASK.offset("exit_code")
CLEAR_CHILD_TID = TASK.offset("clear_child_tid")
NODE = TASK.offset("node")
CORE = TASK.offset("core")
AFFINITY = TASK.offset("affinity")
TASKS = DIRECTORY.offset("tasks")
NEXT = TASK.offset("next")
PREVIOUS = TASK.offset("previous")


@dataclass(eq=False)
class Process:
    """One process: what its threads share."""

    pid: int
    name: str
    space: Any  # AddressSpace
    files: Any  # FileTable
    actions: dict = field(default_factory=dict)  # signal number -> signals.Action
    pending: list = field(default_factory=list)  # signals.SignalInfo for any thread
    threads: list = field(default_factory=list)
    parent: "Process | None" = None
    program: str = ""  # name it was loaded under; '' for a process that a guest made
    arguments: tuple[bytes, ...] = ()
    image: bytes = b""  # the ELF file
    bias: int = 0  # added to the addresses in it
    borrowed: bool = False  # child of a vfork that still uses its parent's memory
    children: list = field(default_factory=list)
    ended_children: list = field(default_factory=list)  # not yet waited for
    changed: WaitQueue = field(default_factory=WaitQueue)  # woken when a child ends
    cwd: str = "/"
    umask: int = 0o022
    limits: dict = field(default_factory=dict)  # prlimit resource -> (soft, hard)
    interval_timers: dict = field(default_factory=dict)  # ITIMER_* -> clock.IntervalTimer
    random_count: int = 0  # random blocks drawn
    cpu_cycles_of_dead_threads: int = 0
    faults: int = 0
    exit_code: int = 0
    exit_signal: int = 0
    report: str = ""
    # Of a program that may migrate (cosim/kernel/fused): index of the node whose kernel loaded it,
    # ELF by instruction set, and what these have in common (cosim.multi_isa.Layout).
    home: int = 0
    images: dict[str, str] = field(default_factory=dict)
    layout: Any = None
    host_name: str = ""  # its home's, where kernels have one each
    introduced: set[int] = field(default_factory=set)  # nodes that were told of it
    vfork_parent: tuple[int, int] | None = None  # node and thread that wait, away from home


@dataclass(eq=False)
class Thread:
    """One thread.

    context: engine.save() while it is not loaded on a core.
    """

    tid: int
    process: Process
    descriptor: int  # physical address of its TASK
    lane: Any  # scheduler.Lane: the core it belongs to
    context: Any = None
    mask: int = 0
    mask_to_restore: int | None = None  # sigsuspend, ppoll: the mask from before the call
    pending: list = field(default_factory=list)
    alternate_stack: tuple[int, int, int] = (0, 2, 0)  # address, flags (SS_DISABLE), size
    clear_child_tid: int = 0
    robust_list: tuple[int, int] = (0, 0)  # head, length
    state: TaskState = TaskState.RUNNABLE
    wait: Wait | None = None
    wake_cause: Cause | None = None
    timer: Any = None  # clock.Timer that ends the wait
    cpu_cycles: int = 0
    affinity: int = 0  # as in its TASK when it came here
    call: tuple[int, int] = (0, 0)  # number and first argument of the system call that is under way
    interrupted: bool | None = None  # a signal ended that call; True: it may be restarted
    fault_detail: str = ""  # what the engine said of the last exception
    name: str = ""
    # Of a thread that migrates: what it returns to here, what came for it, what it was answered.
    activations: list = field(default_factory=list)
    inbox: deque = field(default_factory=deque)
    answer: tuple | None = None
    late_writes: list[tuple[int, bytes]] | None = None  # see cosim.kernel.distributed.late_writes
    mask_at_home: int = 0  # the signal mask that its home knows of
    migrated: bool = False

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        return self.state is not TaskState.DEAD


class TaskTable:
    """Makes and removes threads of one node, with their TASK records."""

    def __init__(self, memory, frames, node: int) -> None:
        """memory: KernelMemory.  frames: FrameAllocator.  node: index in the machine."""
        self._memory = memory
        self._directory = frames.directory
        self._node = node
        self._next_id = node * PIDS_PER_NODE + FIRST_PID
        with memory.uncharged():
            record = frames.allocate()
            self._slab = Slab(memory, frames, record, TASK.size)
        self.by_tid: dict[int, Thread] = {}
        self.processes: dict[int, Process] = {}

    def give_up(self) -> None:
        """This node leaves, and no thread is left."""
        self._slab.give_up()

    def next_id(self) -> int:
        """A thread id that was never used.  KernelError(EAGAIN) when the node has none left."""
        if self._next_id >= (self._node + 1) * PIDS_PER_NODE:
            raise KernelError(Errno.EAGAIN, "thread ids of this node are used up")
        self._next_id += 1
        return self._next_id - 1

    def add(self, process: Process, lane, tid: int, space_address: int) -> Thread:
        """A new thread of `process` on the core of `lane`.  KernelError(ENOMEM) without memory for
        its record.
        """
        memory = self._memory
        memory.charge("task_create")
        task = self._slab.allocate()
        values = {
            "tid": tid, "tgid": process.pid, "node": self._node,
            "core": lane.core.index, "space": space_address,
        }  # fmt: skip
        for name, value in values.items():
            entry = TASK.by_name[name]
            memory.store(task + entry.offset, value, entry.size)
        head = memory.load(self._directory + TASKS)
        memory.store(task + NEXT, head)
        if head:
            memory.store(head + PREVIOUS, task)
        memory.store(self._directory + TASKS, task)
        thread = Thread(tid, process, task, lane, name=process.name)
        process.threads.append(thread)
        self.by_tid[tid] = thread
        self.processes[process.pid] = process
        return thread

    def remove(self, thread: Thread) -> None:
        """Unlink the record of a dead thread and give it back."""
        memory = self._memory
        memory.charge("task_exit")
        task = thread.descriptor
        following, before = memory.load(task + NEXT), memory.load(task + PREVIOUS)
        if following:
            memory.store(following + PREVIOUS, before)
        memory.store(before + NEXT if before else self._directory + TASKS, following)
        self._slab.free(task)
        del self.by_tid[thread.tid]
        thread.process.threads.remove(thread)

    def set_state(self, thread: Thread, state: TaskState) -> None:
        """Change a thread's state, here and in its record."""
        thread.state = state
        self._memory.store(thread.descriptor + STATE, state, 4)

    def runs_on(self, thread: Thread, core: int) -> None:
        """A thread belongs to another core of this node; its record says so unless it is away."""
        if self._memory.load(thread.descriptor + NODE, 4) == self._node:
            self._memory.store(thread.descriptor + CORE, core, 4)

    def set_affinity(self, thread: Thread, affinity: int) -> None:
        """Change which processors a thread may use, here and in its record."""
        if affinity != thread.affinity:
            thread.affinity = affinity
            self._memory.store(thread.descriptor + AFFINITY, affinity)

    def refresh_affinity(self, thread: Thread) -> None:
        """A thread came to this node: what other kernels were told of it counts here too."""
        thread.affinity = self._memory.load(thread.descriptor + AFFINITY)

    def records(self) -> Iterator[dict[str, int]]:
        """Every TASK record of this node, decoded, without charge: for dumps and tests."""
        with self._memory.uncharged():
            task = self._memory.load(self._directory + TASKS)
            while task:
                yield TASK.decode(self._memory.read(task, TASK.size))
                task = self._memory.load(task + NEXT)
