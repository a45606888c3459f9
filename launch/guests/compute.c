/* SPDX-License-Identifier: GPL-2.0-or-later
 * Runs for as many rounds as asked, over an array of as many KiB as asked: something to watch, to stop and to time. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
    unsigned long words = (argc > 2 ? strtoul(argv[2], NULL, 0) : 256) * 1024 / sizeof(unsigned long);
    unsigned long *word = calloc(words, sizeof *word);

    if (word == NULL || words == 0)
        return 2;
    for (unsigned long round = 0; round < rounds; round++)
        for (unsigned long i = 0; i < words; i++)
            word[i] += word[(i + 7 * round) % words] * 3 + i;
    printf("compute: %lu\n", word[words / 2]);
    free(word);
    return 0;
}
