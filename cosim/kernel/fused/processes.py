"""Processes of a fused kernel: their memory is one record that all kernels use.

A process is introduced by message before its first thread gets to a node; how many of its threads
are where stands in the record (TABLE.threads), because shootdowns go by it.
"""

import json

from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.processes import DistributedProcesses
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import KernelError
from cosim.kernel.mapping import SIGKILL
from cosim.kernel.task import Process


class FusedProcesses(DistributedProcesses):
    """See DistributedProcesses."""

    def introduce(self, process: Process, node: int) -> None:
        """Tell a node of a process before its first thread gets there."""
        if node == process.home or node in process.introduced:
            return
        process.introduced.add(node)
        data = json.dumps({**self.describe(process), "space": process.space.address}).encode()
        self._kernel.messages.send(node, MessageKind.PROCESS, (process.pid,), data)

    def introduced(self, message: Message) -> None:
        """PROCESS: a process of another home is about to come."""
        kernel = self._kernel
        given = json.loads(message.data)
        pid = given["pid"]
        if pid in self.ended or pid in self.away:
            return
        try:
            space = kernel.services.address_space(kernel, given["space"])
        except KernelError as error:
            report = f"node {kernel.node_name}: no memory for a migrated process ({error})\n"
            self._tell_home(pid, given["home"], 0, SIGKILL, report)
            self.ended.add(pid)
            return
        self.adopt(given, space)
        kernel.migrations.introduced(pid)

    def count_thread(self, space, node: int, change: int) -> None:
        """See DistributedProcesses.count_thread."""
        self._kernel.remote_cpu.count_thread(space.address, node, change)

    def _nodes_of(self, process: Process) -> list[int]:
        """See DistributedProcesses._nodes_of."""
        kernel, space = self._kernel, process.space
        return sorted(
            {*space.other_nodes(), *process.introduced}
            | {
                node
                for node in kernel.nodes()
                if node != kernel.node_index and kernel.remote_cpu.threads(space.address, node)
            }
        )
