"""A spinlock in simulated memory that kernels of any ISA can take: one u64, 0 = free, else the
holder's node + 1.

Kernel work runs to its end inside one turn and releases what it took, so a lock is never found
taken by a kernel that follows the protocol.  Finding it taken therefore is a broken invariant,
reported with the holder, not a wait.
"""

from cosim.errors import InvariantError
from cosim.kernel.memory import KernelMemory


class Spinlock:
    """Use as a context manager.  Taking costs an atomic load and a store, releasing a store."""

    def __init__(self, memory: KernelMemory, address: int, node: int, name: str) -> None:
        """address: physical, of the lock word.  name: for reports."""
        self._memory = memory
        self._address = address
        self._holder = node + 1
        self._name = name

    def __enter__(self) -> None:
        self._memory.charge("lock_operation")
        found = self._memory.compare_and_swap(self._address, 0, self._holder)
        if found:
            raise InvariantError(
                f"{self._name} at {self._address:#x}: node {self._holder - 1} found it held by "
                f"node {found - 1}, which has no turn; a kernel kept a lock past its turn "
                "or took it twice"
            )

    def __exit__(self, *_: object) -> None:
        self._memory.charge("lock_operation")
        self._memory.store(self._address, 0)
