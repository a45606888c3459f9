/* Calls work on the newest node there is, round after round; each call adds to shared data and leaves memory behind
 * that was allocated there.  What it prints does not depend on where the calls ran, but for the last line.
 * Argument: rounds; negative: as many on nodes that joined, after any number before, so that somebody may attach one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stramash.h>

enum { WORDS = 2048, BYTES = 40000, ROUNDS_MAX = 1000 };

static unsigned long data[WORDS];
static char *kept[ROUNDS_MAX];

static int newest(void)
{
    int node = 0;

    for (int other = 0; other < 16; other++)
        if (node_available(other))
            node = other;
    return node;
}

static void *work(void *argument)
{
    unsigned long round = (unsigned long)argument, sum = 0;

    for (int pass = 0; pass < 8; pass++)
        for (int i = 0; i < WORDS; i++) {
            data[i] += round;
            sum = sum * 31 + data[i];
        }
    kept[round] = malloc(BYTES);
    memset(kept[round], (int)round, BYTES);
    return (void *)sum;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 20, far = 0;
    int awaited = rounds < 0 ? -rounds : ROUNDS_MAX;
    unsigned long sum = 0, bytes = 0;

    if (rounds < 0)
        rounds = ROUNDS_MAX;
    for (long round = 0; round < rounds && far < awaited; round++) {
        int node = newest();

        far += node > 1;
        sum = sum * 31 + (unsigned long)migrate_call(node, work, (void *)round);
    }
    for (int round = 0; round < rounds && kept[round] != NULL; round++) {
        for (int i = 0; i < BYTES; i++)
            bytes += (unsigned char)kept[round][i];
        free(kept[round]);
    }
    printf("sum %lu, bytes %lu\n", sum, bytes);
    printf("%d rounds on nodes that joined\n", far);
    return 0;
}
