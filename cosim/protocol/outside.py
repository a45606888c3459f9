"""Protocol `outside`: commands of the user's other terminals to a machine that runs.

Socket: ROUTER bound by the supervisor in the run's private folder, always ipc; one DEALER per command.  The token is
in a file of that folder that only its owner can read.

```text
 operator                                 supervisor
 call ──────────────────────────────────▶           token, digest of the tables
      ◀────────────────────────────────── answered
 describe, inspect ─────────────────────▶           served while the machine runs
 attach, detach, halt ──────────────────▶           served at a virtual time of the machine
      ◀────────────────────────────────── described, inspected, attached, detached, halted | refused
```
"""

from cosim.protocol.control import CORES_MAX, LINE, NAME
from cosim.wire import I64_MAX, Field, Message, Protocol, Type

AT = Field("at_ps", Type.INT, "ps", (0, I64_MAX), "virtual time at which it happened")
NODE_NAME = Field("name", Type.TEXT, "", NAME, "name of the node")

CALL = Message("call", "First message of a command; refused without the run's token or with other tables.", (
    Field("version", Type.INT, "", (0, 1 << 31), "version of this protocol that it speaks"),
    Field("digest", Type.TEXT, "", (16, 16), "digest of all message tables"),
    Field("token", Type.TEXT, "", (0, 128), "the run's secret"),
), answer="answered")  # fmt: skip
DESCRIBE = Message("describe", "Which machine are you?", answer="described")
INSPECT = Message("inspect", "Who waits for whom, now?", answer="inspected")
ATTACH = Message("attach", "A node joins as soon as possible.", (
    Field("isa", Type.TEXT, "", NAME, "its instruction set"),
    Field("cores", Type.INT, "", (1, CORES_MAX), "its cores"),
    Field("name", Type.TEXT, "", (0, 64), "its name, '' for one that is free"),
), answer="attached")  # fmt: skip
DETACH = Message("detach", "A node takes no more threads, and leaves when it has none.", (
    NODE_NAME,
), answer="detached")  # fmt: skip
HALT = Message("halt", "End the run in order, as soon as possible.", answer="halted")

ANSWERED = Message("answered", "The command may go on.")
DESCRIBED = Message("described", "The machine.", (
    Field("phase", Type.TEXT, "", NAME, "start, load, run, collect, ..."),
    Field("virtual_time_ps", Type.INT, "ps", (0, I64_MAX), "about how far it is"),
    Field("nodes", Type.ROWS, "", (0, CORES_MAX), "those that are there", (
        NODE_NAME,
        Field("index", Type.INT, "", (0, CORES_MAX), "number in machine order"),
        Field("isa", Type.TEXT, "", NAME, "instruction set"),
        Field("cores", Type.INT, "", (1, CORES_MAX), "cores"),
        Field("joined_ps", Type.INT, "ps", (0, I64_MAX), "when it joined"),
        Field("leaving", Type.BOOL, "", (), "it leaves when its last thread is back"),
    )),
))  # fmt: skip
INSPECTED = Message("inspected", "Tables for people: processes, cores, guest threads.", (
    Field("text", Type.TEXT, "", (0, 1 << 22), "aligned lines"),
))  # fmt: skip
ATTACHED = Message("attached", "The node has joined.", (
    AT,
    NODE_NAME,
    Field("index", Type.INT, "", (0, CORES_MAX), "what guests call it"),
))  # fmt: skip
DETACHED = Message("detached", "No thread goes there any more.", (
    AT,
    Field("left", Type.BOOL, "", (), "the node has left; else its last thread is still there"),
))  # fmt: skip
HALTED = Message("halted", "The run ends.", (AT,))
REFUSED = Message("refused", "It cannot be done; the machine is what it was.", (
    Field("reason", Type.TEXT, "", LINE, "one line"),
))  # fmt: skip

PROTOCOL = Protocol(
    "outside", 1, "Commands to a machine that runs.",
    roles={
        "operator": (CALL, DESCRIBE, INSPECT, ATTACH, DETACH, HALT),
        "supervisor": (ANSWERED, DESCRIBED, INSPECTED, ATTACHED, DETACHED, HALTED, REFUSED),
    },
)  # fmt: skip
