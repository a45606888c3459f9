"""Does the plain channel of a machine on one host carry frames like ZeroMQ's, whatever peers do?"""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

import isa_arm.interrupts
import isa_x86.interrupts
from cosim.broker import Broker
from cosim.errors import MachineError, ProtocolError
from cosim.local_channel import CONNECTIONS_MAX, SCHEME, LocalDealer, LocalRouter
from cosim.protocol import turns
from cosim.timebase import TimeBase
from cosim.transport import Poller, bind_router, connect_dealer
from tests.protocol.messages import smallest

FRAME_BYTES_MAX = 1 << 20
UNSENT_BYTES_MAX = 3 << 20
SEND_SECONDS = 0.3
TOKEN = "secret"


@pytest.fixture
def endpoint():
    """A short path of its own."""
    with tempfile.TemporaryDirectory(prefix="st", dir="/tmp") as folder:
        yield f"{SCHEME}{folder}/s"


@pytest.fixture
def router(endpoint):
    made = LocalRouter(endpoint, FRAME_BYTES_MAX, UNSENT_BYTES_MAX)
    yield made
    made.close()


def dealer_of(endpoint, name=b"x86"):
    return LocalDealer(endpoint, name, FRAME_BYTES_MAX, SEND_SECONDS)


def raw(endpoint):
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(endpoint.removeprefix(SCHEME))
    return stream


def frame(data):
    return len(data).to_bytes(4, "little") + data


def test_frames_arrive_whole_and_in_order_however_they_are_cut(router, endpoint):
    chance = random.Random(5)
    sent = [chance.randbytes(chance.choice((0, 1, 3, 70, 70_000, 300_000))) for _ in range(60)]
    data = frame(b"arm") + b"".join(frame(item) for item in sent)
    stream = raw(endpoint)

    def dribble():
        start = 0
        while start < len(data):
            start += stream.send(data[start : start + chance.choice((1, 2, 5, 4096, 200_000))])

    writer = threading.Thread(target=dribble)
    writer.start()
    assert [router.receive(5000) for _ in sent] == [[b"arm", item] for item in sent]
    writer.join()
    stream.close()


def test_a_message_larger_than_the_buffers_does_not_block_the_bound_side(router, endpoint):
    dealer = dealer_of(endpoint)
    dealer.send([b"here"])
    assert router.receive(1000) == [b"x86", b"here"]
    large = [bytes([number]) * FRAME_BYTES_MAX for number in range(3)]
    for item in large:
        assert router.send([b"x86", item])  # nobody reads yet
    assert not router.send([b"x86", b"z" * FRAME_BYTES_MAX])  # too much is kept
    found = []
    reader = threading.Thread(target=lambda: found.extend(dealer.receive(5000) for _ in large))
    reader.start()
    while reader.is_alive():
        assert router.receive(20) is None  # writes what is left
    assert [item[0] for item in found] == large
    dealer.close()


def test_a_peer_that_does_not_read_ends_the_senders_wait(router, endpoint):
    dealer = dealer_of(endpoint)
    results = [dealer.send([b"y" * FRAME_BYTES_MAX])]
    assert results == [False]
    assert dealer.lost and dealer.send([b"more"])  # half a message is out: nothing may follow it
    dealer.close()


@pytest.mark.parametrize("nonsense", [
    (FRAME_BYTES_MAX + 1).to_bytes(4, "little"), b"\xff\xff\xff\xff", frame(b""), frame(b"n" * 256),
    frame(b"taken"), frame(b"friend2") + (1 << 31).to_bytes(4, "little"),
])  # fmt: skip
def test_who_sends_nonsense_is_cut_off_and_others_are_not(router, endpoint, nonsense):
    friend = dealer_of(endpoint, b"taken")
    friend.send([b"before"])
    assert router.receive(1000) == [b"taken", b"before"]
    stream = raw(endpoint)
    stream.send(nonsense)
    assert router.receive(50) is None
    stream.settimeout(2)
    assert stream.recv(1) == b""  # closed
    friend.send([b"after"])
    assert router.receive(1000) == [b"taken", b"after"]
    assert router.send([b"taken", b"answer"]) and friend.receive(1000) == [b"answer"]
    stream.close()
    friend.close()


def test_random_bytes_never_reach_anybody_but_as_frames(router, endpoint):
    chance = random.Random(11)
    for _ in range(300):
        stream = raw(endpoint)
        stream.send(chance.randbytes(chance.randrange(1, 300)))
        stream.close()
        router.receive(0)
    friend = dealer_of(endpoint)
    friend.send([b"still"])
    for _ in range(1000):
        found = router.receive(100)
        if found == [b"x86", b"still"]:
            break
    else:
        pytest.fail("the friend was not heard")
    friend.close()


def test_too_many_connections_are_turned_away(router, endpoint):
    streams = []
    for _ in range(CONNECTIONS_MAX + 5):
        streams.append(raw(endpoint))
        router.receive(0)
    for stream in streams:
        stream.setblocking(False)
    ends = sum(bool(select.select([stream], [], [], 0)[0]) for stream in streams)
    assert ends == 5
    for stream in streams:
        stream.close()


def test_a_name_is_free_again_when_its_holder_is_gone(router, endpoint):
    first = dealer_of(endpoint)
    first.send([b"one"])
    assert router.receive(1000) == [b"x86", b"one"]
    first.send([b"two"])
    first.close()
    second = dealer_of(endpoint)  # nobody has looked at the end of the first
    second.send([b"three"])
    assert [router.receive(1000) for _ in range(2)] == [[b"x86", b"two"], [b"x86", b"three"]]
    second.close()


PEER = """
import sys, time
from cosim.local_channel import LocalDealer
dealer = LocalDealer(sys.argv[1], b"arm", 1 << 20, 1)
dealer.send([b"here"])
print("here", flush=True)
dealer.receive(-1)
time.sleep(60)
"""


def test_a_killed_peer_is_noticed_while_the_other_side_waits(router, endpoint):
    with subprocess.Popen(
        [sys.executable, "-c", PEER, endpoint], stdout=subprocess.PIPE
    ) as process:
        assert router.receive(10_000) == [b"arm", b"here"]
        assert router.send([b"arm", b"a turn"])
        threading.Timer(0.2, process.kill).start()
        assert router.receive(1000) is None  # it has nothing to say any more, and that is no error
        assert not router.send([b"arm", b"another"])


def test_a_dealer_whose_router_is_gone_does_not_hang(endpoint):
    router = LocalRouter(endpoint, FRAME_BYTES_MAX, UNSENT_BYTES_MAX)
    dealer = dealer_of(endpoint)
    dealer.send([b"here"])
    assert router.receive(1000) == [b"x86", b"here"]
    assert router.send([b"x86", b"last"])
    threading.Timer(0.1, router.close).start()
    assert dealer.receive(5000) == [b"last"]
    assert dealer.receive(-1) is None  # not for ever
    assert dealer.lost and dealer.send([b"to nobody"])
    dealer.close()
    assert not os.path.exists(endpoint.removeprefix(SCHEME))
    with pytest.raises(MachineError, match="cannot connect: No such file"):
        dealer_of(endpoint)
    with pytest.raises(MachineError, match="cannot listen"):
        LocalRouter(f"{SCHEME}/no/such/folder/s", FRAME_BYTES_MAX, UNSENT_BYTES_MAX)


def test_signals_do_not_shorten_a_wait_nor_lose_a_frame(router, endpoint):
    """A handler that returns leaves the wait going on; one that raises ends it."""
    dealer = dealer_of(endpoint)
    dealer.send([b"here"])
    assert router.receive(1000) == [b"x86", b"here"]
    heard = []
    previous = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        threading.Timer(0.3, lambda: router.send([b"x86", b"a turn"])).start()
        assert dealer.receive(5000) == [b"a turn"] and len(heard) > 3
        threading.Timer(0.3, lambda: dealer.send([b"turned"])).start()
        assert router.receive(5000) == [b"x86", b"turned"]

        class Told(BaseException):
            pass

        def tell(*_):
            raise Told

        signal.signal(signal.SIGALRM, tell)
        with pytest.raises(Told):
            dealer.receive(5000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert router.send([b"x86", b"next"]) and dealer.receive(1000) == [b"next"]
    dealer.close()


def test_a_poller_wakes_for_either_end(router, endpoint):
    made, endpoint = bind_router(
        turns.PROTOCOL, "timebase", endpoint + "2", greeting="join", greeting_role="node",
        token=TOKEN,
    )  # fmt: skip
    dealer = connect_dealer(turns.PROTOCOL, "node", endpoint, name="x86", peer_role="timebase")
    poller = Poller()
    poller.add(made, "router")
    poller.add(dealer, "dealer")
    while poller.wait(0):
        assert made.receive(0) is None  # takes the connection
    join = {"kind": "join", "node": "x86", "token": TOKEN, "cores": [0]}
    dealer.send(join)
    assert poller.wait(1000) == ["router"] and made.receive(0) == ("x86", join)
    assert made.send("x86", {"kind": "joined", "quantum_ps": 5, "relay": ""})
    assert poller.wait(1000) == ["dealer"]
    assert dealer.receive(0) == {"kind": "joined", "quantum_ps": 5, "relay": ""}
    dealer.close()
    made.close()


def test_a_stale_or_repeated_answer_is_refused_and_the_turn_goes_on(endpoint):
    made, endpoint = bind_router(
        turns.PROTOCOL, "timebase", endpoint, greeting="join", greeting_role="node", token=TOKEN
    )
    made.accept("n0", "node")
    dealer = connect_dealer(turns.PROTOCOL, "node", endpoint, name="n0", peer_role="timebase")
    timebase = time_base()
    turn = timebase.next_turn()
    answer = {**smallest(turns.TURNED), "core": turn.core, "now_ps": 5000, "state": "runnable"}
    for sequence in (turn.sequence - 1, turn.sequence + 1, turn.sequence, turn.sequence):
        dealer.send({**answer, "sequence": sequence, "sends": [], "acknowledges": [], "ended": 0})
    refused = []
    for _ in range(4):
        peer, message = made.receive(1000)
        try:
            timebase.turned(message)
        except ProtocolError as error:
            made.refuse(peer, str(error))
            refused.append(message["sequence"])
    assert refused == [turn.sequence - 1, turn.sequence + 1, turn.sequence]
    assert timebase.next_turn().sequence == turn.sequence + 1
    assert dealer.receive(200) is None and "is not the turn granted" in dealer.last_error
    dealer.close()
    made.close()


def time_base() -> TimeBase:
    """Two cores on two nodes, one program."""
    tables = {"n0": isa_x86.interrupts, "n1": isa_arm.interrupts}
    pairs = {(a, b): 2000 for a in tables for b in tables}
    timebase = TimeBase(Broker({0: "n0", 1: "n1"}, tables, pairs), quantum_ps=2000)
    for core, node in ((0, "n0"), (1, "n1")):
        timebase.join(core, node)
    timebase.programs_live = 1
    return timebase
