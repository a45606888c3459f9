"""Are numbers, structures and tables what Linux has?"""

import struct

import pytest

from cosim import isa as isas
from cosim.kernel.calls.names import STATFS, STATX, stat_bytes
from cosim.kernel.calls.system import SYSINFO
from cosim.kernel.files import Stat
from cosim.kernel.kernel import CALLS
from cosim.kernel.signals import SI_TKILL, SignalInfo
from tests.calls.machine import ISAS

KNOWN = {
    "x86_64": {0: "read", 1: "write", 9: "mmap", 13: "rt_sigaction", 56: "clone", 59: "execve",
               60: "exit", 79: "getcwd", 158: "arch_prctl", 186: "gettid", 202: "futex",
               231: "exit_group", 257: "openat", 262: "newfstatat", 318: "getrandom",
               332: "statx", 334: "rseq", 435: "clone3"},
    "aarch64": {17: "getcwd", 25: "fcntl", 29: "ioctl", 56: "openat", 63: "read", 64: "write",
                79: "newfstatat", 80: "fstat", 93: "exit", 94: "exit_group", 98: "futex",
                134: "rt_sigaction", 139: "rt_sigreturn", 178: "gettid", 214: "brk",
                220: "clone", 222: "mmap", 278: "getrandom", 291: "statx", 435: "clone3"},
    "riscv64": {17: "getcwd", 56: "openat", 63: "read", 64: "write", 79: "newfstatat", 93: "exit",
                94: "exit_group", 98: "futex", 139: "rt_sigreturn", 163: "getrlimit", 214: "brk",
                220: "clone", 222: "mmap", 258: "riscv_hwprobe", 259: "riscv_flush_icache",
                276: "renameat2", 278: "getrandom", 291: "statx", 435: "clone3"},
}  # fmt: skip
ONLY_X86 = {"arch_prctl", "time", "alarm", "vfork", "pause", "epoll_wait", "select"}


@pytest.mark.parametrize("isa", ISAS)
def test_numbers(isa):
    numbers = isas.find(isa).system_calls.NUMBERS
    assert {number: numbers[number] for number in KNOWN[isa]} == KNOWN[isa]
    assert len(set(numbers.values())) == len(numbers)
    assert numbers[0x5354001] == "current_node"
    assert numbers[0x5354007] == "migrate_call"
    assert numbers[0x5354008] == "migrate_return"


def test_every_call_has_a_number_somewhere():
    named = {name for isa in ISAS for name in isas.find(isa).system_calls.NUMBERS.values()}
    assert set(CALLS) <= named
    for isa in ("aarch64", "riscv64"):
        assert not ONLY_X86 & set(isas.find(isa).system_calls.NUMBERS.values())
    assert "renameat" not in isas.find("riscv64").system_calls.NUMBERS.values()
    assert all(0 <= call.arguments <= 6 for call in CALLS.values())


class FakeKernel:
    """Only an ISA."""

    def __init__(self, isa: str) -> None:
        self.isa = isas.find(isa)


@pytest.mark.parametrize(
    ("isa", "size", "mode_at"), (("x86_64", 144, 24), ("aarch64", 128, 16), ("riscv64", 128, 16))
)
def test_struct_stat(isa, size, mode_at):
    status = Stat(7, 0o100644, 1000, links=3, modify_ns=5_000_000_009)
    data = stat_bytes(FakeKernel(isa), status)
    assert len(data) == size
    assert struct.unpack_from("<QQ", data) == (1, 7)
    assert struct.unpack_from("<I", data, mode_at) == (0o100644,)
    assert struct.unpack_from("<q", data, 48) == (1000,)
    assert struct.unpack_from("<qq", data, 88) == (5, 9)  # st_mtim is at 88 on both
    links_at, form = (16, "<Q") if isa == "x86_64" else (20, "<I")
    assert struct.unpack_from(form, data, links_at) == (3,)


def test_other_structures_have_linux_sizes():
    assert (STATX.size, STATFS.size, SYSINFO.size) == (256, 120, 112)
    sizes = [struct.calcsize(isas.find(isa).system_calls.EPOLL_EVENT_FORMAT) for isa in ISAS]
    assert sizes == [12, 16, 16]


def test_open_flags_that_differ():
    x86, arm, riscv = (isas.find(isa).system_calls for isa in ISAS)
    assert (x86.O_DIRECTORY, arm.O_DIRECTORY) == (0o200000, 0o40000)
    assert (x86.O_NOFOLLOW, arm.O_NOFOLLOW) == (0o400000, 0o100000)
    for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_DIRECT", "O_LARGEFILE"):
        assert getattr(riscv, name) == getattr(x86, name)


def test_signal_information():
    fault = SignalInfo(11, 1, address=0xDEAD).pack()
    assert len(fault) == 128
    assert struct.unpack_from("<iii4xQ", fault) == (11, 0, 1, 0xDEAD)
    sent = SignalInfo(10, SI_TKILL, sender=123).pack()
    assert struct.unpack_from("<iii4xi", sent) == (10, 0, SI_TKILL, 123)
