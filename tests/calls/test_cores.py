"""Do threads of a node with several cores find a free one, and keep to those they may use?"""

import pytest

from cosim.kernel.layout import DIRECTORY
from cosim.kernel.run_queues import RUN_QUEUE
from tests.calls.machine import ISAS, Machine, compiled

HEAD = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>
static void spin(long times) { for (volatile long i = 0; i < times; i++); }
static void *work(void *cores) { spin(200000); *(int *)cores = sched_getcpu(); return 0; }
static int only(pthread_t thread, int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set);
}
"""
SPREAD = (
    HEAD
    + r"""
int main(void)
{
    pthread_t thread[3];
    int core[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], 0, work, &core[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], 0);
    printf("%d %d %d of %ld\n", core[0], core[1], core[2], sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}
"""
)
AFFINITY = (
    HEAD
    + r"""
static void *inherit(void *unused)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    spin(1000);
    return (void *)(long)(CPU_COUNT(&set) == 1 && CPU_ISSET(2, &set) && sched_getcpu() == 2);
}
int main(void)
{
    cpu_set_t set;
    pthread_t thread;
    void *inherited;
    int wanted[] = { 2, 0, 1, 2 };

    sched_getaffinity(0, sizeof set, &set);
    if (CPU_COUNT(&set) != 3)
        return 1;
    for (int i = 0; i < 4; i++)
        if (only(pthread_self(), wanted[i]) || sched_getcpu() != wanted[i])
            return 2;
    pthread_create(&thread, 0, inherit, 0);
    pthread_join(thread, &inherited);
    if (!inherited)
        return 3;
    CPU_ZERO(&set);
    CPU_SET(7, &set);
    if (sched_setaffinity(0, sizeof set, &set) != -1 || errno != EINVAL)
        return 4;
    if (sched_setaffinity(12345, sizeof set, &set) != -1 || errno != ESRCH)
        return 5;
    if (sched_getcpu() != 2)
        return 6;
    return 0;
}
"""
)
DRIVEN_OFF = (
    HEAD
    + r"""
static volatile int stop;
static volatile long turns;
static void *endless(void *unused) { while (!stop) turns++; return (void *)(long)sched_getcpu(); }
int main(void)
{
    pthread_t thread;
    void *core;
    pthread_create(&thread, 0, endless, 0);
    for (int i = 0; i < 4; i++) {
        long before = turns;
        only(thread, i & 1);
        while (turns < before + 1000)
            spin(100);
    }
    stop = 1;
    pthread_join(thread, &core);
    return (long)core == 1 ? 0 : 1;
}
"""
)
UNEVEN = (
    HEAD
    + r"""
static void *longer(void *core) { spin(2000000); *(int *)core = sched_getcpu(); return 0; }
int main(void)
{
    pthread_t thread[3];
    int core[3];
    cpu_set_t all;
    sched_getaffinity(0, sizeof all, &all);
    only(pthread_self(), 0);
    for (int i = 0; i < 3; i++) {                       /* all on core 0 first */
        pthread_create(&thread[i], 0, longer, &core[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_setaffinity_np(thread[i], sizeof all, &all);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], 0);
    return !((core[0] | core[1] | core[2]) & 1);        /* one of them got the idle core */
}
"""
)


def ended(source, isa, cores, **changes):
    machine = Machine(isa, cores=cores, **changes)
    machine.load(compiled(source, isa, "-pthread"))
    (program,) = machine.run()
    assert program["status"] == 0, (program, machine.output)
    return machine


def runnable(machine):
    """The RUN_QUEUE rows, decoded from memory."""
    memory = machine.kernel.memory
    table = memory.peek(machine.kernel.frames.directory + DIRECTORY.offset("run_queues"))
    return [
        RUN_QUEUE.decode(memory.read(table + i * RUN_QUEUE.size, RUN_QUEUE.size))
        for i in range(len(machine.cores))
    ]


@pytest.mark.parametrize("isa", ISAS)
def test_new_threads_go_to_the_core_with_the_least_to_run(isa):
    machine = ended(SPREAD, isa, 4)
    assert machine.output == "1 2 3 of 4\n"


@pytest.mark.parametrize("isa", ISAS)
def test_a_thread_moves_to_the_cores_it_is_restricted_to(isa):
    machine = ended(AFFINITY, isa, 3)
    assert machine.kernel.scheduler.moves >= 4


@pytest.mark.parametrize("isa", ISAS)
def test_a_thread_that_runs_elsewhere_is_driven_off_its_core(isa):
    ended(DRIVEN_OFF, isa, 2)


def test_a_slice_that_ends_gives_the_longest_waiter_to_an_idle_core():
    machine = ended(UNEVEN, "x86_64", 2, **{"kernel.slice_ns": 100_000})
    busy = [core.engine.instructions for core in machine.cores]
    assert min(busy) > 1_000_000, busy


@pytest.mark.parametrize("source", [SPREAD, AFFINITY, DRIVEN_OFF, UNEVEN])
def test_run_queues_are_empty_when_all_is_over(source):
    machine = ended(source, "x86_64", 3)
    rows = runnable(machine)
    assert [row["core"] for row in rows] == [core.index for core in machine.cores]
    assert [row["runnable"] for row in rows] == [0, 0, 0]


def test_a_node_with_one_core_has_no_run_queues():
    machine = Machine()
    machine.load(compiled(SPREAD, "x86_64", "-pthread"))
    (program,) = machine.run()
    assert program["status"] == 0 and machine.output == "0 0 0 of 1\n"
    directory = machine.kernel.frames.directory
    assert machine.kernel.memory.peek(directory + DIRECTORY.offset("run_queues")) == 0
    assert "x86.thread_moves" not in machine.kernel.statistics()


def test_a_region_belongs_to_the_core_it_began_on():
    source = (
        HEAD
        + r"""
int main(void)
{
    syscall(0x5354003, 1);
    spin(1000);
    only(pthread_self(), 1);
    spin(1000);
    syscall(0x5354004, 1);
    return sched_getcpu() != 1;
}
"""
    )
    machine = ended(source, "x86_64", 2)
    (region,) = machine.kernel.dump()["regions"]
    assert region["core"] == 0
    assert 3000 < region["instructions_user"] < 6500
    assert region["instructions_kernel"] > 0 and region["cycles"] > 0
