"""How the machine is modelled: every setting resolved, and what the run as a whole is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import cosim.settings
from cosim.errors import InputError
from cosim.settings import Value
from launch import designs
from launch.system import System

SEED_MAX = (1 << 63) - 1
PS_PER_NS = 1000
MODEL = "memory.model"


@dataclass(frozen=True)
class Simulation:
    """A system with overrides of settings.

    overrides: setting name to value, stronger than the machine file's.  ideal_kernel: kernel
    references are counted but neither cached nor charged.  seed: what guests see as random.
    limit_ns: virtual time at which the run ends, or None.  os: operating-system design. Raises
    InputError for settings that are unknown, malformed or do not fit together.
    """

    system: System
    overrides: Mapping[str, object] = field(default_factory=dict)
    ideal_kernel: bool = False
    seed: int = 1
    limit_ns: int | None = None
    os: str = designs.DEFAULT

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= SEED_MAX:
            raise InputError(f"seed {self.seed}: a whole number from 0 to {SEED_MAX}")
        if self.limit_ns is not None and self.limit_ns <= 0:
            raise InputError(f"limit {self.limit_ns} ns: must be later than the start")
        if self.design.migrates and len(self.system.nodes) < 2:
            raise InputError(
                f"--os {self.os}: the machine has one node, {self.system.names[0]!r}; this design "
                "is for two and more, see --machine"
            )
        _ = self.settings

    @property
    def design(self) -> designs.Design:
        """The operating-system design."""
        return designs.find(self.os)

    @cached_property
    def settings(self) -> dict[str, Value]:
        """Every setting with its value, flat."""
        given = {**self.system.settings, **self.overrides}
        if self.design.fixed:
            only = self.design.models[0]
            asked = self.overrides.get(MODEL, only)
            if asked != only:
                raise InputError(
                    f"--os {self.os}: its memory is always {only}, {asked!r} cannot be chosen; "
                    "leave --memory out"
                )
            given[MODEL] = only
        return cosim.settings.resolve(given, self.system.rows())

    def nodes(self) -> list[dict[str, object]]:
        """The nodes as processes receive them, with their clocks."""
        return [
            {**row, "frequency_hz": self.settings[f"time.{row['name']}.frequency_hz"]}
            for row in self.system.rows()
        ]

    def run_options(self) -> dict[str, object]:
        """What the run as a whole is told, apart from places."""
        return {
            "os": self.design.name,
            "services": self.design.services,
            "ideal_kernel": self.ideal_kernel,
            "seed": self.seed,
            "limit_ps": -1 if self.limit_ns is None else self.limit_ns * PS_PER_NS,
        }


def parse_limit(text: str) -> int:
    """Virtual time in ns from "5ms", "2s" or a plain number of ns."""
    row = cosim.settings.Setting("limit", None, "integer", "ns", "virtual time", (), 1)
    return int(cosim.settings.parse("limit", row, text))
