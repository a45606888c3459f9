/* SPDX-License-Identifier: GPL-2.0-or-later
 * Calls a function on every other node of the machine and shows what it finds there: the same process, heap, errno,
 * thread-local variables, functions and files as at home.  On a machine of one node, or another kernel, the calls stay
 * at home and must give the same.  One line per check; the exit status is 0 when all of them pass. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <stramash.h>

enum { NODES_MAX = 64, NUMBERS = 500, GREETING_BYTES = 100, HOST_BYTES = sizeof ((struct utsname){0}).nodename };

/* In the frame of main; the far function reads it and fills in the rest. */
struct visit {
    int home, node;                             /* from; to */
    int ran_on, pid, errno_there, nested_on;    /* seen there */
    int *counter_there;                         /* its address of the thread-local variable */
    char host[HOST_BYTES];
    char *greeting;                             /* allocated there, freed at home */
    int (*compare)(const void *, const void *); /* a function of home, called there */
};

static _Thread_local int counter;
static unsigned numbers[NUMBERS];
static long comparisons;
static int failures;

static int ascending(const void *left, const void *right)
{
    unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;

    comparisons++;
    return a < b ? -1 : a > b;
}

static void look_around(int *node, int *pid, char *host)
{
    struct utsname names;

    *node = current_node();
    *pid = getpid();
    strcpy(host, uname(&names) == 0 ? names.nodename : "?");
}

/* From there to home again, while the first call waits. */
static void *call_back(void *nested_on)
{
    *(int *)nested_on = current_node();
    return nested_on;
}

static void *look_there(void *argument)
{
    struct visit *visit = argument;

    visit->errno_there = errno;
    look_around(&visit->ran_on, &visit->pid, visit->host);
    printf("node %d: pid %d, host %s\n", visit->ran_on, visit->pid, visit->host);
    visit->counter_there = &counter;
    counter++;
    visit->greeting = malloc(GREETING_BYTES);
    if (visit->greeting != NULL)
        strcpy(visit->greeting, "allocated there");
    qsort(numbers, NUMBERS, sizeof numbers[0], visit->compare);
    if (migrate_call(visit->home, call_back, &visit->nested_on) != &visit->nested_on)
        visit->nested_on = NODES_MAX;
    errno = ERANGE;
    return visit->host;
}

static void check(int node, const char *what, int good)
{
    printf("%s node %d: %s\n", good ? "PASS" : "FAIL", node, what);
    failures += !good;
}

static int in_order(void)
{
    for (int i = 1; i < NUMBERS; i++)
        if (numbers[i - 1] > numbers[i])
            return 0;
    return 1;
}

static void call_on(int home, int node, int pid, const char *host)
{
    struct visit visit = {.home = home, .node = node, .compare = ascending};
    void *result;
    int error;

    for (unsigned i = 0, state = 1; i < NUMBERS; i++)
        numbers[i] = state = state * 1664525u + 1013904223u;
    comparisons = 0;
    counter = 41;
    errno = EDOM;
    result = migrate_call(node, look_there, &visit);
    error = errno;
    check(node, "the function ran there", visit.ran_on == node);
    check(node, "its result came back", result == visit.host);
    check(node, "same process and host as at home", visit.pid == pid && strcmp(visit.host, host) == 0);
    check(node, "errno of home was seen there, and the other way round",
          visit.errno_there == EDOM && error == ERANGE);
    check(node, "one thread-local variable", visit.counter_there == &counter && counter == 42);
    check(node, "heap allocated there, read and freed at home",
          visit.greeting != NULL && strcmp(visit.greeting, "allocated there") == 0);
    free(visit.greeting);
    check(node, "qsort there with a function of home", in_order() && comparisons >= NUMBERS - 1);
    check(node, "a call back home from there", visit.nested_on == home);
}

int main(void)
{
    char host[HOST_BYTES];
    int home, pid, others = 0;

    look_around(&home, &pid, host);
    printf("home: node %d, pid %d, host %s\n", home, pid, host);
    for (int node = 0; node < NODES_MAX; node++)
        if (node != home && node_available(node)) {
            call_on(home, node, pid, host);
            others++;
        }
    if (others == 0) {
        printf("no other node\n");
        call_on(home, home, pid, host);
    }
    return failures == 0 ? 0 : 1;
}
