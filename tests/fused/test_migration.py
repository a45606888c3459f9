"""Do threads take everything along that a program sees, and come back with it?"""

import pytest

from launch import multi_isa
from tests.fused.machine import Machine
from tests.fused.tables import check

ISAS = ("x86_64", "aarch64")
BUILT = (*ISAS, "riscv64")
PAIRS = {
    "x86 home": (ISAS, 0),
    "arm home": (ISAS, 1),
    "three": ((*ISAS, "x86_64"), 2),
    "three instruction sets": (BUILT, 2),
}


@pytest.fixture
def build(tmp_path_factory):
    """The ELFs of C source text, one folder per text so that builds are found again."""

    def build(text: str):
        folder = tmp_path_factory.mktemp("guest")
        (folder / "guest.c").write_text("#include <stramash.h>\n" + text)
        return multi_isa.build(folder / "guest.c", BUILT)

    return build


def run(images, names=ISAS, home=0, *arguments: str, **changes) -> tuple[dict, str, Machine]:
    machine = Machine(names, **changes)
    machine.load(images, home, *arguments)
    (ended,) = machine.run()
    check(machine)
    return ended, machine.output, machine


NESTED = r"""
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static _Thread_local long depth_here;
static const char *const names[] = { "zero", "one", "two" };
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void *deeper(void *given)
{
    long depth = (long)given;
    depth_here++;
    char *text = malloc(64);
    snprintf(text, 64, "%ld%s", depth, names[depth % 3]);
    if (depth < 6) {
        char *below = migrate_call(current_node() == 0, deeper, (void *)(depth + 1));
        char *both = malloc(strlen(text) + strlen(below) + 2);
        sprintf(both, "%s %s", text, below);
        free(text);
        free(below);
        return both;
    }
    return text;
}
static void *sort(void *numbers) { qsort(numbers, 5, sizeof(int), compare); errno = 77;  return 0; }
static double root;
static void *take_root(void *of) { root = sqrt(*(double *)of); return &root; }
int main(void)
{
    int numbers[] = { 5, 3, 4, 1, 2 };
    double two = 2;
    int other = !current_node();
    char *text = migrate_call(other, deeper, (void *)0);
    printf("%s depth %ld\n", text, depth_here);
    free(text);
    errno = 0;
    migrate_call(other, sort, numbers);
    for (int i = 0; i < 5; i++)
        printf("%d", numbers[i]);
    printf(" errno %d\n", errno);
    printf("%.17g\n", *(double *)migrate_call(other, take_root, &two));
    errno = 0;
    printf("%p %d\n", migrate_call(9, sort, numbers), errno);
    return 3;
}
"""


@pytest.mark.parametrize("name", ("x86 home", "arm home"))
def test_nested_calls_with_libc_on_both_sides(name, build):
    ended, output, machine = run(build(NESTED), *PAIRS[name])
    assert ended["status"] == 3
    assert output.splitlines() == [
        "0zero 1one 2two 3zero 4one 5two 6zero depth 7",
        "12345 errno 77",
        "1.4142135623730951",
        "(nil) 19" if "(nil)" in output else "0 19",
    ]


THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
enum { THREADS = 4, ROUNDS = 60 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long sum, arrived;
static void *work(void *given)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        sum += (long)given;
        pthread_mutex_unlock(&mutex);
    }
    pthread_barrier_wait(&barrier);
    pthread_mutex_lock(&mutex);
    arrived++;
    pthread_cond_broadcast(&changed);
    while (arrived < THREADS)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    return given;
}
static void *body(void *given)
{
    migrate_call((long)given % NODES, work, given);
    char *room = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 65536; i += 4096)
        room[i] = 1;
    munmap(room, 65536);
    return given;
}
static void *spawn(void *given)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, 0, body, given);
    pthread_join(thread, &result);
    printf("%d\n", result == given);
    return given;
}
int main(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, 0, THREADS);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, body, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], 0);
    printf("%ld %ld\n", sum, arrived);
    pthread_barrier_init(&barrier, 0, 1);
    migrate_call(!current_node(), spawn, (void *)1);
    return 0;
}
"""


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("name", PAIRS)
def test_threads_of_two_isas_share_locks(name, direct, build):
    names, home = PAIRS[name]
    source = THREADS.replace("NODES", str(len(names)))
    ended, output, machine = run(build(source), names, home, **{"futex.direct": direct})
    assert ended["status"] == 0
    assert output == "360 4\n1\n"
    delegated = sum(kernel.delegation.delegated for kernel in machine.kernels)
    interrupts = sum(kernel.futexes.interrupts for kernel in machine.kernels)
    assert (interrupts > 0) == direct
    assert direct or delegated > interrupts


def test_a_waiter_on_the_other_node_costs_one_interrupt(build):
    source = r"""
    #include <linux/futex.h>
    #include <pthread.h>
    #include <sys/syscall.h>
    static int word;
    static void *wait(void *given)
    {
        return (void *)syscall(SYS_futex, &word, FUTEX_WAIT, 0, 0, 0, 0);
    }
    static void *body(void *given) { return migrate_call(1, wait, 0); }
    int main(void)
    {
        pthread_t thread;
        void *result;
        pthread_create(&thread, 0, body, 0);
        while (syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0) == 0)
            ;
        pthread_join(thread, &result);
        return result != 0;
    }
    """
    ended, _, machine = run(build(source))
    assert ended["status"] == 0
    assert [kernel.futexes.interrupts for kernel in machine.kernels] == [1, 0]
    assert machine.kernels[1].delegation.delegated == 0


EXITS = {
    "exit": ("exit(5);", (5, 0)),
    "exit_group from a thread": ("pthread_create(&t, 0, leave, 0); pause();", (6, 0)),
    "thread": ("pthread_exit(0);", (0, 0)),
    "null": ("*(volatile int *)0x10 = 1;", (139, 11)),
    "illegal": ("__builtin_trap();", ((133, 5), (132, 4))),  # brk on arm, ud2 on x86
    "abort": ("abort();", (134, 6)),
}


@pytest.mark.parametrize("home", (0, 1))
@pytest.mark.parametrize("name", EXITS)
def test_a_process_ends_away_from_home(name, home, build):
    code, expected = EXITS[name]
    status, signal = expected[home] if isinstance(expected[0], tuple) else expected
    source = f"""
    #include <pthread.h>
    #include <stdlib.h>
    #include <unistd.h>
    static pthread_t t;
    static void *leave(void *given) {{ _exit(6); }}
    static void *away(void *given) {{ (void)t; (void)leave; {code} return 0; }}
    int main(void) {{ migrate_call(!current_node(), away, 0); return 1; }}
    """
    ended, _, machine = run(build(source), ISAS, home)
    assert (ended["status"], ended["signal"]) == (status, signal)
    if signal and name != "abort":
        node = machine.kernels[1 - home].node_name
        assert f"node {node}," in ended["report"]
        assert "<away+0x" in ended["report"]
    for kernel in machine.kernels:
        assert not kernel.tasks.by_tid
        assert not kernel.processes.away


def test_what_stays_at_home_is_reached_from_everywhere(build, tmp_path):
    source = r"""
    #include <fcntl.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <sys/utsname.h>
    #include <time.h>
    #include <unistd.h>
    static int pid, file;
    static void *look(void *given)
    {
        struct stat status;
        struct utsname names;
        struct timespec now;
        char text[32] = "";
        uname(&names);
        printf("pid %d host %s\n", getpid() == pid, names.nodename);
        printf("stat %d size %ld\n", stat("/tmp/note", &status), (long)status.st_size);
        lseek(file, 0, SEEK_SET);
        printf("read %zd %s\n", read(file, text, 5), text);
        printf("clock %d\n", clock_gettime(CLOCK_MONOTONIC, &now));
        printf("cwd %s\n", getcwd(text, sizeof text));
        return 0;
    }
    int main(void)
    {
        setvbuf(stdout, 0, _IONBF, 0);
        pid = getpid();
        file = open("/tmp/note", O_RDWR | O_CREAT, 0600);
        write(file, "hello", 5);
        look(0);
        migrate_call(1, look, 0);
        return 0;
    }
    """
    ended, output, machine = run(build(source))
    assert ended["status"] == 0
    lines = output.splitlines()
    assert lines[:5] == lines[5:]
    assert lines[1] == "stat 0 size 5" and lines[2] == "read 5 hello"
    assert machine.kernels[1].delegation.delegated > 5


def test_a_full_ring_holds_nothing_up(build):
    source = r"""
    #include <pthread.h>
    #include <unistd.h>
    static void *talk(void *given)
    {
        for (int i = 0; i < 20; i++)
            write(1, "x", 1);
        return 0;
    }
    static void *body(void *given) { return migrate_call(1, talk, 0); }
    int main(void)
    {
        pthread_t threads[6];
        for (int i = 0; i < 6; i++)
            pthread_create(&threads[i], 0, body, 0);
        for (int i = 0; i < 6; i++)
            pthread_join(threads[i], 0);
        return 0;
    }
    """
    images = build(source)
    machine = Machine(ISAS)
    for kernel in machine.kernels:
        for ring in (*kernel.messages._outgoing.values(), *kernel.messages._incoming.values()):
            ring._slots = 2
    machine.load(images)
    (ended,) = machine.run()
    assert ended["status"] == 0
    assert machine.output == "x" * 120
    assert machine.kernels[1].messages.retries > 0
    check(machine)


def test_elfs_that_were_not_built_together_are_refused(build):
    from cosim.errors import InputError

    one, two = (
        build("int main(void) { return 1; }"),
        build("int x = 3; int main(void) { return x; }"),
    )
    machine = Machine()
    with pytest.raises(InputError, match="not built together"):
        machine.load({"x86_64": one["x86_64"], "aarch64": two["aarch64"]})


def test_a_program_of_one_isa_stays_at_home(build):
    from tests.calls.machine import compiled

    source = """
    #include <unistd.h>
    int main(void) { return syscall(0x5354007, 1, main, 0) == -1 ? 4 : 0; }
    """
    machine = Machine()
    path = compiled(source, "x86_64")
    machine.loaded += 1
    machine.kernels[0].load({"name": "p", "path": str(path), "argv": ["p"]})
    (ended,) = machine.run()
    assert ended["status"] == 4


CHILDREN = r"""
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *spawn(void *given)
{
    char *words[] = { "again", "child", 0 }, *nothing[] = { 0 };
    int status;
    pid_t pid = 0;
    printf("spawn %d\n", posix_spawn(&pid, "/proc/self/exe", 0, 0, words, nothing));
    printf("space %d\n", pid > getpid() && pid >> 16 == getpid() >> 16);
    printf("wait %d\n", waitpid(pid, &status, 0) == pid);
    printf("status %d\n", WEXITSTATUS(status));
    printf("missing %d\n", posix_spawn(&pid, "/missing", 0, 0, words, nothing) == ENOENT);
    printf("none %d\n", wait(&status) == -1 && errno == ECHILD);
    printf("node %d\n", current_node() == *(int *)given);
    if (vfork() == 0)
        _exit(0);
    return 0;
}
int main(int count, char **words)
{
    int other = !current_node();
    setvbuf(stdout, 0, _IONBF, 0);
    if (count > 1) {
        printf("child %s of home %d\n", words[1], other);
        return 9;
    }
    migrate_call(other, spawn, &other);
    return 0;
}
"""


@pytest.mark.parametrize("home", (0, 1))
def test_a_child_made_away_from_home_is_of_the_same_space(home, build):
    ended, output, machine = run(build(CHILDREN), ISAS, home)
    assert ended["status"] == 0, ended
    assert output.splitlines() == [
        f"child child of home {1 - home}", "spawn 0", "space 1", "wait 1", "status 9", "missing 1",
        "none 1", "node 1",
    ]  # fmt: skip
    for kernel in machine.kernels:
        assert not kernel.tasks.by_tid and not kernel.processes.away


def test_the_break_and_the_list_of_cpus_are_one(build):
    source = r"""
    #include <sched.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static char *begin;
    static void *grow(void *by)
    {
        char *end = (char *)syscall(SYS_brk, 0);
        char *now = (char *)syscall(SYS_brk, end + (long)by);
        if (now > end)
            memset(end, current_node() + 1, (long)by);
        return now;
    }
    static void *cpus(void *given)
    {
        char text[8192];
        FILE *file = fopen("/proc/cpuinfo", "r");
        long found = 0;
        long set[16];
        while (fgets(text, sizeof text, file))
            found += !strncmp(text, "processor", 9);
        fclose(file);
        syscall(SYS_sched_getaffinity, 0, sizeof set, set);
        return (void *)(found * 10 + __builtin_popcountl(set[0]));
    }
    int main(void)
    {
        begin = (char *)syscall(SYS_brk, 0);
        grow((void *)20000);
        migrate_call(1, grow, (void *)30000);
        grow((void *)10000);
        printf("%d%d%d\n", begin[100], begin[49999], begin[50001]);
        char *end = migrate_call(1, grow, (void *)-40000L);
        printf("%ld %d\n", (long)(end - begin), begin[100]);
        printf("%ld %ld\n", (long)cpus(0), (long)migrate_call(1, cpus, 0));
        return 0;
    }
    """
    ended, output, _ = run(build(source), cores=2)
    assert ended["status"] == 0, ended
    assert output == "121\n20000 1\n44 44\n"
