"""Do C programs get from our system calls what Linux gives them (programs/*.txt)?"""

from pathlib import Path

import pytest

from tests.calls.machine import ISAS, Machine, compiled

PROGRAMS = Path(__file__).parent / "programs"
ENDINGS = {"threads": (0, 0), "files": (0, 0), "children": (3, 0), "signals": (134, 6)}


def source(name: str) -> str:
    return (PROGRAMS / f"{name}.c").read_text()


def expected(name: str) -> str:
    return (PROGRAMS / f"{name}.txt").read_text()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("cores", (1, 2))
@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_prints_what_linux_prints(name, cores, isa):
    machine = Machine(isa, cores=cores)
    machine.load(compiled(source(name), isa))
    (ended,) = machine.run()
    found, wanted = machine.output.splitlines(), expected(name).splitlines()
    if name == "children":  # parent and child print at the same time
        found, wanted = sorted(found), sorted(wanted)
    assert found == wanted
    assert (ended["status"], ended["signal"]) == ENDINGS[name]
    assert machine.kernel.unknown_calls == {}


@pytest.mark.parametrize("isa", ISAS)
def test_everything_is_given_back_at_the_end(isa):
    machine = Machine(isa)
    before = machine.kernel.frames.used
    machine.load(compiled(source("threads"), isa))
    machine.run()
    slab_pages = 1  # task records stay in their pool
    assert machine.kernel.frames.used <= before + slab_pages
    assert list(machine.kernel.tasks.records()) == []


@pytest.mark.parametrize("isa", ISAS)
def test_two_runs_are_equal_in_everything(isa):
    runs = []
    for _ in range(2):
        machine = Machine(isa, cores=2)
        machine.load(compiled(source("threads"), isa))
        machine.run()
        runs.append((machine.output, machine.kernel.statistics(), machine.kernel.register_words()))
    assert runs[0] == runs[1]


COUNTING = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
int main(void)
{
    struct timespec first, second;
    struct utsname name;
    struct stat status;
    unsigned long words[2];
    clock_gettime(CLOCK_REALTIME, &first);
    clock_gettime(CLOCK_MONOTONIC, &second);
    printf("%ld %d\\n", (long)first.tv_sec, second.tv_nsec > first.tv_nsec);
    struct timespec pause = { 2, 500 }, end;
    nanosleep(&pause, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long slept = (end.tv_sec - second.tv_sec) * 1000000000L + end.tv_nsec - second.tv_nsec;
    printf("slept %d\\n", slept >= 2000000500L && slept < 2000100000L);
    uname(&name);
    printf("%s %s %s\\n", name.sysname, name.release, name.machine);
    getrandom(words, 16, 0);
    printf("%lx\\n", words[0]);
    stat(".", &status);
    printf("%lu %o %ld %ld\\n", (unsigned long)status.st_ino, status.st_mode & 0777000,
           (long)status.st_size, (long)status.st_mtime);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    printf("cpu %d\\n", end.tv_sec == 0);
    printf("%d %d %d\\n", getpid(), getppid(), getuid());
    return 0;
}
"""


@pytest.mark.parametrize("isa", ISAS)
def test_nothing_of_the_host_shows(isa):
    outputs = []
    for _ in range(2):
        machine = Machine(isa)
        machine.load(compiled(COUNTING, isa))
        machine.run()
        outputs.append(machine.output.splitlines())
    assert outputs[0] == outputs[1]
    lines = outputs[0]
    assert lines[:2] == ["1735689600 1", "slept 1"]
    assert lines[2] == f"Linux 6.1.0-stramash {isa}"
    assert lines[4].endswith("40000 4096 1735689600")
    assert lines[5:] == ["cpu 1", "100 0 0"]
