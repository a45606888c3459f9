"""Frames between processes of one host, without a thread in between: a Unix stream socket.

For the messages of a turn.  A ZeroMQ message crosses an I/O thread on each side, and each crossing
wakes a thread: 136 us of a contended turn of 260 us, against 85 of 205 us here, where a message
wakes nobody but its reader (`python -m benchmarks.turns`, 10th percentiles, in turn on one host).
A word in shared memory with a futex woke no sooner than a stream, and says nothing when its other
end dies; spinning on it took 3 us, but there are fewer cores than processes.

```text
 connecting side                       bound side
 4 bytes length, routing id  ───────▶  a name that is taken: the connection is closed
 4 bytes length, payload     ◀──────▶  ...
```
Lengths are little-endian.  Neither side blocks the other for ever: the bound side keeps what a peer
does not read yet, up to a limit; the connecting side waits for Limits.send_s.  Who is gone is
reported by nobody here: as with ZeroMQ, its messages are lost, and whoever started it says so.
"""

import os
import select
import socket
import struct
import time
from collections import deque
from contextlib import suppress

from cosim.errors import MachineError

SCHEME = "unix://"
NAME_BYTES_MAX = 255  # of a routing id, as in ZeroMQ
READ_BYTES = 1 << 16
LENGTH = struct.Struct("<I")
TIMEVAL = struct.Struct("@ll")  # struct timeval, for SO_RCVTIMEO: socket(7)
CONNECTIONS_MAX = 256  # a machine has up to 64 nodes
LOST_MS = 20  # a wait for a peer that is gone


class Connection:
    """One stream: takes frames apart and puts them together.

    name: the routing id of the other end, b"" while it is not known.
    """

    def __init__(self, stream: socket.socket, frame_bytes_max: int) -> None:
        self.stream = stream
        self.name = b""
        self.unsent = bytearray()
        self._bytes_max = frame_bytes_max
        self._received = b""

    def read(self, flags: int = 0) -> list[bytes] | None:
        """The frames that one read completes; None when the other end is gone or sends nonsense.

        BlockingIOError when there is nothing to read.
        """
        try:
            read = self.stream.recv(READ_BYTES, flags)
        except BlockingIOError:
            raise
        except OSError:
            return None
        if not read:
            return None
        size = LENGTH.size
        if (
            not self._received
            and len(read) >= size
            and LENGTH.unpack_from(read)[0] == len(read) - size
        ):
            return [read[size:]]  # nearly always: one message is under way in a turn
        data = self._received + read
        frames, start = [], 0
        while len(data) - start >= size:
            end = start + size + LENGTH.unpack_from(data, start)[0]
            if end - start > self._bytes_max + size:
                return None
            if end > len(data):
                break
            frames.append(data[start + size : end])
            start = end
        self._received = data[start:]
        return frames


def path_of(endpoint: str) -> str:
    """The socket's path."""
    return endpoint.removeprefix(SCHEME)


class LocalRouter:
    """The bound side: frames as on a ROUTER socket, the routing id first; see transport.Channel."""

    def __init__(self, endpoint: str, frame_bytes_max: int, unsent_bytes_max: int) -> None:
        """MachineError when it cannot listen there."""
        self._bytes_max = frame_bytes_max
        self._unsent_max = unsent_bytes_max
        self._path = path_of(endpoint)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(self._path)
        except OSError as error:
            self._listener.close()
            raise MachineError(f"{endpoint}: cannot listen: {error.strerror}") from error
        self._listener.listen()
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._named: dict[bytes, Connection] = {}
        self._arrived: deque[list[bytes]] = deque()
        self.pollable = self._epoll.fileno()

    def send(self, frames: list[bytes]) -> bool:
        """False when the peer is gone, or reads so little that too much is kept for it."""
        found = self._named.get(frames[0])
        if found is None:
            return False
        data = LENGTH.pack(len(frames[1])) + frames[1]
        if found.unsent:
            if len(found.unsent) + len(data) > self._unsent_max:
                return False
            found.unsent += data
            return True
        return self._push(found, data)

    def receive(self, timeout_ms: int) -> list[bytes] | None:
        """The next frames: routing id, payload."""
        if self._arrived:
            return self._arrived.popleft()
        wait_s = timeout_ms / 1000 if timeout_ms >= 0 else -1
        deadline_s = time.monotonic() + wait_s
        while True:
            for descriptor, event in self._epoll.poll(wait_s):
                self._serve(descriptor, event)
            if self._arrived:
                return self._arrived.popleft()
            if timeout_ms >= 0 and (wait_s := deadline_s - time.monotonic()) <= 0:
                return None

    def close(self, flush_ms: int = 0) -> None:
        """Close everything; a stream keeps for its reader what was written."""
        for found in list(self._connections.values()):
            self._drop(found)
        self._epoll.close()
        self._listener.close()
        with suppress(OSError):  # whoever removes the folder may be faster
            os.unlink(self._path)

    def _serve(self, descriptor: int, event: int) -> None:
        found = self._connections.get(descriptor)
        if found is None:
            self._accept()  # the listener, or a connection that was dropped since
            return
        if event & select.EPOLLOUT:
            self._flush(found)
        if event & ~select.EPOLLOUT:
            self._read(found)

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError:
            return  # it is gone already
        if len(self._connections) >= CONNECTIONS_MAX:
            stream.close()
            return
        stream.setblocking(False)
        self._connections[stream.fileno()] = Connection(stream, self._bytes_max)
        self._epoll.register(stream, select.EPOLLIN)

    def _read(self, found: Connection) -> None:
        try:
            frames = found.read()
        except BlockingIOError:
            return
        if frames is None:
            self._drop(found)
            return
        if frames and not found.name:
            name = frames.pop(0)
            if not self._is_free(name):
                self._drop(found)
                return
            found.name = name
            self._named[name] = found
        for frame in frames:
            self._arrived.append([found.name, frame])

    def _is_free(self, name: bytes) -> bool:
        """May a newcomer have it?  Whoever has it may be gone without our having looked."""
        if not 0 < len(name) <= NAME_BYTES_MAX:
            return False
        if (holder := self._named.get(name)) is not None:
            self._read(holder)
        return name not in self._named

    def _push(self, found: Connection, data: bytes | bytearray) -> bool:
        """Write what fits and keep the rest; False when the peer is gone."""
        try:
            count = found.stream.send(data)
        except BlockingIOError:
            count = 0
        except OSError:
            self._drop(found)
            return False
        if count < len(data):
            found.unsent = bytearray(data[count:])
            self._epoll.modify(found.stream, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _flush(self, found: Connection) -> None:
        data, found.unsent = found.unsent, bytearray()
        self._epoll.modify(found.stream, select.EPOLLIN)
        self._push(found, data)

    def _drop(self, found: Connection) -> None:
        if self._connections.pop(found.stream.fileno(), None) is None:
            return
        if self._named.get(found.name) is found:
            del self._named[found.name]
        self._epoll.unregister(found.stream)
        found.stream.close()


class LocalDealer:
    """The connecting side: frames as on a DEALER socket; see transport.Channel."""

    def __init__(self, endpoint: str, name: bytes, frame_bytes_max: int, send_s: float) -> None:
        """MachineError when nobody listens there."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(path_of(endpoint))
        except OSError as error:
            stream.close()
            raise MachineError(f"{endpoint}: cannot connect: {error.strerror}") from error
        self._connection = Connection(stream, frame_bytes_max)
        self._stream = stream
        self._arrived: deque[bytes] = deque()
        self._receive_ms = -1
        self.lost = False
        # In the kernel: a wait is then one call, and a settimeout of Python's would make it two.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(int(send_s * 1000)))
        self.pollable = stream.fileno()
        self.send([name])

    def send(self, frames: list[bytes]) -> bool:
        """False when the peer has read nothing for send_s; what is for one that is gone is lost."""
        if self.lost:
            return True
        try:
            self._stream.sendall(LENGTH.pack(len(frames[0])) + frames[0])
        except BlockingIOError:
            self.lost = True  # half a message may be out: nothing can follow it
            return False
        except OSError:
            self.lost = True
        return True

    def receive(self, timeout_ms: int) -> list[bytes] | None:
        """The next frame; of a peer that is gone None, after LOST_MS at most."""
        if self._arrived:
            return [self._arrived.popleft()]
        while not self.lost:
            try:
                frames = self._connection.read(self._waiting(timeout_ms))
            except BlockingIOError:
                return None
            if frames is None:
                self.lost = True
            elif frames:
                self._arrived.extend(frames[1:])
                return frames[:1]
        time.sleep((min(timeout_ms, LOST_MS) if timeout_ms >= 0 else LOST_MS) / 1000)
        return None

    def _waiting(self, timeout_ms: int) -> int:
        """Have the next read wait so long; its flags."""
        if timeout_ms == 0:
            return socket.MSG_DONTWAIT
        if timeout_ms != self._receive_ms:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_ms))
            self._receive_ms = timeout_ms
        return 0

    def close(self, flush_ms: int = 0) -> None:
        """Close; the stream keeps for its reader what was written."""
        self.lost = True
        self._stream.close()


def _timeval(milliseconds: int) -> bytes:
    """What SO_RCVTIMEO and SO_SNDTIMEO take; zero waits for ever."""
    seconds, rest = divmod(max(milliseconds, 0), 1000)
    return TIMEVAL.pack(seconds, rest * 1000)
