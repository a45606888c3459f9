"""Path names of the guest, resolved inside a folder of the host that they cannot leave.

Every component is looked up on its own, relative to a descriptor of the folder before it and
without ever following a symbolic link of the host: links are read and their targets walked here,
absolute ones from the guest's root.  `..` takes one folder off the list of folders entered, so it
ends at the root.  Renaming folders on the host meanwhile changes nothing: we never ask the host for
a parent.  /dev and /proc are the kernel's own (pseudo_files.py) and hide what the host has there.
"""

import os
import shutil
import stat
import tempfile
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cosim.errors import InputError
from cosim.kernel.errno import Errno, KernelError

LINKS_MAX = 40  # Linux' MAXSYMLINKS
PATH_BYTES_MAX = 4096
NAME_BYTES_MAX = 255


def host_error(error: OSError) -> KernelError:
    """The guest's view of an error of the host."""
    number = error.errno
    if number is None or number not in Errno._value2member_map_:
        number = Errno.EIO
    return KernelError(number, error.strerror or "")


@dataclass
class Place:
    """Where a path leads.  Use as a context manager: it owns the descriptor of the folder.

    path: canonical guest path.  folder: host descriptor of the folder that holds (or would hold)
    the last component; None for the kernel's own files.  name: the last component on the host.
    status: lstat of the thing, None when there is none.  pseudo: entry of the kernel's own files.
    wants_folder: the path ended in a slash.
    """

    path: str
    folder: int | None
    name: str
    status: os.stat_result | None
    pseudo: Any = None
    wants_folder: bool = False

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            os.close(self.folder)
            self.folder = None

    @property
    def exists(self) -> bool:
        """Is there something?"""
        return self.status is not None or self.pseudo is not None

    @property
    def is_folder(self) -> bool:
        """Is it a directory?"""
        if self.pseudo is not None:
            return self.pseudo.is_folder
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    def require(self) -> "Place":
        """This place.  KernelError(ENOENT) when nothing is there, (ENOTDIR) when the path said it
        is a folder.
        """
        if not self.exists:
            raise KernelError(Errno.ENOENT, self.path)
        if self.wants_folder and not self.is_folder:
            raise KernelError(Errno.ENOTDIR, self.path)
        return self

    def on_host(self) -> int:
        """Descriptor of the host folder, for calls that change it.  KernelError(EACCES) for the
        kernel's own files.
        """
        if self.folder is None:
            raise KernelError(Errno.EACCES, f"{self.path} is not on the file system")
        return self.folder


class _Walk:
    """One walk under way: the folders entered so far, root first."""

    def __init__(self, root: int) -> None:
        self.names: list[str] = []
        self.folders: list[int | None] = [os.dup(root)]

    def enter(self, name: str, folder: int | None) -> None:
        """Go into a folder."""
        self.names.append(name)
        self.folders.append(folder)

    def back(self) -> None:
        """Leave the folder entered last; the root is never left."""
        if self.names:
            self.names.pop()
            self._close(self.folders.pop())

    def restart(self) -> None:
        """Go back to the root."""
        while self.names:
            self.back()

    def path_of(self, name: str) -> str:
        """Canonical guest path of a name in the current folder."""
        return "/" + "/".join([*self.names, name])

    def close(self, keep: int | None = None) -> None:
        """Close every folder except the one at index `keep`."""
        for index, folder in enumerate(self.folders):
            if index != keep:
                self._close(folder)

    @staticmethod
    def _close(folder: int | None) -> None:
        if folder is not None:
            os.close(folder)


class Sandbox:
    """The guest's file system root.

    root: host folder, '' for an empty one: below `scratch`, which somebody else removes and the
    nodes of a machine share, or without that a temporary one that disappears with this object.
    pseudo(path, process): entry of the kernel's own files at a canonical path, or None.
    charge_component(): called once per component.
    Raises InputError when the folder cannot be used.
    """

    def __init__(
        self,
        root: str,
        pseudo: Callable,
        charge_component: Callable[[], None],
        *,
        scratch: str = "",
    ) -> None:
        self._pseudo = pseudo
        self._charge_component = charge_component
        if not root and scratch:
            root = os.path.join(scratch, "root")
            os.makedirs(os.path.join(root, "tmp"), exist_ok=True)
        elif not root:
            root = tempfile.mkdtemp(prefix="stramash-root-")
            os.mkdir(os.path.join(root, "tmp"))
            weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        try:
            self.root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"--root {root}: {error.strerror}; give an existing folder") from None
        weakref.finalize(self, os.close, self.root)

    def walk(
        self, process, path: bytes | str, *, follow: bool = True, base: str | None = None
    ) -> Place:
        """Resolve `path` from `base` (default: the process's working directory).

        follow: also when the last component is a symbolic link.  KernelError as path_resolution(7)
        says.
        """
        text = os.fsdecode(path)
        if not text:
            raise KernelError(Errno.ENOENT, "empty path")
        if len(text) >= PATH_BYTES_MAX:
            raise KernelError(Errno.ENAMETOOLONG, text[:40])
        start = "" if text.startswith("/") else (base or process.cwd)
        walk = _Walk(self.root)
        try:
            return self._run(walk, process, deque(f"{start}/{text}".split("/")), follow, text)
        except OSError as error:
            walk.close()
            raise host_error(error) from None
        except KernelError:
            walk.close()
            raise

    def _run(self, walk: _Walk, process, pending: deque[str], follow: bool, text: str) -> Place:
        links = 0
        while pending:
            name = pending.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                walk.back()
                continue
            last = not any(part not in ("", ".") for part in pending)
            slash = bool(pending)
            target = self._step(walk, process, name, last, slash, follow)
            if isinstance(target, Place):
                walk.close(keep=len(walk.folders) - 1)
                return target
            if target is not None:
                links += 1
                if links > LINKS_MAX:
                    raise KernelError(Errno.ELOOP, text)
                if target.startswith("/"):
                    walk.restart()
                pending.extendleft(reversed(target.split("/")))
        return self._at_folder(walk, process, text)

    def _step(
        self, walk: _Walk, process, name: str, last: bool, slash: bool, follow: bool
    ) -> Place | str | None:
        """Look one name up: None = entered a folder, a string = link target to walk, a Place = the
        end.
        """
        self._charge_component()
        if len(os.fsencode(name)) > NAME_BYTES_MAX:
            raise KernelError(Errno.ENAMETOOLONG, name[:40])
        path = walk.path_of(name)
        folder = walk.folders[-1]
        entry = self._pseudo(path, process)
        if entry is not None:
            return self._step_pseudo(walk, entry, name, path, last, slash, follow)
        if folder is None:  # in one of the kernel's own folders, which has no such entry
            return self._missing(path, None, name, last, slash)
        try:
            status = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            return self._missing(path, folder, name, last, slash)
        if stat.S_ISLNK(status.st_mode) and (not last or follow or slash):
            return os.readlink(name, dir_fd=folder)
        if stat.S_ISDIR(status.st_mode):
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            walk.enter(name, os.open(name, flags, dir_fd=folder))
            return None
        if not last:
            raise KernelError(Errno.ENOTDIR, path)
        return Place(path, folder, name, status, wants_folder=slash)

    def _step_pseudo(
        self, walk: _Walk, entry, name: str, path: str, last: bool, slash: bool, follow: bool
    ) -> Place | str | None:
        if entry.is_folder:
            walk.enter(name, None)
            return None
        if entry.link is not None and (not last or follow or slash):
            if entry.opens_directly:
                return Place(path, None, name, None, entry)
            return entry.link
        if not last:
            raise KernelError(Errno.ENOTDIR, path)
        return Place(path, None, name, None, entry, wants_folder=slash)

    @staticmethod
    def _missing(path: str, folder: int | None, name: str, last: bool, slash: bool) -> Place:
        if not last:
            raise KernelError(Errno.ENOENT, path)
        return Place(path, folder, name, None, wants_folder=slash)

    def _at_folder(self, walk: _Walk, process, text: str) -> Place:
        """The walk ended in the folder it entered last."""
        path = "/" + "/".join(walk.names)
        if walk.folders[-1] is None:
            walk.close()
            return Place(path, None, walk.names[-1], None, self._pseudo(path, process), True)
        if not walk.names:
            root = walk.folders[-1]
            return Place("/", root, ".", os.fstat(root), wants_folder=True)
        status = os.fstat(walk.folders[-1])
        keep = len(walk.folders) - 2
        walk.close(keep=keep)
        return Place(
            path, walk.folders[keep], walk.names[-1], status, wants_folder=text.endswith("/")
        )
