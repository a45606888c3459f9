"""System calls that wait for several files: poll, select and epoll.

A level-triggered model: every call looks at the files it names.  EPOLLET is treated as
level-triggered, which wakes more often than Linux would, never less; EPOLLONESHOT is honoured.
"""

import struct

from cosim.kernel.calls.table import Call, read_time_ns, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import (
    DESCRIPTORS_MAX,
    O_CLOEXEC,
    O_RDWR,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    OpenFile,
    Stat,
)
from cosim.kernel.signals import UNBLOCKABLE
from cosim.kernel.waiting import wait_until
from cosim.units import PS_PER_NS

POLL_ENTRY = struct.Struct("<ihH")
NS_PER_MS = 10**6
ALWAYS = POLLERR | POLLHUP | POLLNVAL
EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3
EPOLLONESHOT = 1 << 30
SET_EVENTS = (
    POLLIN | POLLHUP | POLLERR,
    POLLOUT | POLLERR,
    POLLPRI,
)  # what select's three sets ask for


def _deadline(kernel, timeout_ns: int | None) -> int | None:
    return None if timeout_ns is None else kernel.clock.now_ps() + timeout_ns * PS_PER_NS


def _with_mask(thread, address: int, size: int) -> None:
    """Install the signal mask of ppoll and its relatives until the call ends."""
    if not address:
        return
    if size != 8:
        raise KernelError(Errno.EINVAL, f"signal set of {size} bytes")
    mask = thread.process.space.read_word(address) & ~UNBLOCKABLE
    thread.mask_to_restore, thread.mask = thread.mask, mask


def _wait(
    kernel, thread, files: list[OpenFile], attempt, deadline_ps: int | None, reason: str
) -> int:
    """attempt() answers None while nothing is ready; the timeout answers 0."""
    queues = tuple(queue for file in dict.fromkeys(files) for queue in file.watched)
    if deadline_ps is not None and deadline_ps <= kernel.clock.now_ps():
        result = attempt()
        return 0 if result is None else result
    return wait_until(thread, queues, attempt, reason, deadline_ps=deadline_ps, restart=False)


def _poll(kernel, thread, address: int, count: int, timeout_ns: int | None) -> int:
    kernel.memory.charge("file_operation")
    if count > DESCRIPTORS_MAX:
        raise KernelError(Errno.EINVAL, f"{count} descriptors")
    space = thread.process.space
    rows = [
        (fd, events & 0xFFFF)
        for fd, events, _ in POLL_ENTRY.iter_unpack(space.read(address, 8 * count))
    ]
    files = {}
    for descriptor, _ in rows:
        if descriptor >= 0:
            try:
                files[descriptor] = thread.process.files.get(descriptor)
            except KernelError:
                files[descriptor] = None

    def state(descriptor: int, events: int) -> int:
        if descriptor < 0:
            return 0
        file = files[descriptor]
        return POLLNVAL if file is None else file.ready() & (events | ALWAYS)

    def attempt() -> int | None:
        found = [state(*row) for row in rows]
        if not any(found):
            return None
        for index, bits in enumerate(found):
            space.write_word(address + 8 * index + 6, bits, 2)
        return sum(1 for bits in found if bits)

    def nothing() -> None:
        for index in range(len(rows)):
            space.write_word(address + 8 * index + 6, 0, 2)

    nothing()
    watched = [file for file in files.values() if file is not None]
    return _wait(kernel, thread, watched, attempt, _deadline(kernel, timeout_ns), "poll")


def poll(kernel, thread, address: int, count: int, timeout_ms: int) -> int:
    """poll(2)."""
    timeout_ms = signed(timeout_ms)
    return _poll(kernel, thread, address, count, None if timeout_ms < 0 else timeout_ms * NS_PER_MS)


def ppoll(kernel, thread, address: int, count: int, timeout: int, mask: int, size: int) -> int:
    """ppoll(2)."""
    timeout_ns = read_time_ns(thread.process.space, timeout) if timeout else None
    _with_mask(thread, mask, size)
    return _poll(kernel, thread, address, count, timeout_ns)


def _select(kernel, thread, count: int, sets: tuple[int, int, int], timeout_ns: int | None) -> int:
    kernel.memory.charge("file_operation")
    count = signed(count)
    if not 0 <= count <= DESCRIPTORS_MAX:
        raise KernelError(Errno.EINVAL, f"{count} descriptors")
    space = thread.process.space
    length = -(-count // 64) * 8
    asked = [int.from_bytes(space.read(a, length), "little") if a else 0 for a in sets]
    files = {
        number: thread.process.files.get(number)
        for number in range(count)
        if (asked[0] | asked[1] | asked[2]) >> number & 1
    }

    def answer(found: list[int]) -> int:
        for address, bits in zip(sets, found, strict=True):
            if address:
                space.write(address, bits.to_bytes(length, "little"))
        return sum(bits.bit_count() for bits in found)

    def attempt() -> int | None:
        found = [0, 0, 0]
        for number, file in files.items():
            ready = file.ready()
            for index, events in enumerate(SET_EVENTS):
                if asked[index] >> number & 1 and ready & events:
                    found[index] |= 1 << number
        return answer(found) if any(found) else None

    deadline_ps = _deadline(kernel, timeout_ns)
    if deadline_ps is not None and deadline_ps <= kernel.clock.now_ps():
        result = attempt()
        return answer([0, 0, 0]) if result is None else result
    queues = tuple(queue for file in dict.fromkeys(files.values()) for queue in file.watched)
    return wait_until(
        thread, queues, attempt, "select", deadline_ps=deadline_ps,
        on_timeout=lambda: answer([0, 0, 0]), restart=False,
    )  # fmt: skip


def pselect6(
    kernel, thread, count: int, r: int, w: int, e: int, timeout: int, mask_pair: int
) -> int:
    """pselect(2)."""
    space = thread.process.space
    timeout_ns = read_time_ns(space, timeout) if timeout else None
    if mask_pair:
        _with_mask(thread, space.read_word(mask_pair), space.read_word(mask_pair + 8))
    return _select(kernel, thread, count, (r, w, e), timeout_ns)


def select(kernel, thread, count: int, r: int, w: int, e: int, timeout: int) -> int:
    """select(2); the timeout is not written back."""
    timeout_ns = None
    if timeout:
        seconds, micro = struct.unpack("<qq", thread.process.space.read(timeout, 16))
        timeout_ns = seconds * 10**9 + micro * 1000
    return _select(kernel, thread, count, (r, w, e), timeout_ns)


class EpollFile(OpenFile):
    """An epoll instance: descriptor -> [file, events, data]."""

    kind = "epoll"

    def __init__(self, inode: int) -> None:
        super().__init__(O_RDWR, "anon_inode:[eventpoll]")
        self._inode = inode
        self.watches: dict[int, list] = {}

    @property
    def watched(self):
        """Queues of everything it watches."""
        return (self.changed, *(queue for row in self.watches.values() for queue in row[0].watched))

    def events(self) -> list[tuple[int, int, list]]:
        """(ready bits, data, watch) of all that is ready."""
        found = []
        for row in self.watches.values():
            bits = row[0].ready() & (row[1] | POLLERR | POLLHUP) & 0xFFFF
            if bits:
                found.append((bits, row[2], row))
        return found

    def ready(self) -> int:
        """See OpenFile."""
        return POLLIN if self.events() else 0

    def status(self) -> Stat:
        """See OpenFile."""
        return Stat(self._inode, 0o600)


def epoll_create1(kernel, thread, flags: int) -> int:
    """epoll_create1(2)."""
    file = EpollFile(kernel.file_system.inodes.new())
    return thread.process.files.install(file, close_on_exec=bool(flags & O_CLOEXEC))


def epoll_create(kernel, thread, _size: int) -> int:
    """epoll_create(2)."""
    return epoll_create1(kernel, thread, 0)


def _instance(thread, descriptor: int) -> EpollFile:
    file = thread.process.files.get(descriptor)
    if not isinstance(file, EpollFile):
        raise KernelError(Errno.EINVAL, f"{file.path} is not an epoll instance")
    return file


def epoll_ctl(kernel, thread, epoll: int, operation: int, descriptor: int, event: int) -> int:
    """epoll_ctl(2)."""
    instance = _instance(thread, epoll)
    file = thread.process.files.get(descriptor)
    known = descriptor in instance.watches
    if file.kind in ("file", "folder") or file is instance:
        raise KernelError(Errno.EPERM if file is not instance else Errno.EINVAL, file.path)
    if operation == EPOLL_CTL_DEL:
        if not known:
            raise KernelError(Errno.ENOENT, file.path)
        del instance.watches[descriptor]
        return 0
    if operation not in (EPOLL_CTL_ADD, EPOLL_CTL_MOD):
        raise KernelError(Errno.EINVAL, f"epoll_ctl {operation}")
    if known != (operation == EPOLL_CTL_MOD):
        raise KernelError(Errno.EEXIST if known else Errno.ENOENT, file.path)
    form = struct.Struct(kernel.isa.system_calls.EPOLL_EVENT_FORMAT)
    events, data = form.unpack(thread.process.space.read(event, form.size))
    instance.watches[descriptor] = [file, events, data]
    instance.changed.wake(kernel.scheduler)
    return 0


def _epoll_wait(kernel, thread, epoll: int, buffer: int, count: int, timeout_ns: int | None) -> int:
    kernel.memory.charge("file_operation")
    instance = _instance(thread, epoll)
    count = signed(count)
    if count <= 0:
        raise KernelError(Errno.EINVAL, f"{count} events")
    form = struct.Struct(kernel.isa.system_calls.EPOLL_EVENT_FORMAT)

    def attempt() -> int | None:
        files = thread.process.files
        open_now = set(files.descriptors())
        for descriptor in [
            d
            for d, row in instance.watches.items()
            if d not in open_now or files.get(d) is not row[0]
        ]:
            del instance.watches[descriptor]
        found = instance.events()[:count]
        if not found:
            return None
        for _, _, watch in found:
            if watch[1] & EPOLLONESHOT:
                watch[1] = 0
        data = b"".join(form.pack(bits, data) for bits, data, _ in found)
        thread.process.space.write(buffer, data)
        return len(found)

    return _wait(kernel, thread, [instance], attempt, _deadline(kernel, timeout_ns), "epoll_wait")


def epoll_pwait(
    kernel, thread, epoll: int, buffer: int, count: int, timeout_ms: int, mask: int, size: int
) -> int:
    """epoll_pwait(2)."""
    timeout_ms = signed(timeout_ms)
    _with_mask(thread, mask, size)
    timeout_ns = None if timeout_ms < 0 else timeout_ms * NS_PER_MS
    return _epoll_wait(kernel, thread, epoll, buffer, count, timeout_ns)


def epoll_wait(kernel, thread, epoll: int, buffer: int, count: int, timeout_ms: int) -> int:
    """epoll_wait(2)."""
    return epoll_pwait(kernel, thread, epoll, buffer, count, timeout_ms, 0, 0)


CALLS = {
    "poll": Call(poll, 3),
    "ppoll": Call(ppoll, 5),
    "select": Call(select, 5),
    "pselect6": Call(pselect6, 6),
    "epoll_create": Call(epoll_create, 1),
    "epoll_create1": Call(epoll_create1, 1),
    "epoll_ctl": Call(epoll_ctl, 4),
    "epoll_wait": Call(epoll_wait, 4),
    "epoll_pwait": Call(epoll_pwait, 6),
}
