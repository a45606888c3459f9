/* SPDX-License-Identifier: GPL-2.0-or-later
 * Says where it runs, and adds up a small array: the first program to try. */
#include <stdio.h>
#include <stramash.h>

#if defined(__x86_64__)
#define ISA "x86-64"
#elif defined(__aarch64__)
#define ISA "AArch64"
#else
#define ISA "RISC-V"
#endif

enum { WORDS = 4096 };

static unsigned long words[WORDS];

int main(int argc, char **argv)
{
    unsigned long sum = 0;

    for (unsigned long i = 0; i < WORDS; i++)
        words[i] = i * i;
    for (unsigned long i = 0; i < WORDS; i++)
        sum += words[i];
    printf("hello from node %d, %s: sum of squares %lu\n", current_node(), ISA, sum);
    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    return 0;
}
