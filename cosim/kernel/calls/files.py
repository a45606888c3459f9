"""System calls on open files: reading, writing, seeking, duplicating, and what pipes and counters
need.
"""

import struct

from cosim.kernel.calls.table import Call, accept, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import (
    DESCRIPTORS_MAX,
    O_APPEND,
    O_CLOEXEC,
    O_NONBLOCK,
    SEEK_CUR,
    OpenFile,
)
from cosim.kernel.pipes import EFD_SEMAPHORE, BrokenPipe, EventCounter, new_pipe
from cosim.kernel.signals import Signal, SignalInfo
from cosim.kernel.waiting import wait_until

TRANSFER_BYTES_MAX = 0x7FFF_F000  # Linux' MAX_RW_COUNT
PIECE_BYTES = 1 << 20  # copied at once between two files
VECTORS_MAX = 1024
VECTOR = struct.Struct("<QQ")
F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW = range(8)
F_DUPFD_CLOEXEC = 1030
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
F_UNLCK = 2
FIONREAD, FIONBIO, FIOCLEX, FIONCLEX = 0x541B, 0x5421, 0x5451, 0x5450
CLOSE_RANGE_CLOEXEC = 4


def transfer_in(kernel, thread, file: OpenFile, length: int) -> bytes | None:
    """Up to `length` bytes from the file's position; waits when there are none yet."""
    kernel.memory.charge("file_operation")
    if not file.readable:
        raise KernelError(Errno.EBADF, f"{file.path} is not open for reading")
    return file.read(min(length, TRANSFER_BYTES_MAX))


def read(kernel, thread, descriptor: int, buffer: int, length: int) -> int:
    """read(2)."""
    return _read(kernel, thread, descriptor, [(buffer, length)])


def _read(kernel, thread, descriptor: int, pieces: list[tuple[int, int]]) -> int:
    file = thread.process.files.get(descriptor)
    wanted = sum(length for _, length in pieces)

    def attempt() -> int | None:
        data = transfer_in(kernel, thread, file, wanted)
        if data is None:
            if file.flags & O_NONBLOCK:
                raise KernelError(Errno.EAGAIN)
            return None
        _scatter(thread.process.space, pieces, data)
        return len(data)

    return wait_until(thread, file.watched, attempt, f"read from {file.path}")


def _scatter(space, pieces: list[tuple[int, int]], data: bytes) -> None:
    at = 0
    for address, length in pieces:
        if at >= len(data):
            return
        space.write(address, data[at : at + length])
        at += length


def write(kernel, thread, descriptor: int, buffer: int, length: int) -> int:
    """write(2)."""
    length = min(length, TRANSFER_BYTES_MAX)
    return _write(kernel, thread, descriptor, [(buffer, length)])


def _write(kernel, thread, descriptor: int, pieces: list[tuple[int, int]]) -> int:
    file = thread.process.files.get(descriptor)
    if not file.writable:
        raise KernelError(Errno.EBADF, f"{file.path} is not open for writing")
    kernel.memory.charge("file_operation")
    data = b"".join(thread.process.space.read(address, length) for address, length in pieces)
    done = 0

    def attempt() -> int | None:
        nonlocal done
        while True:
            try:
                written = file.write(data[done:])
            except BrokenPipe:
                kernel.signals.post(thread.process, SignalInfo(Signal.SIGPIPE), thread)
                raise
            if written is None:
                if file.flags & O_NONBLOCK:
                    if not done:
                        raise KernelError(Errno.EAGAIN)
                    return done
                return None
            done += written
            if done >= len(data):
                return done

    return wait_until(
        thread, file.watched, attempt, f"write to {file.path}", on_signal=lambda: done or None
    )


def _vector(space, address: int, count: int) -> list[tuple[int, int]]:
    """The (address, length) pairs of a struct iovec array."""
    count = signed(count)
    if not 0 <= count <= VECTORS_MAX:
        raise KernelError(Errno.EINVAL, f"{count} vectors")
    pieces = list(VECTOR.iter_unpack(space.read(address, 16 * count)))
    if any(length >> 63 for _, length in pieces):
        raise KernelError(Errno.EINVAL, "vector length")
    return pieces


def readv(kernel, thread, descriptor: int, vector: int, count: int) -> int:
    """readv(2)."""
    return _read(kernel, thread, descriptor, _vector(thread.process.space, vector, count))


def writev(kernel, thread, descriptor: int, vector: int, count: int) -> int:
    """writev(2)."""
    return _write(kernel, thread, descriptor, _vector(thread.process.space, vector, count))


def _offset(offset: int) -> int:
    offset = signed(offset, 64)
    if offset < 0:
        raise KernelError(Errno.EINVAL, f"offset {offset}")
    return offset


def _read_at(kernel, thread, descriptor: int, pieces: list[tuple[int, int]], offset: int) -> int:
    kernel.memory.charge("file_operation")
    file = thread.process.files.get(descriptor)
    if not file.readable:
        raise KernelError(Errno.EBADF, file.path)
    wanted = min(sum(length for _, length in pieces), TRANSFER_BYTES_MAX)
    data = file.read_at(_offset(offset), wanted)
    _scatter(thread.process.space, pieces, data)
    return len(data)


def _write_at(kernel, thread, descriptor: int, pieces: list[tuple[int, int]], offset: int) -> int:
    kernel.memory.charge("file_operation")
    file = thread.process.files.get(descriptor)
    if not file.writable:
        raise KernelError(Errno.EBADF, file.path)
    data = b"".join(thread.process.space.read(address, length) for address, length in pieces)
    return file.write_at(_offset(offset), data)


def pread(kernel, thread, descriptor: int, buffer: int, length: int, offset: int) -> int:
    """pread(2)."""
    return _read_at(kernel, thread, descriptor, [(buffer, length)], offset)


def pwrite(kernel, thread, descriptor: int, buffer: int, length: int, offset: int) -> int:
    """pwrite(2)."""
    length = min(length, TRANSFER_BYTES_MAX)
    return _write_at(kernel, thread, descriptor, [(buffer, length)], offset)


def preadv(kernel, thread, descriptor: int, vector: int, count: int, offset: int) -> int:
    """preadv(2); preadv2 with its flags ignored."""
    return _read_at(
        kernel, thread, descriptor, _vector(thread.process.space, vector, count), offset
    )


def pwritev(kernel, thread, descriptor: int, vector: int, count: int, offset: int) -> int:
    """pwritev(2); pwritev2 with its flags ignored."""
    return _write_at(
        kernel, thread, descriptor, _vector(thread.process.space, vector, count), offset
    )


def lseek(kernel, thread, descriptor: int, offset: int, whence: int) -> int:
    """lseek(2)."""
    kernel.memory.charge("file_operation")
    return thread.process.files.get(descriptor).seek(signed(offset, 64), whence)


def ftruncate(kernel, thread, descriptor: int, length: int) -> int:
    """ftruncate(2)."""
    kernel.memory.charge("file_operation")
    thread.process.files.get(descriptor).truncate(_offset(length))
    return 0


def fallocate(kernel, thread, descriptor: int, mode: int, offset: int, length: int) -> int:
    """fallocate(2): mode 0 only."""
    file = thread.process.files.get(descriptor)
    if mode:
        raise KernelError(Errno.EOPNOTSUPP, f"fallocate mode {mode}")
    if file.status().size_bytes < _offset(offset) + length:
        file.truncate(offset + length)
    return 0


def close(_kernel, thread, descriptor: int) -> int:
    """close(2)."""
    thread.process.files.close(descriptor)
    return 0


def close_range(_kernel, thread, first: int, last: int, flags: int) -> int:
    """close_range(2)."""
    files = thread.process.files
    for descriptor in files.descriptors():
        if first <= descriptor <= last:
            if flags & CLOSE_RANGE_CLOEXEC:
                files.set_close_on_exec(descriptor, True)
            else:
                files.close(descriptor)
    return 0


def dup(_kernel, thread, descriptor: int) -> int:
    """dup(2)."""
    files = thread.process.files
    return files.install(files.get(descriptor))


def dup2(_kernel, thread, old: int, new: int) -> int:
    """dup2(2)."""
    if old == new:
        thread.process.files.get(old)
        return new
    return dup3(_kernel, thread, old, new, 0)


def dup3(_kernel, thread, old: int, new: int, flags: int) -> int:
    """dup3(2)."""
    files = thread.process.files
    if old == new or flags & ~O_CLOEXEC:
        raise KernelError(Errno.EINVAL, "dup3")
    file = files.get(old)
    if new >= files.limit:
        raise KernelError(Errno.EBADF, f"descriptor {new}")
    files.put(new, file, close_on_exec=bool(flags & O_CLOEXEC))
    return new


def fcntl(kernel, thread, descriptor: int, command: int, argument: int) -> int:
    """fcntl(2): descriptors, flags; record locks always succeed, since no other process shares the
    root.
    """
    files = thread.process.files
    file = files.get(descriptor)
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        if argument >= DESCRIPTORS_MAX:
            raise KernelError(Errno.EINVAL, f"descriptor {argument}")
        return files.install(file, close_on_exec=command == F_DUPFD_CLOEXEC, lowest=argument)
    if command == F_GETFD:
        return int(files.closes_on_exec(descriptor))
    if command == F_SETFD:
        files.set_close_on_exec(descriptor, bool(argument & 1))
        return 0
    if command == F_GETFL:
        return file.flags & ~O_CLOEXEC
    if command == F_SETFL:
        changeable = O_APPEND | O_NONBLOCK | kernel.isa.system_calls.O_DIRECT
        file.flags = file.flags & ~changeable | argument & changeable
        return 0
    if command == F_GETLK:
        thread.process.space.write_word(argument, F_UNLCK, 2)
        return 0
    if command in (F_SETLK, F_SETLKW):
        return 0
    if command == F_GETPIPE_SZ and file.kind == "pipe":
        return 65536
    raise KernelError(Errno.EINVAL, f"fcntl command {command}")


def ioctl(_kernel, thread, descriptor: int, command: int, argument: int) -> int:
    """ioctl(2): nothing is a terminal, so terminal requests answer ENOTTY."""
    command &= 0xFFFF_FFFF
    files = thread.process.files
    file = files.get(descriptor)
    if command == FIONREAD:
        thread.process.space.write_word(argument, file.bytes_waiting(), 4)
    elif command == FIONBIO:
        on = thread.process.space.read_word(argument, 4)
        file.flags = file.flags | O_NONBLOCK if on else file.flags & ~O_NONBLOCK
    elif command in (FIOCLEX, FIONCLEX):
        files.set_close_on_exec(descriptor, command == FIOCLEX)
    else:
        raise KernelError(Errno.ENOTTY, f"ioctl {command:#x} on {file.path}")
    return 0


def pipe2(kernel, thread, address: int, flags: int) -> int:
    """pipe2(2)."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK | kernel.isa.system_calls.O_DIRECT):
        raise KernelError(Errno.EINVAL, f"pipe2 flags {flags:#o}")
    files = thread.process.files
    ends = new_pipe(kernel.scheduler, kernel.file_system.inodes.new(), flags & O_NONBLOCK)
    numbers = [files.install(end, close_on_exec=bool(flags & O_CLOEXEC)) for end in ends]
    thread.process.space.write(address, struct.pack("<ii", *numbers))
    return 0


def pipe(kernel, thread, address: int) -> int:
    """pipe(2)."""
    return pipe2(kernel, thread, address, 0)


def eventfd2(kernel, thread, value: int, flags: int) -> int:
    """eventfd2(2)."""
    counter = EventCounter(
        kernel.scheduler, kernel.file_system.inodes.new(), value & 0xFFFF_FFFF, flags & O_NONBLOCK,
        bool(flags & EFD_SEMAPHORE),
    )  # fmt: skip
    return thread.process.files.install(counter, close_on_exec=bool(flags & O_CLOEXEC))


def eventfd(kernel, thread, value: int) -> int:
    """eventfd(2)."""
    return eventfd2(kernel, thread, value, 0)


def _transfer(
    kernel, thread, source: OpenFile, target: OpenFile, place: int, to: int, length: int
) -> int:
    """Copy up to `length` bytes; place, to: user addresses of 8-byte offsets, 0 = the file's own
    position.
    """
    if not source.readable or not target.writable:
        raise KernelError(Errno.EBADF, "copy between files")
    space = thread.process.space
    offsets = [_offset(space.read_word(address)) if address else None for address in (place, to)]
    done = 0
    while done < length:
        kernel.memory.charge("file_operation", 2)
        part = min(length - done, PIECE_BYTES)
        data = source.read(part) if offsets[0] is None else source.read_at(offsets[0] + done, part)
        if not data:
            break
        written = (
            target.write(data) if offsets[1] is None else target.write_at(offsets[1] + done, data)
        )
        if written is None:
            written = 0
        if written < len(data) and offsets[0] is None:
            source.seek(written - len(data), SEEK_CUR)
        done += written
        if written < len(data):
            if not done:
                raise KernelError(Errno.EAGAIN)
            break
    for address, offset in zip((place, to), offsets, strict=True):
        if offset is not None:
            space.write_word(address, offset + done)
    return done


def sendfile(kernel, thread, target: int, source: int, offset: int, length: int) -> int:
    """sendfile(2)."""
    files = thread.process.files
    source_file = files.get(source)
    if source_file.kind == "pipe":
        raise KernelError(Errno.EINVAL, "sendfile from a pipe")
    return _transfer(
        kernel, thread, source_file, files.get(target), offset, 0, min(length, TRANSFER_BYTES_MAX)
    )


def copy_file_range(
    kernel,
    thread,
    source: int,
    source_offset: int,
    target: int,
    target_offset: int,
    length: int,
    flags: int,
) -> int:
    """copy_file_range(2)."""
    files = thread.process.files
    if flags or "pipe" in (files.get(source).kind, files.get(target).kind):
        raise KernelError(Errno.EINVAL, "copy_file_range")
    return _transfer(
        kernel, thread, files.get(source), files.get(target), source_offset, target_offset,
        min(length, TRANSFER_BYTES_MAX),
    )  # fmt: skip


def fsync(_kernel, thread, descriptor: int) -> int:
    """fsync(2), fdatasync(2), syncfs(2)."""
    thread.process.files.get(descriptor).synchronize()
    return 0


def flock(_kernel, thread, descriptor: int, _operation: int) -> int:
    """flock(2): always granted, no other process shares the root."""
    thread.process.files.get(descriptor)
    return 0


def fadvise64(_kernel, thread, descriptor: int, *_advice: int) -> int:
    """posix_fadvise(2): advice has no effect."""
    if thread.process.files.get(descriptor).kind == "pipe":
        raise KernelError(Errno.ESPIPE, "fadvise")
    return 0


CALLS = {
    "read": Call(read, 3),
    "write": Call(write, 3),
    "readv": Call(readv, 3),
    "writev": Call(writev, 3),
    "pread64": Call(pread, 4),
    "pwrite64": Call(pwrite, 4),
    "preadv": Call(preadv, 4),
    "preadv2": Call(preadv, 4),
    "pwritev": Call(pwritev, 4),
    "pwritev2": Call(pwritev, 4),
    "lseek": Call(lseek, 3),
    "ftruncate": Call(ftruncate, 2),
    "fallocate": Call(fallocate, 4),
    "close": Call(close, 1),
    "close_range": Call(close_range, 3),
    "dup": Call(dup, 1),
    "dup2": Call(dup2, 2),
    "dup3": Call(dup3, 3),
    "fcntl": Call(fcntl, 3),
    "ioctl": Call(ioctl, 3),
    "pipe": Call(pipe, 1),
    "pipe2": Call(pipe2, 2),
    "eventfd": Call(eventfd, 1),
    "eventfd2": Call(eventfd2, 2),
    "sendfile": Call(sendfile, 4),
    "copy_file_range": Call(copy_file_range, 6),
    "fsync": Call(fsync, 1),
    "fdatasync": Call(fsync, 1),
    "syncfs": Call(fsync, 1),
    "sync": Call(accept, 0),
    "sync_file_range": Call(fsync, 1),
    "flock": Call(flock, 2),
    "fadvise64": Call(fadvise64, 4),
    "readahead": Call(fsync, 1),
}
