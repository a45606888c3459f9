"""Queues that stand for sockets inside one process; see transport.Channel."""

from collections import deque


class Loopback:
    """Queues that stand for one router socket and its dealers inside one process, for tests."""

    def __init__(self) -> None:
        self.to_router: deque[list[bytes]] = deque()
        self.to_dealers: dict[bytes, deque[list[bytes]]] = {}

    def router(self) -> "LoopbackChannel":
        """The router's end."""
        return LoopbackChannel(self, b"")

    def dealer(self, name: str) -> "LoopbackChannel":
        """A dealer's end with this routing id."""
        self.to_dealers[name.encode()] = deque()
        return LoopbackChannel(self, name.encode())


class LoopbackChannel:
    """One end of a Loopback; frames look as on a ZeroMQ socket.  Waits for nothing."""

    pollable = None

    def __init__(self, link: Loopback, identity: bytes) -> None:
        self.link = link
        self.identity = identity

    def send(self, frames: list[bytes]) -> bool:
        """Put the frames into the other side's queue."""
        if self.identity:
            self.link.to_router.append([self.identity, *frames])
            return True
        queue = self.link.to_dealers.get(frames[0])
        if queue is None:
            return False
        queue.append(frames[1:])
        return True

    def receive(self, timeout_ms: int) -> list[bytes] | None:
        """Take the oldest message of the own queue."""
        queue = self.link.to_dealers[self.identity] if self.identity else self.link.to_router
        return queue.popleft() if queue else None

    def close(self, flush_ms: int = 0) -> None:
        """Nothing to close."""
        self.link.to_dealers.pop(self.identity, None)
