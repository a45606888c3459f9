"""Messages between kernels that share no memory (multi-tcp): a network instead of rings.

A message costs both kernels a copy between its own buffers and memory, and takes half of
`network.round_trip_ns` from the sender to the interrupt at the receiver, whatever its size (the
paper, 8.2: 75 us for 64 KiB and its answer, protocol stacks included).  What is on its way lies in
the ring's memory as in a network card: put there and taken out without a reference.
"""

from collections.abc import Mapping, Sequence

from cosim.broker import Function
from cosim.kernel.distributed.messages import Handler, Messages
from cosim.kernel.distributed.rings import MESSAGE
from cosim.units import LINE_BYTES, PAGE_BYTES


class NetworkMessages(Messages):
    """See Messages.  Each message has an interrupt of its own."""

    ANNOUNCES_EACH = True

    def __init__(self, kernel, settings: Mapping, handlers: Mapping[int, Handler]) -> None:
        super().__init__(kernel, {**settings, "message.notify": "ipi"}, handlers)
        with kernel.memory.uncharged():
            self._outgoing_buffer, self._incoming_buffer = (
                kernel.frames.allocate() for _ in range(2)
            )

    def _put(self, node: int, kind: int, words: Sequence[int], data: bytes) -> bool:
        """See Messages._put."""
        memory = self._kernel.memory
        sent = bytes(MESSAGE.size) + data
        for at in range(0, len(sent), PAGE_BYTES):
            part = sent[at : at + PAGE_BYTES]
            memory.charge("copy_line", -(-len(part) // LINE_BYTES))
            memory.write(self._outgoing_buffer, part)
        with memory.uncharged():
            return super()._put(node, kind, words, data)

    def _announce(self, node: int) -> None:
        target = self._kernel.machine_core(node, 0)
        self._kernel.send_interrupt(target, Function.NETWORK, 0)

    def arrived(self, source_core: int) -> None:
        """A NETWORK interrupt: the next message of its sender's node is here."""
        memory = self._kernel.memory
        with memory.uncharged():
            message = self._incoming[self._kernel.node_of_core(source_core)].get()
        if message is None:
            return
        memory.charge("message_receive")
        total = MESSAGE.size + len(message.data)
        for at in range(0, total, PAGE_BYTES):
            part = min(PAGE_BYTES, total - at)
            memory.charge("copy_line", -(-part // LINE_BYTES))
            memory.read(self._incoming_buffer, part)
        self._handle(message)
