"""How processes and threads begin, change their image, and end.

A process begins when the supervisor loads a program, or as the child of a vfork; a child borrows
its parent's address space until it executes a program.  Copying address spaces (fork) is not
modelled.
"""

import hashlib
import os

from cosim.errors import InputError
from cosim.kernel import loader
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.calls.thread import release_thread
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import O_RDONLY, O_WRONLY, ConsoleFile, FileTable
from cosim.kernel.mapping import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from cosim.kernel.signals import IGNORE_HANDLER, Signal, SignalInfo
from cosim.kernel.task import EXIT_CODE, Process, Thread
from cosim.kernel.waiting import Cause
from cosim.units import PAGE_BYTES

CLD_EXITED, CLD_KILLED = 1, 2
TASK_NAME_BYTES = 15
RANDOM_BLOCK_BYTES = 32  # one SHA-256


class Processes:
    """Life and death of the processes of one node."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        self._users: dict[int, int] = {}  # ADDRESS_SPACE -> processes that use it
        self._trampolines: set[int] = set()  # spaces that have the signal trampoline
        self.made = 0

    # --- beginning ---

    def load(self, program: dict) -> int:
        """A process from what the supervisor says: name, path, argv, envp, cwd, stdin; its pid.

        Raises InputError when the program cannot run here.
        """
        kernel = self._kernel
        name = program.get("name") or os.path.basename(str(program["path"]))
        argv = [_bytes(a) for a in program.get("argv") or [name]]
        envp = [_bytes(a) for a in program.get("envp") or []]
        files = FileTable()
        data = _bytes(program.get("stdin") or b"")
        inode = kernel.inode_of_path("/dev/console")
        for flags, content in ((O_RDONLY, data), (O_WRONLY, b""), (O_WRONLY, b"")):
            files.install(ConsoleFile(flags, kernel.console, inode, content))
        with kernel.memory.uncharged():
            space = self._new_space()
            path = program.get("image") or str(program["path"])
            entry = loader.load(space, path, argv, envp, kernel.isa, kernel.seed)
            pid = kernel.tasks.next_id()
            process = Process(
                pid, os.path.basename(name)[:TASK_NAME_BYTES], space, files, program=name,
                arguments=tuple(argv), image=entry.image.data, bias=entry.bias,
                cwd=program.get("cwd") or "/",
            )  # fmt: skip
            thread = self.make_thread(process, None, pid)
        thread.context = self._first_context(entry)
        kernel.scheduler.admit(thread)
        self.made += 1
        return pid

    def _new_space(self) -> AddressSpace:
        space = self._kernel.services.address_space(self._kernel)
        space.changed.append(lambda page: self._kernel.translations_shrunk(space, page))
        self._users[space.address] = 1
        return space

    def _first_context(self, entry: loader.Entry) -> object:
        """Registers of a new program, as an engine's context."""
        lane = self._kernel.scheduler.lanes[0]
        engine, loaded = lane.core.engine, lane.loaded
        self._kernel.scheduler.unload(lane)
        engine.reset()
        self.enter_image(engine, entry)
        context = engine.save()
        if loaded is not None:  # the machine runs already, and this thread may have the core
            engine.restore(loaded.context)
            lane.loaded = loaded
        return context

    @staticmethod
    def enter_image(engine, entry: loader.Entry) -> None:
        """Point a blank engine at the first instruction."""
        engine.write("pc", entry.pc)
        engine.write("sp", entry.sp)

    def make_thread(self, process: Process, like: Thread | None, tid: int | None) -> Thread:
        """A thread that is not yet running; `like` gives the signal mask."""
        kernel = self._kernel
        number = kernel.tasks.next_id() if tid is None else tid
        lane = kernel.scheduler.emptiest(like.affinity if like is not None else 0)
        thread = kernel.tasks.add(process, lane, number, process.space.address)
        if like is not None:
            thread.mask = like.mask
            thread.name = like.name
            kernel.tasks.set_affinity(thread, like.affinity)
        return thread

    def make_child(self, parent: Process) -> Process:
        """The child of a vfork: its own descriptors and handlers, its parent's memory."""
        child = Process(
            self._kernel.tasks.next_id(),
            parent.name,
            parent.space,
            parent.files.copy(),
            actions=dict(parent.actions),
            parent=parent,
            arguments=parent.arguments,
            image=parent.image,
            bias=parent.bias,
            cwd=parent.cwd,
            umask=parent.umask,
            limits=dict(parent.limits),
        )
        child.borrowed = True
        parent.children.append(child)
        self._users[parent.space.address] += 1
        self.made += 1
        return child

    # --- a new image ---

    def execute(self, thread: Thread, path: bytes, argv: list[bytes], envp: list[bytes]) -> None:
        """execve: replace the image of the thread's process; only this thread goes on.  KernelError
        when impossible.
        """
        kernel = self._kernel
        process = thread.process
        name, data, argv = self._program(process, path, argv)
        try:
            loader.read_image(data, kernel.isa)
        except InputError as error:
            raise KernelError(Errno.ENOEXEC, str(error)) from None
        space = self._new_space()
        try:
            entry = loader.load(space, data, argv, envp, kernel.isa, kernel.seed)
        except InputError as error:
            self._drop_space(space)
            raise KernelError(Errno.ENOMEM, str(error)) from None
        for other in tuple(process.threads):
            if other is not thread:
                self._remove_thread(other)
        old = process.space
        process.space, process.image, process.bias = space, data, entry.bias
        process.arguments = tuple(argv)
        process.name = thread.name = name[:TASK_NAME_BYTES]
        process.files.close_all(only_on_exec=True)
        process.actions = {n: a for n, a in process.actions.items() if a.handler == IGNORE_HANDLER}
        thread.alternate_stack = (0, 2, 0)
        thread.clear_child_tid, thread.robust_list = 0, (0, 0)
        engine = thread.lane.core.engine
        engine.reset()
        self.enter_image(engine, entry)
        kernel.scheduler.use_space(thread.lane, space)
        self._drop_space(old)
        self._give_back(process)

    def _program(
        self, process: Process, path: bytes, argv: list[bytes]
    ) -> tuple[str, bytes, list[bytes]]:
        """Name, bytes and arguments of the program to run; follows one `#!` line."""
        for _ in range(2):
            file = self._kernel.file_system.open(process, path, O_RDONLY)
            try:
                status = file.status()
                if not status.mode & 0o111 or file.kind == "folder":
                    raise KernelError(Errno.EACCES, file.path)
                size = max(status.size_bytes, len(process.image))
                data = file.read_at(0, size)
            finally:
                if not file.references:
                    file.close()
            if not data.startswith(b"#!"):
                return os.path.basename(os.fsdecode(path)), data, argv
            words = data[2:].split(b"\n", 1)[0].strip().split(None, 1)
            if not words:
                raise KernelError(Errno.ENOEXEC, "empty interpreter line")
            argv = [*words, path, *argv[1:]]
            path = words[0]
        raise KernelError(Errno.ELOOP, "interpreter of an interpreter")

    def _give_back(self, process: Process) -> None:
        """A vfork child needs its parent's memory no more: the parent goes on."""
        if not process.borrowed:
            return
        process.borrowed = False
        if process.parent is None:  # killed meanwhile
            return
        for thread in process.parent.threads:
            if thread.wait is not None and thread.wait.reason == f"vfork of {process.pid}":
                self._kernel.scheduler.wake(thread, Cause.EVENT)

    # --- the end ---

    def end_thread(self, thread: Thread, status: int) -> None:
        """One thread is over; with the last one, the process."""
        process = thread.process
        if len(process.threads) == 1:
            self.end(process, status, 0)
            return
        release_thread(self._kernel, thread)
        self._remove_thread(thread)

    def _remove_thread(self, thread: Thread) -> None:
        self._kernel.scheduler.drop(thread)
        self._kernel.tasks.remove(thread)

    def end(self, process: Process, status: int, signal: int, report: str = "") -> None:
        """The process is over: exit status, or the signal that ended it (then the status is 128 +
        signal).
        """
        kernel = self._kernel
        process.exit_code = 128 + signal if signal else status
        process.exit_signal = signal
        process.report = report
        for thread in tuple(process.threads):
            kernel.memory.store(thread.descriptor + EXIT_CODE, process.exit_code, 4)
            release_thread(kernel, thread)
            self._remove_thread(thread)
        for armed in process.interval_timers.values():
            armed.timer.active = False
        process.files.close_all()
        self._drop_space(process.space)
        self._give_back(process)
        for child in process.children:
            child.parent = None
        if process.program:
            kernel.happens("ended", "", process)
        del kernel.tasks.processes[process.pid]
        if process.parent is not None:
            self._tell_parent(process)
        if process.program:
            kernel.exited.append({
                "program": process.program, "pid": process.pid, "status": process.exit_code,
                "signal": int(signal), "report": report,
            })  # fmt: skip

    def _drop_space(self, space: AddressSpace) -> None:
        self._users[space.address] -= 1
        if self._users[space.address]:
            return
        del self._users[space.address]
        self._trampolines.discard(space.address)
        for lane in self._kernel.scheduler.lanes:
            if lane.loaded_space is space:
                lane.loaded_space = None
        space.destroy()

    def _tell_parent(self, process: Process) -> None:
        parent = process.parent
        assert parent is not None
        action = self._kernel.signals.action(parent, Signal.SIGCHLD)
        if action.handler == IGNORE_HANDLER:
            parent.children.remove(process)
        else:
            parent.ended_children.append(process)
            code = CLD_KILLED if process.exit_signal else CLD_EXITED
            value = process.exit_signal or process.exit_code
            self._kernel.signals.post(
                parent, SignalInfo(Signal.SIGCHLD, code, process.pid, value=value)
            )
        parent.changed.wake(self._kernel.scheduler)

    # --- what processes get from their kernel ---

    def trampoline(self, process: Process) -> int:
        """Address of code that calls rt_sigreturn, for handlers that bring none; mapped when first
        needed.
        """
        tables = self._kernel.isa.signals
        space = process.space
        if space.address not in self._trampolines:
            flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
            space.map(tables.TRAMPOLINE_ADDRESS, PAGE_BYTES, PROT_READ | PROT_WRITE, flags)
            space.write(tables.TRAMPOLINE_ADDRESS, tables.TRAMPOLINE_CODE)
            space.protect(tables.TRAMPOLINE_ADDRESS, PAGE_BYTES, PROT_READ | PROT_EXEC)
            self._trampolines.add(space.address)
        return tables.TRAMPOLINE_ADDRESS

    def random_bytes(self, process: Process, length: int) -> bytes:
        """The next bytes of the process's random stream: SHA-256 of the seed, the pid and a
        counter.
        """
        blocks = []
        for _ in range(-(-length // RANDOM_BLOCK_BYTES)):
            text = f"{self._kernel.seed}:{process.pid}:{process.random_count}"
            blocks.append(hashlib.sha256(text.encode()).digest())
            process.random_count += 1
        return b"".join(blocks)[:length]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else os.fsencode(text)
