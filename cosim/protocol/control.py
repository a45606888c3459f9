"""Protocol `control`: the supervisor starts, feeds, watches and stops every process of a machine.

Socket: ROUTER bound by the supervisor, one DEALER per component whose routing id is the component's name.

```text
 component                                supervisor
 hello ─────────────────────────────────▶           name, token, digest of the tables
       ◀───────────────────────────────── welcome   configuration
 ready ─────────────────────────────────▶           segments, endpoints, facts
       ◀───────────────────────────────── load      (nodes) ─▶ loaded
       ◀───────────────────────────────── start     (timebase)
 console, exited (node), finished | deadlock | unanswered (timebase), failed (anyone)
       ◀───────────────────────────────── collect   ─▶ collected
       ◀───────────────────────────────── stop      the process ends: its exit is the answer
```
At any time after `welcome`: dump ─▶ dumped.  `pause` ─▶ paused holds the turns, `start` resumes them.
While they are held, nodes join and leave:

```text
 component                                supervisor
       ◀───────────────────────────────── offer     (nodes) ─▶ offered: memory for one more
       ◀───────────────────────────────── donate    (the node with the best offer) ─▶ donated
       ◀───────────────────────────────── reshape   (all) ─▶ reshaped: the machine's nodes are these
       ◀───────────────────────────────── welcome   (the new node) ─▶ ready
       ◀───────────────────────────────── vacate    (a node that leaves) ─▶ vacated
```

A node on another host has three components there: `host` starts and watches the others for the supervisor (signal,
ended, beat), `pager` keeps its memory; `home` beside the memory system answers the pagers.
"""

from cosim.wire import I64_MAX, Field, Message, Protocol, Type

NAME = (1, 64)
LINE = (0, 4000)
CORES_MAX = 64
ROLES = ("memsys", "timebase", "node", "home", "host", "pager")
ERROR_CLASSES = (
    "InputError", "ProtocolError", "MachineError", "InvariantError", "EnginesDiffer", "unexpected",
)  # fmt: skip

HELLO = Message("hello",
    "First message of every component; refused without the run's token or with other tables.", (
    Field("name", Type.TEXT, "", NAME,
          "the component's name in the machine, equal to its routing id"),
    Field("role", Type.TEXT, "", NAME, "the role it plays"),
    Field("pid", Type.INT, "", (1, I64_MAX), "its process id on its host"),
    Field("version", Type.INT, "", (0, 1 << 31), "version of this protocol that it speaks"),
    Field("digest", Type.TEXT, "", (16, 16), "digest of all message tables"),
    Field("token", Type.TEXT, "", (0, 128), "the run's secret, handed over in the environment"),
), answer="welcome")  # fmt: skip

READY = Message("ready", "The component has built what it needs and serves its sockets.", (
    Field("segments", Type.TREE, "", (0, 2),
          "name of each shared segment it made: path to attach it"),
    Field("endpoints", Type.TREE, "", (0, 2),
          "name of each socket it bound: endpoint to connect to"),
    Field("facts", Type.COUNTERS, "", (0, 64),
          "numbers that others need, for example worst_reference_cycles"),
))  # fmt: skip

COLLECTED = Message("collected", "Everything the component knows at the end of the run.", (
    Field("statistics", Type.COUNTERS, "", (0, 100_000), "its simulated statistics by dotted name"),
    Field("registers", Type.INTS, "", (0, 1 << 20),
          "architectural registers of its cores, for the digest"),
    Field("reports", Type.TREE, "", (0, 8), "anything else, by name"),
))  # fmt: skip

DUMPED = Message("dumped", "What the component is doing and waits for, now.", (
    Field("phase", Type.TEXT, "", NAME, "start, run, collect, ..."),
    Field("doing", Type.TEXT, "", LINE, "one line: what it does or waits for"),
    Field("details", Type.TREE, "", (0, 8), "its own view of its state"),
))  # fmt: skip

FAILED = Message("failed", "The component cannot go on and ends.", (
    Field("error", Type.CHOICE, "", ERROR_CLASSES, "class of the error"),
    Field("where", Type.TEXT, "", LINE, "what it was doing"),
    Field("reason", Type.TEXT, "", LINE, "one line"),
))  # fmt: skip

LOADED = Message("loaded", "A program is ready to run on this node.", (
    Field("program", Type.TEXT, "", (0, 4000), "its name, as in load"),
    Field("pid", Type.INT, "", (0, 1 << 31), "its process id in the guest"),
    Field("core", Type.INT, "", (0, CORES_MAX - 1), "machine-wide number of the core it starts on"),
))  # fmt: skip

CONSOLE = Message("console", "Bytes a guest wrote to its console.", (
    Field("data", Type.BYTES, "byte", (1, 1 << 24), "as written"),
))  # fmt: skip

EXITED = Message("exited", "A program that was loaded here has ended.", (
    Field("program", Type.TEXT, "", (0, 4000), "its name, as in load"),
    Field("pid", Type.INT, "", (0, 1 << 31), "its process id in the guest"),
    Field("status", Type.INT, "", (0, 255), "exit status; 128 + signal when a signal ended it"),
    Field("signal", Type.INT, "", (0, 64), "the signal that ended it, 0 when none did"),
    Field("report", Type.TEXT, "", (0, 1 << 20),
          "the debugger-like report of a fatal fault, '' when none"),
))  # fmt: skip

OCCURRENCE = (
    Field("occurrence", Type.TEXT, "", NAME, "what, see launch/actions.py"),
    Field("subject", Type.TEXT, "", LINE, "what it is about"),
    Field("home", Type.INT, "", (0, CORES_MAX), "index of the node where its process is at home"),
    Field("pid", Type.INT, "", (0, 1 << 31), "the process, 0 when not known"),
    Field("at_ps", Type.INT, "ps", (0, I64_MAX), "when"),
)  # fmt: skip

CORE_ROW = (
    Field("core", Type.INT, "", (0, CORES_MAX - 1), "machine-wide core number"),
    Field("node", Type.TEXT, "", NAME, "its node"),
    Field("state", Type.CHOICE, "", ("runnable", "waiting", "off"), "as of its last turn"),
    Field("now_ps", Type.INT, "ps", (0, I64_MAX), "its local clock"),
    Field("wake_ps", Type.INT, "ps", (-1, I64_MAX), "its timer, -1 when none"),
    Field("pending", Type.INT, "", (0, I64_MAX), "interrupts on their way to it"),
)  # fmt: skip

FINISHED = Message("finished",
    "No program is left, or the limit of virtual time was reached; all nodes are drained.", (
    Field("reason", Type.CHOICE, "", ("exited", "limit"), "why the run ended"),
    Field("virtual_time_ps", Type.INT, "ps", (0, I64_MAX),
          "the latest local clock of any core that ever ran"),
    Field("statistics", Type.COUNTERS, "", (0, 4096), "turns and interrupts, by dotted name"),
))  # fmt: skip

DEADLOCK = Message("deadlock",
    "Programs are left, but no core is runnable and nothing will wake one.", (
    Field("virtual_time_ps", Type.INT, "ps", (0, I64_MAX), "when the last core stopped"),
    Field("cores", Type.ROWS, "", (0, CORES_MAX), "every core", CORE_ROW),
))  # fmt: skip

UNANSWERED = Message("unanswered", "A node has not answered its turn, and makes no progress.", (
    Field("node", Type.TEXT, "", NAME, "the node"),
    Field("core", Type.INT, "", (0, CORES_MAX - 1), "the core whose turn it is"),
    Field("sequence", Type.INT, "", (0, I64_MAX), "number of the turn"),
    Field("until_ps", Type.INT, "ps", (-1, I64_MAX), "end of the turn, -1 when it has none"),
    Field("seconds", Type.INT, "s", (0, I64_MAX), "host time since the last progress"),
    Field("cores", Type.ROWS, "", (0, CORES_MAX), "every core", CORE_ROW),
))  # fmt: skip

PAUSED = Message("paused",
    "No turn is handed out until `start`: none that is left would start before this time.", (
    Field("virtual_time_ps", Type.INT, "ps", (0, I64_MAX),
          "that of `start`, or the latest local clock of any core that ever ran"),
))  # fmt: skip

OCCURRED = Message("occurred",
    "Something happened that run.watch names; the turns are held when its news could have arrived.",
    OCCURRENCE,
)  # fmt: skip

OFFERED = Message("offered", "What this kernel could give to a node that joins.", (
    Field("memory_bytes", Type.INT, "byte", (-1, I64_MAX),
          "0: nothing; -1: kernels do not share memory, each node has its own share"),
    Field("used", Type.INT, "frame", (0, I64_MAX), "of its frames in use"),
    Field("total", Type.INT, "frame", (1, I64_MAX), "of its frames"),
))  # fmt: skip

DONATED = Message("donated", "This memory is the new node's.", (
    Field("start", Type.INT, "byte", (0, I64_MAX), "physical address"),
    Field("end", Type.INT, "byte", (0, I64_MAX), "physical address behind it"),
))  # fmt: skip

RESHAPED = Message("reshaped", "The component works with these nodes now.")

VACATED = Message("vacated", "May the node leave, and has it given up everything?", (
    Field("reason", Type.TEXT, "", LINE, "what keeps it here; '' when nothing does"),
    Field("legacy", Type.TREE, "", (0, 4), "what others must know to go on without it"),
))  # fmt: skip

WELCOME = Message("welcome", "The component belongs to the machine; this is its configuration.", (
    Field("configuration", Type.TREE, "", (0, 8), "settings, nodes, endpoints, segments, run"),
), answer="ready")  # fmt: skip

LOAD = Message("load", "Make a process of this program.", (
    Field("program", Type.TREE, "", (0, 6),
          "name, path, argv, envp, cwd, stdin, ...; at_ps: the time, when the machine runs already"),
), answer="loaded")  # fmt: skip

START = Message("start", "Begin, or go on after a pause, to hand out turns.", (
    Field("programs", Type.INT, "", (0, 1 << 20),
          "programs loaded: the run ends when all have ended"),
    Field("halt_ps", Type.INT, "ps", (-1, I64_MAX),
          "pause, and say so, before the first turn that would start then or later; -1: never"),
))  # fmt: skip

PAUSE = Message("pause", "Stop handing out turns as soon as possible.", answer="paused")
OFFER = Message("offer", "What could this kernel give to a node that joins?", answer="offered")
DONATE = Message("donate", "Give up what was offered.", (
    Field("node", Type.INT, "", (1, CORES_MAX), "index of the node that gets it"),
), answer="donated")  # fmt: skip
RESHAPE = Message("reshape", "A node joined or leaves: the machine is this from now on.", (
    Field("machine", Type.TREE, "", (0, 8), "settings, and nodes: their rows in machine order"),
), answer="reshaped")  # fmt: skip
VACATE = Message("vacate", "Give up what other nodes need, if no thread is left on the node.", (
    Field("node", Type.INT, "", (1, CORES_MAX), "index of the node that leaves"),
), answer="vacated")  # fmt: skip
SIGNAL = Message("signal", "Send a signal to a process that this host started.", (
    Field("name", Type.TEXT, "", NAME, "the process"),
    Field("number", Type.INT, "", (1, 64), "the signal"),
))  # fmt: skip

ENDED = Message("ended", "A process that this host started has ended.", (
    Field("name", Type.TEXT, "", NAME, "the process"),
    Field("code", Type.INT, "", (-64, 255), "its exit code, or minus the signal that killed it"),
    Field("said", Type.TEXT, "", LINE, "the last line of its stderr"),
))  # fmt: skip

BEAT = Message("beat", "Are you there?  The connection itself answers.")
WAKE = Message("wake", "A program was loaded on this core while the machine stands still.", (
    Field("core", Type.INT, "", (0, CORES_MAX - 1), "machine-wide core number"),
    Field("at_ps", Type.INT, "ps", (0, I64_MAX), "from when it can run"),
), answer="woken")  # fmt: skip
WOKEN = Message("woken", "The core will get a turn.")
INTERRUPT = Message("interrupt", "Send an inter-processor interrupt, as a guest does.", (
    Field("source", Type.INT, "", (0, CORES_MAX - 1), "machine-wide core number"),
    Field("target", Type.INT, "", (0, CORES_MAX - 1), "machine-wide core number"),
    Field("at_ps", Type.INT, "ps", (0, I64_MAX), "when it is sent"),
), answer="interrupted")  # fmt: skip
INTERRUPTED = Message("interrupted", "It is on its way.")
REDIRECT = Message("redirect",
    "The next migrate_call that a process of this home makes here goes to another node.", (
    Field("pid", Type.INT, "", (0, 1 << 31), "the process"),
    Field("node", Type.INT, "", (0, CORES_MAX), "index of the node"),
), answer="redirected")  # fmt: skip
REDIRECTED = Message("redirected", "It will.")
COLLECT = Message("collect", "Settle everything and report it.", answer="collected")
DUMP = Message("dump", "Say what you are doing and waiting for.", answer="dumped")
STOP = Message("stop", "End now: close what is open and exit.")

PROTOCOL = Protocol(
    "control", 1, "Starts, feeds, watches and stops the processes of a machine.",
    roles={
        "supervisor": (
            WELCOME, LOAD, START, PAUSE, OFFER, DONATE, RESHAPE, VACATE,
            WAKE, INTERRUPT, REDIRECT, COLLECT, DUMP, STOP, SIGNAL, BEAT,
        ),
        "component": (HELLO, READY, RESHAPED, COLLECTED, DUMPED, FAILED),
        "memsys": (),
        "timebase": (FINISHED, DEADLOCK, UNANSWERED, PAUSED, VACATED, OCCURRED, WOKEN, INTERRUPTED),
        "node": (LOADED, CONSOLE, EXITED, OFFERED, DONATED, VACATED, REDIRECTED),
        "home": (),
        "host": (ENDED,),
        "pager": (),
    },
    includes=dict.fromkeys(ROLES, ("component",)),
)  # fmt: skip

