"""The machine's memory as one node's process maps it: shared with all, or a copy kept by a pager.

```text
 same host   node ── maps the segments of the memory system
 other host  node ── maps segments of its pager ── tcp ── home ── maps those of the memory system
```
Whatever touches the segments does so inside `current()`: there they are as the whole machine left
them, and when the block ends the machine has what was written.  On the same host that is always so.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cosim.errors import MachineError
from cosim.remote import userfault
from cosim.shared import Segment

PAGER_SOCKET = "pager"  # in the private folder of the node's host
BEGIN, END, DONE = b"begin", b"end", b"done"
ANSWER_BYTES_MAX = 2000


class SharedMemory:
    """The segments of the memory system themselves.  segments: by name."""

    remote = False

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.segments = {name: Segment.attach(path) for name, path in paths.items()}

    @contextmanager
    def current(self) -> Iterator[None]:
        """See the module."""
        yield


class PagedMemory(SharedMemory):
    """Copies of the segments that a pager fills and empties."""

    remote = True

    def __init__(self, node: str, paths: Mapping[str, str], folder: str, wait_s: float) -> None:
        """folder: of the pager's socket.  wait_s: longest wait for the pager.  MachineError when it
        is not there, InputError when this host does not permit userfaultfd.
        """
        super().__init__(paths)
        self._node = node
        self._pager = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pager.settimeout(wait_s)
        descriptor = userfault.create()
        places = []
        for segment in self.segments.values():
            userfault.register(descriptor, segment.address, segment.size_bytes)
            places.append(segment.address)
        try:
            self._pager.connect(f"{folder}/{PAGER_SOCKET}")
            row = struct.pack(f"<{len(places)}Q", *places)
            socket.send_fds(self._pager, [row], [descriptor])
        except OSError as error:
            raise self._lost(error) from error
        # The pager has the only descriptor now: when it ends, touches of missing pages no longer
        # block.  What they find is worth nothing, and `current` fails before anybody gets it.
        os.close(descriptor)
        self._answer()

    def _lost(self, error: OSError) -> MachineError:
        return MachineError(f"node {self._node!r}: its pager is gone or hangs: {error}")

    def _answer(self) -> None:
        try:
            said = self._pager.recv(ANSWER_BYTES_MAX)
        except OSError as error:
            raise self._lost(error) from error
        if said != DONE:
            raise MachineError(f"node {self._node!r}: its pager is gone")

    def _ask(self, what: bytes) -> None:
        try:
            self._pager.send(what)
        except OSError as error:
            raise self._lost(error) from error
        self._answer()

    @contextmanager
    def current(self) -> Iterator[None]:
        """See the module.  MachineError when the pager cannot do it."""
        self._ask(BEGIN)
        yield
        self._ask(END)


def attach(node: str, configuration: Mapping, wait_s: float) -> SharedMemory:
    """The memory of this node."""
    paths, run = configuration["segments"], configuration["run"]
    if node in run.get("hosts", {}):
        return PagedMemory(node, paths, run["scratch"], wait_s)
    return SharedMemory(paths)
