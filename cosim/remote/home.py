"""The home's process: answers the pagers of nodes on other hosts, on the memory system's host.

It maps the segments as a node does and keeps, for each pager, a replica: what that host's pages
held when both last spoke.  The turns make this exact: while the node runs, nobody else writes;
while it does not, the pager asks for nothing.
"""

from cosim.errors import ProtocolError
from cosim.process import Shell
from cosim.protocol import pages as pages_protocol
from cosim.remote.delta import Delta
from cosim.remote.replica import Replica
from cosim.shared import Segment
from cosim.transport import bind_router, new_keys

IDLE_MS = 20  # without a request for this long, the control socket is watched as well


class Home:
    """Serves the pagers.  replicas: by the name of their node."""

    def __init__(self, shell: Shell) -> None:
        configuration = shell.configuration
        self.shell = shell
        self.nodes = set(configuration["run"]["hosts"])
        self.segments = {
            name: Segment.attach(path) for name, path in configuration["segments"].items()
        }
        self.replicas: dict[str, Replica] = {}
        keys = new_keys()
        self.router, self.endpoint = bind_router(
            pages_protocol.PROTOCOL,
            "home",
            configuration["endpoints"]["pages"],
            greeting="attach",
            greeting_role="pager",
            token=shell.token,
            keys=keys,
            limits=shell.limits,
        )
        self.server_key = keys.public
        self.answers = {
            "attach": self._attach,
            "refresh": self._refresh,
            "fetch": self._fetch,
            "commit": self._commit,
            "forget": self._forget,
        }
        shell.watch(self.router)
        shell.answer("dump", lambda _message: {"pages in common": self._kept()})

    def serve(self) -> None:
        """The whole life."""
        self.shell.ready(endpoints={"pages": self.endpoint, "pages_key": self.server_key})
        while True:
            if self.shell.wait(-1):
                while (found := self.router.receive(IDLE_MS)) is not None:
                    self._serve(*found)
                    self.shell.poll_sometimes()

    def _kept(self) -> dict[str, int]:
        return {node: replica.count for node, replica in self.replicas.items()}

    def _serve(self, peer: str, message: dict) -> None:
        answer = self.answers.get(message["kind"])
        if answer is None:
            return  # an error of the pager's: it ends by itself
        try:
            answer(peer, message)
        except ProtocolError as error:
            self.router.refuse(peer, str(error))

    def _attach(self, peer: str, message: dict) -> None:
        if message["node"] != peer or peer not in self.nodes or peer in self.replicas:
            raise ProtocolError(f"attach: no pager of {peer!r} is expected here")
        self.router.accept(peer, "pager")
        arrays = {name: segment.array for name, segment in sorted(self.segments.items())}
        self.replicas[peer] = Replica(arrays)
        rows = [{"name": name, "size_bytes": len(array)} for name, array in arrays.items()]
        self.router.send(peer, {"kind": "attached", "segments": rows})

    def _refresh(self, peer: str, _message: dict) -> None:
        self._send_changes(peer, 0, 0)

    def _fetch(self, peer: str, message: dict) -> None:
        replica = self.replicas[peer]
        first = replica.count
        count = replica.run(message["page"], message["most"])
        replica.keep(message["page"], count)
        self._send_changes(peer, count, first)

    def _send_changes(self, peer: str, count: int, first: int) -> None:
        replica = self.replicas[peer]
        more = True
        while more:
            delta, first = replica.changes(first)
            more = first < replica.count
            row = {"kind": "changes", "count": count, **delta.fields(), "more": more}
            self.router.send(peer, row)

    def _commit(self, peer: str, message: dict) -> None:
        self.replicas[peer].apply(Delta.of(message))
        if not message["more"]:
            self.router.send(peer, {"kind": "committed"})

    def _forget(self, peer: str, _message: dict) -> None:
        self.replicas[peer].forget()
        self.router.send(peer, {"kind": "forgotten"})


def main(shell: Shell) -> None:
    """Entry of the role `home`."""
    Home(shell).serve()
