"""What the parts of a supervisor use of each other: one object, in several modules."""

from abc import abstractmethod
from collections.abc import Callable

from cosim.transport import Limits, Router
from launch.children import Child
from launch.closing import Closing


class Supervised(Closing):
    """See launch.supervisor.Supervisor, which has all of it."""

    limits: Limits
    control: Router
    children: dict[str, Child]
    _programs: int
    _collected: dict[str, dict]

    @abstractmethod
    def _in(self, *states: str) -> list[Child]: ...

    @abstractmethod
    def _pump(self, timeout_ms: int, *, failing: bool = False) -> None: ...

    @abstractmethod
    def _until(
        self,
        done: Callable[[], object],
        seconds: float | None,
        what: str,
        who: Callable[[], list[str]],
    ) -> None: ...

    @abstractmethod
    def _send(self, name: str, message: dict) -> None: ...

    @abstractmethod
    def _spawn(self, name: str, role: str, *, held: bool = False) -> Child: ...

    @abstractmethod
    def _reap(self, child: Child) -> None: ...

    @abstractmethod
    def _welcome(self) -> None: ...
