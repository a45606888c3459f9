/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A team of threads over the cores of all nodes: member 0 is the caller, the members after it fill the cores of its
 * node, then those of the other nodes, in machine order.
 */
#ifndef TEAM_H
#define TEAM_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <stramash.h>

enum { TEAM_MAX = 64, TEAM_NODES_MAX = 64 };

struct team_member {
    int index, node;
    void (*work)(int index);
    pthread_t thread;
};

static struct team_member team_members[TEAM_MAX];
static int team_size;
static pthread_barrier_t team_barrier;

/* Node of a core, counted from the first core of the caller's node on; -1 behind the last one. */
static inline int team_node(int core)
{
    int home = current_node(), cores = node_cores(home);

    if (core < cores)
        return home;
    core -= cores;
    for (int node = 0; node < TEAM_NODES_MAX; node++) {
        if (node == home)
            continue;
        cores = node_cores(node);
        if (core < cores)
            return node;
        core -= cores;
    }
    return -1;
}

/* Cores of the whole machine, 1 on another kernel. */
static inline int team_cores(void)
{
    int cores = 0;

    for (int node = 0; node < TEAM_NODES_MAX; node++)
        cores += node_cores(node);
    return cores > TEAM_MAX ? TEAM_MAX : cores > 0 ? cores : 1;
}

/* Until all members are here. */
static inline void team_wait(void)
{
    pthread_barrier_wait(&team_barrier);
}

static inline void team_fails(const char *what)
{
    perror(what);
    exit(2);
}

static void *team_works(void *member)
{
    struct team_member *self = member;

    if (current_node() != self->node) {
        fprintf(stderr, "team: member %d is on node %d, not %d\n", self->index, current_node(), self->node);
        exit(2);
    }
    self->work(self->index);
    return self;
}

static void *team_begins(void *member)
{
    struct team_member *self = member;

    if (current_node() == self->node)
        return team_works(self);
    if (migrate_call(self->node, team_works, self) != self)
        team_fails("team: migrate_call");
    return self;
}

/* work(index) on every member at once; `size` of them, more than there are cores share these. */
static inline void team_run(int size, void (*work)(int index))
{
    int cores = team_cores();

    if (size < 1 || size > TEAM_MAX) {
        fprintf(stderr, "team: %d threads; 1 to %d are possible\n", size, TEAM_MAX);
        exit(2);
    }
    team_size = size;
    pthread_barrier_init(&team_barrier, NULL, size);
    for (int i = 0; i < size; i++) {
        int node = team_node(i % cores);

        team_members[i] = (struct team_member){i, node < 0 ? current_node() : node, work, 0};
        if (i > 0 && pthread_create(&team_members[i].thread, NULL, team_begins, &team_members[i]) != 0)
            team_fails("team: pthread_create");
    }
    team_begins(&team_members[0]);
    for (int i = 1; i < size; i++)
        pthread_join(team_members[i].thread, NULL);
    pthread_barrier_destroy(&team_barrier);
}

#endif
