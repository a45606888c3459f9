/* SPDX-License-Identifier: GPL-2.0-or-later
 * IS with threads, as the NPB 3.3 version with buckets for OpenMP does it: a team over the cores of all nodes ranks the
 * keys together.  Keys are made and the result is checked at home.  Same keys, test values and checksum as `is`.
 * Arguments: class (S, W, A, B); threads (default: one per core of the machine). */
#include <is.h>
#include <team.h>

static int counts[TEAM_MAX][BUCKETS_MAX]; /* of each member: its keys by bucket, then where the next one goes */
static int owner[TEAM_MAX + 1];           /* each member ranks the buckets from its own to the next one's */
static int test_value[TESTS];

/* What changes from iteration to iteration. */
static void prepare(int iteration)
{
    keys[iteration] = iteration;
    keys[iteration + ITERATIONS] = key_values - iteration;
    for (int i = 0; i < TESTS; i++)
        test_value[i] = keys[problem->test[i].index];
}

/* From all members' counts: where each bucket ends, and whose it is, so that all have about as many keys. */
static void share_buckets(void)
{
    int before = 0, member = 1;

    owner[0] = 0;
    for (int b = 0; b < buckets; b++) {
        bucket_size[b] = 0;
        for (int t = 0; t < team_size; t++)
            bucket_size[b] += counts[t][b];
        before += bucket_size[b];
        bucket_end[b] = before;
        while (member < team_size && before >= (long)keys_total * member / team_size)
            owner[member++] = b + 1;
    }
    while (member <= team_size)
        owner[member++] = buckets;
}

static void count_own(int member, int first, int last, int shift)
{
    int *const mine = counts[member], *const key = keys;

    memset(mine, 0, buckets * sizeof *mine);
    for (int i = first; i < last; i++)
        mine[key[i] >> shift]++;
}

static void move_own(int member, int first, int last, int shift)
{
    int *const key = keys, *const sorted = bucketed;
    int next[BUCKETS_MAX];

    for (int b = 0; b < buckets; b++) {
        next[b] = bucket_end[b] - bucket_size[b];
        for (int t = 0; t < member; t++)
            next[b] += counts[t][b];
    }
    for (int i = first; i < last; i++)
        sorted[next[key[i] >> shift]++] = key[i];
}

/* The ranks of the values in this member's buckets. */
static void rank_own(int member, int shift)
{
    int *const count = ranks, *const sorted = bucketed;
    const int low = owner[member], high = owner[member + 1];
    const int first = low > 0 ? bucket_end[low - 1] : 0, last = high > 0 ? bucket_end[high - 1] : 0;
    int sum = first;

    for (int value = low << shift; value < high << shift; value++)
        count[value] = 0;
    for (int i = first; i < last; i++)
        count[sorted[i]]++;
    for (int value = low << shift; value < high << shift; value++)
        count[value] = sum += count[value];
}

static void rank_together(int member, int iteration)
{
    const int shift = problem->key_values_log2 - problem->buckets_log2;
    const int first = (long)keys_total * member / team_size, last = (long)keys_total * (member + 1) / team_size;

    if (member == 0)
        prepare(iteration);
    team_wait();
    count_own(member, first, last, shift);
    team_wait();
    if (member == 0)
        share_buckets();
    team_wait();
    move_own(member, first, last, shift);
    team_wait();
    rank_own(member, shift);
    team_wait();
    if (member == 0)
        verify_ranks(iteration, test_value);
}

static void rank_all(int member)
{
    if (current_node() != home)
        __atomic_add_fetch(&iterations_away, ITERATIONS, __ATOMIC_RELAXED);
    for (int iteration = 1; iteration <= ITERATIONS; iteration++) {
        if (member == 0)
            printf("        %d\n", iteration);
        rank_together(member, iteration);
    }
}

static void rank_first(int member)
{
    rank_together(member, 1);
}

int main(int argc, char **argv)
{
    int letter = argc > 1 ? toupper((unsigned char)argv[1][0]) : 'S';
    long threads = argc > 2 ? strtol(argv[2], NULL, 10) : team_cores();
    char size[16];

    if (argc > 3 || (argc > 1 && (argv[1][0] == '\0' || argv[1][1] != '\0')) || strchr("SWAB", letter) == NULL ||
        threads < 1 || threads > TEAM_MAX) {
        fprintf(stderr, "usage: is_threads [S|W|A|B] [1..%d threads]\n", TEAM_MAX);
        return 2;
    }
    home = current_node();
    for (problem = problems; problem->letter != letter; problem++)
        ;
    keys_total = 1 << problem->keys_log2;
    key_values = 1 << problem->key_values_log2;
    buckets = 1 << problem->buckets_log2;
    keys = npb_array(keys_total, sizeof *keys);
    bucketed = npb_array(keys_total, sizeof *bucketed);
    ranks = npb_array(key_values, sizeof *ranks);
    snprintf(size, sizeof size, "%d", keys_total);

    printf("\n\n NAS Parallel Benchmarks (NPB3.3-OMP) - IS Benchmark\n\n");
    printf(" Size:  %d  (class %c)\n Iterations:   %d\n Threads:  %ld\n", keys_total, letter, ITERATIONS, threads);
    make_keys();
    team_run(1, rank_first);
    tests_passed = 0;
    printf("\n   iteration\n");
    region_begin(NPB_TIMED);
    double start = npb_seconds();
    team_run(threads, rank_all);
    double time = npb_seconds() - start;
    region_end(NPB_TIMED);
    verify_order();
    return npb_report("IS", letter, size, ITERATIONS, time, (double)ITERATIONS * keys_total, "keys ranked",
                      tests_passed == TESTS * ITERATIONS + 1, iterations_away, checksum());
}
