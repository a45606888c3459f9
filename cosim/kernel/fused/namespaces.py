"""What all kernels of the machine show alike: one host name, one list of CPUs, one space of ids.

The NAMESPACES record is in node 0's memory, and stands in its DIRECTORY; every kernel reads it when
a program asks.  The other namespaces of the paper (6.6) follow from the design:

| namespace | how it is one |
|---|---|
| mount, cgroup | files belong to a process's home, which serves them wherever its threads are |
| PID | a process id names its home node (task.PIDS_PER_NODE); signals are sent there |
| net, user | there are no sockets, and everybody is root |
| UTS, CPU list | the record below |
"""

from cosim import isa as isas
from cosim.kernel.calls import signal as signal_calls
from cosim.kernel.calls.table import signed
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.rings import Message
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import DIRECTORY, NODES_MAX, Field, Structure
from cosim.kernel.signals import SignalInfo
from cosim.kernel.task import PIDS_PER_NODE, TASK

HOST_NAME = "stramash"
NAME_BYTES = 64

# fmt: off
PROCESSORS = Structure("PROCESSORS", 32, "the cores of one node", (
    Field("node",      0, 4, "index of the node"),
    Field("machine",   4, 4, "ELF machine number of its instruction set"),
    Field("cores",     8, 4, "cores; their machine-wide numbers follow those of the row before"),
    Field("frequency",16, 8, "Hz"),
))
NAMESPACES = Structure("NAMESPACES", 128 + NODES_MAX * 32, "what every kernel shows its programs", (
    Field("host_name",  0, NAME_BYTES, "zero-terminated"),
    Field("nodes",     64, 4, "PROCESSORS rows"),
    Field("rows",     128, NODES_MAX * 32, "PROCESSORS"),
))
# fmt: on
PLACE = DIRECTORY.offset("namespaces")
TASKS, NEXT, TGID = DIRECTORY.offset("tasks"), TASK.offset("next"), TASK.offset("tgid")


class Namespaces:
    """The record, as one kernel uses it; node 0's kernel writes it at boot."""

    def __init__(self, kernel) -> None:
        self._kernel = kernel
        if kernel.node_index == 0:
            with kernel.memory.uncharged():
                record = kernel.frames.allocate()
                kernel.memory.write(record, HOST_NAME.encode())
                kernel.memory.store(kernel.directory_of(0) + PLACE, record)
                self.publish()

    def publish(self) -> None:
        """Write the cores of all nodes there ever were: their numbers stay."""
        kernel, memory, record = self._kernel, self._kernel.memory, self._record()
        memory.store(record + NAMESPACES.offset("nodes"), len(kernel.node_rows), 4)
        for row in kernel.node_rows:
            machine = isas.find(row["isa"]).machine
            values = (row["index"], machine, row["cores"], int(row["frequency_hz"]))
            at = record + NAMESPACES.offset("rows") + row["index"] * PROCESSORS.size
            for item, value in zip(PROCESSORS.fields, values, strict=True):
                memory.store(at + item.offset, value, item.size)

    def _record(self) -> int:
        return self._kernel.memory.load(self._kernel.directory_of(0) + PLACE)

    def host_name(self) -> str:
        """The machine's name."""
        data = self._kernel.memory.read(self._record(), NAME_BYTES)
        return data.partition(b"\0")[0].decode(errors="replace")

    def set_host_name(self, name: bytes) -> None:
        """Another name, for all kernels."""
        self._kernel.memory.write(self._record(), name.ljust(NAME_BYTES, b"\0")[:NAME_BYTES])

    def processors(self) -> list[dict]:
        """All cores of the machine: rows of node, isa, cores and frequency_hz."""
        memory, record = self._kernel.memory, self._record()
        found = []
        for number in range(memory.load(record + NAMESPACES.offset("nodes"), 4)):
            at = record + NAMESPACES.offset("rows") + number * PROCESSORS.size
            row = PROCESSORS.decode(memory.read(at, PROCESSORS.size))
            found.append({
                "node": row["node"], "isa": isas.of_machine(row["machine"]).name,
                "cores": row["cores"], "frequency_hz": row["frequency"],
            })  # fmt: skip
        return found

    def has_process(self, pid: int) -> bool:
        """Is there a process of this id?  Looks at its home's TASK records."""
        kernel = self._kernel
        node = pid // PIDS_PER_NODE
        if not 0 <= node < len(kernel.node_rows):
            return False
        task = kernel.memory.load(kernel.directory_of(node) + TASKS)
        while task:
            if kernel.memory.load(task + TGID, 4) == pid:
                return True
            task = kernel.memory.load(task + NEXT)
        return False


def set_host_name(kernel, thread, name: int, length: int) -> int:
    """sethostname(2)."""
    if not 0 <= length <= NAME_BYTES:
        raise KernelError(Errno.EINVAL, f"host name of {length} bytes")
    kernel.namespaces.set_host_name(thread.process.space.read(name, length))
    return 0


def kill(kernel, thread, pid: int, number: int) -> int:
    """kill(2): a process of any home."""
    target = signed(pid)
    if target <= 0 or target // PIDS_PER_NODE == kernel.node_index:
        return signal_calls.kill(kernel, thread, pid, number)
    number = signal_calls.signal_number(number, zero=True)
    if not kernel.namespaces.has_process(target):
        raise KernelError(Errno.ESRCH, f"process {target}")
    if number:
        words = (target, number, thread.process.pid)
        kernel.messages.send(target // PIDS_PER_NODE, MessageKind.SIGNAL, words)
    return 0


def signal_arrived(kernel, message: Message) -> None:
    """SIGNAL: a process of another home sent a signal to one of ours."""
    pid, number, sender = message.words[:3]
    process = kernel.tasks.processes.get(pid)
    if process is not None:
        kernel.signals.post(process, SignalInfo(number, sender=sender))
