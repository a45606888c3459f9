"""/dev, /proc and /dev/shm: files that the kernel makes up.

A file of /proc is a text made when it is opened.  /dev/shm leads to the machine's shared window.
Random devices draw from the run's seed, so every run reads the same bytes.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass

from cosim import isa as isas
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import (
    DT_CHR,
    DT_DIR,
    DT_LNK,
    DT_REG,
    O_CREAT,
    O_EXCL,
    O_TRUNC,
    READABLE,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
    WRITABLE,
    OpenFile,
    Stat,
)
from cosim.units import KiB

SHM_FOLDER = "/dev/shm"
FOLDERS = ("/dev", "/proc", SHM_FOLDER, "/proc/self", "/proc/self/fd")


@dataclass(frozen=True)
class Entry:
    """One name below /dev or /proc.

    open(kernel, process, flags) makes the open file of a file; link is the target of a symbolic
    link, which opens_directly when it leads to something the sandbox cannot name.  device: st_rdev
    of a character device.
    """

    path: str
    open: Callable | None = None
    link: str | None = None
    opens_directly: bool = False
    device: int = 0
    is_folder: bool = False

    @property
    def mode(self) -> int:
        """st_mode."""
        if self.is_folder:
            return stat.S_IFDIR | 0o755
        if self.link is not None:
            return stat.S_IFLNK | 0o777
        return stat.S_IFCHR | 0o666 if self.device else stat.S_IFREG | 0o444

    @property
    def type(self) -> int:
        """DT_* of a folder listing."""
        if self.is_folder:
            return DT_DIR
        return DT_LNK if self.link is not None else DT_CHR if self.device else DT_REG


class BytesFile(OpenFile):
    """A file whose contents are known when it is opened."""

    kind = "text"

    def __init__(self, flags: int, entry: Entry, inode: int, data: bytes) -> None:
        super().__init__(flags, entry.path)
        self._mode = entry.mode if entry.link is None else stat.S_IFREG | 0o555
        self._inode = inode
        self._data = data
        self.offset = 0

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        data = self.read_at(self.offset, length)
        self.offset += len(data)
        return data

    def read_at(self, offset: int, length: int) -> bytes:
        """See OpenFile."""
        return self._data[offset : offset + length]

    def seek(self, offset: int, whence: int) -> int:
        """See OpenFile."""
        base = {SEEK_SET: 0, SEEK_CUR: self.offset, SEEK_END: len(self._data)}.get(whence)
        if base is None or base + offset < 0:
            raise KernelError(Errno.EINVAL, self.path)
        self.offset = base + offset
        return self.offset

    def status(self) -> Stat:
        """See OpenFile."""
        size = len(self._data) if self._mode & 0o111 else 0  # /proc reports 0
        return Stat(self._inode, self._mode, size)


class DeviceFile(OpenFile):
    """/dev/null, zero, full, random and urandom: read_source(length) supplies what is read."""

    kind = "device"

    def __init__(
        self, flags: int, entry: Entry, inode: int, read_source: Callable[[int], bytes]
    ) -> None:
        super().__init__(flags, entry.path)
        self._entry = entry
        self._inode = inode
        self._read_source = read_source

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        return self._read_source(length)

    def read_at(self, offset: int, length: int) -> bytes:
        """See OpenFile."""
        return self._read_source(length)

    def write(self, data: bytes) -> int:
        """See OpenFile."""
        if self.path == "/dev/full":
            raise KernelError(Errno.ENOSPC, self.path)
        return len(data)

    def write_at(self, offset: int, data: bytes) -> int:
        """See OpenFile."""
        return self.write(data)

    def seek(self, offset: int, whence: int) -> int:
        """See OpenFile."""
        return 0

    def ready(self) -> int:
        """See OpenFile."""
        return READABLE | WRITABLE

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self._inode, self._entry.mode, device_number=self._entry.device)


class PseudoFolder(OpenFile):
    """A folder of made-up files."""

    kind = "folder"

    def __init__(
        self, flags: int, entry: Entry, inode: int, listing: list[tuple[int, int, bytes]]
    ) -> None:
        super().__init__(flags, entry.path)
        self._inode = inode
        self._listing = listing
        self.offset = 0

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        raise KernelError(Errno.EISDIR, self.path)

    def seek(self, offset: int, whence: int) -> int:
        """See OpenFile."""
        self.offset = offset
        return offset

    def entries(self) -> list[tuple[int, int, bytes]]:
        """See OpenFile."""
        return self._listing

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self._inode, stat.S_IFDIR | 0o755, links=2)


class SegmentFile(OpenFile):
    """An open segment of the shared window: /dev/shm/NAME."""

    kind = "segment"

    def __init__(self, flags: int, path: str, inode: int, segment) -> None:
        super().__init__(flags, path)
        self._inode = inode
        self.segment = segment
        self.offset = 0

    def read(self, length: int) -> bytes:
        """See OpenFile."""
        data = self.read_at(self.offset, length)
        self.offset += len(data)
        return data

    def write(self, data: bytes) -> int:
        """See OpenFile."""
        written = self.write_at(self.offset, data)
        self.offset += written
        return written

    def read_at(self, offset: int, length: int) -> bytes:
        """See OpenFile."""
        return self.segment.read_at(offset, length)

    def write_at(self, offset: int, data: bytes) -> int:
        """See OpenFile."""
        if offset + len(data) > self.segment.size:
            self.segment.resize(offset + len(data))
        self.segment.write_at(offset, data)
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        """See OpenFile."""
        base = {SEEK_SET: 0, SEEK_CUR: self.offset, SEEK_END: self.segment.size}.get(whence)
        if base is None or base + offset < 0:
            raise KernelError(Errno.EINVAL, self.path)
        self.offset = base + offset
        return self.offset

    def truncate(self, length: int) -> None:
        """See OpenFile."""
        if not self.writable:
            raise KernelError(Errno.EINVAL, self.path)
        self.segment.resize(length)

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self._inode, stat.S_IFREG | 0o600, self.segment.size)

    def close(self) -> None:
        """See OpenFile."""
        self.segment.close()


def _device(path: str, major: int, minor: int, source: Callable) -> Entry:
    """A character device; source(kernel, process) gives its function length -> bytes."""
    entry: Entry

    def opened(kernel, process, flags: int) -> OpenFile:
        return DeviceFile(flags, entry, kernel.inode_of_path(path), source(kernel, process))

    entry = Entry(path, opened, device=major << 8 | minor)
    return entry


def _no_device(_kernel, _process, _flags: int) -> OpenFile:
    raise KernelError(Errno.ENXIO, "there is no terminal")


def _text(path: str, make: Callable) -> Entry:
    """A file of /proc; make(kernel, process) gives its text."""
    entry: Entry

    def opened(kernel, process, flags: int) -> OpenFile:
        return BytesFile(flags, entry, kernel.inode_of_path(path), make(kernel, process).encode())

    entry = Entry(path, opened)
    return entry


def _processor_text(kernel, _process) -> str:
    texts: list[str] = []
    for row in kernel.services.processors(kernel):
        form = isas.find(row["isa"]).system_calls.CPU_INFORMATION
        megahertz = f"{row['frequency_hz'] / 1e6:.3f}"
        for _ in range(row["cores"]):
            texts.append(form.format(core=len(texts), megahertz=megahertz) + "\n")
    return "".join(texts)


def _memory_text(kernel, _process) -> str:
    total = kernel.frames.total * 4
    free = (kernel.frames.total - kernel.frames.used) * 4
    rows = {
        "MemTotal": total,
        "MemFree": free,
        "MemAvailable": free,
        "Buffers": 0,
        "Cached": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
        "CommitLimit": kernel.frames.commitment.limit * 4,
        "Committed_AS": kernel.frames.commitment.committed * 4,
    }
    return "".join(f"{name + ':':<15} {value:>8} kB\n" for name, value in rows.items())


def _status_text(kernel, process) -> str:
    size = sum(area.end - area.start for area in process.space.areas()) // KiB
    rows = (
        ("Name", process.name), ("Umask", f"{process.umask:04o}"), ("State", "R (running)"),
        ("Tgid", process.pid), ("Pid", process.pid), ("PPid", kernel.parent_pid(process)),
        ("Uid", "0\t0\t0\t0"), ("Gid", "0\t0\t0\t0"), ("VmSize", f"{size:8} kB"),
        ("Threads", len(process.threads)),
    )  # fmt: skip
    return "".join(f"{name}:\t{value}\n" for name, value in rows)


def _maps_text(kernel, process) -> str:
    return "".join(f"{line}\n" for line in map_lines(process))


def map_lines(process) -> list[str]:
    """The areas of a process, one per line, in the format of /proc/PID/maps."""
    lines = []
    heap = process.space.heap
    for area in process.space.areas():
        rights = "".join(
            letter if area.protection >> place & 1 else "-" for place, letter in enumerate("rwx")
        )
        shared = "s" if area.kind in (2, 3, 4) else "p"
        name = ""
        if area.flags & 1:
            name = "[stack]"
        elif heap[0] <= area.start < heap[1]:
            name = "[heap]"
        elif area.kind == 1:
            name = process.name
        places = f"{area.start:08x}-{area.end:08x} {rights}{shared} {area.offset:08x}"
        lines.append(f"{places} 00:00 0 {name}".rstrip())
    return lines


def _image(kernel, process, flags: int) -> OpenFile:
    entry = Entry("/proc/self/exe", link=f"/{process.name}")
    return BytesFile(flags, entry, kernel.inode_of_path(entry.path), process.image)


def _random(kernel, process) -> Callable[[int], bytes]:
    return lambda length: kernel.random_bytes(process, length)


def _command_text(_kernel, process) -> str:
    return "".join(argument.decode(errors="replace") + "\0" for argument in process.arguments)


def _zeros(length: int) -> bytes:
    return bytes(length)


# fmt: off
FIXED = {entry.path: entry for entry in (
    _device("/dev/null",    1, 3, lambda kernel, process: lambda length: b""),
    _device("/dev/zero",    1, 5, lambda kernel, process: _zeros),
    _device("/dev/full",    1, 7, lambda kernel, process: _zeros),
    _device("/dev/random",  1, 8, _random),
    _device("/dev/urandom", 1, 9, _random),
    Entry("/dev/tty", _no_device, device=5 << 8),
    Entry("/dev/stdin",  link="/proc/self/fd/0"),
    Entry("/dev/stdout", link="/proc/self/fd/1"),
    Entry("/dev/stderr", link="/proc/self/fd/2"),
    Entry("/dev/fd", link="/proc/self/fd"),
    *(Entry(path, is_folder=True) for path in FOLDERS),
    _text("/proc/cpuinfo", _processor_text),
    _text("/proc/meminfo", _memory_text),
    _text("/proc/version", lambda kernel, process: f"Linux version {kernel.release} (stramash)\n"),
    _text("/proc/uptime",  lambda kernel, process: f"{kernel.clock.shown_ps() / 1e12:.2f} 0.00\n"),
    _text("/proc/self/maps", _maps_text),
    _text("/proc/self/status", _status_text),
    _text("/proc/self/comm", lambda kernel, process: f"{process.name}\n"),
    _text("/proc/self/cmdline", _command_text),
)}
# fmt: on


def find(path: str, process) -> Entry | None:
    """The entry at a canonical guest path, None when the kernel has nothing there."""
    if not path.startswith(("/dev", "/proc")):
        return None
    if path.startswith((f"/proc/{process.pid}", "/proc/thread-self")):
        path = "/proc/self" + path.removeprefix("/proc/thread-self").removeprefix(
            f"/proc/{process.pid}"
        )
    if path in FIXED:
        return FIXED[path]
    if path == "/proc/self/exe":
        return Entry(path, _image, f"/{process.name}", opens_directly=True)
    if path.startswith("/proc/self/fd/"):
        return _descriptor(path, process)
    return None


def _descriptor(path: str, process) -> Entry | None:
    """/proc/self/fd/N: opening it gives the same open file."""
    number = path.removeprefix("/proc/self/fd/")
    if not number.isdecimal() or int(number) not in process.files.descriptors():
        return None
    file = process.files.get(int(number))
    return Entry(path, lambda kernel, process, flags: file, file.path, opens_directly=True)


def open_entry(kernel, process, entry: Entry, flags: int) -> OpenFile:
    """Open one of these files."""
    if entry.is_folder:
        return PseudoFolder(
            flags, entry, kernel.inode_of_path(entry.path), _listing(kernel, process, entry.path)
        )
    assert entry.open is not None
    return entry.open(kernel, process, flags)


def _listing(kernel, process, folder: str) -> list[tuple[int, int, bytes]]:
    names = {
        path.rpartition("/")[2]: entry.type
        for path, entry in FIXED.items()
        if path.rpartition("/")[0] == folder
    }
    if folder == SHM_FOLDER:
        names |= {name.decode(errors="replace"): DT_REG for name in kernel.window.names()}
    if folder == "/proc/self/fd":
        names |= {str(number): DT_LNK for number in process.files.descriptors()}
    if folder == "/proc/self":
        names["exe"] = DT_LNK
    rows = [(".", DT_DIR), ("..", DT_DIR), *sorted(names.items())]
    return [(kernel.inode_of_path(f"{folder}/{name}"), kind, name.encode()) for name, kind in rows]


def open_segment(kernel, path: str, flags: int) -> OpenFile:
    """Open or create /dev/shm/NAME."""
    name = path.removeprefix(SHM_FOLDER + "/").encode()
    segment = kernel.window.open(
        name, create=bool(flags & O_CREAT), exclusive=bool(flags & O_EXCL), writable=bool(flags & 3)
    )
    if flags & O_TRUNC:
        segment.resize(0)
    inode = kernel.inode_of_path(f"{path}#{segment.number}.{kernel.window.serial(segment.number)}")
    return SegmentFile(flags, path, inode, segment)
