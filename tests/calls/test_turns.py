"""Do turns end when they must, and tell the timebase what it needs?"""

import pytest

from cosim.broker import Function
from launch.statistics import NOT_SIMULATED
from tests.calls.machine import ISAS, Machine, compiled

SLEEPER = """
#include <time.h>
int main(void) { struct timespec t = { 0, 5000000 }; nanosleep(&t, 0); return 0; }
"""
SPINNER = "int main(void) { for (volatile long i = 0; i < 200000; i++); return 0; }"
FOREVER = "int main(void) { volatile int x = 0; for (;;) x++; }"
SENDER = """
#include <unistd.h>
#include <sys/syscall.h>
int main(void)
{
    if (syscall(0x5354001) != 0 || syscall(0x5354002, 1) != 1 || syscall(0x5354002, 7) != 0)
        return 1;
    if (syscall(0x5354005, 9, 0) != -1)
        return 2;
    syscall(0x5354005, 1, 0);
    return syscall(0x5354006, -1L) == 1 ? 0 : 3;
}
"""
LISTENER = """
#include <errno.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(void) { return syscall(0x5354006, 1000000L) == -1 && errno == ETIMEDOUT ? 0 : 1; }
"""
REGIONS = """
#include <unistd.h>
#include <sys/syscall.h>
int main(void)
{
    syscall(0x5354003, 7);
    for (volatile int i = 0; i < 1000; i++);
    syscall(0x5354004, 7);
    return 0;
}
"""


def turn(machine, until_ps=-1, rows=()):
    return machine.kernel.turn(0, until_ps, True, list(rows), lambda: None)


def interrupt(function, at_ps, payload=0, acknowledge=False, number=1):
    return {
        "id": number, "function": function, "native": 0, "source_core": 1, "sent_ps": 0,
        "at_ps": at_ps, "payload": payload, "acknowledge": acknowledge,
    }  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
def test_a_limit_is_met_within_one_kernel_event(isa):
    machine = Machine(isa)
    machine.load(compiled(SPINNER, isa))
    done = turn(machine, 300_000_000)  # past the loading of the first pages
    assert done["state"] == "runnable"
    assert 300_000_000 <= done["now_ps"] < 310_000_000
    later = turn(machine, 400_000_000)
    assert 400_000_000 <= later["now_ps"] < 400_000_000 + 100_000
    assert machine.run()[0]["status"] == 0


def test_nothing_to_do_is_off():
    assert turn(Machine())["state"] == "off"


@pytest.mark.parametrize("isa", ISAS)
def test_a_sleeper_waits_for_its_timer(isa):
    machine = Machine(isa)
    machine.load(compiled(SLEEPER, isa))
    done = turn(machine, 2_000_000_000)
    assert done["state"] == "waiting"
    assert 5_000_000_000 < done["wake_ps"] < 6_000_000_000
    ended = turn(machine)
    assert ended["state"] == "off"
    assert ended["now_ps"] >= done["wake_ps"]
    assert machine.cores[0].idle_cycles > 3_000_000


def test_turns_do_not_change_what_happens():
    """One long turn, or many short ones: the same counts."""
    results = []
    for step_ps in (-1, 50_000_000):
        machine = Machine()
        machine.load(compiled(SPINNER, "x86_64"))
        until_ps = step_ps
        while turn(machine, until_ps)["state"] != "off":
            until_ps += step_ps
        counts = machine.kernel.statistics()
        simulated = {
            name: count for name, count in counts.items() if not name.startswith(NOT_SIMULATED)
        }
        results.append((simulated, machine.kernel.register_words()))
    assert results[0] == results[1]


@pytest.mark.parametrize("isa", ISAS)
def test_an_extended_turn_ends_after_a_send(isa):
    machine = Machine(isa)
    machine.load(compiled(SENDER, isa))
    done = turn(machine)
    (row,) = done["sends"]
    assert (row["target_core"], row["function"]) == (1, Function.USER)
    assert machine.isa.interrupts.decode_send(row["native"]) == (1, Function.USER)
    assert 0 < row["sent_ps"] <= done["now_ps"]
    assert done["state"] == "runnable"
    waiting = turn(machine)
    assert (waiting["state"], waiting["wake_ps"]) == ("waiting", -1)
    at_ps = waiting["now_ps"] + 2_000_000
    ended = turn(machine, rows=[interrupt(Function.USER, at_ps, acknowledge=True)])
    assert ended["acknowledges"] == [1]
    assert ended["now_ps"] > at_ps
    assert turn(machine)["state"] == "off"
    assert machine.kernel.exited[0]["status"] == 0


def test_waiting_for_an_interrupt_times_out():
    machine = Machine()
    machine.load(compiled(LISTENER, "x86_64"))
    assert machine.run()[0]["status"] == 0


def test_an_interrupt_that_is_not_due_is_kept():
    machine = Machine()
    machine.load(compiled(SPINNER, "x86_64"))
    row = interrupt(Function.MESSAGE, 150_000_000, acknowledge=True)
    assert turn(machine, 100_000_000, [row])["acknowledges"] == []
    assert turn(machine, 200_000_000)["acknowledges"] == [1]
    assert machine.kernel.ignored_interrupts == 1


def test_a_core_is_shared_in_slices():
    """Two endless programs and one short one on one core: all get on."""
    machine = Machine(**{"kernel.slice_ns": 10_000})
    machine.load(compiled(FOREVER, "x86_64"))
    machine.load(compiled(SPINNER, "x86_64"))
    while not machine.kernel.exited:
        done = turn(machine, machine.cores[0].now_ps() + 10_000_000)
        assert done["now_ps"] < 10_000_000_000
    assert machine.kernel.scheduler.context_switches > 20
    assert done["state"] == "runnable"


def test_threads_of_two_cores_are_woken_by_interrupts():
    machine = Machine(cores=2)
    machine.load(compiled(SPINNER, "x86_64"))
    machine.load(compiled(SPINNER, "x86_64"))
    machine.run()
    counts = machine.kernel.statistics()
    assert counts["x86.core0.instructions_user"] == counts["x86.core1.instructions_user"]


@pytest.mark.parametrize("isa", ISAS)
def test_regions_are_timed(isa):
    machine = Machine(isa)
    machine.load(compiled(REGIONS, isa))
    machine.run()
    (region,) = machine.kernel.dump()["regions"]
    assert region["label"] == 7
    assert region["instructions_user"] > 3000
    assert (region["end_ps"] - region["begin_ps"]) == region["cycles"] * 1000


def test_who_waits_for_what_is_in_the_dump():
    machine = Machine()
    source = """
    #include <unistd.h>
    int main(void) { int p[2]; char c; pipe(p); return read(p[0], &c, 1); }
    """
    machine.load(compiled(source, "x86_64"))
    machine.run()
    (thread,) = machine.kernel.dump()["threads"]
    assert thread["state"] == "waiting"
    assert thread["waits_for"].startswith("read from pipe:")


def test_an_unknown_call_is_counted_by_name():
    machine = Machine()
    source = "#include <unistd.h>\nint main(void) { syscall(101); syscall(9999); return 0; }"
    machine.load(compiled(source, "x86_64"))
    machine.run()
    assert machine.kernel.unknown_calls == {"ptrace": 1, "number_0x270f": 1}
    assert machine.kernel.statistics()["x86.system_calls.unknown.ptrace"] == 1
