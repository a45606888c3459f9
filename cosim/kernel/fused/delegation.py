"""Which calls a thread away from home makes where it is, on a fused kernel: those on memory too."""

from collections.abc import Mapping

from cosim.kernel.calls.table import Call
from cosim.kernel.distributed.delegation import Delegation
from cosim.kernel.mapping import MAP_ANONYMOUS

HERE = frozenset(("mmap", "munmap", "mprotect", "brk", "madvise", "mincore", "sethostname"))
# Of these, the range that they name decides: areas of files have their source at home.
RANGES = frozenset(("munmap", "mprotect", "madvise"))


class FusedDelegation(Delegation):
    """See Delegation.  futex_direct: a kernel works on the shared futex buckets itself."""

    def __init__(self, kernel, calls: Mapping[str, Call], futex_direct: bool) -> None:
        super().__init__(kernel, calls, HERE | ({"futex"} if futex_direct else set()))
        self.futex_direct = futex_direct

    def runs_here(self, process, name: str, arguments: tuple[int, ...]) -> bool:
        """See Delegation.runs_here."""
        if name == "mmap" and not arguments[3] & MAP_ANONYMOUS:
            return False
        if name in RANGES and process.space.needs_home(arguments[0], sum(arguments[:2])):
            return False
        return super().runs_here(process, name, arguments)
