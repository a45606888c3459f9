"""Pipes and event counters: files that live in the kernel only.

Source: pipe(7), eventfd(2).
"""

import stat
import struct

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import (
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    POLLERR,
    POLLHUP,
    READABLE,
    WRITABLE,
    OpenFile,
    Stat,
)
from cosim.kernel.waiting import WaitQueue

PIPE_BYTES = 65536  # capacity (Linux default)
ATOMIC_BYTES = 4096  # PIPE_BUF: shorter writes are not torn
COUNTER_MAX = 0xFFFF_FFFF_FFFF_FFFE
EFD_SEMAPHORE = 1


class BrokenPipe(KernelError):
    """Write to a pipe nobody can read: EPIPE, with SIGPIPE for the writer."""

    def __init__(self) -> None:
        super().__init__(Errno.EPIPE, "no reader")


class Pipe:
    """The buffer between two ends."""

    def __init__(self, scheduler, inode: int) -> None:
        self.scheduler = scheduler
        self.inode = inode
        self.data = bytearray()
        self.readers = 1
        self.writers = 1
        self.changed = WaitQueue()

    def wake(self) -> None:
        """Somebody at the other end may go on."""
        self.changed.wake(self.scheduler)


class PipeEnd(OpenFile):
    """One end of a pipe."""

    kind = "pipe"

    def __init__(self, pipe: Pipe, flags: int) -> None:
        super().__init__(flags, f"pipe:[{pipe.inode}]")
        self.pipe = pipe
        self.changed = pipe.changed

    def read(self, length: int) -> bytes | None:
        """See OpenFile."""
        pipe = self.pipe
        if not pipe.data:
            return None if pipe.writers and length else b""
        data = bytes(pipe.data[:length])
        del pipe.data[:length]
        pipe.wake()
        return data

    def write(self, data: bytes) -> int | None:
        """See OpenFile."""
        pipe = self.pipe
        if not pipe.readers:
            raise BrokenPipe()
        room = PIPE_BYTES - len(pipe.data)
        if data and (not room or (len(data) <= ATOMIC_BYTES and room < len(data))):
            return None
        pipe.data += data[:room]
        pipe.wake()
        return min(len(data), room)

    def ready(self) -> int:
        """See OpenFile."""
        pipe = self.pipe
        if self.readable:
            return (READABLE if pipe.data else 0) | (0 if pipe.writers else POLLHUP)
        return (WRITABLE if PIPE_BYTES - len(pipe.data) >= ATOMIC_BYTES else 0) | (
            0 if pipe.readers else POLLERR
        )

    def bytes_waiting(self) -> int:
        """See OpenFile."""
        return len(self.pipe.data)

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self.pipe.inode, stat.S_IFIFO | 0o600)

    def close(self) -> None:
        """See OpenFile."""
        if self.readable:
            self.pipe.readers -= 1
        else:
            self.pipe.writers -= 1
        self.pipe.wake()


def new_pipe(scheduler, inode: int, flags: int) -> tuple[PipeEnd, PipeEnd]:
    """A pipe's read end and write end."""
    pipe = Pipe(scheduler, inode)
    return PipeEnd(pipe, flags | O_RDONLY), PipeEnd(pipe, flags | O_WRONLY)


class EventCounter(OpenFile):
    """eventfd: a counter that reads take and writes add to."""

    kind = "event counter"

    def __init__(self, scheduler, inode: int, value: int, flags: int, semaphore: bool) -> None:
        super().__init__(flags | O_RDWR, "anon_inode:[eventfd]")
        self._scheduler = scheduler
        self._inode = inode
        self._value = value
        self._semaphore = semaphore

    def read(self, length: int) -> bytes | None:
        """See OpenFile."""
        if length < 8:
            raise KernelError(Errno.EINVAL, "eventfd: 8 bytes are read")
        if not self._value:
            return None
        taken = 1 if self._semaphore else self._value
        self._value -= taken
        self.changed.wake(self._scheduler)
        return struct.pack("<Q", taken)

    def write(self, data: bytes) -> int | None:
        """See OpenFile."""
        added = int.from_bytes(data[:8], "little")
        if len(data) < 8 or added > COUNTER_MAX:
            raise KernelError(Errno.EINVAL, "eventfd: 8 bytes are written")
        if self._value + added > COUNTER_MAX:
            return None
        self._value += added
        self.changed.wake(self._scheduler)
        return 8

    def ready(self) -> int:
        """See OpenFile."""
        return (READABLE if self._value else 0) | (WRITABLE if self._value < COUNTER_MAX else 0)

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self._inode, 0o600)
