"""Does a running machine shrug off whatever strangers send to its sockets?"""

import random
import threading
import time

import msgpack
import pytest
import zmq

from cosim.errors import ProtocolError
from cosim.protocol import control, telemetry, turns
from cosim.transport import connect_dealer
from tests.failure.harness import assert_nothing_left, run_whole, stranger_channel, toy_machine
from tests.protocol.messages import smallest, spoiled

STRANGE_MESSAGES = 3000  # per socket


def pester(endpoint: str, kind: int, protocol, stop: threading.Event) -> None:
    """Send nonsense and valid messages that have no place, without the token."""
    chance = random.Random(endpoint)
    channel = stranger_channel(kind, endpoint)
    kinds = sorted(protocol.messages)
    for index in range(STRANGE_MESSAGES):
        message = smallest(protocol.messages[chance.choice(kinds)])
        frame = msgpack.packb(spoiled(message, chance) if index % 3 else message)
        channel.send([chance.randbytes(20) if index % 5 == 0 else frame])
        if index % 100 == 0:
            time.sleep(0.005)
            while channel.receive(0) if kind == zmq.DEALER else False:
                pass
    stop.wait(10)
    channel.close()


def simulated(statistics):
    """Without the host's."""
    return {name: value for name, value in statistics.items() if not name.startswith("host.")}


def test_strangers_change_nothing_in_a_run():
    with toy_machine(toy_turns=3000) as supervisor:
        expected = run_whole(supervisor)
    with toy_machine(toy_turns=3000) as supervisor:
        supervisor.start()
        endpoints, stop = supervisor.configuration["endpoints"], threading.Event()
        strangers = [
            threading.Thread(target=pester, args=(endpoints[name], kind, protocol, stop))
            for name, kind, protocol in (
                ("control", zmq.DEALER, control.PROTOCOL),
                ("turns", zmq.DEALER, turns.PROTOCOL),
                ("telemetry", zmq.PUB, telemetry.PROTOCOL),
            )
        ]
        for stranger in strangers:
            stranger.start()
        for node in ("x86", "arm"):
            supervisor.load(node, {"name": f"on-{node}"})
        outcome = supervisor.run()
        stop.set()
        for stranger in strangers:
            stranger.join()
    assert simulated(outcome.statistics) == simulated(expected.statistics)
    assert outcome.finished == expected.finished
    assert supervisor.control.bad > STRANGE_MESSAGES / 2 and supervisor.telemetry.bad > 0
    assert_nothing_left(supervisor.sockets.folder)


def test_a_second_process_with_the_token_does_not_get_in():
    with toy_machine() as supervisor:
        supervisor.start()
        intruder = connect_dealer(
            control.PROTOCOL, "node", supervisor.configuration["endpoints"]["control"],
            name="intruder", peer_role="supervisor",
        )  # fmt: skip
        token = supervisor.sockets.token
        intruder.send(
            {**smallest(control.HELLO), "name": "intruder", "role": "node", "token": token}
        )
        for _ in range(50):
            supervisor._pump(20)
            if intruder.receive(0) is None and intruder.last_error:
                break
        assert intruder.last_error == "hello: no node 'intruder' is expected here"
        intruder.close()
        assert run_whole_from_loaded(supervisor).finished["reason"] == "exited"


def run_whole_from_loaded(supervisor):
    """Load and run, once started."""
    for node in ("x86", "arm"):
        supervisor.load(node, {"name": "p"})
    return supervisor.run()


def test_processes_with_other_tables_refuse_to_talk(monkeypatch):
    supervisor = toy_machine()
    monkeypatch.setattr("cosim.wire.digest", lambda: "f" * 16)  # ours only, not the children's
    with supervisor, pytest.raises(ProtocolError, match="tables f{16}.*install the same release"):
        supervisor.start()
    assert_nothing_left(supervisor.sockets.folder)
