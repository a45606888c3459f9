"""Shared memory between the processes of a machine: anonymous, sparse, gone with the last process
that maps it.

A segment is a memfd, not a file in /dev/shm (containers limit that to 64 MiB, and a crash would
leave it behind). Others open it through /proc/PID/fd/N of its maker, which works while the maker
lives; a mapping outlives it.
"""

import mmap
import os

import numpy as np

from cosim.errors import InputError, MachineError


class Segment:
    """A mapped segment: `array` (size,) u8, `address` of byte 0 here, `path` for others to attach,
    `size_bytes`.
    """

    def __init__(self, name: str, descriptor: int, size_bytes: int, path: str) -> None:
        self.name = name
        self.path = path
        self.size_bytes = size_bytes
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, size_bytes, mmap.MAP_SHARED)
        self.array = np.frombuffer(self._map, dtype=np.uint8)
        self.address = self.array.ctypes.data

    @property
    def descriptor(self) -> int:
        """The open memfd, for looking at its holes; -1 when closed."""
        return self._descriptor

    @classmethod
    def create(cls, name: str, size_bytes: int) -> "Segment":
        """A new segment of zeroes; pages cost memory only when written.

        InputError when the host cannot even map it.
        """
        descriptor = os.memfd_create(f"stramash-{name}", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, size_bytes)
            return cls(name, descriptor, size_bytes, f"/proc/{os.getpid()}/fd/{descriptor}")
        except (OSError, OverflowError) as error:
            os.close(descriptor)
            raise InputError(
                f"segment {name}: this host has no room for {size_bytes} bytes of addresses;"
                " lower memory.size"
            ) from error

    @classmethod
    def attach(cls, path: str) -> "Segment":
        """The segment another process made.  MachineError when that process is gone."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise MachineError(
                f"segment {path}: {error.strerror}; the process that made it is gone"
            ) from error
        name = os.readlink(f"/proc/self/fd/{descriptor}").split(":")[-1].removesuffix(" (deleted)")
        size_bytes = os.fstat(descriptor).st_size
        return cls(name.removeprefix("stramash-"), descriptor, size_bytes, path)

    def clear(self) -> None:
        """Zeroes everywhere, for all who map it, and no memory used."""
        self._map.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """Give the mapping back; one that still has views lives until the last of them is gone."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        self.array = np.empty(0, dtype=np.uint8)
        try:
            self._map.close()
        except BufferError:
            return  # the garbage collector unmaps it with the last view
