"""Operations on names: open, create, remove, rename and describe what the sandbox finds."""

import os
import stat

from cosim.kernel import pseudo_files
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import (
    O_ACCMODE,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    HostFile,
    HostFolder,
    Inodes,
    OpenFile,
    Stat,
)
from cosim.kernel.paths import Place, Sandbox, host_error

AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
RENAME_NOREPLACE = 1
SHM_PREFIX = pseudo_files.SHM_FOLDER + "/"
X_OK = 1


class FileSystem:
    """The names a node's guests see.  root, scratch: see Sandbox."""

    def __init__(self, kernel, root: str, scratch: str) -> None:
        self._kernel = kernel
        memory = kernel.memory
        self.inodes = Inodes()
        self.sandbox = Sandbox(
            root, pseudo_files.find, lambda: memory.charge("path_component"), scratch=scratch
        )

    def walk(
        self, process, path: bytes | str, *, follow: bool = True, base: str | None = None
    ) -> Place:
        """Resolve a path; see Sandbox.walk."""
        return self.sandbox.walk(process, path, follow=follow, base=base)

    def open(
        self, process, path: bytes | str, flags: int, mode: int = 0, base: str | None = None
    ) -> OpenFile:
        """open(2).  The O_DIRECTORY and O_NOFOLLOW bits are those of the kernel's ISA."""
        calls = self._kernel.isa.system_calls
        if flags & O_TMPFILE == O_TMPFILE:
            raise KernelError(Errno.EOPNOTSUPP, "O_TMPFILE")
        follow = not flags & calls.O_NOFOLLOW and flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL
        with self.walk(process, path, follow=follow, base=base) as place:
            if place.path.startswith(SHM_PREFIX) and not place.wants_folder:
                return pseudo_files.open_segment(self._kernel, place.path, flags)
            if place.exists and flags & O_CREAT and flags & O_EXCL:
                raise KernelError(Errno.EEXIST, place.path)
            if not place.exists:
                return self._create(process, place, flags, mode)
            place.require()
            if flags & calls.O_DIRECTORY and not place.is_folder:
                raise KernelError(Errno.ENOTDIR, place.path)
            if place.is_folder and (flags & O_ACCMODE != O_RDONLY or flags & O_CREAT):
                raise KernelError(Errno.EISDIR, place.path)
            if place.pseudo is not None:
                return pseudo_files.open_entry(self._kernel, process, place.pseudo, flags)
            return self._open_host(place, flags)

    def _create(self, process, place: Place, flags: int, mode: int) -> OpenFile:
        if not flags & O_CREAT:
            raise KernelError(Errno.ENOENT, place.path)
        if place.wants_folder:
            raise KernelError(Errno.EISDIR, place.path)
        host_flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_RDWR
        descriptor = self._host(os.open, place.name, host_flags, 0o600, dir_fd=place.on_host())
        self._host(os.fchmod, descriptor, mode & ~process.umask & 0o777)
        file = HostFile(descriptor, flags, place.path, self.inodes, self._kernel.real_ns)
        self.inodes.touch(file.inode, self._kernel.real_ns(), self._kernel.real_ns())
        return file

    def _open_host(self, place: Place, flags: int) -> OpenFile:
        assert place.status is not None
        if place.is_folder:
            host_flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = self._host(os.open, place.name, host_flags, dir_fd=place.on_host())
            return HostFolder(descriptor, flags, place.path, self.inodes)
        if stat.S_ISLNK(place.status.st_mode):
            raise KernelError(Errno.ELOOP, place.path)
        if not stat.S_ISREG(place.status.st_mode):
            raise KernelError(Errno.ENXIO, f"{place.path}: device, socket or pipe of the host")
        wants_write = flags & O_ACCMODE in (O_WRONLY, O_RDWR) and not flags & O_PATH
        host_flags = os.O_RDWR if wants_write else os.O_RDONLY
        host_flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = self._host(os.open, place.name, host_flags, dir_fd=place.on_host())
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise KernelError(Errno.ENXIO, place.path)
        file = HostFile(descriptor, flags, place.path, self.inodes, self._kernel.real_ns)
        if flags & O_TRUNC and wants_write:
            file.truncate(0)
        if flags & O_APPEND:
            file.offset = file.size_bytes
        return file

    def describe(self, place: Place) -> Stat:
        """stat of what a walk found."""
        place.require()
        if place.pseudo is not None:
            return Stat(
                self._kernel.inode_of_path(place.path), place.pseudo.mode,
                links=2 if place.is_folder else 1, device_number=place.pseudo.device,
            )  # fmt: skip
        assert place.status is not None
        return self.inodes.describe(place.status)

    def status(self, process, path: bytes, *, follow: bool = True, base: str | None = None) -> Stat:
        """stat(2), lstat(2)."""
        with self.walk(process, path, follow=follow, base=base) as place:
            if place.path.startswith(SHM_PREFIX) and not place.exists:
                file = pseudo_files.open_segment(self._kernel, place.path, O_RDONLY)
                try:
                    return file.status()
                finally:
                    file.close()
            return self.describe(place)

    def access(
        self, process, path: bytes, mode: int, base: str | None = None, follow: bool = True
    ) -> None:
        """access(2) as root: everything but executing what nobody may execute.  KernelError when
        denied.
        """
        status = self.status(process, path, base=base, follow=follow)
        if mode & X_OK and not stat.S_ISDIR(status.mode) and not status.mode & 0o111:
            raise KernelError(Errno.EACCES, os.fsdecode(path))

    def make_folder(self, process, path: bytes, mode: int, base: str | None = None) -> None:
        """mkdir(2)."""
        with self.walk(process, path, follow=False, base=base) as place:
            if place.exists:
                raise KernelError(Errno.EEXIST, place.path)
            self._host(os.mkdir, place.name, mode & ~process.umask & 0o777, dir_fd=place.on_host())

    def remove(self, process, path: bytes, *, folder: bool, base: str | None = None) -> None:
        """unlink(2), or rmdir(2) when `folder`."""
        with self.walk(process, path, follow=False, base=base) as place:
            if place.path.startswith(SHM_PREFIX) and not folder:
                self._kernel.window.unlink(place.path.removeprefix(SHM_PREFIX).encode())
                return
            place.require()
            if folder and not place.is_folder:
                raise KernelError(Errno.ENOTDIR, place.path)
            if not folder and place.is_folder:
                raise KernelError(Errno.EISDIR, place.path)
            if place.path == "/":
                raise KernelError(Errno.EBUSY, place.path)
            self._host(os.rmdir if folder else os.unlink, place.name, dir_fd=place.on_host())
            assert place.status is not None
            self.inodes.forget(place.status)

    def rename(
        self,
        process,
        source: bytes,
        target: bytes,
        flags: int,
        bases: tuple[str | None, str | None],
    ) -> None:
        """rename(2), renameat2(2) with RENAME_NOREPLACE at most."""
        if flags & ~RENAME_NOREPLACE:
            raise KernelError(Errno.EINVAL, "rename flags")
        with (
            self.walk(process, source, follow=False, base=bases[0]) as old,
            self.walk(process, target, follow=False, base=bases[1]) as new,
        ):
            old.require()
            if "/" in (old.path, new.path):
                raise KernelError(Errno.EBUSY, "/")
            if new.path.startswith(old.path + "/"):
                raise KernelError(Errno.EINVAL, f"{new.path} is inside {old.path}")
            if new.exists and flags & RENAME_NOREPLACE:
                raise KernelError(Errno.EEXIST, new.path)
            if new.wants_folder and not old.is_folder:
                raise KernelError(Errno.ENOTDIR, new.path)
            self._host(
                os.rename, old.name, new.name, src_dir_fd=old.on_host(), dst_dir_fd=new.on_host()
            )
            assert old.status is not None
            if new.status is not None and not os.path.samestat(new.status, old.status):
                self.inodes.forget(new.status)

    def link(
        self,
        process,
        source: bytes,
        target: bytes,
        follow: bool,
        bases: tuple[str | None, str | None],
    ) -> None:
        """link(2)."""
        with (
            self.walk(process, source, follow=follow, base=bases[0]) as old,
            self.walk(process, target, follow=False, base=bases[1]) as new,
        ):
            old.require()
            if old.is_folder:
                raise KernelError(Errno.EPERM, old.path)
            if new.exists:
                raise KernelError(Errno.EEXIST, new.path)
            self._host(
                os.link, old.name, new.name, src_dir_fd=old.on_host(), dst_dir_fd=new.on_host(),
                follow_symlinks=False,
            )  # fmt: skip

    def make_link(self, process, target: bytes, path: bytes, base: str | None = None) -> None:
        """symlink(2): the target is only a text, it is resolved inside the root when the link is
        used.
        """
        if not target:
            raise KernelError(Errno.ENOENT, "empty link target")
        with self.walk(process, path, follow=False, base=base) as place:
            if place.exists:
                raise KernelError(Errno.EEXIST, place.path)
            self._host(os.symlink, target, os.fsencode(place.name), dir_fd=place.on_host())

    def read_link(self, process, path: bytes, base: str | None = None) -> bytes:
        """readlink(2)."""
        with self.walk(process, path, follow=False, base=base) as place:
            place.require()
            if place.pseudo is not None:
                if place.pseudo.link is None:
                    raise KernelError(Errno.EINVAL, place.path)
                return place.pseudo.link.encode()
            assert place.status is not None
            if not stat.S_ISLNK(place.status.st_mode):
                raise KernelError(Errno.EINVAL, place.path)
            return os.fsencode(self._host(os.readlink, place.name, dir_fd=place.on_host()))

    def change_mode(self, process, path: bytes, mode: int, base: str | None = None) -> None:
        """chmod(2).  Through a descriptor that was opened without following links."""
        with self.walk(process, path, base=base) as place:
            place.require()
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = self._host(os.open, place.name, flags, dir_fd=place.on_host())
            try:
                self._host(os.fchmod, descriptor, mode & 0o777)
            finally:
                os.close(descriptor)

    def change_times(
        self,
        process,
        path: bytes,
        access_ns: int | None,
        modify_ns: int | None,
        follow: bool,
        base: str | None,
    ) -> None:
        """utimensat(2): remembered here, the host's times stay as they are."""
        with self.walk(process, path, follow=follow, base=base) as place:
            self.inodes.touch(self.describe(place).inode, access_ns, modify_ns)

    @staticmethod
    def _host(function, *arguments, **keywords):
        """Call the host; its errors become the guest's."""
        try:
            return function(*arguments, **keywords)
        except OSError as error:
            raise host_error(error) from None
