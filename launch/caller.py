"""The other end of launch.outside: finds a machine that runs, and asks it for something."""

import os
import secrets
import time
from pathlib import Path

from cosim import wire
from cosim.errors import InputError, MachineError
from cosim.protocol import outside as protocol
from cosim.transport import connect_dealer
from launch import running
from launch.running import Live
from launch.sockets import TOKEN_FILE, outside_endpoint

CALL_SECONDS = 10.0  # a supervisor that starts or ends others answers within this
LOOK_SECONDS = 0.5  # so often we look whether the supervisor still lives


def find(run: str = "") -> Live:
    """The machine that runs for a run folder, a part of its name, or a supervisor's pid; the only
    one when `run` is ''.  InputError when that is none, or not one.
    """
    alive = [live for live in running.find() if live.alive]
    found = [live for live in alive if not run or _is(live, run)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(live.run or str(live.pid) for live in (found or alive))
    if found:
        raise InputError(f"{run or 'which machine'}: {len(found)} run: {listed}; name one")
    where = f"; there run: {listed}" if alive else "; none does"
    ended = run and (Path(run) / "manifest.json").exists()
    raise InputError(f"{run or 'no machine'}: {'has ended' if ended else 'does not run'}{where}")


def _is(live: Live, run: str) -> bool:
    folder = Path(live.run)
    return run == str(live.pid) or Path(run).resolve() == folder or run == folder.name


class Caller:
    """A connection to one machine.  A context manager."""

    def __init__(self, live: Live) -> None:
        """Raises InputError when the machine cannot be asked, or refuses to be."""
        self._live = live
        self._name = live.run or str(live.pid)
        try:
            token = (live.folder / TOKEN_FILE).read_text()
        except OSError as error:
            raise InputError(f"{self._name}: cannot be asked ({error.strerror})") from error
        self._dealer = connect_dealer(
            protocol.PROTOCOL, "operator", outside_endpoint(live.folder),
            name=f"operator-{os.getpid()}-{secrets.token_hex(4)}", peer_role="supervisor",
        )  # fmt: skip
        greeting = {"version": protocol.PROTOCOL.version, "digest": wire.digest(), "token": token}
        try:
            self.ask({"kind": "call", **greeting}, CALL_SECONDS)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._dealer.close()

    def ask(self, message: dict, seconds: float = float("inf")) -> dict:
        """The answer to a request.

        InputError when it is refused; MachineError when the machine ends or is silent meanwhile.
        """
        self._dealer.send(message)
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            answer = self._dealer.receive(int(LOOK_SECONDS * 1000))
            if answer is not None and answer["kind"] == "refused":
                raise InputError(f"{self._name}: {answer['reason']}")
            if answer is not None:
                return answer
            if self._dealer.last_error:
                raise InputError(f"{self._name}: {self._dealer.last_error}")
            if not running.is_alive(self._live):
                raise MachineError(f"{self._name}: the machine ended before it answered")
        raise MachineError(f"{self._name}: no answer within {seconds:g} s")
