"""Row type of the system-call tables, and the conversions every group of calls needs.

A call is function(kernel, thread, arguments...) -> result.  It raises KernelError for -errno, Block
to wait; a result of None means that the registers are already as they must be.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from cosim.kernel.clock import NS_PER_SECOND
from cosim.kernel.errno import Errno, KernelError

TIMESPEC = struct.Struct("<qq")


class Call(NamedTuple):
    """One system call: its function and how many argument registers it reads."""

    function: Callable
    arguments: int


def signed(value: int, bits: int = 32) -> int:
    """The low `bits` of a register as a signed number."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def read_time_ns(space, address: int) -> int:
    """A struct timespec in ns.  KernelError(EINVAL) when it is negative or not normalised."""
    seconds, nanoseconds = TIMESPEC.unpack(space.read(address, 16))
    if seconds < 0 or not 0 <= nanoseconds < NS_PER_SECOND:
        raise KernelError(Errno.EINVAL, f"{seconds} s {nanoseconds} ns is no time")
    return seconds * NS_PER_SECOND + nanoseconds


def time_bytes(time_ns: int) -> bytes:
    """A struct timespec."""
    return TIMESPEC.pack(*divmod(time_ns, NS_PER_SECOND))


def microtime_bytes(time_ns: int) -> bytes:
    """A struct timeval."""
    seconds, rest_ns = divmod(time_ns, NS_PER_SECOND)
    return TIMESPEC.pack(seconds, rest_ns // 1000)


def accept(_kernel, _thread, *_arguments: int) -> int:
    """For calls whose effect does not exist here and may be taken for done."""
    return 0
