"""The error numbers a Linux system call can answer, and the exception kernels carry them in.

The numbers are the generic ones (Linux include/uapi/asm-generic/errno-base.h and errno.h); x86-64,
AArch64 and RISC-V share them.
"""

from enum import IntEnum


# fmt: off
class Errno(IntEnum):
    """Name and number of every error our kernels answer with."""

    EPERM        = 1
    ENOENT       = 2
    ESRCH        = 3
    EINTR        = 4
    EIO          = 5
    ENXIO        = 6
    E2BIG        = 7
    ENOEXEC      = 8
    EBADF        = 9
    ECHILD       = 10
    EAGAIN       = 11
    ENOMEM       = 12
    EACCES       = 13
    EFAULT       = 14
    ENOTBLK      = 15
    EBUSY        = 16
    EEXIST       = 17
    EXDEV        = 18
    ENODEV       = 19
    ENOTDIR      = 20
    EISDIR       = 21
    EINVAL       = 22
    ENFILE       = 23
    EMFILE       = 24
    ENOTTY       = 25
    ETXTBSY      = 26
    EFBIG        = 27
    ENOSPC       = 28
    ESPIPE       = 29
    EROFS        = 30
    EMLINK       = 31
    EPIPE        = 32
    EDOM         = 33
    ERANGE       = 34
    EDEADLK      = 35
    ENAMETOOLONG = 36
    ENOLCK       = 37
    ENOSYS       = 38
    ENOTEMPTY    = 39
    ELOOP        = 40
    ENODATA      = 61
    ETIME        = 62
    EOVERFLOW    = 75
    EILSEQ       = 84
    ENOTSOCK     = 88
    EPROTOTYPE   = 91
    ENOPROTOOPT  = 92
    EOPNOTSUPP   = 95
    EAFNOSUPPORT = 97
    EADDRINUSE   = 98
    ENOBUFS      = 105
    EISCONN      = 106
    ENOTCONN     = 107
    ETIMEDOUT    = 110
    ECONNREFUSED = 111
    EINPROGRESS  = 115
    EDQUOT       = 122
    ECANCELED    = 125
    EOWNERDEAD   = 130
    ENOTRECOVERABLE = 131
# fmt: on


class KernelError(Exception):
    """A kernel operation failed the way a system call fails: `errno` goes back to the guest as
    -errno.
    """

    def __init__(self, errno: int, detail: str = "") -> None:
        self.errno = Errno(errno)
        super().__init__(f"{self.errno.name}: {detail}" if detail else self.errno.name)
