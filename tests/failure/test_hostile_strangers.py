"""Does a real machine that runs two programs end in the same digest, whatever strangers send to the
sockets it listens at?
"""

import random
import socket
import threading
import time
from contextlib import closing

import msgpack
import zmq

from cosim.protocol import control, telemetry, turns
from launch import Machine
from launch import machine as machines
from launch.supervisor import Supervisor
from tests.failure.harness import assert_nothing_left, stranger_channel
from tests.protocol.messages import smallest, spoiled

PLACES = {
    "control": (zmq.DEALER, control.PROTOCOL),
    "turns": (zmq.DEALER, turns.PROTOCOL),
    "telemetry": (zmq.PUB, telemetry.PROTOCOL),
}
MESSAGES = 3400  # to each place
RAW_CONNECTIONS = 40  # to each place, of bytes that are not even frames
BURST = 60  # messages between two looks at the answers
ROUNDS = 2000  # of interrupts between the two programs, while all that is sent
PATIENCE_SECONDS = 20


def nonsense(protocol, chance, token):
    """A frame: random bytes, a valid message of a stranger, or one with something changed."""
    if chance.random() < 0.25:
        return chance.randbytes(chance.randrange(64))
    message = smallest(protocol.messages[chance.choice(sorted(protocol.messages))])
    if chance.random() < 0.1 and "token" in message and protocol is not telemetry.PROTOCOL:
        message["token"] = token  # even who knows the token does not belong to the machine
    return msgpack.packb(spoiled(message, chance) if chance.random() < 0.7 else message)


def is_error(frame):
    """Does the frame look like an `error`?  Those are not answered, or it would never end."""
    try:
        message = msgpack.unpackb(frame)
    except Exception:  # whatever random bytes make of the decoder
        return False
    return isinstance(message, dict) and message.get("kind") == "error"


class Stranger(threading.Thread):
    """Sends to one endpoint.  sent; answerable: of these; answered: the errors that came back."""

    def __init__(self, name, supervisor):
        super().__init__()
        self.kind, self.protocol = PLACES[name]
        self.endpoint = supervisor.configuration["endpoints"][name]
        self.token = supervisor.sockets.token
        self.sent = self.answerable = self.answered = 0

    def run(self):
        chance = random.Random(self.protocol.name)
        with closing(stranger_channel(self.kind, self.endpoint)) as stranger:
            self.intrude(chance)
            for number in range(MESSAGES):
                frame = nonsense(self.protocol, chance, self.token)
                stranger.send([frame])
                self.sent += 1
                self.answerable += not is_error(frame)
                if number % BURST == 0:
                    self.read_answers(stranger, 2)
            deadline_s = time.monotonic() + PATIENCE_SECONDS
            while self.is_owed_answers() and time.monotonic() < deadline_s:
                self.read_answers(stranger, 50)

    def is_owed_answers(self):
        """Nobody answers what is published."""
        return self.kind == zmq.DEALER and self.answered < self.answerable

    def read_answers(self, stranger, wait_ms):
        """Count the errors that came back."""
        if self.kind == zmq.PUB:
            time.sleep(0.01)
        while self.kind == zmq.DEALER and (frames := stranger.receive(wait_ms)):
            self.answered += msgpack.unpackb(frames[0])["kind"] == "error"

    def intrude(self, chance):
        """Connect without speaking ZeroMQ, or the plain channel's lengths."""
        for _ in range(RAW_CONNECTIONS):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(self.endpoint.split("://")[1])
                raw.send(chance.randbytes(chance.randrange(1, 200)))


def run(folder):
    """Two programs that interrupt each other."""
    with Machine(out=folder) as machine:
        return machine.run("pingpong", on=["x86", "arm"], arguments=[ROUNDS])


def test_ten_thousand_messages_of_strangers_change_nothing(tmp_path, monkeypatch):
    expected = run(tmp_path / "quiet")
    made, strangers = [], {}

    class Visited(Supervisor):
        def run(self, agenda=None):
            made.append(self)
            strangers.update({name: Stranger(name, self) for name in PLACES})
            for stranger in strangers.values():
                stranger.start()
            return super().run(agenda)

        def _collect(self):
            while any(stranger.is_alive() for stranger in strangers.values()):
                self._pump(10)
            super()._collect()

    monkeypatch.setattr(machines, "Supervisor", Visited)
    disturbed = run(tmp_path / "disturbed")
    assert disturbed.digest == expected.digest and disturbed.exit_status == 0
    assert disturbed.console == expected.console
    assert sum(stranger.sent for stranger in strangers.values()) >= 10_000
    for name in ("control", "turns"):
        assert strangers[name].answered == strangers[name].answerable > MESSAGES / 2
    assert made[0].control.bad >= strangers["control"].sent
    assert made[0].telemetry.bad > MESSAGES / 2  # a subscriber may drop some, and cannot answer
    assert_nothing_left(made[0].sockets.folder)
