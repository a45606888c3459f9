/* SPDX-License-Identifier: GPL-2.0-or-later
 * Two regions of one label back to back, inside one of another label; work at home, then on the next node.
 * Arguments: rounds of work; with a second one, having been away is a failure. */
#include <stdio.h>
#include <stdlib.h>
#include <stramash.h>

enum { WORDS = 8192, PARTS = 1, WHOLE = 2 };
static unsigned word[WORDS];
static int ran_on;

static void *add(void *times)
{
    for (int round = 0; round < *(int *)times; round++)
        for (int i = 0; i < WORDS; i++)
            word[i] += word[(i * 17 + round) % WORDS] + i;
    ran_on = current_node();
    return times;
}

int main(int argc, char **argv)
{
    int times = argc > 1 ? atoi(argv[1]) : 2;
    int other = node_available(1) ? 1 - current_node() : current_node();

    add(&times);
    region_begin(WHOLE);
    region_begin(PARTS);
    add(&times);
    region_begin(PARTS); /* ends the first one */
    migrate_call(other, add, &times);
    region_end(PARTS);
    region_end(WHOLE);
    printf("%u\n", word[WORDS - 1]);
    return argc > 2 && ran_on != current_node() ? 4 : 0;
}
