"""Protocol `telemetry`: how far every component is.  Host information only; nothing simulated depends on it.

Socket: SUB bound by the supervisor, one PUB per component.  Messages may be lost; the next one makes up for it.
"""

from cosim.protocol.control import LINE, NAME
from cosim.wire import I64_MAX, Field, Message, Protocol, Type

PROGRESS = Message("progress",
    "Sent at most four times a second, and at least once a second as a sign of life.", (
    Field("name", Type.TEXT, "", NAME, "the component"),
    Field("token", Type.TEXT, "", (0, 128), "the run's secret"),
    Field("phase", Type.TEXT, "", NAME, "start, run, collect, ..."),
    Field("doing", Type.TEXT, "", LINE, "one line: what it does or waits for"),
    Field("virtual_time_ps", Type.INT, "ps", (0, I64_MAX), "its local clock, 0 when it has none"),
    Field("instructions", Type.INT, "", (0, I64_MAX),
          "instructions executed, 0 when it executes none"),
    Field("cycles", Type.INT, "cycle", (0, I64_MAX),
          "cycles passed on its cores, 0 when it has none"),
    Field("statistics", Type.COUNTERS, "", (0, 100_000), "its statistics so far by dotted name"),
))  # fmt: skip

PROTOCOL = Protocol(
    "telemetry", 1, "Progress of every component, for displays and for the report of a crash.",
    roles={"component": (PROGRESS,), "supervisor": ()},
)  # fmt: skip
