"""Run folders made of invented outcomes, for tests that need no machine."""

from launch import results
from launch.simulation import Simulation
from launch.system import load

STATISTICS = {
    "x86.core0.instructions_user": 1_000_000,
    "x86.core0.instructions_kernel": 50_000,
    "x86.core0.data_references_user": 400_000,
    "x86.core0.data_references_kernel": 9_000,
    "x86.core0.cycles": 2_100_000,
    "x86.core0.l1d.accesses": 409_000,
    "x86.core0.l1d.hits": 400_000,
    "x86.core0.l1d.misses": 9_000,
    "x86.core0.l2.accesses": 9_000,
    "x86.core0.l2.hits": 4_500,
    "x86.core0.l2.misses": 4_500,
    "x86.l3.accesses": 4_500,
    "x86.l3.hits": 0,
    "x86.memory.local": 4_000,
    "x86.memory.remote": 500,
    "x86.snoops.data.sent": 3,
    "x86.snoops.invalidate.sent": 2,
    "x86.ipi.received": 7,
    "arm.core0.instructions_user": 20,
    "arm.core0.cycles": 400,
}
PROGRAM = {"program": "hello", "node": "x86", "pid": 1, "status": 0, "signal": 0, "report": ""}


def outcome(**changes):
    """A run that ended well, with some fields changed."""
    fields = {
        "programs": [dict(PROGRAM)],
        "statistics": dict(STATISTICS),
        "registers": {"x86": [1, 2, 1 << 127], "arm": [3]},
        "memory_digest": "00ff",
        "consoles": {"x86": b"hello\n", "arm": b""},
        "transcript": b"hello\n",
        "virtual_time_ps": 1_000_000_999,
        "host_seconds": 0.5,
    }
    return results.Outcome(**{**fields, **changes})


def configuration(**overrides):
    """What the processes of the default pair receive."""
    simulation = Simulation(load(), overrides)
    run = {**simulation.run_options(), "root": ""}
    return {"settings": simulation.settings, "nodes": simulation.nodes(), "run": run}


def write(folder, **changes):
    """A finished run in `folder`, read back."""
    folder.mkdir(exist_ok=True)
    rows = [{"name": "hello", "node": "x86", "path": "/x", "digest": "d", "arguments": []}]
    results.write(folder, configuration(), rows, ["stramash", "run", "hello"], outcome(**changes))
    return results.RunFolder.read(folder)
