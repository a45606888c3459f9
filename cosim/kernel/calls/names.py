"""System calls on path names: opening, describing, listing, creating, removing."""

import os
import stat
import struct

from cosim.kernel.calls.table import TIMESPEC, Call, signed
from cosim.kernel.clock import NS_PER_SECOND
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.file_system import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
)
from cosim.kernel.files import BLOCK_BYTES, O_CLOEXEC, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, Stat

AT_FDCWD = -100
UTIME_NOW, UTIME_OMIT = 0x3FFF_FFFF, 0x3FFF_FFFE
STATX_BASIC_STATS = 0x7FF
STATX = struct.Struct("<IIQIIIH2xQQQQ qI4x qI4x qI4x qI4x IIII 112x")
STATFS = struct.Struct("<qqQQQQQ8xqqq32x")
EXT4_MAGIC = 0xEF53
FILE_SYSTEM_BLOCKS = 1 << 18  # what statfs reports: 1 GiB of 4 KiB blocks, half of it free
DIRECTORY_ENTRY = struct.Struct("<QqHB")


def base_of(thread, folder: int) -> str | None:
    """Guest path that relative names start from; None for the working directory."""
    folder = signed(folder)
    if folder == AT_FDCWD:
        return None
    file = thread.process.files.get(folder)
    if file.kind != "folder":
        return file.path + "/."  # a walk through it answers ENOTDIR
    return file.path


def path_at(thread, address: int) -> bytes:
    """The path name a system call was given."""
    return thread.process.space.read_string(address)


def openat(kernel, thread, folder: int, path: int, flags: int, mode: int) -> int:
    """openat(2)."""
    kernel.memory.charge("file_operation")
    name = path_at(thread, path)
    base = None if name.startswith(b"/") else base_of(thread, folder)
    file = kernel.file_system.open(thread.process, name, flags & 0xFFFF_FFFF, mode, base)
    return thread.process.files.install(file, close_on_exec=bool(flags & O_CLOEXEC))


def open_(kernel, thread, path: int, flags: int, mode: int) -> int:
    """open(2)."""
    return openat(kernel, thread, AT_FDCWD, path, flags, mode)


def creat(kernel, thread, path: int, mode: int) -> int:
    """creat(2)."""
    return openat(kernel, thread, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)


def openat2(kernel, thread, folder: int, path: int, how: int, size: int) -> int:
    """openat2(2) without resolve restrictions."""
    if size < 24:
        raise KernelError(Errno.EINVAL, "struct open_how")
    flags, mode, resolve = struct.unpack("<QQQ", thread.process.space.read(how, 24))
    if resolve:
        raise KernelError(Errno.EINVAL, "openat2 resolve flags")
    return openat(kernel, thread, folder, path, flags, mode)


def stat_bytes(kernel, status: Stat) -> bytes:
    """struct stat of the kernel's ISA."""
    calls = kernel.isa.system_calls
    values = {name: getattr(status, name, 0) for name in calls.STAT_FIELDS}
    for name in ("access", "modify", "change"):
        seconds, rest_ns = divmod(getattr(status, f"{name}_ns"), NS_PER_SECOND)
        values[f"{name}_time_s"], values[f"{name}_time_ns"] = seconds, rest_ns
    return struct.pack(calls.STAT_FORMAT, *(values[name] for name in calls.STAT_FIELDS))


def _status(kernel, thread, folder: int, path: int, flags: int) -> Stat:
    kernel.memory.charge("file_operation")
    name = path_at(thread, path) if path else b""
    if not name and flags & AT_EMPTY_PATH:
        if signed(folder) == AT_FDCWD:
            return kernel.file_system.status(thread.process, b".")
        return thread.process.files.get(folder).status()
    base = None if name.startswith(b"/") else base_of(thread, folder)
    return kernel.file_system.status(
        thread.process, name, follow=not flags & AT_SYMLINK_NOFOLLOW, base=base
    )


def newfstatat(kernel, thread, folder: int, path: int, buffer: int, flags: int) -> int:
    """fstatat(2)."""
    thread.process.space.write(
        buffer, stat_bytes(kernel, _status(kernel, thread, folder, path, flags))
    )
    return 0


def fstat(kernel, thread, descriptor: int, buffer: int) -> int:
    """fstat(2)."""
    kernel.memory.charge("file_operation")
    thread.process.space.write(
        buffer, stat_bytes(kernel, thread.process.files.get(descriptor).status())
    )
    return 0


def stat_(kernel, thread, path: int, buffer: int) -> int:
    """stat(2)."""
    return newfstatat(kernel, thread, AT_FDCWD, path, buffer, 0)


def lstat(kernel, thread, path: int, buffer: int) -> int:
    """lstat(2)."""
    return newfstatat(kernel, thread, AT_FDCWD, path, buffer, AT_SYMLINK_NOFOLLOW)


def statx(kernel, thread, folder: int, path: int, flags: int, _mask: int, buffer: int) -> int:
    """statx(2): the basic fields."""
    status = _status(kernel, thread, folder, path, flags)
    times = [
        divmod(ns, NS_PER_SECOND)
        for ns in (status.access_ns, 0, status.change_ns, status.modify_ns)
    ]
    data = STATX.pack(
        STATX_BASIC_STATS,
        status.block_bytes,
        0,
        status.links,
        status.user,
        status.group,
        status.mode,
        status.inode,
        status.size_bytes,
        status.blocks,
        0,
        *(part for time in times for part in time),
        status.device_number >> 8,
        status.device_number & 0xFF,
        0,
        status.device,
    )
    thread.process.space.write(buffer, data)
    return 0


def getdents64(kernel, thread, descriptor: int, buffer: int, length: int) -> int:
    """getdents64(2): sorted by name."""
    kernel.memory.charge("file_operation")
    file = thread.process.files.get(descriptor)
    rows = file.entries()
    result = bytearray()
    for index in range(file.offset, len(rows)):
        inode, kind, name = rows[index]
        size = DIRECTORY_ENTRY.size + len(name) + 1
        padded = -(-size // 8) * 8
        if len(result) + padded > length:
            if not result:
                raise KernelError(Errno.EINVAL, "buffer too small for one entry")
            break
        entry = DIRECTORY_ENTRY.pack(inode, index + 1, padded, kind) + name
        result += entry.ljust(padded, b"\0")
        file.offset = index + 1
    thread.process.space.write(buffer, bytes(result))
    return len(result)


def faccessat(kernel, thread, folder: int, path: int, mode: int) -> int:
    """faccessat(2)."""
    return faccessat2(kernel, thread, folder, path, mode, 0)


def faccessat2(kernel, thread, folder: int, path: int, mode: int, flags: int) -> int:
    """faccessat2(2)."""
    kernel.memory.charge("file_operation")
    name = path_at(thread, path)
    if not name and flags & AT_EMPTY_PATH:
        thread.process.files.get(folder)
        return 0
    base = None if name.startswith(b"/") else base_of(thread, folder)
    kernel.file_system.access(
        thread.process, name, mode, base, follow=not flags & AT_SYMLINK_NOFOLLOW
    )
    return 0


def access(kernel, thread, path: int, mode: int) -> int:
    """access(2)."""
    return faccessat2(kernel, thread, AT_FDCWD, path, mode, 0)


def readlinkat(kernel, thread, folder: int, path: int, buffer: int, length: int) -> int:
    """readlinkat(2)."""
    if signed(length) <= 0:
        raise KernelError(Errno.EINVAL, "readlink buffer")
    target = kernel.file_system.read_link(
        thread.process, path_at(thread, path), base_of(thread, folder)
    )
    thread.process.space.write(buffer, target[:length])
    return min(len(target), length)


def readlink(kernel, thread, path: int, buffer: int, length: int) -> int:
    """readlink(2)."""
    return readlinkat(kernel, thread, AT_FDCWD, path, buffer, length)


def mkdirat(kernel, thread, folder: int, path: int, mode: int) -> int:
    """mkdirat(2)."""
    kernel.file_system.make_folder(
        thread.process, path_at(thread, path), mode, base_of(thread, folder)
    )
    return 0


def mkdir(kernel, thread, path: int, mode: int) -> int:
    """mkdir(2)."""
    return mkdirat(kernel, thread, AT_FDCWD, path, mode)


def unlinkat(kernel, thread, folder: int, path: int, flags: int) -> int:
    """unlinkat(2)."""
    kernel.file_system.remove(
        thread.process,
        path_at(thread, path),
        folder=bool(flags & AT_REMOVEDIR),
        base=base_of(thread, folder),
    )
    return 0


def unlink(kernel, thread, path: int) -> int:
    """unlink(2)."""
    return unlinkat(kernel, thread, AT_FDCWD, path, 0)


def rmdir(kernel, thread, path: int) -> int:
    """rmdir(2)."""
    return unlinkat(kernel, thread, AT_FDCWD, path, AT_REMOVEDIR)


def renameat2(
    kernel, thread, old_folder: int, old: int, new_folder: int, new: int, flags: int
) -> int:
    """renameat2(2)."""
    bases = base_of(thread, old_folder), base_of(thread, new_folder)
    kernel.file_system.rename(
        thread.process, path_at(thread, old), path_at(thread, new), flags, bases
    )
    return 0


def renameat(kernel, thread, old_folder: int, old: int, new_folder: int, new: int) -> int:
    """renameat(2)."""
    return renameat2(kernel, thread, old_folder, old, new_folder, new, 0)


def rename(kernel, thread, old: int, new: int) -> int:
    """rename(2)."""
    return renameat2(kernel, thread, AT_FDCWD, old, AT_FDCWD, new, 0)


def linkat(kernel, thread, old_folder: int, old: int, new_folder: int, new: int, flags: int) -> int:
    """linkat(2)."""
    bases = base_of(thread, old_folder), base_of(thread, new_folder)
    follow = bool(flags & AT_SYMLINK_FOLLOW)
    kernel.file_system.link(
        thread.process, path_at(thread, old), path_at(thread, new), follow, bases
    )
    return 0


def link(kernel, thread, old: int, new: int) -> int:
    """link(2)."""
    return linkat(kernel, thread, AT_FDCWD, old, AT_FDCWD, new, 0)


def symlinkat(kernel, thread, target: int, folder: int, path: int) -> int:
    """symlinkat(2)."""
    kernel.file_system.make_link(
        thread.process, path_at(thread, target), path_at(thread, path), base_of(thread, folder)
    )
    return 0


def symlink(kernel, thread, target: int, path: int) -> int:
    """symlink(2)."""
    return symlinkat(kernel, thread, target, AT_FDCWD, path)


def fchmodat(kernel, thread, folder: int, path: int, mode: int) -> int:
    """fchmodat(2)."""
    kernel.file_system.change_mode(
        thread.process, path_at(thread, path), mode, base_of(thread, folder)
    )
    return 0


def chmod(kernel, thread, path: int, mode: int) -> int:
    """chmod(2)."""
    return fchmodat(kernel, thread, AT_FDCWD, path, mode)


def fchmod(kernel, thread, descriptor: int, mode: int) -> int:
    """fchmod(2)."""
    file = thread.process.files.get(descriptor)
    if file.kind in ("file", "folder"):
        kernel.file_system.change_mode(thread.process, os.fsencode(file.path), mode)
    return 0


def fchownat(kernel, thread, folder: int, path: int, _user: int, _group: int, flags: int) -> int:
    """fchownat(2): every file belongs to root and stays so."""
    _status(kernel, thread, folder, path, flags)
    return 0


def chown(kernel, thread, path: int, _user: int, _group: int) -> int:
    """chown(2), lchown(2)."""
    return fchownat(kernel, thread, AT_FDCWD, path, 0, 0, AT_SYMLINK_NOFOLLOW)


def fchown(_kernel, thread, descriptor: int, _user: int, _group: int) -> int:
    """fchown(2)."""
    thread.process.files.get(descriptor)
    return 0


def truncate(kernel, thread, path: int, length: int) -> int:
    """truncate(2)."""
    file = kernel.file_system.open(thread.process, path_at(thread, path), O_RDWR)
    try:
        file.truncate(length)
    finally:
        file.close()
    return 0


def utimensat(kernel, thread, folder: int, path: int, times: int, flags: int) -> int:
    """utimensat(2)."""
    now_ns = kernel.real_ns()
    wanted: list[int | None] = [now_ns, now_ns]
    if times:
        data = thread.process.space.read(times, 2 * TIMESPEC.size)
        for index, (seconds, rest_ns) in enumerate(TIMESPEC.iter_unpack(data)):
            if rest_ns == UTIME_OMIT:
                wanted[index] = None
            elif rest_ns != UTIME_NOW:
                if not 0 <= rest_ns < NS_PER_SECOND:
                    raise KernelError(Errno.EINVAL, "time")
                wanted[index] = seconds * NS_PER_SECOND + rest_ns
    if not path:
        kernel.file_system.inodes.touch(thread.process.files.get(folder).status().inode, *wanted)
        return 0
    follow = not flags & AT_SYMLINK_NOFOLLOW
    name, base = path_at(thread, path), base_of(thread, folder)
    kernel.file_system.change_times(thread.process, name, wanted[0], wanted[1], follow, base)
    return 0


def getcwd(_kernel, thread, buffer: int, length: int) -> int:
    """getcwd(2)."""
    data = os.fsencode(thread.process.cwd) + b"\0"
    if len(data) > length:
        raise KernelError(Errno.ERANGE, "getcwd")
    thread.process.space.write(buffer, data)
    return len(data)


def chdir(kernel, thread, path: int) -> int:
    """chdir(2)."""
    with kernel.file_system.walk(thread.process, path_at(thread, path)) as place:
        if not place.require().is_folder:
            raise KernelError(Errno.ENOTDIR, place.path)
        thread.process.cwd = place.path
    return 0


def fchdir(_kernel, thread, descriptor: int) -> int:
    """fchdir(2)."""
    file = thread.process.files.get(descriptor)
    if file.kind != "folder":
        raise KernelError(Errno.ENOTDIR, file.path)
    thread.process.cwd = file.path
    return 0


def _file_system_bytes() -> bytes:
    free = FILE_SYSTEM_BLOCKS // 2
    return STATFS.pack(
        EXT4_MAGIC,
        BLOCK_BYTES,
        FILE_SYSTEM_BLOCKS,
        free,
        free,
        FILE_SYSTEM_BLOCKS,
        free,
        255,
        BLOCK_BYTES,
        0,
    )


def statfs(kernel, thread, path: int, buffer: int) -> int:
    """statfs(2): the same for every path."""
    kernel.file_system.status(thread.process, path_at(thread, path))
    thread.process.space.write(buffer, _file_system_bytes())
    return 0


def fstatfs(_kernel, thread, descriptor: int, buffer: int) -> int:
    """fstatfs(2)."""
    thread.process.files.get(descriptor)
    thread.process.space.write(buffer, _file_system_bytes())
    return 0


def mknodat(kernel, thread, folder: int, path: int, mode: int, _device: int) -> int:
    """mknodat(2): regular files only."""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise KernelError(Errno.EPERM, "only regular files can be made")
    flags = O_CREAT | O_WRONLY | 0o200
    file = kernel.file_system.open(
        thread.process, path_at(thread, path), flags, mode, base_of(thread, folder)
    )
    file.close()
    return 0


CALLS = {
    "open": Call(open_, 3),
    "openat": Call(openat, 4),
    "openat2": Call(openat2, 4),
    "creat": Call(creat, 2),
    "stat": Call(stat_, 2),
    "lstat": Call(lstat, 2),
    "fstat": Call(fstat, 2),
    "newfstatat": Call(newfstatat, 4),
    "statx": Call(statx, 5),
    "getdents64": Call(getdents64, 3),
    "access": Call(access, 2),
    "faccessat": Call(faccessat, 3),
    "faccessat2": Call(faccessat2, 4),
    "readlink": Call(readlink, 3),
    "readlinkat": Call(readlinkat, 4),
    "mkdir": Call(mkdir, 2),
    "mkdirat": Call(mkdirat, 3),
    "rmdir": Call(rmdir, 1),
    "unlink": Call(unlink, 1),
    "unlinkat": Call(unlinkat, 3),
    "rename": Call(rename, 2),
    "renameat": Call(renameat, 4),
    "renameat2": Call(renameat2, 5),
    "link": Call(link, 2),
    "linkat": Call(linkat, 5),
    "symlink": Call(symlink, 2),
    "symlinkat": Call(symlinkat, 3),
    "chmod": Call(chmod, 2),
    "fchmod": Call(fchmod, 2),
    "fchmodat": Call(fchmodat, 3),
    "fchmodat2": Call(fchmodat, 3),
    "chown": Call(chown, 3),
    "lchown": Call(chown, 3),
    "fchown": Call(fchown, 3),
    "fchownat": Call(fchownat, 5),
    "truncate": Call(truncate, 2),
    "utimensat": Call(utimensat, 4),
    "getcwd": Call(getcwd, 2),
    "chdir": Call(chdir, 1),
    "fchdir": Call(fchdir, 1),
    "statfs": Call(statfs, 2),
    "fstatfs": Call(fstatfs, 2),
    "mknodat": Call(mknodat, 4),
}
