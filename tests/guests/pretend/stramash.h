/* SPDX-License-Identifier: GPL-2.0-or-later
 * Stands in for the real header on an ordinary machine: NODES nodes that exist in name only.  FAULT at the migration of
 * number FAULT_AT spoils one, to show that programs which check migration notice. */
#ifndef STRAMASH_H
#define STRAMASH_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

enum fault { NONE, ERRNO_LOST, RESULT_LOST, NOT_MOVED, NOT_BACK };

#ifndef FAULT
#define FAULT NONE
#endif

enum { NODES = 3, FAULT_AT = 100 };

static _Thread_local int pretended_node;
static int migrations;

static inline int current_node(void)
{
    return pretended_node;
}

static inline int node_available(int node)
{
    return node >= 0 && node < NODES;
}

static inline int node_cores(int node)
{
    return node_available(node) ? 2 : 0;
}

static inline void region_begin(unsigned region)
{
    (void)region;
}

static inline void region_end(unsigned region)
{
    (void)region;
}

static inline void *migrate_call(int node, void *(*function)(void *), void *argument)
{
    int home = pretended_node, fault = NONE;
    void *result;

    if (!node_available(node)) {
        errno = ENXIO;
        return 0;
    }
    if (node != home && __atomic_add_fetch(&migrations, 1, __ATOMIC_RELAXED) == FAULT_AT)
        fault = FAULT;
    pretended_node = fault == NOT_MOVED ? home : node;
    result = function(argument);
    pretended_node = fault == NOT_BACK ? node : home;
    if (fault == ERRNO_LOST)
        errno = 0;
    return fault == RESULT_LOST ? 0 : result;
}

#endif
