"""Sockets that carry checked messages; the only module that knows ZeroMQ.

An endpoint packs maps with MessagePack and checks every message against its protocol's tables,
outgoing (a wrong one is our own bug: ProtocolError) and incoming (a wrong one is answered with
`error`, counted, and dropped: it is never obeyed and never fatal).  A router knows its peers: the
first message of one must be the greeting with the run's token, and until the owner accepts it
everything else from it is refused.

Endpoints talk through a channel: ZeroMQ sockets, plain streams between processes of one host
(cosim/local_channel.py), or queues inside one process (cosim/loopback.py).  `ipc://` and
`unix://` endpoints lie in a private folder, the latter are plain; `tcp://` endpoints use CURVE: who
lacks the server's public key cannot connect, and the token is never sent in clear.
"""

import hmac
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from cosim.errors import InputError, MachineError, ProtocolError
from cosim.local_channel import SCHEME, LocalDealer, LocalRouter
from cosim.wire import Protocol as MessageProtocol

MESSAGE_BYTES_MAX = (
    64 << 20
)  # collected statistics and console bursts are far below; more is an attack
QUEUE_MESSAGES_MAX = 10_000  # high-water mark of each direction of a socket
QUEUE_BYTES_MAX = 8 << 20  # what a plain stream keeps for a peer that does not read
BAD_MESSAGES_IN_A_ROW_MAX = 256  # then `receive` returns, so that a flood cannot keep its caller
FOREVER_MS = -1
REFUSALS = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_DISCONNECTED,
)
# A tcp peer that is silent for so long is gone: a cut cable says nothing.  Answered by ZeroMQ's own
# thread, whatever the process does.  A machine has 5 s to go down.
HEARTBEAT_MS = 500
SILENCE_MS = 2000


@dataclass(frozen=True)
class Limits:
    """Longest time, in seconds of the host, of every wait of the simulator.

    Overridden by run.limits.
    """

    hello_s: float = 30.0  # a spawned process says hello
    host_s: float = 600.0  # somebody starts a node on another host
    admit_s: float = 10.0  # the machine there answers its hello
    welcome_s: float = 120.0  # a process that said hello is welcomed (others may still compile)
    ready_s: float = 180.0  # a welcomed process has built its part (the first run compiles)
    load_s: float = 60.0  # a node loads a program
    answer_s: float = 60.0  # a node in a turn makes no progress
    silence_s: float = 60.0  # a running component gives no sign of life
    collect_s: float = 60.0  # the end of a run is settled and collected
    drain_s: float = 60.0  # a node settles its cores
    dump_s: float = 1.0  # a component says what it waits for
    stop_s: float = 1.0  # a component exits after `stop`
    terminate_s: float = 0.7  # ... after SIGTERM
    kill_s: float = 1.5  # ... after SIGKILL
    send_s: float = 30.0  # a full socket takes one more message
    flush_s: float = 0.5  # last messages leave a closing socket

    @classmethod
    def of(cls, configuration: dict) -> "Limits":
        """The defaults with what configuration["run"]["limits"] names.  InputError for an unknown
        name.
        """
        given = configuration.get("run", {}).get("limits", {})
        known = {item.name for item in fields(cls)}
        for name in given:
            if name not in known:
                raise InputError(
                    f"run.limits.{name}: unknown; known are {', '.join(sorted(known))}"
                )
        return cls(**given)


class Keys(NamedTuple):
    """A CURVE key pair, Z85 text."""

    public: str
    secret: str


def new_keys() -> Keys:
    """A fresh key pair."""
    public, secret = zmq.curve_keypair()
    return Keys(public.decode(), secret.decode())


class Channel(Protocol):
    """Moves frames: a ZeroMQ socket, a plain stream or a loopback queue.

    pollable: what ZeroMQ's poller can wait for, None when there is nothing.
    """

    pollable: Any

    def send(self, frames: list[bytes]) -> bool:
        """False when there is nobody to take them."""
        ...

    def receive(self, timeout_ms: int) -> list[bytes] | None: ...

    def close(self, flush_ms: int = 0) -> None: ...


class Connection:
    """What becomes of the connection of a socket; made before that connects.

    connected: it exists.  refused: the other side was there and broke off before it existed: it is
    no ZeroMQ, or has another key.  lost: it existed and is gone.
    """

    def __init__(self, socket: zmq.Socket) -> None:
        place = (
            f"inproc://connection-{id(self)}"  # by default a descriptor, which may be used again
        )
        self._monitor = socket.get_monitor_socket(addr=place)
        self.connected = self.refused = self.lost = False

    def look(self) -> None:
        """Take in what has happened until now."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.connected = True
            elif self.connected and event == zmq.EVENT_DISCONNECTED:
                self.lost = True
            elif event in REFUSALS:
                self.refused = True


class SocketChannel:
    """A ZeroMQ socket that never hangs: bounded queues, bounded sends, bounded linger."""

    def __init__(self, kind: int, limits: Limits) -> None:
        self.socket: zmq.Socket = zmq.Context.instance().socket(kind)
        self.pollable: Any = self.socket
        self.socket.setsockopt(zmq.LINGER, 0)
        self._receive_ms = -1  # ZeroMQ's own value: wait for ever
        self.socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES_MAX)
        self.socket.setsockopt(zmq.RCVHWM, QUEUE_MESSAGES_MAX)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        routed = kind in (zmq.ROUTER, zmq.PUB)
        self.socket.setsockopt(zmq.SNDTIMEO, 0 if routed else int(limits.send_s * 1000))
        if kind == zmq.ROUTER:
            self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if kind == zmq.SUB:
            self.socket.setsockopt(zmq.SUBSCRIBE, b"")

    def bind(self, endpoint: str, keys: Keys | None) -> str:
        """Bind, with CURVE when keys are given; the actual endpoint (a wildcard port is filled
        in).
        """
        if keys is not None:
            self.socket.curve_server = True
            self.socket.curve_publickey = keys.public.encode()
            self.socket.curve_secretkey = keys.secret.encode()
        elif endpoint.startswith("tcp:"):
            self.close()
            raise InputError(f"{endpoint}: a tcp endpoint needs CURVE keys; nothing was bound")
        self._watch_over(endpoint)
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise MachineError(f"{endpoint}: cannot listen: {error.strerror}") from error
        return self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def connect(self, endpoint: str, server_key: str) -> None:
        """Connect, with CURVE when the server's public key is given."""
        if server_key:
            own = new_keys()
            self.socket.curve_serverkey = server_key.encode()
            self.socket.curve_publickey = own.public.encode()
            self.socket.curve_secretkey = own.secret.encode()
        self._watch_over(endpoint)
        self.socket.connect(endpoint)

    def _watch_over(self, endpoint: str) -> None:
        if endpoint.startswith("tcp:"):
            self.socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
            self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)

    def send(self, frames: list[bytes]) -> bool:
        """Send the frames; see Channel."""
        try:
            self.socket.send_multipart(frames)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                return False
            raise
        return True

    def receive(self, timeout_ms: int) -> list[bytes] | None:
        """The frames of the next message; see Channel.

        It waits in the socket itself: a look that finds nothing and a poller cost 25 us a message.
        """
        if timeout_ms != self._receive_ms:
            self.socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
            self._receive_ms = timeout_ms
        try:
            return self.socket.recv_multipart()
        except zmq.Again:
            return None

    def close(self, flush_ms: int = 0) -> None:
        """Close the socket, giving queued messages `flush_ms` to leave."""
        self.socket.close(linger=flush_ms)


_UNPACK_ERRORS = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)


def decode(payload: bytes) -> Any:
    """What a frame holds.  ProtocolError when it is not MessagePack or too large."""
    if len(payload) > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"{len(payload)} bytes, allowed {MESSAGE_BYTES_MAX}")
    try:
        return msgpack.unpackb(payload)
    except _UNPACK_ERRORS as error:
        raise ProtocolError(f"not MessagePack: {type(error).__name__}: {error}"[:200]) from None


class Endpoint:
    """What all endpoints share: packing, checking, counting.

    role: what this end is in the protocol.  received, sent, bad: messages so far; bad ones were
    never obeyed.
    """

    def __init__(self, protocol: MessageProtocol, role: str, channel: Channel) -> None:
        self.protocol = protocol
        self.role = role
        self.channel = channel
        self.received = 0
        self.sent = 0
        self.bad = 0

    def pack(self, message: dict) -> bytes:
        """The frame of a message this role may send.  ProtocolError when it is not one."""
        reason = self.protocol.invalid(message, self.role)
        if reason:
            raise ProtocolError(
                f"{self.protocol.name}: {self.role} tried to send an invalid message: {reason}"
            )
        self.sent += 1
        return msgpack.packb(message)

    def close(self, flush_s: float = 0.0) -> None:
        """Close; queued messages get this long to leave."""
        self.channel.close(int(flush_s * 1000))


def _name_of(identity: bytes) -> str:
    """The routing id as a name; any bytes have one, and `_identity_of` gives them back."""
    return identity.decode("utf-8", "surrogateescape")


def _identity_of(peer: str) -> bytes:
    return peer.encode("utf-8", "surrogateescape")


class Router(Endpoint):
    """The bound side: knows its peers by routing id, refuses strangers.

    greeting: the kind a stranger must begin with (it carries `token`); peers: role of every
    accepted peer.
    """

    def __init__(
        self,
        protocol: MessageProtocol,
        role: str,
        channel: Channel,
        *,
        greeting: str,
        greeting_role: str,
        token: str,
    ) -> None:
        super().__init__(protocol, role, channel)
        self.greeting = greeting
        self.greeting_role = greeting_role
        self.token = token
        self.peers: dict[str, str] = {}

    def accept(self, peer: str, role: str) -> None:
        """From now on `peer` may send what `role` may send."""
        self.peers[peer] = role

    def forget(self, peer: str) -> None:
        """It is a stranger again."""
        self.peers.pop(peer, None)

    def send(self, peer: str, message: dict) -> bool:
        """False when the peer is gone or does not read."""
        return self.channel.send([_identity_of(peer), self.pack(message)])

    def refuse(self, peer: str | bytes, reason: str) -> None:
        """Answer a bad or misplaced message with `error`, and count it."""
        self.bad += 1
        identity = _identity_of(peer) if isinstance(peer, str) else peer
        self.channel.send([identity, self.pack({"kind": "error", "reason": reason[:400]})])

    def receive(self, timeout_ms: int) -> tuple[str, dict] | None:
        """The next valid message and its sender, None after timeout_ms (0: at once, -1: never)."""
        for _ in range(BAD_MESSAGES_IN_A_ROW_MAX):
            frames = self.channel.receive(timeout_ms)
            if frames is None:
                return None
            self.received += 1
            found = self._checked(frames)
            if found is not None:
                return found
        return None

    def _checked(self, frames: list[bytes]) -> tuple[str, dict] | None:
        """The sender and message in the frames, or None after refusing them."""
        identity = frames[0]
        if len(frames) != 2:
            self.refuse(identity, f"{len(frames) - 1} frames, expected 1")
            return None
        try:
            message = decode(frames[1])
        except ProtocolError as error:
            self.refuse(identity, str(error))
            return None
        peer = _name_of(identity)
        role = self.peers.get(peer)
        reason = self.protocol.invalid(message, role or self.greeting_role)
        if reason is None and role is None:
            reason = self._stranger(message)
        if reason is None:
            return peer, message
        if type(message) is dict and message.get("kind") == "error":
            self.bad += (
                1  # an error is never answered, or two ends could refuse each other for ever
            )
        else:
            self.refuse(identity, reason)
        return None

    def _stranger(self, message: dict) -> str | None:
        """Why a stranger's valid message is refused, or None."""
        if message["kind"] != self.greeting:
            return f"{message['kind']}: say {self.greeting} first"
        if not hmac.compare_digest(message["token"].encode(), self.token.encode()):
            return f"{self.greeting}.token: not the token of this run"
        return None


class Dealer(Endpoint):
    """The connecting side, with one peer.  peer_role: what the other end is.  connection: what
    becomes of it, if that is watched.
    """

    def __init__(
        self,
        protocol: MessageProtocol,
        role: str,
        channel: Channel,
        *,
        peer_role: str,
        connection: Connection | None = None,
    ) -> None:
        super().__init__(protocol, role, channel)
        self.peer_role = peer_role
        self.connection = connection
        self.last_error = ""

    def send(self, message: dict) -> None:
        """MachineError when the peer has not read for Limits.send_s."""
        if not self.channel.send([self.pack(message)]):
            raise MachineError(
                f"{self.protocol.name}: {self.peer_role} does not take {message['kind']!r}"
            )

    def refuse(self, reason: str) -> None:
        """Answer a bad or misplaced message with `error`, and count it."""
        self.bad += 1
        self.send({"kind": "error", "reason": reason[:400]})

    def receive(self, timeout_ms: int) -> dict | None:
        """The next valid message, None after timeout_ms (0: at once, -1: never).

        An `error` from the peer is kept in last_error, counted as bad, and not returned.
        """
        for _ in range(BAD_MESSAGES_IN_A_ROW_MAX):
            frames = self.channel.receive(timeout_ms)
            if frames is None:
                return None
            self.received += 1
            try:
                message = decode(frames[0]) if len(frames) == 1 else None
                reason = self.protocol.invalid(message, self.peer_role)
            except ProtocolError as error:
                message, reason = None, str(error)
            if type(message) is dict and message.get("kind") == "error":
                self.bad += 1
                self.last_error = str(message.get("reason"))
            elif reason:
                self.refuse(reason)
            else:
                return message
        return None


class Publisher(Endpoint):
    """Sends to whoever listens; messages nobody takes are lost."""

    def send(self, message: dict) -> None:
        """Publish a checked message; nobody needs to listen."""
        self.channel.send([self.pack(message)])


class Subscriber(Endpoint):
    """Receives what is published with the run's token; cannot answer, only count what is bad."""

    def __init__(
        self, protocol: MessageProtocol, role: str, channel: Channel, *, peer_role: str, token: str
    ) -> None:
        super().__init__(protocol, role, channel)
        self.peer_role = peer_role
        self.token = token

    def receive(self, timeout_ms: int) -> dict | None:
        """The next valid message, None after timeout_ms."""
        for _ in range(BAD_MESSAGES_IN_A_ROW_MAX):
            frames = self.channel.receive(timeout_ms)
            if frames is None:
                return None
            self.received += 1
            try:
                message = decode(frames[0]) if len(frames) == 1 else None
            except ProtocolError:
                message = None
            if type(message) is dict and self.protocol.invalid(message, self.peer_role) is None:
                given = message.get("token", "")  # an `error` is valid but has no place here
                if hmac.compare_digest(given.encode(), self.token.encode()):
                    return message
            self.bad += 1
        return None


def bind_router(
    protocol: MessageProtocol,
    role: str,
    endpoint: str,
    *,
    greeting: str,
    greeting_role: str,
    token: str,
    keys: Keys | None = None,
    limits: Limits = Limits(),
) -> tuple[Router, str]:
    """A router listening at `endpoint`, and the endpoint to connect to."""
    channel: SocketChannel | LocalRouter
    if endpoint.startswith(SCHEME):
        channel, actual = LocalRouter(endpoint, MESSAGE_BYTES_MAX, QUEUE_BYTES_MAX), endpoint
    else:
        channel = SocketChannel(zmq.ROUTER, limits)
        actual = channel.bind(endpoint, keys)
    router = Router(
        protocol, role, channel, greeting=greeting, greeting_role=greeting_role, token=token
    )
    return router, actual


def connect_dealer(
    protocol: MessageProtocol,
    role: str,
    endpoint: str,
    *,
    name: str,
    peer_role: str,
    server_key: str = "",
    limits: Limits = Limits(),
    watched: bool = False,
) -> Dealer:
    """A dealer with routing id `name`; connecting goes on in the background until it succeeds, but
    at a unix:// endpoint somebody must listen.

    watched: the dealer has a Connection, if it is one of ZeroMQ.
    """
    if endpoint.startswith(SCHEME):
        local = LocalDealer(endpoint, name.encode(), MESSAGE_BYTES_MAX, limits.send_s)
        return Dealer(protocol, role, local, peer_role=peer_role)
    channel = SocketChannel(zmq.DEALER, limits)
    channel.socket.setsockopt(zmq.ROUTING_ID, name.encode())
    connection = Connection(channel.socket) if watched else None
    channel.connect(endpoint, server_key)
    return Dealer(protocol, role, channel, peer_role=peer_role, connection=connection)


def bind_subscriber(
    protocol: MessageProtocol,
    role: str,
    endpoint: str,
    *,
    peer_role: str,
    token: str,
    keys: Keys | None = None,
    limits: Limits = Limits(),
) -> tuple[Subscriber, str]:
    """A subscriber listening at `endpoint`, and the endpoint to connect to."""
    channel = SocketChannel(zmq.SUB, limits)
    actual = channel.bind(endpoint, keys)
    return Subscriber(protocol, role, channel, peer_role=peer_role, token=token), actual


def connect_publisher(
    protocol: MessageProtocol,
    role: str,
    endpoint: str,
    *,
    server_key: str = "",
    limits: Limits = Limits(),
) -> Publisher:
    """A publisher connected to `endpoint`."""
    channel = SocketChannel(zmq.PUB, limits)
    channel.connect(endpoint, server_key)
    return Publisher(protocol, role, channel)


def _pollable(source: Endpoint | int) -> Any:
    """What ZeroMQ can wait for: the socket of an endpoint, or a file descriptor as it is."""
    if isinstance(source, int):
        return source
    assert source.channel.pollable is not None, "a loopback cannot be waited for"
    return source.channel.pollable


class Poller:
    """Waits for several endpoints and file descriptors at once."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._keys: dict[Any, Any] = {}

    def add(self, source: Endpoint | int, key: Any) -> None:
        """Watch an endpoint on sockets, or a readable file descriptor; `key` names it in `wait`."""
        item = _pollable(source)
        self._keys[item] = key
        self._poller.register(item, zmq.POLLIN)

    def remove(self, source: Endpoint | int) -> None:
        """Watch it no longer."""
        item = _pollable(source)
        del self._keys[item]
        self._poller.unregister(item)

    def wait(self, timeout_ms: int) -> list[Any]:
        """Keys of what can be read, [] after timeout_ms."""
        return [self._keys[item] for item, _ in self._poller.poll(timeout_ms)]


def end_all(flush_s: float) -> None:
    """Close every socket of this process; last messages get flush_s to leave.

    For the end of a process.
    """
    zmq.Context.instance().destroy(linger=int(flush_s * 1000))
