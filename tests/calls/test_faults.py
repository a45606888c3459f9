"""Does the report of a fatal fault say what a debugger would?"""

import pytest

from cosim.kernel.fault_report import Symbols
from tests.calls.machine import ISAS, Machine, compiled

CRASH = """
__attribute__((noinline)) int read_it(volatile int *where) { return *where; }
int main(int count, char **arguments) { return read_it((int *)(0x123450L + count)); }
"""
PROTECTED = "int main(void) { *(volatile char *)(long)main = 1; return 0; }"
DIVIDE = "int main(int n, char **a) { volatile int zero = n - 1; return 5 / zero; }"
ENDLESS = "int f(volatile char *p) { volatile char a[4096]; a[0] = *p; return f(a) + a[1]; }\n" + (
    "int main(void) { char c = 0; return f(&c); }"
)


def crash(source: str, isa: str, *flags: str) -> dict:
    machine = Machine(isa)
    machine.load(compiled(source, isa, "-fno-sanitize=all", *flags))
    (ended,) = machine.run()
    return ended


@pytest.mark.parametrize("isa", ISAS)
def test_a_bad_pointer(isa):
    ended = crash(CRASH, isa)
    assert (ended["status"], ended["signal"]) == (139, 11)
    report = ended["report"]
    assert "SIGSEGV, address not mapped" in report
    assert "faulting address 0x123451" in report
    assert "<read_it+0x" in report
    assert "mapping above" in report
    assert {"x86_64": "rsp", "aarch64": "x29", "riscv64": "s11"}[isa] in report
    assert all(len(line) < 120 for line in report.splitlines())


@pytest.mark.parametrize("isa", ISAS)
def test_a_write_to_code(isa):
    report = crash(PROTECTED, isa)["report"]
    assert "access not permitted by the mapping" in report
    assert "in mapping" in report
    assert "r-xp" in report


def test_division_by_zero():
    assert crash(DIVIDE, "x86_64")["status"] == 128 + 8
    assert crash(DIVIDE, "aarch64")["status"] == 0  # the instruction answers 0
    assert crash(DIVIDE, "riscv64")["status"] == 255  # the instruction answers -1


@pytest.mark.parametrize("isa", ISAS)
def test_endless_recursion_ends_at_the_stack_limit(isa):
    ended = crash(ENDLESS, isa)
    assert ended["signal"] == 11
    assert "[stack]" in ended["report"]


def test_a_damaged_image_has_no_symbols():
    assert Symbols(b"\x7fELF garbage").name(5) == ""
    assert Symbols(b"").name(5) == ""


ORPHAN = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    int pid = getpid();
    if (syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0) {
        kill(pid, SIGKILL);
        while (getppid() == pid) sched_yield();
        _exit(0);
    }
    return 1;
}
"""


@pytest.mark.parametrize("isa", ISAS)
def test_a_vfork_child_outlives_the_parent_whose_memory_it_borrows(isa):
    ended = crash(ORPHAN, isa)
    assert (ended["status"], ended["signal"]) == (137, 9)
