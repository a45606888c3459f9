"""Page faults of one process, served by another: Linux' userfaultfd, as far as we need it.

The node registers its mappings and hands the descriptor to its pager; from then on a touch of a
page that the mapped memfd does not hold blocks until the pager has put the page there and wakes it.
The pager is another process, because a touch through a memoryview blocks with Python's global lock
held: no thread beside it could serve it.

Source: Linux Documentation/admin-guide/mm/userfaultfd.rst and include/uapi/linux/userfaultfd.h.
Only faults of user code are asked for (UFFD_USER_MODE_ONLY), which needs no rights since Linux
5.11, whatever vm.unprivileged_userfaultfd says: nothing hands these pages to a system call.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct

from cosim.errors import InputError

CALL_NUMBERS = {"x86_64": 323, "aarch64": 282, "riscv64": 282}  # of userfaultfd(2)
DEVICE = "/dev/userfaultfd"  # since Linux 6.1: whoever may open it needs no other right
USER_MODE_ONLY = 1
API_VERSION = 0xAA
FEATURE_MISSING_SHMEM = 1 << 5
MODE_MISSING = 1
EVENT_PAGE_FAULT = 0x12
# _IOC(direction, 0xAA, number, size of the argument) of the generic ABI, which all three ISAs have.
NEW, API, REGISTER, WAKE = 0xAA00, 0xC018AA3F, 0xC020AA00, 0x8010AA02
MESSAGE = struct.Struct("<B7xQQ8x")  # struct uffd_msg: event, flags, address
MESSAGES_MAX = 16  # read at once


def _call(flags: int) -> int:
    """userfaultfd(2); OSError."""
    number = CALL_NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "unknown architecture")
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.syscall(number, flags)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _device(flags: int) -> int:
    """The same through the device; OSError."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(device, NEW, flags)
    finally:
        os.close(device)


def create() -> int:
    """A new descriptor, handshake done.  InputError, which says what to do, when this host does not
    permit it.
    """
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    refusals = []
    for make, kind in ((_call, flags | USER_MODE_ONLY), (_device, flags), (_call, flags)):
        try:
            descriptor = make(kind)
        except OSError as error:
            refusals.append(error.strerror or str(error))
            continue
        fcntl.ioctl(descriptor, API, struct.pack("<QQQ", API_VERSION, FEATURE_MISSING_SHMEM, 0))
        return descriptor
    raise InputError(
        f"a node whose memory is on another host needs userfaultfd, which this host refuses "
        f"({refusals[0]}): in a container allow it in the seccomp profile; on Linux before 5.11 set"
        " sysctl vm.unprivileged_userfaultfd=1 or give CAP_SYS_PTRACE"
    )


def register(descriptor: int, address: int, size_bytes: int) -> None:
    """Report touches of missing pages in this range of the calling process's addresses."""
    row = struct.pack("<QQQQ", address, size_bytes, MODE_MISSING, 0)
    fcntl.ioctl(descriptor, REGISTER, row)


def faults(descriptor: int) -> list[int]:
    """Byte addresses, in the registering process, of the touches that wait; [] when none does."""
    try:
        data = os.read(descriptor, MESSAGE.size * MESSAGES_MAX)
    except BlockingIOError:
        return []
    rows = MESSAGE.iter_unpack(data)
    return [address for event, _flags, address in rows if event == EVENT_PAGE_FAULT]


def wake(descriptor: int, address: int, size_bytes: int) -> None:
    """Let touches of this range try again."""
    fcntl.ioctl(descriptor, WAKE, struct.pack("<QQ", address, size_bytes))
