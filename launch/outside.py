"""The supervisor's ear for commands from outside: attach, detach, inspect, stop, ps.

Requests wait until the run's agenda has time for them; only `describe` is answered at once.
"""

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from cosim import wire
from cosim.errors import InputError
from cosim.protocol import outside as protocol
from cosim.transport import bind_router
from launch.events import Attach, Detach, Event, Leave, Stop
from launch.live import Live

if TYPE_CHECKING:
    from launch.agenda import Agenda

OVER = "the run is over"
ONE_PATH = (
    "the run feeds several memory systems (--also), whose clocks differ: nothing can be done to it "
    "at a virtual time; `stramash inspect` shows it, Ctrl-C ends it"
)


class Outside:
    """See the module; waiting: requests are there to be served."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._requests: deque[tuple[str, dict]] = deque()
        sockets = live.supervisor.sockets
        self._router, _ = bind_router(
            protocol.PROTOCOL,
            "supervisor",
            sockets.endpoints["outside"],
            greeting="call",
            greeting_role="operator",
            token=sockets.token,
        )
        live.supervisor.listen(self._router, self._take)

    @property
    def waiting(self) -> bool:
        """Is there a request?"""
        return bool(self._requests)

    def close(self) -> None:
        """The run is over, and whoever asked is told."""
        self._take()
        for peer, _ in self._requests:
            self._refuse(peer, OVER)
        self._router.close(0.2)

    def _take(self) -> None:
        while (found := self._router.receive(0)) is not None:
            peer, message = found
            if message["kind"] == "call":
                self._greet(peer, message)
            elif message["kind"] == "describe":
                self._router.send(peer, {"kind": "described", **self._description()})
            else:
                self._requests.append(found)

    def _greet(self, peer: str, message: dict) -> None:
        version, digest = protocol.PROTOCOL.version, wire.digest()
        if (message["version"], message["digest"]) != (version, digest):
            self._refuse(
                peer,
                f"this command speaks version {message['version']} (tables {message['digest']}), "
                f"the machine version {version} (tables {digest}); use the release that started it",
            )
            return
        self._router.accept(peer, "operator")
        self._router.send(peer, {"kind": "answered"})

    def _refuse(self, peer: str, reason: str) -> None:
        self._router.send(peer, {"kind": "refused", "reason": " ".join(reason.split())[:4000]})

    def _description(self) -> dict:
        supervisor = self._live.supervisor
        rows = [
            {
                **{name: row[name] for name in ("name", "index", "isa", "cores")},
                "joined_ps": row.get("joined_ps", 0),
                "leaving": "leaving" in row,
            }
            for row in self._live.present()
        ]
        time_ps = supervisor.virtual_time_ps
        return {"phase": supervisor.phase, "virtual_time_ps": time_ps, "nodes": rows}

    def serve(self, agenda: "Agenda") -> None:
        """One request."""
        peer, message = self._requests.popleft()
        fixed = self._live.supervisor.configuration.get("also")
        if fixed and message["kind"] != "inspect":
            self._refuse(peer, ONE_PATH)
            return
        try:
            answer = getattr(self, f"_{message['kind']}")(agenda, message)
        except InputError as error:
            self._refuse(peer, str(error))
            return
        if answer is None:
            self._refuse(peer, OVER)
        else:
            self._router.send(peer, answer)

    def _inspect(self, _agenda: "Agenda", _message: dict) -> dict:
        return {"kind": "inspected", "text": self._live.supervisor.inspect()}

    def _attach(self, agenda: "Agenda", message: dict) -> dict | None:
        given = Attach(isa=message["isa"], cores=message["cores"], name=message["name"])
        event = self._live.invite(given)
        row = agenda.now(lambda now_ps: replace(event, at_ps=now_ps))
        if row is None:
            return None
        return {"kind": "attached", **{key: row[key] for key in ("at_ps", "name", "index")}}

    def _detach(self, agenda: "Agenda", message: dict) -> dict | None:
        name = message["name"]
        row = agenda.now(lambda now_ps: Detach(at_ps=now_ps, name=name))
        if row is None:
            return None
        left = any(done["kind"] == Leave.KIND and done["name"] == name for done in self._live.done)
        return {"kind": "detached", "at_ps": row["at_ps"], "left": left}

    def _halt(self, agenda: "Agenda", _message: dict) -> dict | None:
        def stop(now_ps: int) -> Event:
            return Stop(at_ps=now_ps)

        row = agenda.now(stop)
        return None if row is None else {"kind": "halted", "at_ps": row["at_ps"]}
