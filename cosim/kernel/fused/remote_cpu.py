"""The remote CPU driver: another kernel's page tables, read and written in their own ISA's format.

A kernel finds the tables through the TABLE rows of an ADDRESS_SPACE, in shared memory; the format
follows from the ELF machine number there.  Every step of a walk is a reference of the walking core
(the paper, 6.3: software remote page-table walker).  Only the kernel that owns a table makes or
frees its levels; others read and write entries of levels that are there.
"""

from cosim import isa as isas
from cosim.errors import InputError, InvariantError
from cosim.kernel.layout import ADDRESS_SPACE, TABLE
from cosim.kernel.page_tables import PageTable

TABLES = ADDRESS_SPACE.offset("tables")
ROOT, MACHINE = TABLE.offset("root"), TABLE.offset("machine")
LEVELS, THREADS = TABLE.offset("levels"), TABLE.offset("threads")


class RemoteCpuDriver:
    """Finds and remembers the page tables of all kernels."""

    def __init__(self, memory, frames) -> None:
        self._memory = memory
        self._frames = frames
        self._known: dict[int, PageTable] = {}

    def row(self, space: int, node: int) -> int:
        """Physical address of the TABLE row of `node` in the ADDRESS_SPACE at `space`."""
        return space + TABLES + node * TABLE.size

    def table(self, space: int, node: int) -> PageTable | None:
        """The tables of `node` for the ADDRESS_SPACE at `space`; None when it has none."""
        row = self.row(space, node)
        root = self._memory.load(row + ROOT)
        if not root:
            return None
        known = self._known.get(root)
        machine, levels = self._memory.peek(row + MACHINE, 4), self._memory.peek(row + LEVELS, 4)
        paging = self._format(machine, levels)
        if known is None or known.paging is not paging:
            known = PageTable(self._memory, self._frames, paging, space, root)
            self._known[root] = known
        return known

    def _format(self, machine: int, levels: int):
        try:
            return isas.of_machine(machine).paging.FORMATS[levels]
        except (InputError, KeyError):
            raise InvariantError(
                f"address space: a page table of machine {machine} with {levels} levels; no "
                "instruction set here has such tables"
            ) from None

    def announce(self, space: int, node: int, isa, levels: int, root: int) -> None:
        """Write a node's TABLE row: its tables can be used by all from now on."""
        row = self.row(space, node)
        self._memory.store(row + MACHINE, isa.machine, 4)
        self._memory.store(row + LEVELS, levels, 4)
        self._memory.store(row + ROOT, root)

    def withdraw(self, space: int, node: int) -> None:
        """Clear a node's TABLE row."""
        row = self.row(space, node)
        self._known.pop(self._memory.peek(row + ROOT), None)
        self._memory.store(row + ROOT, 0)

    def forget(self, space: int) -> None:
        """The ADDRESS_SPACE is gone: none of its rows is read again."""
        for root in [r for r, table in self._known.items() if table.owner == space]:
            del self._known[root]

    def threads(self, space: int, node: int) -> int:
        """Threads of the space that are on the node now."""
        return self._memory.load(self.row(space, node) + THREADS)

    def count_thread(self, space: int, node: int, change: int) -> None:
        """A thread came to the node (1) or left it (-1)."""
        at = self.row(space, node) + THREADS
        self._memory.store(at, self._memory.load(at) + change)
