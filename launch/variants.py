"""Further memory systems of one run (`--also`): which may be, and what each one's folder says.

One execution feeds them all, so they may differ only in what references cost and where caches keep
lines.  RUN/also-1, RUN/also-2, ... are run folders like those of separate runs with these settings:
the same statistics, digests and regions.  What says how the simulation was carried out (`host.`,
`lockstep.`) is that of the one execution.
"""

import fnmatch
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cosim import physical_map
from cosim.errors import InputError, InvariantError
from cosim.units import ps_of_cycles
from launch.designs import DESIGNS
from launch.instantiation import Program
from launch.outcome import MEMORY_SYSTEM
from launch.results import MANIFEST, Outcome
from launch.simulation import Simulation
from memsys import specification
from memsys.variants import VARIANTS_MAX

FOLDER = re.compile(r"also-\d+")
# What no kernel and no guest looks at.  memory.model only where it does not move memory, which is
# checked; memory.preset where it does not change a clock.
ALLOWED = ("cache.*", "cost.*", "memory.model", "memory.preset")


@dataclass(frozen=True)
class Variant:
    """One of them.  number: from 1.  given: settings as they were asked for.  simulation: that of a
    run by itself.
    """

    number: int
    given: Mapping[str, object]
    simulation: Simulation

    def folder(self, run: Path) -> Path:
        """Where its results go."""
        return run / name(self.number)


def name(number: int) -> str:
    """The folder of a variant, within the run's."""
    return f"also-{number}"


def of(simulation: Simulation, given: Sequence[Mapping[str, object]]) -> tuple[Variant, ...]:
    """The variants of a simulation.  given: settings of each one.

    Raises InputError when one cannot be fed by the simulation's own execution.
    """
    if len(given) > VARIANTS_MAX:
        raise InputError(f"--also: {len(given)} times, at most {VARIANTS_MAX}; start another run")
    return tuple(_one(simulation, number, one) for number, one in enumerate(given, 1))


def _one(simulation: Simulation, number: int, given: Mapping[str, object]) -> Variant:
    if not given:
        raise InputError("--also: no setting; write for example --also cache.l3.size=32MiB")
    changed = replace(simulation, overrides={**simulation.overrides, **given})
    before, after = simulation.settings, changed.settings
    named = [name for name in (*given, *after) if after.get(name) != before.get(name)]
    for setting in named:
        if not any(fnmatch.fnmatchcase(setting, pattern) for pattern in ALLOWED):
            asked = "" if setting in given else f" (changed by {', '.join(given)})"
            raise InputError(
                f"--also {setting}={after[setting]}{asked}: may change what programs do; allowed "
                f"are {', '.join(ALLOWED)}; run it by itself"
            )
    rows = simulation.nodes()
    specification.build(after, rows)
    if _places(simulation) != _places(changed):
        raise InputError(
            f"--also memory.model={after['memory.model']}: memory lies elsewhere than with "
            f"{before['memory.model']}; run it by itself"
        )
    return Variant(number, dict(given), changed)


def _places(simulation: Simulation) -> object:
    """All that kernels know of the physical map."""
    rows = simulation.nodes()
    found = physical_map.build(simulation.settings, rows)
    kinds = [(row.start, row.end, row.kind, row.boot_node) for row in found.rows]
    return kinds, [found.boot_ranges(index) for index in range(len(rows))]


def check(simulation: Simulation, programs: Sequence[Program], events: Sequence[object]) -> None:
    """Raise InputError for what is known before a run to depend on time."""
    refused = {
        f"{len(programs)} programs, whose turns follow the clock": len(programs) > 1,
        "a time limit": simulation.limit_ns is not None,
        "events at virtual times": bool(events),
        f"--os {simulation.os}, which is not one of ours": simulation.os not in DESIGNS,
        "a node on another host": bool(simulation.system.hosts),
    }
    for what, found in refused.items():
        if found:
            raise InputError(
                f"--also: not with {what}: what happens may depend on what references cost; run "
                "each memory system by itself"
            )


def configuration(variants: Sequence[Variant]) -> dict[str, object]:
    """What the processes are told."""
    if not variants:
        return {}
    return {"also": [{"settings": variant.simulation.settings} for variant in variants]}


def clear(run: Path) -> None:
    """Remove the folders of an earlier run in the same place."""
    for folder in run.glob("also-*"):
        if FOLDER.fullmatch(folder.name) and (folder / MANIFEST).exists():
            shutil.rmtree(folder)


def outcomes(
    main: Outcome, reports: Mapping[str, Mapping], nodes: Sequence[Mapping]
) -> list[Outcome]:
    """The outcome of each one, from that of the run.

    reports: of every process, by name.  nodes: of the configuration.  Raises InvariantError when
    the clocks do not follow from the counts.
    """
    told = reports[MEMORY_SYSTEM]
    if "also" not in told:
        return []
    if (found_ps := virtual_time_ps(main.statistics, nodes)) != main.virtual_time_ps:
        raise InvariantError(
            f"--also: the run ended at {main.virtual_time_ps} ps, its counts say {found_ps} ps; "
            "please report the program"
        )
    common = {k: v for k, v in main.statistics.items() if k not in set(told["names"])}
    found = []
    for number, one in enumerate(told["also"]):
        statistics = {**common, **one["statistics"]}
        found.append(
            replace(
                main,
                statistics=statistics,
                memory_digest=one["digest"],
                laws=list(one["violations"]),
                virtual_time_ps=virtual_time_ps(statistics, nodes),
                regions={name: reports[name]["regions_also"][number] for name in main.regions},
            )
        )
    return found


def virtual_time_ps(statistics: Mapping[str, int], nodes: Sequence[Mapping]) -> int:
    """The latest clock of any core, from its busy and idle cycles."""
    return max(
        ps_of_cycles(
            statistics[f"{core}.cycles"] + statistics[f"{core}.idle_cycles"], node["frequency_hz"]
        )
        for node in nodes
        for core in (f"{node['name']}.core{number}" for number in range(node["cores"]))
    )
