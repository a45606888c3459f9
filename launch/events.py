"""What is done to a machine while it runs, each thing at a virtual time: plain data.

```python
from launch import Machine
from launch.events import Attach, Detach

Machine(os="fused").run("is:S", events=[Attach(at_ns=2_000_000, isa="aarch64", name="late")])
```
An event happens before the first turn that starts at its time or later, while the machine stands
still; it takes no virtual time.  A manifest lists the events that happened, with their exact times,
so that `stramash run --repeat` finds the same machine at the same time.  What outside commands do
to a run are the same events at the time when they came.

A kind of one's own is a subclass: `perform` does it, to the machine as launch.live.Live shows it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cosim.errors import InputError, suggest
from cosim.units import PS_PER_NS

if TYPE_CHECKING:
    from launch.live import Live

KINDS: dict[str, type["Event"]] = {}


@dataclass(frozen=True, kw_only=True)
class Event(ABC):
    """Something that happens at a virtual time: at_ns, or exactly at_ps."""

    at_ns: int = 0
    at_ps: int = -1

    KIND: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if cls.KIND:
            KINDS[cls.KIND] = cls

    def __post_init__(self) -> None:
        if self.at_ps < 0:
            object.__setattr__(self, "at_ps", int(self.at_ns * PS_PER_NS))
        if self.at_ps < 0:
            raise InputError(f"event {self.KIND}: at_ns={self.at_ns}, must not be negative")

    @abstractmethod
    def perform(self, live: "Live") -> Mapping[str, Any]:
        """Do it now; facts for the manifest beyond its own fields.

        Raises InputError when it cannot be done; then nothing has changed.
        """

    def row(self, now_ps: int, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a manifest."""
        own = {key: value for key, value in asdict(self).items() if key not in ("at_ns", "at_ps")}
        return {"kind": self.KIND, "at_ps": now_ps, **own, **facts}


@dataclass(frozen=True, kw_only=True)
class Attach(Event):
    """A node joins: instruction set, cores, and a name of its own ("": one is made)."""

    isa: str
    cores: int = 1
    name: str = ""

    KIND: ClassVar[str] = "attach"

    def perform(self, live: "Live") -> Mapping[str, Any]:
        """See Event.perform."""
        return live.attach(self)


@dataclass(frozen=True, kw_only=True)
class Detach(Event):
    """A node that joined takes no more threads, and leaves when the last one has gone home."""

    name: str

    KIND: ClassVar[str] = "detach"

    def perform(self, live: "Live") -> Mapping[str, Any]:
        """See Event.perform."""
        return live.detach(self.name)


@dataclass(frozen=True, kw_only=True)
class Leave(Event):
    """A node that was told to detach is gone: found out by the machine, repeated by manifests."""

    name: str

    KIND: ClassVar[str] = "leave"

    def perform(self, live: "Live") -> Mapping[str, Any]:
        """See Event.perform."""
        return live.leave(self.name)


@dataclass(frozen=True, kw_only=True)
class Stop(Event):
    """The run ends here, in order."""

    KIND: ClassVar[str] = "stop"

    def perform(self, live: "Live") -> Mapping[str, Any]:
        """See Event.perform."""
        live.stop()
        return {}


def of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Event]:
    """The events that a manifest lists.  InputError for a row that is none."""
    found = []
    for row in rows:
        kind = KINDS.get(str(row.get("kind")))
        if kind is None:
            name = str(row.get("kind"))
            raise InputError(f"events: no kind is called {name!r}{suggest(name, KINDS)}")
        fields = {key: value for key, value in row.items() if key in kind.__dataclass_fields__}
        found.append(kind(**fields))
    return found
