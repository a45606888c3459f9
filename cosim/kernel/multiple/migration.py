"""How threads get from kernel to kernel when nothing is shared: in messages.

```text
 source                                             target
 TASK_MIGRATE: the Move, process, registers  ────▶  a context of the process, made if new
                     home ◀── TASK_PAIRING ───────  the thread is here
 TASK_MIGRATE_BACK   ◀────────────────────────────  the result
```
Three messages a round trip, as Popcorn's.  The registers travel as they do there, though a call
needs few of them.
"""

import json

from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.distributed.migration import Activation, Migrations, Move
from cosim.kernel.distributed.rings import Message
from cosim.kernel.task import Thread

WORD_BYTES = 16  # a register of the largest kind


class MultipleMigrations(Migrations):
    """See Migrations."""

    def _hand_over(self, thread: Thread, node: int, move: Move) -> None:
        """See Migrations._hand_over."""
        kernel = self._kernel
        kernel.processes.goes_to(thread.process, node)
        description = json.dumps(kernel.processes.describe(thread.process)).encode()
        words = thread.lane.core.engine.register_words()
        registers = b"".join(int(word).to_bytes(WORD_BYTES, "little") for word in words)
        data = description + registers
        kernel.messages.send(node, MessageKind.TASK_MIGRATE, (*move, len(description)), data)

    def _give_back(self, thread: Thread, activation: Activation, result: int) -> None:
        """See Migrations._give_back."""
        kernel = self._kernel
        node = kernel.node_of_core(activation.source_core)
        words = (thread.tid, thread.process.pid, result, thread.mask)
        kernel.messages.send(node, MessageKind.TASK_MIGRATE_BACK, words)

    def arrived(self, message: Message) -> None:
        """TASK_MIGRATE."""
        kernel = self._kernel
        processes = kernel.processes
        move = Move(*message.words[: len(Move._fields)])
        if move.pid in processes.ended:
            return  # its process ended while it was on its way
        given = json.loads(message.data[: message.words[len(Move._fields)]])
        if not processes.knows(move.pid) and not processes.make_context(given):
            return
        lanes = kernel.scheduler.lanes
        self.come(lanes[move.tid % len(lanes)], move)
        if given["home"] != kernel.node_index:
            words = (move.pid, move.tid)
            kernel.messages.send(given["home"], MessageKind.TASK_PAIRING, words)

    def returned(self, message: Message) -> None:
        """TASK_MIGRATE_BACK."""
        tid, pid, result, mask = message.words[:4]
        if pid not in self._kernel.processes.ended:
            self.come_back(tid, result, mask)
