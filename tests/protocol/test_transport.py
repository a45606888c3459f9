"""Do sockets refuse, answer and count what they must, and let nobody in without the token and the
key?
"""

import random
import time

import msgpack
import pytest
import zmq

from cosim.errors import InputError, MachineError, ProtocolError
from cosim.loopback import Loopback
from cosim.protocol import control, telemetry, turns
from cosim.transport import (
    Dealer,
    Limits,
    Router,
    bind_router,
    bind_subscriber,
    connect_dealer,
    connect_publisher,
    new_keys,
)
from tests.protocol.messages import smallest, spoiled

TOKEN = "secret"
FUZZ_MESSAGES = 4000  # per socket; three sockets


@pytest.fixture
def place(tmp_path_factory):
    """A short ipc endpoint of its own."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="st", dir="/tmp") as folder:
        yield f"ipc://{folder}/s"


def hello(name="x86", token=TOKEN):
    return {"kind": "hello", "name": name, "role": "node", "pid": 1, "version": 1, "digest":
        "0" * 16,
            "token": token}  # fmt: skip


def pair():
    link = Loopback()
    router = Router(control.PROTOCOL, "supervisor", link.router(), greeting="hello",
                    greeting_role="component", token=TOKEN)  # fmt: skip
    return (
        router,
        Dealer(control.PROTOCOL, "node", link.dealer("x86"), peer_role="supervisor"),
        link,
    )


def test_a_stranger_is_answered_and_never_obeyed():
    router, dealer, _ = pair()
    dealer.send({"kind": "console", "data": b"hi"})
    assert router.receive(0) is None and router.bad == 1
    assert dealer.receive(0) is None and dealer.last_error.startswith(
        "console: not for role 'component'"
    )
    dealer.send({"kind": "ready", "segments": {}, "endpoints": {}, "facts": {}})
    assert router.receive(0) is None and dealer.receive(0) is None
    assert dealer.last_error == "ready: say hello first"
    dealer.send(hello(token="wrong"))
    assert router.receive(0) is None and dealer.receive(0) is None
    assert dealer.last_error == "hello.token: not the token of this run"
    dealer.send(hello())
    assert router.receive(0) == ("x86", hello())
    router.accept("x86", "node")
    dealer.send({"kind": "console", "data": b"hi"})
    assert router.receive(0) == ("x86", {"kind": "console", "data": b"hi"})


def test_errors_are_counted_but_never_answered():
    router, dealer, link = pair()
    link.to_router.append([b"x86", msgpack.packb({"kind": "error", "reason": 5})])
    assert router.receive(0) is None and router.bad == 1
    assert dealer.receive(0) is None and dealer.received == 0


def test_sending_an_invalid_message_is_our_own_bug():
    router, dealer, _ = pair()
    with pytest.raises(
        ProtocolError, match="node tried to send an invalid message: stop: not for role"
    ):
        dealer.send({"kind": "stop"})
    with pytest.raises(ProtocolError, match=r"load.program: missing"):
        router.send("x86", {"kind": "load"})
    assert router.send("nobody", {"kind": "stop"}) is False


def test_a_flood_of_bad_messages_gives_the_caller_its_turn_back():
    router, _, link = pair()
    link.to_router.extend([[b"x", b"\xc1"]] * 1000)
    assert router.receive(0) is None
    assert router.bad == 256 and len(link.to_router) == 744


def raw_dealer(endpoint, name):
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, name)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(endpoint)
    return socket


def garbage(protocol, chance):
    """Frames of one bad message: random bytes, broken MessagePack, spoiled or misplaced
    messages.
    """
    kinds = sorted(protocol.messages)
    match chance.randrange(5):
        case 0:
            return [chance.randbytes(chance.randrange(64))]
        case 1:
            good = msgpack.packb(smallest(protocol.messages[chance.choice(kinds)]))
            cut = bytearray(good)
            cut[chance.randrange(len(cut))] ^= 1 << chance.randrange(8)
            return [bytes(cut[: chance.randrange(1, len(cut) + 1)])]
        case 2:
            return [
                b"\xdd\xff\xff\xff\xff" + b"\x91" * chance.randrange(600)
            ]  # huge, and deeply nested
        case 3:
            return [b"a", b"b", b""][: chance.randrange(2, 4)]
    return [msgpack.packb(spoiled(smallest(protocol.messages[chance.choice(kinds)]), chance))]


@pytest.mark.parametrize(("protocol", "role", "greeting", "greeting_role"), [
    (control.PROTOCOL, "supervisor", "hello", "component"),
    (turns.PROTOCOL, "timebase", "join", "node"),
])  # fmt: skip
def test_fuzzing_a_router_only_fills_its_counter(place, protocol, role, greeting, greeting_role):
    router, endpoint = bind_router(
        protocol, role, place, greeting=greeting, greeting_role=greeting_role, token=TOKEN
    )
    router.accept("friend", "node")
    friend, stranger = raw_dealer(endpoint, b"friend"), raw_dealer(endpoint, b"st\xffranger")
    chance, valid, answers = random.Random(7), 0, 0
    for batch in range(FUZZ_MESSAGES // 200):
        for index in range(200):
            (friend if index % 2 else stranger).send_multipart(garbage(protocol, chance))
        deadline_s = time.monotonic() + 10
        while router.received < (batch + 1) * 200 and time.monotonic() < deadline_s:
            found = router.receive(100)
            if found is not None:
                valid += 1
                assert protocol.invalid(found[1], "node") is None and found[0] == "friend"
        for socket in (friend, stranger):
            while socket.poll(0):
                answers += msgpack.unpackb(socket.recv())["kind"] == "error"
    assert router.received == FUZZ_MESSAGES and router.bad + valid == FUZZ_MESSAGES
    assert router.bad > FUZZ_MESSAGES * 0.8
    time.sleep(0.05)
    for socket in (friend, stranger):
        while socket.poll(0):
            answers += msgpack.unpackb(socket.recv())["kind"] == "error"
        socket.close()
    assert answers > router.bad * 0.9  # all but the bad `error` messages
    router.close()


def test_fuzzing_the_subscriber_only_fills_its_counter(place):
    subscriber, endpoint = bind_subscriber(telemetry.PROTOCOL, "supervisor", place, peer_role=
        "component",
                                           token=TOKEN)  # fmt: skip
    publisher = connect_publisher(telemetry.PROTOCOL, "component", endpoint)
    progress = {**smallest(telemetry.PROGRESS), "token": TOKEN}
    deadline_s = time.monotonic() + 5
    while subscriber.receive(10) is None and time.monotonic() < deadline_s:
        publisher.send(progress)
    while subscriber.receive(50) is not None:
        pass
    assert subscriber.bad == 0
    before, chance = subscriber.received, random.Random(8)
    for batch in range(FUZZ_MESSAGES // 200):
        for _ in range(200):
            publisher.channel.socket.send_multipart(garbage(telemetry.PROTOCOL, chance))
        deadline_s = time.monotonic() + 10
        while subscriber.received - before < (batch + 1) * 200 and time.monotonic() < deadline_s:
            subscriber.receive(100)
    assert subscriber.received - before == FUZZ_MESSAGES == subscriber.bad
    publisher.send({**progress, "token": "wrong"})
    publisher.send(progress)
    assert subscriber.receive(2000) == progress and subscriber.bad == FUZZ_MESSAGES + 1
    publisher.close()
    subscriber.close()


def test_only_the_servers_public_key_opens_a_tcp_endpoint():
    keys = new_keys()
    router, endpoint = bind_router(
        control.PROTOCOL, "supervisor", "tcp://127.0.0.1:*", greeting="hello",
        greeting_role="component", token=TOKEN, keys=keys,
    )  # fmt: skip
    for wrong in (new_keys().public, ""):
        dealer = connect_dealer(control.PROTOCOL, "node", endpoint, name="x86", peer_role=
            "supervisor",
                                server_key=wrong)  # fmt: skip
        dealer.send(hello())
        assert router.receive(300) is None and router.received == 0
        dealer.close()
    dealer = connect_dealer(control.PROTOCOL, "node", endpoint, name="x86", peer_role="supervisor",
                            server_key=keys.public)  # fmt: skip
    dealer.send(hello())
    assert router.receive(3000) == ("x86", hello())
    assert router.send("x86", {"kind": "stop"}) and dealer.receive(3000) == {"kind": "stop"}
    dealer.close()
    router.close()


def test_an_open_tcp_endpoint_is_refused():
    with pytest.raises(InputError, match="needs CURVE keys"):
        bind_router(control.PROTOCOL, "supervisor", "tcp://127.0.0.1:*", greeting="hello",
                    greeting_role="component", token=TOKEN)  # fmt: skip
    with pytest.raises(MachineError, match="cannot listen"):
        bind_router(control.PROTOCOL, "supervisor", "ipc:///no/such/folder/s", greeting="hello",
                    greeting_role="component", token=TOKEN)  # fmt: skip


def test_limits_can_be_overridden_by_name_only():
    assert Limits.of({"run": {"limits": {"stop_s": 3}}}).stop_s == 3
    assert Limits.of({}) == Limits()
    with pytest.raises(InputError, match=r"run.limits.stop: unknown; known are admit_s, answer_s"):
        Limits.of({"run": {"limits": {"stop": 3}}})
