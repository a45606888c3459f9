"""Processes whose threads are on several nodes: introduced where they go, ended where they are.

The end of a process that was on other nodes takes two steps, because frames may be given back only
when no other kernel uses them:

```text
 home: all threads stop ── PROCESS_ENDS ──▶  threads forgotten, own pages and tables given back
 home: memory given back ◀── PROCESS_ENDED ──
```
A thread ends at home as well, whoever asks; process ids are never used again, so what arrives late
for an ended process is recognised by its id.
"""

import io

from elftools.elf.elffile import ELFFile

from cosim import isa as isas
from cosim import multi_isa
from cosim.errors import InputError
from cosim.kernel import loader
from cosim.kernel.calls.thread import child_context
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.migration import GUEST
from cosim.kernel.distributed.rings import DATA_BYTES_MAX, Message
from cosim.kernel.errno import KernelError
from cosim.kernel.layout import AreaFlag, AreaKind
from cosim.kernel.mapping import SIGKILL
from cosim.kernel.processes import Processes
from cosim.kernel.task import Process, TaskState, Thread
from cosim.kernel.vma import Vma
from cosim.kernel.waiting import Wait


class DistributedProcesses(Processes):
    """See Processes.

    ended: ids of processes that are over, or about to be.  away: processes of other homes, by id.
    """

    def __init__(self, kernel) -> None:
        super().__init__(kernel)
        self.ended: set[int] = set()
        self.away: dict[int, Process] = {}
        self._spaces: dict[int, object] = {}
        self._left: dict[int, tuple[set[int], tuple]] = {}

    # --- beginning ---

    def load(self, program: dict) -> int:
        """See Processes.load; `images`, ELF by instruction set, makes it a program that may
        migrate.
        """
        paths = {str(isa): str(path) for isa, path in (program.get("images") or {}).items()}
        images = {isa: loader.read_image(path, isas.find(isa)) for isa, path in paths.items()}
        layout = common_layout(images)
        pid = super().load(program)
        process = self._kernel.tasks.processes[pid]
        process.home = self._kernel.node_index
        if layout is not None:
            process.images, process.layout = paths, layout
            self._kernel.program_files[layout.digest.hex()] = paths
            process.space.image = images[self._kernel.isa.name]
            try:
                with self._kernel.memory.uncharged():
                    self._mark_private(process)
            except KernelError as error:
                raise InputError(
                    f"{program['path']}: cannot be loaded ({error}); give the node more memory.size"
                ) from None
        return pid

    def make_child(self, parent: Process) -> Process:
        """See Processes.make_child."""
        child = super().make_child(parent)
        child.home = parent.home
        return child

    def _new_space(self):
        space = super()._new_space()
        self._spaces[space.address] = space
        return space

    def _drop_space(self, space) -> None:
        address = space.address
        super()._drop_space(space)
        if address not in self._users:
            self._spaces.pop(address, None)

    def spaces(self) -> list:
        """The address spaces that are at home here."""
        return list(self._spaces.values())

    def space_at(self, address: int):
        """The address space with this record that is at home here; None when there is none."""
        return self._spaces.get(address)

    def _mark_private(self, process: Process) -> None:
        """What lies below the shared data is each kernel's own.

        Text and constants end at different addresses in the ELFs: each area reaches to the next.
        """
        tree, account = process.space.tree, process.space.account
        areas = [area for area in tree.all() if area.start < process.layout.shared_start]
        ends = [area.start for area in areas[1:]] + [process.layout.shared_start]
        for area, end in zip(areas, ends, strict=True):
            account.remove(area)
            area.flags |= AreaFlag.PER_ISA
            account.add(area)
            tree.update(area)
            if area.end < end:
                rest = Vma(area.end, end, area.protection, area.flags, AreaKind.ANONYMOUS)
                account.add(rest)
                tree.insert(rest)

    # --- on other nodes ---

    def count_thread(self, space, node: int, change: int) -> None:
        """A thread of the space came to a node (1) or left it (-1)."""

    def describe(self, process: Process) -> dict:
        """What another kernel must know of a process."""
        return {
            "pid": process.pid, "name": process.name, "home": process.home,
            "program": process.layout.digest.hex(),
        }  # fmt: skip

    def adopt(self, given: dict, space) -> Process:
        """A process of another home, as `describe` says, with its memory as this kernel sees it."""
        kernel = self._kernel
        files = kernel.program_files[given["program"]]
        image = loader.read_image(files[kernel.isa.name], kernel.isa)
        space.image = image
        space.changed.append(lambda page: kernel.translations_shrunk(space, page))
        process = self.away[given["pid"]] = Process(
            given["pid"], given["name"], space, None, image=image.data, home=given["home"],
            images=files, layout=layout_of(image),
        )  # fmt: skip
        return process

    def knows(self, pid: int) -> bool:
        """Is it a process of this home, or one that was introduced?"""
        return pid in self.away or pid in self._kernel.tasks.processes

    def take_in(self, pid: int, tid: int, task: int, lane) -> Thread:
        """A Thread, waiting, for a thread of another home that was never here."""
        thread = self._adopt(self.away[pid], tid, task, lane)
        thread.context = lane.core.engine.blank
        thread.state = TaskState.WAITING
        thread.wait = self._kernel.migrations.away(thread, GUEST)
        lane.threads += 1
        return thread

    def start_here(
        self, like: Thread, process: Process, tid: int, task: int, changes: dict[str, int]
    ) -> None:
        """A thread made by a thread away from home starts on the node of its maker, with its
        registers but for `changes`.
        """
        kernel = self._kernel
        lane = kernel.scheduler.emptiest(like.affinity)
        thread = self._adopt(process, tid, task, lane)
        kernel.tasks.set_affinity(thread, like.affinity)
        thread.context = child_context(like.lane.core.engine, changes)
        thread.mask = thread.mask_at_home = like.mask
        self.count_thread(process.space, kernel.node_index, 1)
        kernel.migrations.runs_here(thread)
        kernel.scheduler.admit(thread)

    def take_child_in(self, parent: Process, pid: int) -> Process:
        """On another node: a process that a thread there makes by vfork, in its parent's memory."""
        child = Process(
            pid, parent.name, parent.space, None, image=parent.image, home=parent.home,
            borrowed=True,
        )  # fmt: skip
        self.away[pid] = child
        return child

    def _adopt(self, process: Process, tid: int, task: int, lane) -> Thread:
        thread = Thread(tid, process, task, lane, name=process.name, migrated=True)
        process.threads.append(thread)
        self._kernel.tasks.by_tid[tid] = thread
        return thread

    def make_away(
        self, process: Process, like: Thread, node: int, tid: int | None = None
    ) -> Thread:
        """At home: a thread that runs on another node from the start."""
        kernel = self._kernel
        thread = super().make_thread(process, like, tid)  # it does not count here
        thread.wait = kernel.migrations.away(thread, f"its own work on node {node}")
        thread.migrated = True
        thread.context = thread.lane.core.engine.blank
        thread.lane.threads += 1
        kernel.tasks.set_state(thread, TaskState.WAITING)
        return thread

    def make_thread(self, process: Process, like: Thread | None, tid: int | None) -> Thread:
        """See Processes.make_thread."""
        kernel = self._kernel
        thread = super().make_thread(process, like, tid)
        self.count_thread(process.space, kernel.node_index, 1)
        return thread

    # --- a node that leaves ---

    def keeps(self) -> str:
        """What is done here for programs, '' when nothing is: threads of other homes that may come
        again do not count.
        """
        for thread in self._kernel.tasks.by_tid.values():
            if thread.process.home == self._kernel.node_index:
                return f"process {thread.process.pid} is at home there"
            if not self._kernel.migrations.is_idle(thread):
                return f"thread {thread.tid} of process {thread.process.pid} works there"
        return self._kernel.messages.pending()

    def node_left(self, node: int) -> None:
        """At home: nobody has to be told there any more."""
        for process in self._kernel.tasks.processes.values():
            process.introduced.discard(node)

    # --- the end of a thread ---

    def forget_thread(self, thread: Thread) -> None:
        """A thread of another home is not here any more."""
        process = thread.process
        self._disown(thread)
        if process.borrowed and not process.threads:
            self.away.pop(process.pid, None)
            self.ended.add(process.pid)

    def _disown(self, thread: Thread) -> None:
        """Take a thread of another home out of everything here."""
        kernel = self._kernel
        kernel.scheduler.forget(thread)
        del kernel.tasks.by_tid[thread.tid]
        thread.process.threads.remove(thread)

    def _give_back(self, process: Process) -> None:
        """See Processes._give_back; the parent may wait on another node."""
        if process.borrowed and process.vfork_parent is not None:
            node, tid = process.vfork_parent
            words = (tid, process.pid)
            self._kernel.messages.send(node, MessageKind.SYSTEM_CALL_RESULT, words)
        super()._give_back(process)

    def end_thread(self, thread: Thread, status: int) -> None:
        """See Processes.end_thread."""
        process = thread.process
        if thread.migrated and len(process.threads) > 1:
            for node in self._nodes_of(process):
                self._kernel.messages.send(node, MessageKind.THREAD_ENDS, (thread.tid,))
        super().end_thread(thread, status)

    def thread_ends(self, message: Message) -> None:
        """THREAD_ENDS, on a node where the thread was a guest."""
        thread = self._kernel.tasks.by_tid.get(message.words[0])
        if thread is not None:
            self.forget_thread(thread)

    # --- the end of a process ---

    def end(self, process: Process, status: int, signal: int, report: str = "") -> None:
        """See Processes.end."""
        kernel = self._kernel
        if process.home != kernel.node_index:
            self._tell_home(process.pid, process.home, status, signal, report)
            self.forget_thread(kernel.current_thread())
            return
        if process.pid in self._left:
            return
        others = [] if process.borrowed else self._nodes_of(process)
        if not others:
            super().end(process, status, signal, report)
            return
        for thread in process.threads:
            wait = Wait("the end of its process on other nodes", lambda _cause: None, killable=True)
            kernel.scheduler.park(thread, wait)
        for child in tuple(process.children):
            if child.borrowed:  # it runs in the memory that goes
                super().end(child, 0, SIGKILL)
        self.ended.add(process.pid)
        self._left[process.pid] = (set(others), (process, status, signal, report))
        for node in others:
            kernel.messages.send(node, MessageKind.PROCESS_ENDS, (process.pid,))

    def _nodes_of(self, process: Process) -> list[int]:
        """Nodes that the process is on, or on its way to."""
        return sorted(process.introduced)

    def _tell_home(self, pid: int, home: int, status: int, signal: int, report: str) -> None:
        data = report.encode()[:DATA_BYTES_MAX]
        words = (pid, status, int(signal))
        self._kernel.messages.send(home, MessageKind.PROCESS_EXIT, words, data)

    def process_exit(self, message: Message) -> None:
        """PROCESS_EXIT: exit_group, or a fatal signal, on another node."""
        pid, status, signal = message.words[:3]
        process = self._kernel.tasks.processes.get(pid)
        if process is not None:
            self.end(process, status, signal, message.data.decode(errors="replace"))

    def process_ends(self, message: Message) -> None:
        """PROCESS_ENDS, on another node than the home."""
        kernel, pid = self._kernel, message.words[0]
        self.ended.add(pid)
        process = self.away.pop(pid, None)
        if process is not None:
            for other in [process, *self.away.values()]:
                if other.space is process.space:
                    for thread in tuple(other.threads):
                        self.forget_thread(thread)
            for lane in kernel.scheduler.lanes:
                if lane.loaded_space is process.space:
                    lane.loaded_space = None
            self._detach(process.space)
        kernel.messages.send(message.source, MessageKind.PROCESS_ENDED, (pid,))

    def _detach(self, space) -> None:
        """Give back what this kernel has of another home's address space."""
        space.detach()

    def process_ended(self, message: Message) -> None:
        """PROCESS_ENDED, at home."""
        pid = message.words[0]
        if pid not in self._left:
            return  # a node that heard of the process after its end
        left, rest = self._left[pid]
        left.discard(message.source)
        if not left:
            del self._left[pid]
            super().end(*rest)


def layout_of(image: loader.Image) -> multi_isa.Layout | None:
    """What an ELF says of its multi-ISA program; None when it belongs to none."""
    return multi_isa.read(ELFFile(io.BytesIO(image.data)))


def common_layout(images: dict[str, loader.Image]) -> multi_isa.Layout | None:
    """What the ELFs of one program have in common; None when it is for one instruction set only.

    Raises InputError when they were not built together.
    """
    layouts = {isa: layout_of(image) for isa, image in images.items()}
    known = [layout for layout in layouts.values() if layout is not None]
    if not known:
        return None
    for isa, layout in layouts.items():
        if layout is None or layout.digest != known[0].digest:
            first = next(iter(images.values()))
            raise InputError(
                f"{images[isa].name}: not built together with {first.name}: their layouts "
                "differ; build the program again for all instruction sets at once"
            )
    return known[0]
