/* SPDX-License-Identifier: GPL-2.0-or-later
 * A parallel reduction: threads on all cores of all nodes change and add up parts of one array, then each other's sums,
 * pair by pair.  Arguments: threads (default: one per core), words (default 16384), rounds (default 64).  Exit status 0:
 * the sum is right, and every thread was on its node. */
#include <stdint.h>
#include <team.h>

enum { WORDS = 1 << 14, WORDS_MAX = 1 << 26, ROUNDS = 64, ROUNDS_MAX = 1 << 20, TIMED = 1, LINE = 64 };

static uint64_t *words;
static long count = WORDS, rounds = ROUNDS;

/* Each sum in its own line: members write theirs at the same time. */
static struct sum {
    _Alignas(LINE) uint64_t value;
} sums[TEAM_MAX];

static uint64_t expected(void)
{
    uint64_t n = count, r = rounds;

    return r * (n * (n - 1) / 2) + n * (r * (r + 1) / 2);
}

/* Every round adds 1 to each word of the member's part, and the words to its sum. */
static void reduce(int member)
{
    const long first = count * member / team_size, last = count * (member + 1) / team_size;
    uint64_t sum = 0;

    for (long round = 0; round < rounds; round++)
        for (long i = first; i < last; i++)
            sum += ++words[i];
    sums[member].value = sum;
    for (int step = 1; step < team_size; step *= 2) {
        team_wait();
        if (member % (2 * step) == 0 && member + step < team_size)
            sums[member].value += sums[member + step].value;
    }
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? strtol(argv[1], NULL, 10) : team_cores();

    if (argc > 2)
        count = strtol(argv[2], NULL, 10);
    if (argc > 3)
        rounds = strtol(argv[3], NULL, 10);
    if (argc > 4 || threads < 1 || threads > TEAM_MAX || count < 1 || count > WORDS_MAX || rounds < 1 ||
        rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: reduce [1..%d threads] [1..%d words] [1..%d rounds]\n", TEAM_MAX, WORDS_MAX,
                ROUNDS_MAX);
        return 2;
    }
    words = malloc(count * sizeof *words);
    if (words == NULL)
        return 3;
    for (long i = 0; i < count; i++)
        words[i] = i;
    region_begin(TIMED);
    team_run(threads, reduce);
    region_end(TIMED);
    printf("%ld threads, %ld rounds over %ld words: sum %llu\n", threads, rounds, count,
           (unsigned long long)sums[0].value);
    return sums[0].value != expected();
}
