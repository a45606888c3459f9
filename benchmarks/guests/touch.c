/* SPDX-License-Identifier: GPL-2.0-or-later
 * Pages that go round: a thread writes a word of each on one node after the other.
 * Arguments: pages, rounds over all nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <stramash.h>

static volatile long *words;
static long pages;

static void *touch(void *argument)
{
    for (long page = 0; page < pages; page++)
        words[page * 512]++;
    return argument;
}

int main(int argc, char **argv)
{
    int nodes = 0, rounds;

    if (argc != 3)
        return 2;
    pages = atol(argv[1]);
    rounds = atoi(argv[2]);
    while (node_available(nodes))
        nodes++;
    words = (volatile long *)mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    region_begin(1);
    for (int turn = 0; turn < rounds * nodes; turn++)
        migrate_call(turn % nodes, touch, (void *)words);
    region_end(1);
    for (long page = 0; page < pages; page++)
        if (words[page * 512] != (long)rounds * nodes)
            return 1;
    printf("%d nodes, %ld pages, %d rounds\n", nodes, pages, rounds);
    return 0;
}
