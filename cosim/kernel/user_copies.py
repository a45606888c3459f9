"""How a kernel reads and writes user memory: page by page, resolving faults, charged and coherent
like any kernel access.

Translation is the hardware's walk and costs nothing by itself; a page that is not there costs a
page fault.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from cosim.engine.interface import Access
from cosim.errors import InvariantError
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.mapping import USER_END, Signal
from cosim.kernel.memory import KernelMemory
from cosim.kernel.page_tables import PageTable
from cosim.units import LINE_BYTES, PAGE_BYTES

RIGHT: dict[int, int] = {Access.READ: 1, Access.WRITE: 2, Access.EXECUTE: 4}
OFFSET_MASK = PAGE_BYTES - 1
STRING_BYTES_MAX = 4096  # Linux' PATH_MAX


class UserCopies(ABC):
    """The copying half of an AddressSpace.  Everything here raises KernelError(EFAULT) where the
    guest may not go.
    """

    memory: KernelMemory
    page_table: PageTable

    @abstractmethod
    def fault(self, address: int, access: int) -> Signal | None:
        """Resolve a page fault, or the signal it becomes."""

    def translate(self, address: int, access: int) -> int:
        """Physical address of one user byte, faulting its page in if need be."""
        if not 0 <= address < USER_END:
            raise KernelError(Errno.EFAULT, f"{address:#x}")
        right = RIGHT[access]
        for _ in range(2):
            found = self.page_table.find(address)
            if found is not None and found.protection & right:
                return found.physical + (address & OFFSET_MASK)
            if self.fault(address, access) is not None:
                raise KernelError(Errno.EFAULT, f"{address:#x}")
        raise InvariantError(
            f"page fault at {address:#x}: resolved, yet the page table grants no right {right}"
        )

    def _pieces(self, address: int, length: int, access: int) -> Iterator[tuple[int, int]]:
        """(physical address, bytes) of the parts of a user range that lie in one page each."""
        while length > 0:
            part = min(length, PAGE_BYTES - (address & OFFSET_MASK))
            yield self.translate(address, access), part
            address += part
            length -= part

    def _charge_copy(self, length: int) -> None:
        self.memory.charge("copy_line", -(-length // LINE_BYTES))

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes of user memory."""
        self._charge_copy(length)
        return b"".join(
            [self.memory.read(*piece) for piece in self._pieces(address, length, Access.READ)]
        )

    def write(self, address: int, data: bytes) -> None:
        """Write bytes to user memory.  What lies before a bad page has been written when EFAULT is
        raised.
        """
        self._charge_copy(len(data))
        at = 0
        for physical, part in self._pieces(address, len(data), Access.WRITE):
            self.memory.write(physical, data[at : at + part])
            at += part

    def read_string(self, address: int, limit: int = STRING_BYTES_MAX) -> bytes:
        """The bytes before the terminating zero.  KernelError(ENAMETOOLONG) when there is none
        within `limit` bytes.
        """
        found = bytearray()
        while len(found) < limit:
            part = min(LINE_BYTES - (address & LINE_BYTES - 1), limit - len(found))
            line = self.memory.read(self.translate(address, Access.READ), part)
            text, zero, _ = line.partition(b"\0")
            found += text
            if zero:
                self._charge_copy(len(found) + 1)
                return bytes(found)
            address += part
        raise KernelError(Errno.ENAMETOOLONG, f"no end within {limit} bytes")

    def read_word(self, address: int, size: int = 8) -> int:
        """An unsigned little-endian value of 1, 2, 4 or 8 bytes."""
        if (address & OFFSET_MASK) + size > PAGE_BYTES:
            return int.from_bytes(self.read(address, size), "little")
        return self.memory.load(self.translate(address, Access.READ), size)

    def write_word(self, address: int, value: int, size: int = 8) -> None:
        """Store the low `size` bytes of `value`."""
        if (address & OFFSET_MASK) + size > PAGE_BYTES:
            self.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
            return
        self.memory.store(self.translate(address, Access.WRITE), value, size)

    def compare_and_swap(self, address: int, expected: int, new: int, size: int = 4) -> int:
        """Atomically replace `expected` by `new`; the value found.  KernelError(EINVAL) when not
        aligned.
        """
        if address % size:
            raise KernelError(Errno.EINVAL, f"{address:#x} is not a multiple of {size}")
        return self.memory.compare_and_swap(
            self.translate(address, Access.WRITE), expected, new, size
        )
