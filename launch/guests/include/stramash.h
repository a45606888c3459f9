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

#endif
