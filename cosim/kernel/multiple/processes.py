"""Processes of multiple kernels: each node that runs their threads has a context of its own.

A context is made by the first thread that comes (TASK_MIGRATE carries what the process is), and
announced to the home (TASK_PAIRING), which tells it of changes and of the end.
"""

from typing import Any

from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.processes import DistributedProcesses
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import KernelError
from cosim.kernel.mapping import SIGKILL
from cosim.kernel.task import Process, Thread


class MultipleProcesses(DistributedProcesses):
    """See DistributedProcesses."""

    def __init__(self, kernel) -> None:
        super().__init__(kernel)
        self._contexts: dict[tuple[int, int], Any] = {}  # home and key -> address space

    def space_of(self, home: int, key: int):
        """This kernel's part of the address space that node `home` calls `key`; None when there is
        none.
        """
        if home == self._kernel.node_index:
            return self.space_at(key)
        return self._contexts.get((home, key))

    def contexts(self) -> list[list[int]]:
        """Home, key and ADDRESS_SPACE here of every process of another home."""
        return [[home, key, space.address] for (home, key), space in self._contexts.items()]

    def describe(self, process: Process) -> dict:
        """See DistributedProcesses.describe."""
        host_name = process.host_name or self._kernel.services.host_name(self._kernel)
        return {
            **super().describe(process),
            "space": process.space.key,
            "host_name": host_name,
        }

    def make_context(self, given: dict) -> bool:
        """Know a process of another home, as `describe` says; False when there is no memory."""
        kernel = self._kernel
        try:
            space = kernel.services.address_space(kernel, given["home"], given["space"])
        except KernelError as error:
            report = f"node {kernel.node_name}: no memory for a migrated process ({error})\n"
            self._tell_home(given["pid"], given["home"], 0, SIGKILL, report)
            self.ended.add(given["pid"])
            return False
        process = self.adopt(given, space)
        process.host_name = given["host_name"]
        self._contexts[given["home"], given["space"]] = space
        return True

    def goes_to(self, process: Process, node: int) -> None:
        """At home: a thread is about to go to a node, which will have a context."""
        if process.home == self._kernel.node_index and node != process.home:
            process.introduced.add(node)
            process.space.contexts.add(node)

    def paired(self, message: Message) -> None:
        """TASK_PAIRING, at home: a node has a context, or one thread more in it."""
        pid, node = message.words[0], message.source
        process = self._kernel.tasks.processes.get(pid)
        if process is not None and pid not in self.ended:
            self.goes_to(process, node)
            return
        if pid in self._left:
            self._left[pid][0].add(node)
        self._kernel.messages.send(node, MessageKind.PROCESS_ENDS, (pid,))

    # --- threads of other homes have a TASK record here as well ---

    def _adopt(self, process: Process, tid: int, task: int, lane) -> Thread:
        """See DistributedProcesses._adopt; `task`, the home's record, is of no use here."""
        tasks = self._kernel.tasks
        thread = tasks.add(process, lane, tid, process.space.address)
        del tasks.processes[process.pid]  # it is not at home here
        thread.migrated = True
        return thread

    def _disown(self, thread: Thread) -> None:
        """See DistributedProcesses._disown."""
        self._kernel.scheduler.drop(thread)
        self._kernel.tasks.remove(thread)

    # --- the end ---

    def end(self, process: Process, status: int, signal: int, report: str = "") -> None:
        """See DistributedProcesses.end."""
        if process.home == self._kernel.node_index and not process.borrowed:
            process.space.closing = True  # what would need a page from elsewhere is not done now
        super().end(process, status, signal, report)

    def _detach(self, space) -> None:
        """See DistributedProcesses._detach."""
        self._contexts.pop((space.home, space.key), None)
        super()._detach(space)
