"""System calls away from home: which run where the thread is, and which its home runs for it.

Clocks and the scheduler are the node's own: those calls run where the thread is, and a design adds
what its kernels share.  Files, signals, children and limits belong to the home kernel, which runs
those calls in the name of the thread that waits there:

```text
 node of the thread                            home
 SYSTEM_CALL: tid, machine, call, mask, ... ─▶ the thread's own Thread, which is away, wakes and
 the call's result                          ◀─ runs it; SYSTEM_CALL_RESULT: tid, result
```
Structures in user memory have the form of the caller's instruction set: the home runs the call with
the caller's tables.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from cosim import isa as isas
from cosim.isa import Isa
from cosim.kernel.calls.table import Call, signed
from cosim.kernel.calls.thread import (
    CLONE_CHILD_CLEARTID,
    CLONE_CHILD_SETTID,
    CLONE_PARENT_SETTID,
    CLONE_THREAD,
    CLONE_VFORK,
    CLONE_VM,
    child_registers,
    clone_last_arguments,
)
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.traps import WORD_MASK
from cosim.kernel.waiting import Block, Cause, Interrupted, PageWait, Wait

# Calls that a thread away from home makes on the node where it is, in every design.
LOCAL = frozenset((
    "mlock", "munlock", "mlockall", "munlockall", "membarrier",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "sched_yield", "sched_getaffinity", "sched_setaffinity", "getcpu", "sched_getscheduler",
    "sched_setscheduler", "sched_getparam", "sched_setparam", "sched_get_priority_max",
    "sched_get_priority_min", "getpriority", "setpriority", "getpid", "gettid", "uname", "sysinfo",
    "arch_prctl", "current_node", "node_available", "node_cores",
    "region_begin", "region_end",
    "ipi_send", "ipi_wait", "migrate_call", "migrate_return",
))  # fmt: skip
RESULTS = {
    MessageKind.SYSTEM_CALL: MessageKind.SYSTEM_CALL_RESULT,
    MessageKind.VMA_OPERATION: MessageKind.VMA_OPERATION_RESULT,
    MessageKind.FUTEX: MessageKind.FUTEX_RESULT,
}


class Caller(NamedTuple):
    """Who waits for a delegated call.  answer: the kind of message that brings the result."""

    node: int
    isa: Isa
    answer: MessageKind


class Delegation:
    """Both ends of delegated calls, and the few calls that both kernels have a part in.

    here: calls, beyond LOCAL, that run where the thread is.  kinds: what asks for a call that is
    not asked for by SYSTEM_CALL.
    """

    def __init__(
        self,
        kernel,
        calls: Mapping[str, Call],
        here: Iterable[str] = (),
        kinds: Mapping[str, MessageKind] = MappingProxyType({}),
    ) -> None:
        self._kernel = kernel
        self._calls = dict(calls)
        self._names = sorted(calls)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._here = LOCAL.union(here)
        self._kinds = dict(kinds)
        self.delegated = 0

    # --- where the thread is ---

    def table(self) -> dict[str, Call]:
        """The system calls, each deciding by the thread where it runs."""
        special: dict[str, Callable] = {
            "exit": self._exit, "exit_group": self._exit_group, "clone": self._clone,
            "rt_sigprocmask": self._mask_signals, "vfork": self._vfork,
            "clone3": self._refused,
            "execve": self._execve, "execveat": self._refused, "fork": self._refused,
        }  # fmt: skip
        return {
            name: Call(self._chooser(name, call.function, special.get(name)), call.arguments)
            for name, call in self._calls.items()
        }

    def _chooser(self, name: str, here: Callable, away: Callable | None) -> Callable:
        def at_home_or_away(kernel, thread, *arguments: int):
            process = thread.process
            if process.home == kernel.node_index:
                return here(kernel, thread, *arguments)
            if away is not None:
                return away(kernel, thread, *arguments)
            if self.runs_here(process, name, arguments):
                return here(kernel, thread, *arguments)
            return self.ask(thread, name, arguments)

        return at_home_or_away

    def runs_here(self, _process, name: str, _arguments: tuple[int, ...]) -> bool:
        """Does a thread that is away make this call on the node where it is?"""
        return name in self._here

    def ask(self, thread, name: str, arguments: tuple[int, ...], then=None) -> int:
        """Have the home run a call; raises Block.  then: makes the result of the answer's words."""
        kernel = self._kernel
        thread.mask_at_home = thread.mask
        words = (thread.tid, kernel.isa.machine, self._numbers[name], thread.mask, *arguments)
        self.delegated += 1
        kind = self._kinds.get(name, MessageKind.SYSTEM_CALL)
        kernel.messages.send(thread.process.home, kind, words)
        raise Block(self._wait(thread, f"{name} at home, node {thread.process.home}", then))

    def _wait(self, thread, reason: str, then: Callable[[tuple], int | None] | None = None) -> Wait:
        """Until the home has answered; `then` makes the result of the answer's words."""
        thread.answer = None

        def finish(_cause: Cause) -> int | None:
            if thread.answer is None:
                raise Block(wait)
            if then is not None:
                return then(thread.answer)
            return signed(thread.answer[0], 64)

        wait = Wait(reason, finish, killable=True)
        return wait

    def answered(self, message: Message) -> None:
        """A result of RESULTS, THREAD_CREATED, CHILD_CREATED or PAGE_READY."""
        kernel = self._kernel
        tid, *answer = message.words
        thread = kernel.tasks.by_tid.get(tid)
        if thread is not None:
            thread.answer = tuple(answer)
            kernel.scheduler.wake(thread, Cause.EVENT)

    def _refused(self, _kernel, _thread, *_arguments: int) -> int:
        raise KernelError(Errno.ENOSYS, "a process begins at home; call this before migrating")

    def _mask_signals(self, kernel, thread, *arguments: int) -> int:
        """The mask goes with the thread; only what it lets through now may be pending at home."""
        result = self._calls["rt_sigprocmask"].function(kernel, thread, *arguments)
        if thread.mask_at_home & ~thread.mask:
            self.ask(thread, "gettid", (), lambda _answer: result)
        return result

    def _exit(self, kernel, thread, status: int) -> None:
        words = (thread.tid, status & 0xFF)
        kernel.messages.send(thread.process.home, MessageKind.THREAD_EXIT, words)
        kernel.processes.forget_thread(thread)

    def _exit_group(self, kernel, thread, status: int) -> None:
        kernel.processes.end(thread.process, status & 0xFF, 0)

    def _clone(self, kernel, thread, flags, stack, parent_tid, fourth, fifth) -> int:
        """pthread_create, posix_spawn: the home makes the thread or process known, then its first
        thread starts here.
        """
        flags &= 0xFFFF_FFFF
        child_tid, pointer = clone_last_arguments(kernel.isa, fourth, fifth)
        changes = child_registers(kernel.isa, flags, stack, pointer)
        if not flags & CLONE_THREAD:
            return self._make_process(thread, flags, changes)
        cleared = child_tid if flags & CLONE_CHILD_CLEARTID else 0
        words = (thread.tid, cleared, thread.mask)
        kernel.messages.send(thread.process.home, MessageKind.THREAD_CREATE, words)

        def start(answer: tuple) -> int:
            tid, task = answer[:2]
            space = thread.process.space
            if flags & CLONE_PARENT_SETTID:
                space.write_word(parent_tid, tid, 4)
            if flags & CLONE_CHILD_SETTID:
                space.write_word(child_tid, tid, 4)
            kernel.processes.start_here(thread, thread.process, tid, task, changes)
            return tid

        raise Block(self._wait(thread, "a thread id from home", start))

    def _vfork(self, kernel, thread) -> int:
        flags = CLONE_VM | CLONE_VFORK
        return self._make_process(thread, flags, child_registers(kernel.isa, flags, 0, 0))

    def _make_process(self, thread, flags: int, changes: dict[str, int]) -> int:
        """vfork: the child is a process of the same home, and starts on this node; the caller
        stands still until the child has its own image, which runs at home, or has ended.
        """
        kernel = self._kernel
        if flags & (CLONE_VM | CLONE_VFORK) != CLONE_VM | CLONE_VFORK:
            raise KernelError(Errno.ENOSYS, "fork: address spaces are not copied")
        kernel.messages.send(
            thread.process.home, MessageKind.CHILD_CREATE, (thread.tid, thread.mask)
        )

        def start(answer: tuple) -> int:
            pid, task = answer[:2]
            child = kernel.processes.take_child_in(thread.process, pid)
            kernel.processes.start_here(thread, child, pid, task, changes)
            raise Block(self._wait(thread, f"vfork of {pid}"))

        raise Block(self._wait(thread, "a process id from home", start))

    def _execve(self, kernel, thread, *arguments: int) -> int:
        """Only what vfork made has a new image; it leaves this node for its home."""
        if not thread.process.borrowed:
            raise KernelError(Errno.ENOSYS, "execve: a process changes its image at home")
        return self.ask(thread, "execve", arguments)

    # --- at home ---

    def asked(self, message: Message) -> None:
        """A request of RESULTS: the thread that is away runs the call here."""
        kernel = self._kernel
        tid, machine, number, mask, *arguments = message.words
        thread = kernel.tasks.by_tid.get(tid)
        if thread is None:
            return  # it ended meanwhile; its node hears of that
        name = self._names[number]
        call = self._calls[name]
        caller = Caller(
            message.source, isas.of_machine(machine), RESULTS[MessageKind(message.kind)]
        )
        kernel.call_counts[name] = kernel.call_counts.get(name, 0) + 1

        def work() -> int:
            thread.mask = mask
            return call.function(kernel, thread, *arguments[: call.arguments])

        if name == "execve":
            thread.inbox.append(lambda: self._execute(thread, caller, work))
        else:
            thread.inbox.append(lambda: self._serve(thread, caller, work))
        kernel.scheduler.wake(thread, Cause.EVENT)

    def _execute(self, thread, caller: Caller, work: Callable[[], int | None]) -> None:
        """execve of a process that vfork made away from home: from now on it is here."""
        kernel = self._kernel
        before = thread.process.space
        try:
            work()
        except KernelError as error:
            self._reply(thread, caller, -error.errno)
        kernel.processes.count_thread(before, caller.node, -1)
        kernel.processes.count_thread(thread.process.space, kernel.node_index, 1)
        kernel.migrations.runs_here(thread)
        kernel.messages.send(caller.node, MessageKind.THREAD_ENDS, (thread.tid,))

    def _serve(self, thread, caller: Caller, work: Callable[[], int | None]) -> None:
        """Run `work` in the name of the thread, send its result, and go back to being away."""
        kernel = self._kernel
        own, kernel.isa = kernel.isa, caller.isa
        try:
            result = work() or 0
        except KernelError as error:
            result = -error.errno
        except Interrupted:
            result = -Errno.EINTR
        except Block as block:
            inner = block.wait
            again = isinstance(block, PageWait)

            def finish(cause: Cause) -> None:
                def rest() -> int | None:
                    result = inner.finish(cause)
                    ends = inner.killable and cause is Cause.SIGNAL
                    return work() if again and not ends else result

                self._serve(thread, caller, rest)

            raise Block(replace(inner, finish=finish)) from None
        finally:
            kernel.isa = own
        if thread.alive:
            self._reply(thread, caller, result)

    def _reply(self, thread, caller: Caller, result: int) -> NoReturn:
        """Send the result of a call; the thread is away again."""
        kernel = self._kernel
        kernel.messages.send(caller.node, caller.answer, (thread.tid, result & WORD_MASK))
        raise Block(kernel.migrations.away(thread, f"its call on node {caller.node}"))

    def thread_create(self, message: Message) -> None:
        """THREAD_CREATE: a thread away from home makes another one, away from the start."""
        tid, cleared, mask = message.words[:3]
        parent = self._kernel.tasks.by_tid.get(tid)
        if parent is not None:
            thread = self._make(message, MessageKind.THREAD_CREATED, parent, parent.process, None)
            thread.clear_child_tid, thread.mask = cleared, mask

    def child_create(self, message: Message) -> None:
        """CHILD_CREATE: a thread away from home makes a process, whose thread starts there."""
        tid, mask = message.words[:2]
        parent = self._kernel.tasks.by_tid.get(tid)
        if parent is not None:
            child = self._kernel.processes.make_child(parent.process)
            child.vfork_parent = (message.source, tid)
            thread = self._make(message, MessageKind.CHILD_CREATED, parent, child, child.pid)
            thread.mask = mask

    def _make(self, message: Message, answer: MessageKind, parent, process, tid: int | None):
        """A thread, away on the node that asks, and the answer that names it."""
        kernel = self._kernel
        thread = kernel.processes.make_away(process, parent, message.source, tid)
        kernel.messages.send(message.source, answer, (parent.tid, thread.tid, thread.descriptor))
        return thread

    def thread_exit(self, message: Message) -> None:
        """THREAD_EXIT: a thread ended on another node."""
        kernel = self._kernel
        tid, status = message.words[:2]
        thread = kernel.tasks.by_tid.get(tid)
        if thread is not None:
            thread.inbox.append(lambda: kernel.processes.end_thread(thread, status))
            kernel.scheduler.wake(thread, Cause.EVENT)
