"""Open files: descriptor tables, the operations every kind of file has, and files and folders of
the host.

What stat reports never depends on the host: inode numbers count in order of first use, owner is
root, times are the epoch of the virtual clock until this run changes a file, folders have one fixed
size, and folders list sorted.
"""

import os
import stat
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from cosim.kernel.clock import EPOCH_S, NS_PER_SECOND
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.paths import host_error
from cosim.kernel.waiting import WaitQueue

DESCRIPTORS_MAX = 1024
BLOCK_BYTES = 4096
FOLDER_BYTES = 4096
DEVICE_NUMBER = 1  # st_dev of everything

O_ACCMODE = 0o3
O_RDONLY, O_WRONLY, O_RDWR = 0, 1, 2
O_CREAT = 0o100
O_EXCL = 0o200
O_TRUNC = 0o1000
O_APPEND = 0o2000
O_NONBLOCK = 0o4000
O_CLOEXEC = 0o2000000
O_PATH = 0o10000000
O_TMPFILE = 0o20000000

SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE = range(5)

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 1, 2, 4, 8, 16, 32
POLLRDNORM, POLLWRNORM = 64, 256
READABLE = POLLIN | POLLRDNORM
WRITABLE = POLLOUT | POLLWRNORM

DT_UNKNOWN, DT_FIFO, DT_CHR, DT_DIR, DT_REG, DT_LNK = 0, 1, 2, 4, 8, 10


@dataclass
class Stat:
    """What stat, statx and their relatives say of a file.  Times in ns since 1970."""

    inode: int
    mode: int
    size_bytes: int = 0
    links: int = 1
    device_number: int = 0
    modify_ns: int = EPOCH_S * NS_PER_SECOND
    access_ns: int = EPOCH_S * NS_PER_SECOND
    device: int = DEVICE_NUMBER
    user: int = 0
    group: int = 0
    block_bytes: int = BLOCK_BYTES

    @property
    def change_ns(self) -> int:
        """Status changes are not told from modifications."""
        return self.modify_ns

    @property
    def blocks(self) -> int:
        """512-byte units of the size."""
        return -(-self.size_bytes // 512)


class Inodes:
    """Numbers and times of files, independent of the host.

    A number is forgotten with the file's last name, because the host may use its own number again.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._times: dict[int, tuple[int, int]] = {}  # inode -> access, modify
        self._next = count(2)

    def new(self) -> int:
        """A number for something that is not on the host."""
        return next(self._next)

    def of(self, status: os.stat_result) -> int:
        """The number of a host file."""
        key = (status.st_dev, status.st_ino)
        if key not in self._numbers:
            self._numbers[key] = next(self._next)
        return self._numbers[key]

    def forget(self, status: os.stat_result) -> None:
        """A name of this file is removed."""
        if status.st_nlink <= 1 or stat.S_ISDIR(status.st_mode):
            self._times.pop(self._numbers.pop((status.st_dev, status.st_ino), 0), None)

    def touch(self, inode: int, access_ns: int | None, modify_ns: int | None) -> None:
        """Set a file's times; None leaves one as it is."""
        access, modify = self._times.get(inode, (EPOCH_S * NS_PER_SECOND,) * 2)
        self._times[inode] = (
            access if access_ns is None else access_ns,
            modify if modify_ns is None else modify_ns,
        )

    def describe(self, status: os.stat_result, inode: int | None = None) -> Stat:
        """The guest's view of a host file."""
        number = self.of(status) if inode is None else inode
        folder = stat.S_ISDIR(status.st_mode)
        result = Stat(
            number,
            status.st_mode,
            FOLDER_BYTES if folder else status.st_size,
            2 if folder else status.st_nlink,
        )
        if number in self._times:
            result.access_ns, result.modify_ns = self._times[number]
        return result


class OpenFile:
    """An open file description: what descriptors that were duplicated share.

    read and write answer None when they would have to wait; `changed` then says when to try again.
    The methods here are the answers of a file that cannot do it.  FileSource for mmap: read_at,
    write_at, size_bytes.
    """

    kind = "file"

    def __init__(self, flags: int, path: str) -> None:
        self.flags = flags
        self.path = path
        self.references = 0
        self.changed = WaitQueue()

    @property
    def readable(self) -> bool:
        """Was it opened for reading?"""
        return self.flags & O_ACCMODE != O_WRONLY and not self.flags & O_PATH

    @property
    def writable(self) -> bool:
        """Was it opened for writing?"""
        return self.flags & O_ACCMODE in (O_WRONLY, O_RDWR) and not self.flags & O_PATH

    @property
    def watched(self) -> tuple[WaitQueue, ...]:
        """Queues that are woken when read, write or ready may answer differently."""
        return (self.changed,)

    def read(self, length: int) -> bytes | None:
        """Up to `length` bytes at the position; None: wait."""
        raise KernelError(Errno.EINVAL, f"{self.path}: read")

    def write(self, data: bytes) -> int | None:
        """Write at the position; bytes taken, None: wait."""
        raise KernelError(Errno.EINVAL, f"{self.path}: write")

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`."""
        raise KernelError(Errno.ESPIPE, self.path)

    def write_at(self, offset: int, data: bytes) -> int:
        """Write at `offset`; bytes taken."""
        raise KernelError(Errno.ESPIPE, self.path)

    def seek(self, offset: int, whence: int) -> int:
        """Move the position; the new one."""
        raise KernelError(Errno.ESPIPE, self.path)

    def truncate(self, length: int) -> None:
        """Set the size."""
        raise KernelError(Errno.EINVAL, f"{self.path}: truncate")

    def entries(self) -> list[tuple[int, int, bytes]]:
        """(inode, DT_* type, name) of a folder."""
        raise KernelError(Errno.ENOTDIR, self.path)

    def status(self) -> Stat:
        """What stat says."""
        raise KernelError(Errno.EBADF, self.path)

    def ready(self) -> int:
        """POLL* bits that are true now."""
        return READABLE | WRITABLE

    def bytes_waiting(self) -> int:
        """FIONREAD."""
        raise KernelError(Errno.ENOTTY, self.path)

    def synchronize(self) -> None:
        """fsync: nothing to do, the host keeps what was written."""

    def close(self) -> None:
        """The last descriptor is gone."""


class HostFile(OpenFile):
    """A regular file of the host, below the root."""

    def __init__(
        self, descriptor: int, flags: int, path: str, inodes: Inodes, now_ns: Callable[[], int]
    ) -> None:
        super().__init__(flags, path)
        self.descriptor = descriptor
        self._inodes = inodes
        self._now_ns = now_ns
        self.inode = inodes.of(os.fstat(descriptor))
        self.offset = 0

    @property
    def size_bytes(self) -> int:
        """Size now."""
        return os.fstat(self.descriptor).st_size

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        data = self.read_at(self.offset, length)
        self.offset += len(data)
        return data

    def write(self, data: bytes) -> int:
        """See OpenFile."""
        if self.flags & O_APPEND:
            self.offset = self.size_bytes
        written = self.write_at(self.offset, data)
        self.offset += written
        return written

    def read_at(self, offset: int, length: int) -> bytes:
        """See OpenFile."""
        try:
            return os.pread(self.descriptor, length, offset)
        except OSError as error:
            raise host_error(error) from None

    def write_at(self, offset: int, data: bytes) -> int:
        """See OpenFile."""
        try:
            written = os.pwrite(self.descriptor, data, offset)
        except OSError as error:
            raise host_error(error) from None
        self._inodes.touch(self.inode, None, self._now_ns())
        return written

    def seek(self, offset: int, whence: int) -> int:
        """See OpenFile."""
        size = self.size_bytes
        if whence in (SEEK_DATA, SEEK_HOLE):
            if not 0 <= offset < size:
                raise KernelError(Errno.ENXIO, self.path)
            self.offset = offset if whence == SEEK_DATA else size
            return self.offset
        base = {SEEK_SET: 0, SEEK_CUR: self.offset, SEEK_END: size}.get(whence)
        if base is None or base + offset < 0:
            raise KernelError(Errno.EINVAL, f"seek to {offset} from {whence}")
        self.offset = base + offset
        return self.offset

    def truncate(self, length: int) -> None:
        """See OpenFile."""
        if not self.writable:
            raise KernelError(Errno.EINVAL, self.path)
        try:
            os.ftruncate(self.descriptor, length)
        except OSError as error:
            raise host_error(error) from None
        self._inodes.touch(self.inode, None, self._now_ns())

    def status(self) -> Stat:
        """See OpenFile."""
        return self._inodes.describe(os.fstat(self.descriptor), self.inode)

    def duplicate(self) -> "HostFile":
        """The same file for a mapping, which may outlive every descriptor: closed when the mapping
        forgets it.
        """
        other = HostFile(os.dup(self.descriptor), self.flags, self.path, self._inodes, self._now_ns)
        weakref.finalize(other, os.close, other.descriptor)
        return other

    def close(self) -> None:
        """See OpenFile."""
        os.close(self.descriptor)


class HostFolder(OpenFile):
    """A folder of the host, below the root."""

    kind = "folder"

    def __init__(self, descriptor: int, flags: int, path: str, inodes: Inodes) -> None:
        super().__init__(flags, path)
        self.descriptor = descriptor
        self._inodes = inodes
        self.offset = 0

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        raise KernelError(Errno.EISDIR, self.path)

    def seek(self, offset: int, whence: int) -> int:
        """See OpenFile."""
        if whence != SEEK_SET or offset < 0:
            raise KernelError(Errno.EINVAL, self.path)
        self.offset = offset
        return offset

    def entries(self) -> list[tuple[int, int, bytes]]:
        """See OpenFile."""
        types = ((stat.S_ISDIR, DT_DIR), (stat.S_ISREG, DT_REG), (stat.S_ISLNK, DT_LNK))
        found = [
            (self._inodes.of(os.fstat(self.descriptor)), DT_DIR, name) for name in (b".", b"..")
        ]
        for name in sorted(os.fsencode(name) for name in os.listdir(self.descriptor)):
            status = os.lstat(name, dir_fd=self.descriptor)
            kind = next((code for test, code in types if test(status.st_mode)), DT_UNKNOWN)
            found.append((self._inodes.of(status), kind, name))
        return found

    def status(self) -> Stat:
        """See OpenFile."""
        return self._inodes.describe(os.fstat(self.descriptor))

    def close(self) -> None:
        """See OpenFile."""
        os.close(self.descriptor)


class ConsoleFile(OpenFile):
    """Descriptors 0, 1 and 2: input is a fixed string of bytes, output goes to the console.  Not a
    terminal.
    """

    kind = "console"

    def __init__(self, flags: int, console, inode: int, data: bytes = b"") -> None:
        super().__init__(flags, "/dev/console")
        self._console = console
        self._inode = inode
        self._input = data

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        data, self._input = self._input[:length], self._input[length:]
        return data

    def write(self, data: bytes) -> int:
        """See OpenFile."""
        return self._console.write(data)

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self._inode, stat.S_IFCHR | 0o600, device_number=5 << 8 | 1)

    def bytes_waiting(self) -> int:
        """See OpenFile."""
        return len(self._input)


class FileTable:
    """Descriptors of a process: number -> (open file, close-on-exec)."""

    def __init__(self, limit: int = DESCRIPTORS_MAX) -> None:
        self._open: dict[int, tuple[OpenFile, bool]] = {}
        self.limit = limit

    def get(self, descriptor: int) -> OpenFile:
        """The open file.  KernelError(EBADF) when there is none."""
        descriptor &= 0xFFFF_FFFF
        if descriptor not in self._open:
            raise KernelError(Errno.EBADF, f"descriptor {descriptor}")
        return self._open[descriptor][0]

    def install(self, file: OpenFile, *, close_on_exec: bool = False, lowest: int = 0) -> int:
        """A new descriptor for `file`: the lowest free one from `lowest`.  KernelError(EMFILE)
        without one.
        """
        number = lowest
        while number in self._open:
            number += 1
        if number >= self.limit:
            if not file.references:
                file.close()
            raise KernelError(Errno.EMFILE, f"{self.limit} descriptors are open")
        self.put(number, file, close_on_exec=close_on_exec)
        return number

    def put(self, descriptor: int, file: OpenFile, *, close_on_exec: bool = False) -> None:
        """Make `descriptor` mean `file`, closing what it meant."""
        file.references += 1
        if descriptor in self._open:
            self.close(descriptor)
        self._open[descriptor] = (file, close_on_exec)

    def close(self, descriptor: int) -> None:
        """Forget a descriptor.  KernelError(EBADF) when there is none."""
        file = self.get(descriptor)
        del self._open[descriptor & 0xFFFF_FFFF]
        release(file)

    def closes_on_exec(self, descriptor: int) -> bool:
        """FD_CLOEXEC of a descriptor."""
        self.get(descriptor)
        return self._open[descriptor][1]

    def set_close_on_exec(self, descriptor: int, value: bool) -> None:
        """Change FD_CLOEXEC."""
        self._open[descriptor] = (self.get(descriptor), value)

    def descriptors(self) -> list[int]:
        """All open numbers, ascending."""
        return sorted(self._open)

    def close_all(self, *, only_on_exec: bool = False) -> None:
        """At exit everything; at exec what was marked."""
        for number in self.descriptors():
            if not only_on_exec or self._open[number][1]:
                self.close(number)

    def copy(self) -> "FileTable":
        """The same files under the same numbers, as a child process gets them."""
        other = FileTable(self.limit)
        for number, (file, close_on_exec) in self._open.items():
            other.put(number, file, close_on_exec=close_on_exec)
        return other


def release(file: OpenFile) -> None:
    """One reference to `file` less; the last one closes it."""
    file.references -= 1
    if not file.references:
        file.close()
