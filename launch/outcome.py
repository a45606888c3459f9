"""From what the processes of a machine said to what the run folder holds."""

from collections.abc import Mapping, Sequence

from cosim.errors import MachineError, StramashError
from launch import supervisor as processes
from launch.instantiation import Program
from launch.results import Outcome

Heard = Sequence[tuple[str, bytes]]  # (node, bytes) in the order of arrival
MEMORY_SYSTEM = "memsys"
NOT_ENDED = 125  # status of a program that was still running when the run ended


def gather(
    given: processes.Outcome,
    programs: Sequence[Program],
    pids: Mapping[int, int],
    heard: Heard,
) -> Outcome:
    """The outcome of a run that ended.

    pids: guest process of each program that started, by number.  heard: what nodes wrote, as it
    arrived.  Raises MachineError when the memory system left out what it owes.
    """
    memory = given.reports.get(MEMORY_SYSTEM, {})
    if "digest" not in memory:
        raise MachineError(
            "the memory system reported no digest of memory; nothing about this run can be trusted"
        )
    consoles = by_node(heard)
    nodes = {name: report for name, report in given.reports.items() if name in given.registers}
    return Outcome(
        programs=_all_ended(given.exited, programs, pids),
        statistics={**given.statistics, **given.finished.get("statistics", {})},
        registers=given.registers,
        memory_digest=memory["digest"],
        consoles=consoles,
        transcript=_transcript(nodes, consoles),
        virtual_time_ps=given.finished["virtual_time_ps"],
        laws=list(memory.get("violations", [])),
        host_seconds=given.host_seconds,
        reason=given.finished["reason"],
        regions={
            name: report["regions"] for name, report in nodes.items() if report.get("regions")
        },
    )


def _all_ended(
    exited: Sequence[Mapping], programs: Sequence[Program], pids: Mapping[int, int]
) -> list[dict]:
    numbered = enumerate(programs)
    return [_ended(exited, program, pids.get(number, 0)) for number, program in numbered]


def _ended(exited: Sequence[Mapping], program: Program, pid: int) -> dict:
    for row in exited:
        if row["node"] == program.node and row["pid"] == pid:
            return dict(row)
    row = {"program": program.name, "node": program.node, "pid": pid, "status": NOT_ENDED}
    return {**row, "signal": 0, "report": ""}


def by_node(heard: Heard) -> dict[str, bytes]:
    """What each node wrote."""
    consoles: dict[str, bytes] = {}
    for node, data in heard:
        consoles[node] = consoles.get(node, b"") + data
    return consoles


def _transcript(reports: Mapping[str, Mapping], consoles: Mapping[str, bytes]) -> bytes:
    """Everything in the order in which it left the serial port, which its owner alone knows.

    The order of arrival here depends on the host, so it is never used.  Raises MachineError when
    the owner's transcript is missing although more than one node wrote.
    """
    for report in reports.values():
        if "transcript" in report:
            return bytes(report["transcript"])
    written = [data for _, data in sorted(consoles.items()) if data]
    if len(written) > 1:
        raise MachineError("no node reported the serial port's transcript, but several wrote to it")
    return b"".join(written)


def partial(
    error: StramashError,
    programs: Sequence[Program],
    heard: Heard,
    machine: processes.Supervisor,
    pids: Mapping[int, int],
) -> Outcome:
    """The outcome of a machine that failed: what had been counted, written and ended until then."""
    exited = machine.outcome.exited
    told = error.statistics if isinstance(error, MachineError) else None
    known = machine.statistics_so_far() if told is None else told
    return Outcome(
        programs=_all_ended(exited, programs, pids),
        statistics=dict(known),
        consoles=by_node(heard),
        transcript=b"".join(data for _, data in heard),
        virtual_time_ps=machine.virtual_time_ps,
        failure=str(error),
        host_seconds=machine.host_seconds,
        reason="failed",
    )
