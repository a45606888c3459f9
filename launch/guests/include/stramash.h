/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a guest program can ask of the machine beyond Linux.  Every call has the same number on every ISA, far above
 * Linux's own, so on another kernel it fails with ENOSYS and the program can say so.
 */
#ifndef STRAMASH_H
#define STRAMASH_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

enum stramash_call {
    STRAMASH_CURRENT_NODE = 0x5354001,
    STRAMASH_NODE_AVAILABLE = 0x5354002,
    STRAMASH_REGION_BEGIN = 0x5354003,
    STRAMASH_REGION_END = 0x5354004,
    STRAMASH_IPI_SEND = 0x5354005,
    STRAMASH_IPI_WAIT = 0x5354006,
    STRAMASH_MIGRATE_CALL = 0x5354007,
    STRAMASH_MIGRATE_RETURN = 0x5354008,
    STRAMASH_NODE_CORES = 0x5354009,
};

/* Number of the node that runs this thread, in machine order (x86 0, arm 1 in the pair); -1: not on Stramash. */
static inline int current_node(void)
{
    return (int)syscall(STRAMASH_CURRENT_NODE);
}

/* 1 when the machine has a node of this number, else 0. */
static inline int node_available(int node)
{
    return syscall(STRAMASH_NODE_AVAILABLE, node) == 1;
}

/* Cores of a node, 0 when the machine has no node of this number. */
static inline int node_cores(int node)
{
    long cores = syscall(STRAMASH_NODE_CORES, node);

    return cores < 0 ? 0 : (int)cores;
}

/* A timed part of the program, with a number of its own; the manifest lists when it ran and what it took. */
static inline void region_begin(unsigned region)
{
    syscall(STRAMASH_REGION_BEGIN, region);
}

static inline void region_end(unsigned region)
{
    syscall(STRAMASH_REGION_END, region);
}

/* Send an inter-processor interrupt to a core (counted within its node).  0, or -1 with errno. */
static inline int ipi_send(int node, int core)
{
    return (int)syscall(STRAMASH_IPI_SEND, node, core);
}

/* Wait for one; the machine-wide number of the core that sent it, or -1 with errno ETIMEDOUT. */
static inline int ipi_wait(uint64_t timeout_ns)
{
    return (int)syscall(STRAMASH_IPI_WAIT, timeout_ns);
}

/* What migrate_call hands over, in the caller's frame. */
struct stramash_migration {
    void *(*function)(void *);
    void *argument;
    void *result;
};

/* Runs on the other node.  The result travels in memory: any pointer can be one, also those that a system call
 * would take for an error. */
static void *stramash_migrated(void *migration)
{
    struct stramash_migration *call = (struct stramash_migration *)migration;

    call->result = call->function(call->argument);
    return 0;
}

/* Run function(argument) on another node, in this thread, address space and (further down) stack; its result.  On the
 * node itself, on another kernel, or in a program built for one ISA only, it is a plain call.  A node that does not
 * exist or cannot take the thread: NULL, with errno; set errno to 0 before if NULL is also a result. */
static inline void *migrate_call(int node, void *(*function)(void *), void *argument)
{
    struct stramash_migration call = {function, argument, 0};
    int before = errno;
    long done = syscall(STRAMASH_MIGRATE_CALL, node, stramash_migrated, &call);

    if (done < 0 && errno == ENOSYS) {
        errno = before;
        return function(argument);
    }
    return done < 0 ? 0 : call.result;
}

#endif
