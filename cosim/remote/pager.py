"""The pager's process: fills a node's memory, on a host that does not share memory with memsys.

```text
 node ── touch of a missing page ─▶ userfaultfd ─▶ pager ── fetch ─▶ home (tcp)
 node ── begin, end of a turn ────▶ socket ──────▶ pager ── refresh, commit ─▶ home
```
It makes the segments of the machine as empty memfds, which the node maps as it would those of the
memory system.  What is put into a memfd appears in the node's mapping; only pages that the memfd
does not hold yet are touched through the pager.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cosim.errors import MachineError
from cosim.process import Shell
from cosim.protocol import pages as pages_protocol
from cosim.remote import userfault
from cosim.remote.delta import Delta
from cosim.remote.memory import BEGIN, DONE, END, PAGER_SOCKET
from cosim.remote.replica import Replica
from cosim.shared import Segment
from cosim.transport import Poller, connect_dealer
from cosim.units import PAGE_BYTES, PAGE_SHIFT

# Neighbours are often wanted next: NPB IS S with a kernel per node makes 1389 requests of one page,
# 570 of up to 4, 313 of up to 8 and 118 of up to 32, these for twice as many pages.
FETCH_PAGES = 16
# Comparing costs 0.4 us a page at both ends of every turn: more than these (64 MiB) are forgotten,
# and those that are still wanted fetched again.
KEPT_PAGES_MAX = 16384
IDLE_MS = 20  # without an event for this long, the control socket is watched as well
REQUEST_BYTES_MAX = 64
FAULT, NODE = "fault", "node"
COUNTS = (
    ("turns", "fetches", "pages_fetched", "pages_refreshed", "pages_committed", "bytes")
    + ("forgotten",)
)  # fmt: skip
VERBS = ("fetch", "refresh", "commit")


class Pager:
    """One node's pager.  counts, seconds: what it moved, and the host time of each verb, so far."""

    def __init__(self, shell: Shell) -> None:
        configuration = shell.configuration
        self.shell = shell
        self.node = str(configuration["pager_of"])
        endpoints = configuration["endpoints"]
        self.counts = dict.fromkeys(COUNTS, 0)
        self.seconds = dict.fromkeys(VERBS, 0.0)
        self.home = connect_dealer(
            pages_protocol.PROTOCOL,
            "pager",
            endpoints["pages"],
            name=self.node,
            peer_role="home",
            server_key=endpoints["pages_key"],
            limits=shell.limits,
        )
        self.kept_max = int(configuration["run"].get("kept_pages_max", KEPT_PAGES_MAX))
        self.segments = self._make_segments()
        self.replica = Replica({name: segment.array for name, segment in self.segments.items()})
        place = Path(configuration["run"]["scratch"]) / PAGER_SOCKET
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(place))
        self.listener.listen(1)
        self.faults = -1
        self.places: list[tuple[int, int, int]] = []  # address in the node, size, first page
        shell.statistics = self.statistics
        shell.answer("collect", lambda _message: {"statistics": self.statistics()})
        shell.answer("dump", lambda _message: {"pages": dict(self.counts)})

    def statistics(self) -> dict[str, int]:
        """What moved between the hosts."""
        times = {f"{verb}_us": int(seconds * 1e6) for verb, seconds in self.seconds.items()}
        return {f"host.{self.node}.pager.{n}": value for n, value in (self.counts | times).items()}

    def _make_segments(self) -> dict[str, Segment]:
        self.shell.doing = "asking the home of the pages for the segments"
        attach = {"kind": "attach", "node": self.node, "token": self.shell.token}
        rows = self._ask(attach)["segments"]
        return {row["name"]: Segment.create(row["name"], row["size_bytes"]) for row in rows}

    def _ask(self, message: dict) -> dict:
        """The home's answer.  MachineError when there is none."""
        self.home.send(message)
        return self._answer(message["kind"])

    def _answer(self, kind: str) -> dict:
        answer = self.home.receive(int(self.shell.limits.answer_s * 1000))
        if answer is None:
            reason = self.home.last_error or f"no answer for {self.shell.limits.answer_s:g} s"
            raise MachineError(f"pager of node {self.node!r}: {kind}: {reason}")
        return answer

    def serve(self) -> None:
        """The whole life: one node, its touches and its turns."""
        self.shell.ready({name: segment.path for name, segment in self.segments.items()})
        connection = self._accept()
        poller = Poller()
        poller.add(self.faults, FAULT)
        poller.add(connection.fileno(), NODE)
        while True:
            for source in poller.wait(IDLE_MS):
                if source == FAULT:
                    self._serve_faults()
                else:
                    self._serve_node(connection)
            self.shell.poll_sometimes()

    def _accept(self) -> socket.socket:
        """The node's connection, when it came: with its descriptor and places."""
        self.shell.doing = "waiting for the node"
        poller = Poller()
        poller.add(self.listener.fileno(), NODE)
        while not poller.wait(IDLE_MS):
            self.shell.poll_sometimes()
        connection, _ = self.listener.accept()
        self.listener.close()
        size = 8 * len(self.segments)
        row, (self.faults, *_), _, _ = socket.recv_fds(connection, size, 1)
        for address, (name, segment) in zip(
            struct.unpack(f"<{len(self.segments)}Q", row), self.segments.items(), strict=True
        ):
            self.places.append((address, segment.size_bytes, self.replica.first_page[name]))
        connection.send(DONE)
        self.shell.doing = "serving the node"
        return connection

    def _serve_faults(self) -> None:
        for address in userfault.faults(self.faults):
            with self._timed("fetch"):
                self._fetch(self._page_of(address))
                userfault.wake(self.faults, address & -PAGE_BYTES, PAGE_BYTES)

    @contextmanager
    def _timed(self, verb: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.seconds[verb] += time.perf_counter() - began_s

    def _page_of(self, address: int) -> int:
        for begin, size_bytes, first in self.places:
            if begin <= address < begin + size_bytes:
                return first + ((address - begin) >> PAGE_SHIFT)
        raise MachineError(f"pager of node {self.node!r}: {address:#x} is in no segment")

    def _fetch(self, page: int) -> None:
        most = self.replica.run(page, FETCH_PAGES)
        if not most:
            return  # it came with a neighbour
        answer = self._ask({"kind": "fetch", "page": page, "most": most})
        self.replica.keep(page, answer["count"])
        pages = np.arange(page, page + answer["count"], dtype=np.uint64)
        self.replica.touch(pages)
        self._take(answer)
        self.counts["fetches"] += 1
        self.counts["pages_fetched"] += answer["count"]

    def _take(self, answer: dict) -> int:
        """Apply a message of changes; pages in it."""
        delta = Delta.of(answer)
        self.replica.apply(delta)
        self._count(delta)
        return len(delta.pages)

    def _count(self, delta: Delta) -> None:
        self.counts["bytes"] += sum(part.nbytes for part in delta)

    def _serve_node(self, connection: socket.socket) -> None:
        request = connection.recv(REQUEST_BYTES_MAX)
        if request == BEGIN:
            with self._timed("refresh"):
                self._refresh()
        elif request == END:
            with self._timed("commit"):
                self._commit()
        else:
            self.shell.serve_forever()  # the node is gone: its host will end this process
        connection.send(DONE)

    def _refresh(self) -> None:
        if self.replica.count > self.kept_max:
            self._forget()
            return
        answer = self._ask({"kind": "refresh"})
        self.counts["pages_refreshed"] += self._take(answer)
        while answer["more"]:
            answer = self._answer("refresh")
            self.counts["pages_refreshed"] += self._take(answer)

    def _forget(self) -> None:
        self._ask({"kind": "forget"})
        self.replica.forget()
        for segment in self.segments.values():
            segment.clear()
        self.counts["forgotten"] += 1

    def _commit(self) -> None:
        self.counts["turns"] += 1
        first, more = 0, True
        while more:
            delta, first = self.replica.changes(first)
            more = first < self.replica.count
            self.home.send({"kind": "commit", **delta.fields(), "more": more})
            self.counts["pages_committed"] += len(delta.pages)
            self._count(delta)
        self._answer("commit")


def main(shell: Shell) -> None:
    """Entry of the role `pager`."""
    Pager(shell).serve()
