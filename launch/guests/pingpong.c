/* SPDX-License-Identifier: GPL-2.0-or-later
 * Two programs, one on each of nodes 0 and 1, send each other inter-processor interrupts; node 0 prints the mean round
 * trip in virtual time.  Argument: number of rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <stramash.h>

enum { ROUNDS = 100 };

static const uint64_t patience_ns = 1000000000;

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : ROUNDS;
    int here = current_node(), there = 1 - here;
    long long start = now_ns();

    if (here < 0 || here > 1 || !node_available(there)) {
        fprintf(stderr, "pingpong: needs nodes 0 and 1 of a Stramash machine\n");
        return 2;
    }
    for (long i = 0; i < rounds; i++) {
        if (here == 0 && ipi_send(there, 0) != 0)
            return 3;
        if (ipi_wait(patience_ns) < 0) {
            perror("ipi_wait");
            return 4;
        }
        if (here == 1 && ipi_send(there, 0) != 0)
            return 3;
    }
    if (here == 0)
        printf("%ld round trips, %lld ns each\n", rounds, (now_ns() - start) / rounds);
    return 0;
}
