"""The machine's serial port `uart0`: a 16550 whose transmitter is the console of every node.

Only what a polling console driver touches is modelled: the line status register, read once per
burst, and the transmit holding register behind the 16-byte FIFO.  The line is infinitely fast, so
the FIFO is always empty again at the next burst; the receiver, baud rate, modem lines and
interrupts are not modelled.

Source: National Semiconductor PC16550D data sheet, "UART with FIFOs", register table and FIFO
polled mode.
"""

from cosim.engine.stream import Kind, Mode, record

UART_BASE = 0xC000_0000  # physical address of the registers, in the map's device hole
TRANSMIT_HOLDING = 0  # write: one character
LINE_STATUS = 5  # read: bit 5 = transmit FIFO empty
FIFO_BYTES = 16

STATUS_READ = record(Kind.LOAD, Mode.UNCACHED, 1, UART_BASE + LINE_STATUS)
DATA_WRITE = record(Kind.STORE, Mode.UNCACHED, 1, UART_BASE + TRANSMIT_HOLDING)


def driver_references(length: int) -> list[int]:
    """Reference records a polling driver makes to send `length` bytes: per FIFO filling one status
    read and the writes.
    """
    references = []
    for start in range(0, length, FIFO_BYTES):
        references.append(STATUS_READ)
        references.extend([DATA_WRITE] * min(FIFO_BYTES, length - start))
    return references


class Uart:
    """The device itself, in the process of the node that owns it: keeps everything that was ever
    sent.
    """

    def __init__(self) -> None:
        self.transcript = bytearray()
        self.bytes_by_source: dict[str, int] = {}

    def transmit(self, source: str, data: bytes) -> None:
        """`data` left the transmitter; `source` is the node whose driver wrote it."""
        self.transcript += data
        self.bytes_by_source[source] = self.bytes_by_source.get(source, 0) + len(data)
