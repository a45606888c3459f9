"""Protocol `turns`: the timebase lets one core at a time run; interrupts and device accesses travel with the turns.

Socket: bound by the timebase; one connection per node, whose routing id is the node's name.  On one
host a plain stream (cosim/local_channel.py), with a node on another host ZeroMQ's ROUTER and DEALER.

```text
 node                                     timebase
 join ──────────────────────────────────▶           its cores
      ◀────────────────────────────────── joined
      ◀────────────────────────────────── turn      run one core until ...
 alive* ────────────────────────────────▶           while a long turn lasts
      ◀────────────────────────────────── yield     end it soon, if it still lasts
 device* ───────────────────────────────▶           forwarded to the owner as `access`
 occurred* ─────────────────────────────▶           in this turn, which ends by it
 turned ────────────────────────────────▶           where the core stopped, what it sent
      ◀────────────────────────────────── drain     at the end of the run
 drained ───────────────────────────────▶
```
"""

from cosim.protocol.control import CORES_MAX, NAME, OCCURRENCE
from cosim.wire import I64_MAX, U64_MAX, Field, Message, Protocol, Type

FUNCTIONS_MAX = 255

CORE = Field("core", Type.INT, "", (0, CORES_MAX - 1), "machine-wide core number")
SEQUENCE = Field("sequence", Type.INT, "", (0, I64_MAX), "number of the turn, counted by the timebase")
FUNCTION = Field("function", Type.INT, "", (0, FUNCTIONS_MAX), "function number, see cosim/broker.py")
PAYLOAD = Field("payload", Type.INT, "", (0, U64_MAX), "a word for the receiving kernel, 0 when unused")
ACKNOWLEDGE = Field("acknowledge", Type.BOOL, "", (), "the sender waits for an acknowledgement")
SENT = Field("sent_ps", Type.INT, "ps", (0, I64_MAX), "the sender's local clock when it sent")

INTERRUPT_ROW = (
    Field("id", Type.INT, "", (0, I64_MAX), "number of the interrupt, counted by the broker"),
    FUNCTION,
    Field("native", Type.INT, "", (0, U64_MAX),
          "what the receiver's interrupt controller shows: vector, INTID"),
    Field("source_core", Type.INT, "", (0, CORES_MAX - 1), "the core that sent it"),
    SENT,
    Field("at_ps", Type.INT, "ps", (0, I64_MAX),
          "handled at the first instruction boundary not before this"),
    PAYLOAD,
    ACKNOWLEDGE,
)  # fmt: skip

SEND_ROW = (
    Field("target_core", Type.INT, "", (0, CORES_MAX - 1), "the core it is for"),
    Field("native", Type.INT, "", (0, U64_MAX),
          "what the sender wrote to its interrupt controller"),
    FUNCTION,
    SENT,
    PAYLOAD,
    ACKNOWLEDGE,
)  # fmt: skip

JOIN = Message("join", "First message of a node.", (
    Field("node", Type.TEXT, "", NAME, "its name, equal to its routing id"),
    Field("token", Type.TEXT, "", (0, 128), "the run's secret"),
    Field("cores", Type.INTS, "", (1, CORES_MAX), "machine-wide numbers of its cores"),
), answer="joined")  # fmt: skip

JOINED = Message("joined", "The node's cores take part in the turns.", (
    Field("quantum_ps", Type.INT, "ps", (1, I64_MAX),
          "longest time one core may run ahead of another"),
    Field("relay", Type.TEXT, "", (0, 255),
          "segment in which turns are handed from node to node (cosim/relay.py), empty: none"),
))  # fmt: skip

TURN = Message("turn",
    "One core may run; every other core of the machine stands still meanwhile.", (
    CORE,
    SEQUENCE,
    Field("until_ps", Type.INT, "ps", (-1, I64_MAX),
          "stop at the first instruction boundary not before this; -1: run until you send, block or end"),
    Field("contended", Type.BOOL, "", (),
          "another core may act within a quantum: price references inline"),
    Field("interrupts", Type.ROWS, "", (0, 65536),
          "due at the turn's first instruction boundary", INTERRUPT_ROW),
), answer="turned")  # fmt: skip

TURNED = Message("turned",
    "The core has stopped: at the limit, after a send, blocked, or with nothing left to run.", (
    CORE,
    SEQUENCE,
    Field("now_ps", Type.INT, "ps", (0, I64_MAX), "its local clock, never smaller than before"),
    Field("state", Type.CHOICE, "", ("runnable", "waiting", "off"),
          "off: no program has a thread here"),
    Field("wake_ps", Type.INT, "ps", (-1, I64_MAX),
          "when a waiting core's timer ends, -1: no timer"),
    Field("ended", Type.INT, "", (0, 1 << 20), "loaded programs that ended in this turn"),
    Field("sends", Type.ROWS, "", (0, 4096), "interrupts sent, in order", SEND_ROW),
    Field("acknowledges", Type.INTS, "", (0, 4096),
          "ids of interrupts handled whose sender waits; they leave at now_ps"),
))  # fmt: skip

YIELD = Message("yield",
    "End this turn at the next instruction boundary that is convenient; too late, it means nothing.", (
    SEQUENCE,
))  # fmt: skip

ALIVE = Message("alive", "A long turn makes progress; sent about once a second.", (
    CORE,
    SEQUENCE,
    Field("progress", Type.INT, "", (0, I64_MAX),
          "user instructions and references of the core so far"),
))  # fmt: skip

OCCURRED = Message("occurred", "Something happened in this turn that run.watch names.", OCCURRENCE)

_ACCESS_FIELDS = (
    Field("device", Type.TEXT, "", NAME, "name of the device, for example uart0"),
    Field("source", Type.TEXT, "", NAME, "node whose guest made the access"),
    SENT,
    Field("value", Type.BYTES, "byte", (0, 1 << 20), "what is written"),
)  # fmt: skip

DEVICE = Message("device", "A guest here wrote to a device that another node owns.", _ACCESS_FIELDS)
ACCESS = Message("access",
    "A guest of another node wrote to a device of yours; order kept.", _ACCESS_FIELDS)
DRAIN = Message("drain",
    "The run is over: settle every core, publish and price every reference.", answer="drained")
DRAINED = Message("drained", "Nothing of this node is under way.", (
    Field("now_ps", Type.INT, "ps", (0, I64_MAX),
          "the latest local clock of its cores that ever ran"),
))  # fmt: skip

PROTOCOL = Protocol(
    "turns", 1, "Hands out turns in virtual time and carries interrupts and device accesses.",
    roles={
        "timebase": (JOINED, TURN, YIELD, ACCESS, DRAIN),
        "node": (JOIN, OCCURRED, TURNED, ALIVE, DEVICE, DRAINED),
    },
)  # fmt: skip
