/* SPDX-License-Identifier: GPL-2.0-or-later
 * One thread that reads, writes, maps, unmaps and prints, in an order that its seed decides.
 * Arguments: seed, steps. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stramash.h>
#include <sys/mman.h>

enum { BYTES = 3 << 20, AREAS = 4, PART = 7 };
static uint64_t state;
static unsigned char *area[AREAS];

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t step(void)
{
    unsigned char *at = area[next() % AREAS];
    uint64_t from = next() % BYTES, length = next() % 20000, stride = 1 + next() % 200, sum = 0;

    switch (next() % 5) {
    case 0:
        for (uint64_t i = 0; i < length; i++)
            sum += at[(from + i * stride) % BYTES];
        return sum;
    case 1:
        for (uint64_t i = 0; i < length; i++)
            at[(from + i * stride) % BYTES] += i;
        return length;
    case 2:
        for (uint64_t i = 0; i < length / 4; i++)
            sum += at[next() % BYTES]++;
        return sum;
    case 3:
        memmove(at + from / 2, at + from / 3, length);
        return at[from / 2];
    default:
        return __atomic_add_fetch((uint64_t *)at + from / 8, length, __ATOMIC_SEQ_CST);
    }
}

int main(int argc, char **argv)
{
    int steps = argc > 2 ? atoi(argv[2]) : 100;
    uint64_t hash = 0;

    state = 0x9e3779b97f4a7c15u + (argc > 1 ? atoi(argv[1]) : 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < AREAS; i++)
            area[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        region_begin(PART);
        for (int i = 0; i < steps; i++)
            hash = hash * 31 + step();
        region_end(PART);
        printf("round %d: %016llx\n", round, (unsigned long long)hash);
        for (int i = 0; i < AREAS; i++)
            munmap(area[i], BYTES);
    }
    return 0;
}
