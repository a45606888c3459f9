"""What a new program finds on its stack: argc, argv, envp, the auxiliary vector, and the strings
they point at.

```text
 sp -> argc | argv pointers, 0 | envp pointers, 0 | auxv pairs, AT_NULL | padding
       | 16 random bytes | platform | argv strings | envp strings | name | 0
```
Source: System V ABI, AMD64 supplement 1.0, 3.4.1 (process initialisation); Linux fs/binfmt_elf.c
for the choice of entries. No AT_SYSINFO_EHDR: there is no vdso, so every clock is read by a system
call.
"""

import hashlib
import struct
from collections.abc import Sequence
from enum import IntEnum

from cosim.errors import InputError
from cosim.kernel.mapping import STACK_BYTES_MAX
from cosim.units import PAGE_BYTES, align_down

POINTER_BYTES = 8
ARGUMENT_BYTES_MAX = STACK_BYTES_MAX // 4  # Linux' limit: a quarter of the stack limit
RANDOM_BYTES = 16


# fmt: off
class Auxiliary(IntEnum):
    """Entries of the auxiliary vector (Linux include/uapi/linux/auxvec.h)."""

    NULL     = 0
    PHDR     = 3   # address of the program headers
    PHENT    = 4   # bytes per program header
    PHNUM    = 5   # number of program headers
    PAGESZ   = 6
    BASE     = 7   # where the dynamic loader is; none here
    FLAGS    = 8
    ENTRY    = 9   # entry point of the program
    UID      = 11
    EUID     = 12
    GID      = 13
    EGID     = 14
    PLATFORM = 15  # name of the machine
    HWCAP    = 16  # 0: the same code must run wherever the thread is
    CLKTCK   = 17
    SECURE   = 23
    RANDOM   = 25
    HWCAP2   = 26
    EXECFN   = 31
# fmt: on


def random_bytes(seed: int | str) -> bytes:
    """The AT_RANDOM bytes of a run: fixed by its seed."""
    return hashlib.sha256(f"stramash AT_RANDOM {seed}".encode()).digest()[:RANDOM_BYTES]


def encoded(values: Sequence[str | bytes], what: str) -> list[bytes]:
    """Strings as bytes.  InputError when one holds a zero byte."""
    found = [
        v.encode("utf-8", "surrogateescape") if isinstance(v, str) else bytes(v) for v in values
    ]
    for value in found:
        if b"\0" in value:
            raise InputError(f"{what} {value!r}: contains a zero byte; remove it")
    return found


def compose(
    top: int,
    argv: Sequence[bytes],
    envp: Sequence[bytes],
    name: bytes,
    platform: bytes,
    random: bytes,
    auxiliary: dict[Auxiliary, int],
) -> tuple[int, bytes]:
    """(stack pointer, bytes from there to `top`).  auxiliary: entries that point at nothing on the
    stack.

    Raises InputError when arguments and environment are larger than the limit.
    """
    image = bytearray(
        POINTER_BYTES
    )  # the zero word at the very top, growing towards lower addresses

    def push(data: bytes) -> int:
        image[:0] = data
        return top - len(image)

    total = sum(len(s) + 1 + POINTER_BYTES for s in (*argv, *envp, name))
    if total > ARGUMENT_BYTES_MAX:
        raise InputError(
            f"arguments and environment: {total} bytes, at most {ARGUMENT_BYTES_MAX} fit on the "
            "stack; pass a file"
        )
    name_at = push(name + b"\0")
    env_at = _strings(envp, push)
    arguments_at = _strings(argv, push)
    entries = dict(auxiliary)
    entries[Auxiliary.EXECFN] = name_at
    entries[Auxiliary.PLATFORM] = push(platform + b"\0")
    entries[Auxiliary.RANDOM] = push(random)
    vector = [word for kind in sorted(entries) for word in (int(kind), entries[kind])] + [0, 0]
    words = [len(argv), *arguments_at, 0, *env_at, 0, *vector]
    sp = align_down(top - len(image) - POINTER_BYTES * len(words), 16)
    head = struct.pack(f"<{len(words)}Q", *words)
    return sp, bytes(head.ljust(top - len(image) - sp, b"\0") + image)


def _strings(values: Sequence[bytes], push) -> list[int]:
    """Addresses of zero-terminated strings, which lie in ascending order as Linux puts them."""
    block = b"".join(value + b"\0" for value in values)
    at = push(block)
    addresses = []
    for value in values:
        addresses.append(at)
        at += len(value) + 1
    return addresses


FIXED = {
    Auxiliary.PAGESZ: PAGE_BYTES,
    Auxiliary.BASE: 0,
    Auxiliary.FLAGS: 0,
    Auxiliary.UID: 0,
    Auxiliary.EUID: 0,
    Auxiliary.GID: 0,
    Auxiliary.EGID: 0,
    Auxiliary.HWCAP: 0,
    Auxiliary.HWCAP2: 0,
    Auxiliary.CLKTCK: 100,
    Auxiliary.SECURE: 0,
}
