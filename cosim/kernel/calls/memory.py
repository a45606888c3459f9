"""System calls on memory: mmap and relatives, brk, madvise, and those that only advise or lock."""

from cosim.kernel.calls.table import Call, accept, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.mapping import MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_TYPE, USER_END
from cosim.units import PAGE_BYTES, align_up

MAP_SHARED_VALIDATE = 3
MADV_DONTNEED, MADV_FREE = 4, 8
MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
# Advice without a meaning here: normal, random, sequential, willneed, (no)hugepage, mergeable,
# dontdump, cold, pageout ...
MADV_IGNORED = frozenset((0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 25))
# flags beyond these do not exist; unknown ones are ignored as Linux does for MAP_SHARED
MAP_KNOWN = 0x1F_FFFF


def mmap(
    kernel,
    thread,
    address: int,
    length: int,
    protection: int,
    flags: int,
    descriptor: int,
    offset: int,
) -> int:
    """mmap(2)."""
    source = None
    if flags & MAP_TYPE == MAP_SHARED_VALIDATE:
        flags = flags & ~MAP_TYPE | 1
    if not flags & MAP_ANONYMOUS:
        file = thread.process.files.get(descriptor)
        if not file.readable:
            raise KernelError(Errno.EACCES, file.path)
        source = kernel.mapping_source(file)
    if not flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) and address >= USER_END:
        address = 0  # a hint that cannot be met
    return thread.process.space.map(
        address, length, protection, flags & MAP_KNOWN, source, signed(offset, 64) if source else 0
    )


def munmap(_kernel, thread, address: int, length: int) -> int:
    """munmap(2)."""
    thread.process.space.unmap(address, length)
    return 0


def mprotect(_kernel, thread, address: int, length: int, protection: int) -> int:
    """mprotect(2)."""
    thread.process.space.protect(address, length, protection)
    return 0


def mremap(
    _kernel, thread, address: int, old_length: int, new_length: int, flags: int, new_address: int
) -> int:
    """mremap(2)."""
    return thread.process.space.remap(address, old_length, new_length, flags, new_address)


def brk(_kernel, thread, address: int) -> int:
    """brk(2)."""
    return thread.process.space.set_break(address)


def madvise(_kernel, thread, address: int, length: int, advice: int) -> int:
    """madvise(2)."""
    space = thread.process.space
    if address % PAGE_BYTES:
        raise KernelError(Errno.EINVAL, f"{address:#x} is not page aligned")
    length = align_up(length, PAGE_BYTES)
    if advice in (MADV_DONTNEED, MADV_FREE):
        space.discard(address, length)
    elif advice in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        space.populate(address, length)
    elif advice not in MADV_IGNORED:
        raise KernelError(Errno.EINVAL, f"advice {advice}")
    return 0


def msync(_kernel, thread, address: int, length: int, _flags: int) -> int:
    """msync(2)."""
    thread.process.space.sync(address, length)
    return 0


def mincore(_kernel, thread, address: int, length: int, vector: int) -> int:
    """mincore(2)."""
    space = thread.process.space
    if address % PAGE_BYTES:
        raise KernelError(Errno.EINVAL, f"{address:#x} is not page aligned")
    end = address + align_up(length, PAGE_BYTES)
    at = address
    for area in space.areas():
        if area.start <= at < area.end:
            at = min(end, area.end)
    if at < end:
        raise KernelError(Errno.ENOMEM, f"{at:#x} is not mapped")
    pages = range(address, end, PAGE_BYTES)
    space.write(vector, bytes(int(space.page_table.lookup(page) is not None) for page in pages))
    return 0


CALLS = {
    "mmap": Call(mmap, 6),
    "munmap": Call(munmap, 2),
    "mprotect": Call(mprotect, 3),
    "pkey_mprotect": Call(mprotect, 3),
    "mremap": Call(mremap, 5),
    "brk": Call(brk, 1),
    "madvise": Call(madvise, 3),
    "msync": Call(msync, 3),
    "mincore": Call(mincore, 3),
    "mlock": Call(accept, 2),
    "mlock2": Call(accept, 3),
    "munlock": Call(accept, 2),
    "mlockall": Call(accept, 1),
    "munlockall": Call(accept, 0),
    "membarrier": Call(lambda kernel, thread, command: 0 if command else 0x1F, 1),
}
