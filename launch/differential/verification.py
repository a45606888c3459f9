"""A whole program on a machine whose engines are checked: as many instructions as were compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosim.errors import EnginesDiffer, InputError
from launch.machine import Machine, Run

COMPARED, UNCHECKED, LEFT = (
    "checked.instructions",
    "checked.unchecked",
    "native.unicorn_instructions",
)
EXECUTED = "instructions_user"
FIXED = {"engine": "checked", "engine.hot_after": 1}  # so that everything is made into blocks


@dataclass(frozen=True)
class CoreCheck:
    """Counts of one core.

    unchecked: Unicorn cannot say what is right.  by_unicorn: of those compared, executed by Unicorn
    in the native engine too.
    """

    core: str
    executed: int
    compared: int
    unchecked: int
    by_unicorn: int


@dataclass(frozen=True)
class Verification:
    """What came out.  difference: the line that names the first one; run: None if there is one."""

    cores: tuple[CoreCheck, ...]
    difference: str
    run: Run | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "equal": not self.difference,
            "difference": self.difference,
            "cores": [vars(core) for core in self.cores],
            "digest": self.run.digest if self.run else None,
            "exit_status": self.run.exit_status if self.run else None,
            "folder": str(self.run.folder) if self.run else None,
        }


def settings(given: Mapping[str, object], every: int | None) -> dict[str, object]:
    """Settings of the machine.  InputError for those that are not free."""
    if taken := [name for name in FIXED if name in given]:
        raise InputError(f"verify: sets {', '.join(taken)} itself; leave --set {taken[0]} out")
    chosen: dict[str, object] = {**given, **FIXED}
    if every is not None:
        if "engine.check_every" in given:
            raise InputError("verify: --every is --set engine.check_every; give one of them")
        chosen["engine.check_every"] = every
    return chosen


def verify(machine: Machine, jobs: Sequence[Any], **options: Any) -> Verification:
    """Run `jobs` on a machine with these settings; options: of Machine.run_together.

    InputError when nothing could be compared.
    """
    try:
        with machine:
            run = machine.run_together(jobs, **options)
    except EnginesDiffer as error:
        return Verification((), str(error), None)
    cores = checks(run.statistics)
    if not cores:
        raise InputError(
            "verify: nothing was compared; the instruction sets of the nodes have no rows, see"
            " cosim/engine/native/table.py"
        )
    return Verification(cores, "", run)


def checks(statistics: Mapping[str, Any]) -> tuple[CoreCheck, ...]:
    """Of every core that executed something."""
    found = []
    for name, executed in statistics.items():
        core, _, kind = name.rpartition(".")
        if kind != EXECUTED or not executed or f"host.{core}.{COMPARED}" not in statistics:
            continue
        counts = (int(statistics[f"host.{core}.{kind}"]) for kind in (COMPARED, UNCHECKED, LEFT))
        found.append(CoreCheck(core, int(executed), *counts))
    return tuple(found)
