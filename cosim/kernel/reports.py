"""What a kernel knows of itself: counters for the statistics, and who waits for what."""

from cosim.units import ps_of_cycles

# Every design has these counters; those of a kernel that stands alone are 0.
BETWEEN_KERNELS = (
    "messages.sent",
    "messages.received",
    "pages.replicated",
    "pages.remote_allocated",
)


def statistics(kernel) -> dict[str, int]:
    """Counters of a kernel and its cores, by dotted name."""
    name = kernel.node_name
    found = {f"{name}.system_calls.{call}": n for call, n in sorted(kernel.call_counts.items())}
    found |= {
        f"{name}.system_calls.unknown.{call}": n for call, n in sorted(kernel.unknown_calls.items())
    }
    found |= {f"{name}.faults.{kind}": count for kind, count in kernel.fault_counts.items()}
    found[f"{name}.context_switches"] = kernel.scheduler.context_switches
    if len(kernel.cores) > 1:
        found[f"{name}.thread_moves"] = kernel.scheduler.moves
    found[f"{name}.signals"] = kernel.signals.delivered
    found[f"{name}.frames.used"] = kernel.frames.used
    found[f"{name}.frames.total"] = kernel.frames.total
    found[f"{name}.processes"] = kernel.processes.made
    found |= dict.fromkeys((f"{name}.{between}" for between in BETWEEN_KERNELS), 0)
    found |= {f"{name}.{k}": v for k, v in kernel.services.statistics(kernel).items()}
    for number, core in enumerate(kernel.cores):
        prefix = f"{name}.core{number}"
        found[f"{prefix}.instructions_user"] = core.engine.instructions
        found[f"{prefix}.instructions_kernel"] = core.instructions_kernel
        found[f"{prefix}.cycles"] = core.settle()
        found[f"{prefix}.idle_cycles"] = core.idle_cycles
        host: dict[str, int] = getattr(core.engine, "host_statistics", dict)()
        found |= {f"host.{prefix}.{key}": value for key, value in host.items()}
    return found


def dump(kernel) -> dict:
    """Threads, clocks, unknown calls and timed regions, as plain data."""
    return {
        "node": kernel.node_name,
        "now_ps": {
            core.name: ps_of_cycles(core.now_cycles(), kernel.frequency_hz) for core in kernel.cores
        },
        "threads": [
            {
                "tid": thread.tid, "pid": thread.process.pid, "name": thread.name,
                "core": thread.lane.core.index, "state": thread.state.name.lower(),
                "waits_for": thread.wait.reason if thread.wait is not None else "",
                "until_ps": -1 if thread.timer is None else thread.timer.at_ps,
            }
            for thread in kernel.tasks.by_tid.values()
        ],
        "unknown_system_calls": dict(sorted(kernel.unknown_calls.items())),
        "regions": kernel.regions.rows(),
        **({"regions_also": rows} if (rows := kernel.regions.rows_also()) else {}),
    }  # fmt: skip
