"""System calls on processes: ids, ending, waiting, executing, limits."""

import struct

from cosim.kernel.calls.names import path_at
from cosim.kernel.calls.table import Call, accept, signed
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.files import DESCRIPTORS_MAX
from cosim.kernel.mapping import STACK_BYTES_MAX
from cosim.kernel.signals import Signal, SignalInfo
from cosim.kernel.waiting import wait_until

ARGUMENTS_MAX = 4096
ARGUMENT_BYTES_MAX = 128 * 1024
WNOHANG = 1
P_ALL, P_PID = 0, 1
WEXITED = 4
CLD_EXITED, CLD_KILLED = 1, 2
RLIMIT_STACK, RLIMIT_CORE, RLIMIT_NOFILE = 3, 4, 7
INFINITY = (1 << 64) - 1
LIMITS = {
    RLIMIT_STACK: (STACK_BYTES_MAX, INFINITY),
    RLIMIT_CORE: (0, INFINITY),
    RLIMIT_NOFILE: (DESCRIPTORS_MAX, DESCRIPTORS_MAX),
}
LIMITS_COUNT = 16


def exit_group(kernel, thread, status: int) -> None:
    """exit_group(2)."""
    kernel.processes.end(thread.process, status & 0xFF, 0)


def getpid(_kernel, thread) -> int:
    """getpid(2), getpgrp(2), getsid(2): each process leads its own group and session."""
    return thread.process.pid


def getpgid(kernel, thread, pid: int) -> int:
    """getpgid(2), getsid(2)."""
    if pid and pid not in kernel.tasks.processes:
        raise KernelError(Errno.ESRCH, f"process {pid}")
    return pid or thread.process.pid


def getppid(kernel, thread) -> int:
    """getppid(2): 0 for a program that was loaded."""
    return kernel.parent_pid(thread.process)


def getresuid(_kernel, thread, real: int, effective: int, saved: int) -> int:
    """getresuid(2), getresgid(2): root."""
    for address in (real, effective, saved):
        thread.process.space.write_word(address, 0, 4)
    return 0


def umask(_kernel, thread, mask: int) -> int:
    """umask(2)."""
    old, thread.process.umask = thread.process.umask, mask & 0o777
    return old


def _strings(space, address: int) -> list[bytes]:
    """A null-terminated array of string pointers."""
    found: list[bytes] = []
    while address and (pointer := space.read_word(address)):
        if len(found) >= ARGUMENTS_MAX:
            raise KernelError(Errno.E2BIG, "arguments")
        found.append(space.read_string(pointer, ARGUMENT_BYTES_MAX))
        address += 8
    return found


def execve(kernel, thread, path: int, argv: int, envp: int) -> None:
    """execve(2)."""
    space = thread.process.space
    name = path_at(thread, path)
    kernel.processes.execute(thread, name, _strings(space, argv) or [name], _strings(space, envp))


def _ended(process, pid: int):
    """Take a child that ended; None when there is none.  KernelError(ECHILD) without such a child
    at all.
    """
    if not any(pid in (-1, 0, child.pid) for child in process.children):
        raise KernelError(Errno.ECHILD, f"child {pid}")
    for child in process.ended_children:
        if pid in (-1, 0, child.pid):
            return child
    return None


def _forget(process, child) -> None:
    process.ended_children.remove(child)
    process.children.remove(child)


def wait4(kernel, thread, pid: int, status: int, options: int, usage: int) -> int:
    """wait4(2)."""
    pid = signed(pid)
    process, space = thread.process, thread.process.space

    def attempt() -> int | None:
        child = _ended(process, pid)
        if child is None:
            return 0 if options & WNOHANG else None
        _forget(process, child)
        if status:
            space.write_word(status, child.exit_signal or child.exit_code << 8, 4)
        if usage:
            space.write(usage, bytes(144))
        return child.pid

    return wait_until(thread, (process.changed,), attempt, f"end of child {pid}")


def waitid(kernel, thread, kind: int, pid: int, info: int, options: int, _usage: int) -> int:
    """waitid(2): for children that ended."""
    if kind not in (P_ALL, P_PID) or not options & WEXITED:
        raise KernelError(Errno.EINVAL, "waitid")
    process, space = thread.process, thread.process.space
    wanted = pid if kind == P_PID else -1

    def attempt() -> int | None:
        child = _ended(process, wanted)
        if child is None:
            if not options & WNOHANG:
                return None
            if info:
                space.write(info, bytes(128))
            return 0
        _forget(process, child)
        code = CLD_KILLED if child.exit_signal else CLD_EXITED
        value = child.exit_signal or child.exit_code
        if info:
            space.write(info, SignalInfo(Signal.SIGCHLD, code, child.pid, value=value).pack())
        return 0

    return wait_until(thread, (process.changed,), attempt, f"end of child {wanted}")


def prlimit64(kernel, thread, pid: int, resource: int, new: int, old: int) -> int:
    """prlimit(2): limits are remembered; only the number of descriptors is enforced."""
    if pid and pid not in kernel.tasks.processes:
        raise KernelError(Errno.ESRCH, f"process {pid}")
    if resource >= LIMITS_COUNT:
        raise KernelError(Errno.EINVAL, f"resource {resource}")
    process, space = thread.process, thread.process.space
    before = process.limits.get(resource, LIMITS.get(resource, (INFINITY, INFINITY)))
    if new:
        soft, hard = struct.unpack("<QQ", space.read(new, 16))
        if soft > hard:
            raise KernelError(Errno.EINVAL, f"soft limit {soft} above hard limit {hard}")
        if hard > before[1]:
            raise KernelError(Errno.EPERM, "raising a hard limit")
        process.limits[resource] = (soft, hard)
        if resource == RLIMIT_NOFILE:
            process.files.limit = soft
    if old:
        space.write(old, struct.pack("<QQ", *before))
    return 0


def getrlimit(kernel, thread, resource: int, buffer: int) -> int:
    """getrlimit(2)."""
    return prlimit64(kernel, thread, 0, resource, 0, buffer)


def setrlimit(kernel, thread, resource: int, buffer: int) -> int:
    """setrlimit(2)."""
    return prlimit64(kernel, thread, 0, resource, buffer, 0)


CALLS = {
    "exit_group": Call(exit_group, 1),
    "getpid": Call(getpid, 0),
    "getppid": Call(getppid, 0),
    "getpgrp": Call(getpid, 0),
    "getpgid": Call(getpgid, 1),
    "getsid": Call(getpgid, 1),
    "setpgid": Call(accept, 2),
    "setsid": Call(getpid, 0),
    "getuid": Call(accept, 0),
    "geteuid": Call(accept, 0),
    "getgid": Call(accept, 0),
    "getegid": Call(accept, 0),
    "getresuid": Call(getresuid, 3),
    "getresgid": Call(getresuid, 3),
    "getgroups": Call(accept, 2),
    "setgroups": Call(accept, 2),
    "setuid": Call(accept, 1),
    "setgid": Call(accept, 1),
    "setreuid": Call(accept, 2),
    "setregid": Call(accept, 2),
    "setresuid": Call(accept, 3),
    "setresgid": Call(accept, 3),
    "setfsuid": Call(accept, 1),
    "setfsgid": Call(accept, 1),
    "umask": Call(umask, 1),
    "execve": Call(execve, 3),
    "wait4": Call(wait4, 4),
    "waitid": Call(waitid, 5),
    "prlimit64": Call(prlimit64, 4),
    "getrlimit": Call(getrlimit, 2),
    "setrlimit": Call(setrlimit, 2),
}
