"""The console: where descriptors 0, 1 and 2 of a program lead.

Output goes through the serial port of the node that owns it (cosim/devices/uart.py).  A node that
does not own it makes the same register accesses; they are redirected to the owner's process (paper,
7.4) and cost what remote accesses cost. Input is the bytes given with the program; there is no
terminal, so its end is an end of file.
"""

from collections.abc import Callable

from cosim.devices.uart import Uart, driver_references

WRITE_BYTES_MAX = 4096  # characters handed to the device at once


class Console:
    """One node's end of the console.

    memory: KernelMemory, whose current core makes the references.  outbox: takes `device` and
    `console` calls.  heard(bytes) is called with all that is written.
    """

    def __init__(self, memory, outbox, node_name: str, owner: bool) -> None:
        self._memory = memory
        self._outbox = outbox
        self._node_name = node_name
        self.uart = Uart() if owner else None
        self.output = bytearray()
        self.heard: Callable[[bytes], None] = lambda data: None

    def write(self, data: bytes) -> int:
        """Print `data`; the number of bytes taken (all)."""
        for start in range(0, len(data), WRITE_BYTES_MAX):
            self._send(data[start : start + WRITE_BYTES_MAX])
        return len(data)

    def _send(self, data: bytes) -> None:
        core = self._memory.core
        for reference in driver_references(len(data)):
            core.writer.append(reference)
        self.output += data
        self._outbox.console(data)
        self.heard(data)
        if self.uart is not None:
            self.uart.transmit(self._node_name, data)
            return
        self._outbox.device(
            {
                "device": "uart0",
                "source": self._node_name,
                "sent_ps": core.now_ps(),
                "value": data,
            }
        )

    def receive(self, source: str, data: bytes) -> None:
        """Another node's driver wrote `data` to the serial port that we own."""
        if self.uart is not None:
            self.uart.transmit(source, data)
