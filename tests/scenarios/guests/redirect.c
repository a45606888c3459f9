/* SPDX-License-Identifier: GPL-2.0-or-later
 * Calls a function on node 1, three times, and says each time on which node it ran; before each call it waits. */
#include <stdio.h>
#include <time.h>
#include <stramash.h>

static void *where(void *unused)
{
    static int node;

    (void)unused;
    node = current_node();
    return &node;
}

int main(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 3; i++) {
        nanosleep(&pause, NULL);
        region_begin(1);
        printf("call %d ran on node %d\n", i, *(int *)migrate_call(1, where, NULL));
        region_end(1);
    }
    return 0;
}
