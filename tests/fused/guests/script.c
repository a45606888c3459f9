/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs a script of memory operations in one thread per argument and prints what each saw.  An operation is a letter
 * and up to three numbers; the test has a model of what a single kernel would answer.
 *
 *   m slot pages      map anonymous memory          u slot          unmap it
 *   p slot rights     protect it                    w slot page v   write a byte
 *   r slot page       print a byte                  e slot page     may a system call write there?
 *   a slot bytes      allocate from the heap        f slot          check its bytes and free it
 *   l                 lock, count, unlock           y               give up the core
 *   g node            go on, on another node        h               come back from there
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stramash.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { SLOTS = 8, THREADS_MAX = 4, PAGE = 4096 };

struct runner {
    const char *at;
    char *out;
    unsigned char *mapped[SLOTS], *heap[SLOTS];
    long pages[SLOTS], bytes[SLOTS];
    char text[32768];
};

static struct runner runners[THREADS_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counted;

static void *run(void *given);

static long number(struct runner *r)
{
    char *end;
    long value = strtol(r->at, &end, 10);
    r->at = end;
    return value;
}

static void say(struct runner *r, const char *what, long value)
{
    r->out += sprintf(r->out, "%s%ld ", what, value);
}

static void map_slot(struct runner *r, long slot)
{
    r->pages[slot] = number(r);
    r->mapped[slot] = mmap(0, r->pages[slot] * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say(r, "m", r->mapped[slot] != MAP_FAILED);
}

static void allocate(struct runner *r, long slot)
{
    r->bytes[slot] = number(r);
    r->heap[slot] = malloc(r->bytes[slot]);
    memset(r->heap[slot], (int)slot + 1, r->bytes[slot]);
}

static void check_and_free(struct runner *r, long slot)
{
    long sum = 0;
    for (long i = 0; i < r->bytes[slot]; i++)
        sum += r->heap[slot][i];
    free(r->heap[slot]);
    say(r, "f", sum);
}

static void step(struct runner *r, char what)
{
    if (what == 'l') {
        pthread_mutex_lock(&mutex);
        counted++;
        pthread_mutex_unlock(&mutex);
        return;
    }
    if (what == 'y') {
        sched_yield();
        return;
    }
    long slot = number(r);
    if (what == 'g') {
        migrate_call((int)slot, run, r);
    } else if (what == 'm') {
        map_slot(r, slot);
    } else if (what == 'u') {
        say(r, "u", munmap(r->mapped[slot], r->pages[slot] * PAGE));
    } else if (what == 'p') {
        say(r, "p", mprotect(r->mapped[slot], r->pages[slot] * PAGE, (int)number(r)));
    } else if (what == 'w') {
        long page = number(r);
        r->mapped[slot][page * PAGE + 100] = (unsigned char)number(r);
    } else if (what == 'r') {
        say(r, "r", r->mapped[slot][number(r) * PAGE + 100]);
    } else if (what == 'e') {
        say(r, "e", syscall(SYS_sched_getparam, 0, r->mapped[slot] + number(r) * PAGE + 200));
    } else if (what == 'a') {
        allocate(r, slot);
    } else {
        check_and_free(r, slot);
    }
}

static void *run(void *given)
{
    struct runner *r = given;
    while (*r->at) {
        char what = *r->at++;
        if (what == 'h')
            return 0;
        if (what != ' ')
            step(r, what);
    }
    return 0;
}

int main(int count, char **scripts)
{
    pthread_t threads[THREADS_MAX];
    for (int i = 1; i < count; i++) {
        runners[i - 1].at = scripts[i];
        runners[i - 1].out = runners[i - 1].text;
        pthread_create(&threads[i - 1], 0, run, &runners[i - 1]);
    }
    for (int i = 1; i < count; i++) {
        pthread_join(threads[i - 1], 0);
        puts(runners[i - 1].text);
    }
    printf("counted %ld\n", counted);
    return 0;
}
