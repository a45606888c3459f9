"""How threads get from kernel to kernel on a fused one: a record in memory and one interrupt.

```text
 source                                             target
 write a MIGRATION record ── MIGRATE interrupt ──▶  arrived: read the record
 arrived: the result      ◀── MIGRATE interrupt ──  write the result into the record
```
"""

from typing import Any

from cosim.broker import Function
from cosim.kernel.distributed.migration import Activation, Migrations, Move
from cosim.kernel.layout import Field, Structure
from cosim.kernel.slab import Slab
from cosim.kernel.task import Thread

CALL, RETURN = 1, 2

# fmt: off
MIGRATION = Structure("MIGRATION", 128, "a thread handed to another kernel, and its way back", (
    Field("state",          0, 4, "1 call, 2 return"),
    Field("source_core",    4, 4, "machine-wide number of the core it left"),
    Field("tid",            8, 4, "thread"),
    Field("pid",           12, 4, "its process"),
    Field("task",          16, 8, "its TASK record"),
    Field("function",      24, 8, "virtual address of the function to run"),
    Field("argument",      32, 8, "its argument"),
    Field("stack_pointer", 40, 8, "of the caller"),
    Field("thread_area",   48, 8, "the thread's own structure, from which thread pointers follow"),
    Field("signal_mask",   56, 8, "blocked signals"),
    Field("result",        64, 8, "of the function, on the way back"),
))
# fmt: on


class FusedMigrations(Migrations):
    """See Migrations."""

    def __init__(self, kernel) -> None:
        super().__init__(kernel)
        memory, frames = kernel.memory, kernel.frames
        with memory.uncharged():
            self._slab = Slab(memory, frames, frames.allocate(), MIGRATION.size)
        self._early: dict[int, list[tuple[Any, int]]] = {}

    def _hand_over(self, thread: Thread, node: int, move: Move) -> None:
        """See Migrations._hand_over."""
        kernel = self._kernel
        kernel.processes.introduce(thread.process, node)
        record = self._slab.allocate()
        self._write(record, {"state": CALL, **move._asdict()})
        target = self.core_of_thread(node, thread.tid)
        kernel.send_interrupt(target, Function.MIGRATE, record)

    def _give_back(self, thread: Thread, activation: Activation, result: int) -> None:
        """See Migrations._give_back."""
        values = {"result": result, "signal_mask": thread.mask, "state": RETURN}
        self._write(activation.record, values)
        self._kernel.send_interrupt(activation.source_core, Function.MIGRATE, activation.record)

    def arrived(self, lane, record: int) -> None:
        """A MIGRATE interrupt: a thread comes, or comes back."""
        processes = self._kernel.processes
        found = MIGRATION.decode(self._kernel.memory.read(record, MIGRATION.size))
        pid = found["pid"]
        if pid in processes.ended:
            return  # its process ended while it was on its way
        if not processes.knows(pid):
            self._early.setdefault(pid, []).append((lane, record))
            return  # the interrupt was faster than the message that introduces the process
        if found["state"] == RETURN:
            if found["tid"] in self._kernel.tasks.by_tid:
                self._slab.free(record)
                self.come_back(found["tid"], found["result"], found["signal_mask"])
        else:
            self.come(lane, Move(*(found[name] for name in Move._fields)), record)

    def keeps(self) -> str:
        """Who is on the way to here and cannot be taken in yet; '' when nobody is."""
        return f"a thread of process {min(self._early)} is on its way" if self._early else ""

    def give_up(self) -> None:
        """This node leaves, and no thread is away from it."""
        self._slab.give_up()

    def introduced(self, pid: int) -> None:
        """The process is known now: take in the threads that were faster."""
        for lane, record in self._early.pop(pid, ()):
            self.arrived(lane, record)

    def _write(self, record: int, values: dict[str, int]) -> None:
        for name, value in values.items():
            item = MIGRATION.by_name[name]
            self._kernel.memory.store(record + item.offset, value, item.size)
