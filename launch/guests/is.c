/* SPDX-License-Identifier: GPL-2.0-or-later
 * IS, the integer sort of the NAS Parallel Benchmarks 3.3 (serial, with buckets), written after their specification
 * (NAS report RNR-94-007): same keys, same ranking, same official test values.  Each timed ranking runs on another
 * node; the keys are made, sorted and checked at home, and the untimed first ranking stays there too.
 * Arguments: class (S, W, A, B); the node that ranks (default: the other one; "home" or -1: no migration; "tour", the
 * default with more than two nodes: each in turn, the thread going from node to node). */
#include <is.h>

static void rank(int iteration)
{
    const int shift = problem->key_values_log2 - problem->buckets_log2;
    int *const key = keys, *const sorted = bucketed, *const count = ranks;
    int value[TESTS];

    key[iteration] = iteration;
    key[iteration + ITERATIONS] = key_values - iteration;
    for (int i = 0; i < TESTS; i++)
        value[i] = key[problem->test[i].index];

    memset(bucket_size, 0, sizeof bucket_size);
    for (int i = 0; i < keys_total; i++)
        bucket_size[key[i] >> shift]++;
    bucket_end[0] = 0;
    for (int i = 1; i < buckets; i++)
        bucket_end[i] = bucket_end[i - 1] + bucket_size[i - 1];
    for (int i = 0; i < keys_total; i++)
        sorted[bucket_end[key[i] >> shift]++] = key[i];

    memset(count, 0, key_values * sizeof *count);
    for (int i = 0; i < keys_total; i++)
        count[sorted[i]]++;
    for (int i = 1; i < key_values; i++)
        count[i] += count[i - 1];
    verify_ranks(iteration, value);
}

/* What migrates, as npb_work wants it. */
static void *rank_there(void *iteration)
{
    rank(*(const int *)iteration);
    iterations_away += current_node() != home;
    return iteration;
}

/* The ten timed rankings; what they took. */
static double rank_all(int target)
{
    region_begin(NPB_TIMED);
    double start = npb_seconds();
    for (int iteration = 1; iteration <= ITERATIONS; iteration++) {
        printf("        %d\n", iteration);
        npb_work(target, rank_there, &iteration);
    }
    double time = npb_seconds() - start;
    region_end(NPB_TIMED);
    return time;
}

int main(int argc, char **argv)
{
    struct npb_arguments given = npb_parse("is", argc, argv);
    char size[16];

    home = current_node();
    for (problem = problems; problem->letter != given.letter; problem++)
        ;
    keys_total = 1 << problem->keys_log2;
    key_values = 1 << problem->key_values_log2;
    buckets = 1 << problem->buckets_log2;
    keys = npb_array(keys_total, sizeof *keys);
    bucketed = npb_array(keys_total, sizeof *bucketed);
    ranks = npb_array(key_values, sizeof *ranks);
    snprintf(size, sizeof size, "%d", keys_total);

    printf("\n\n NAS Parallel Benchmarks (NPB3.3-SER) - IS Benchmark\n\n");
    printf(" Size:  %d  (class %c)\n Iterations:   %d\n", keys_total, problem->letter, ITERATIONS);
    make_keys();
    rank(1);
    tests_passed = 0;
    printf("\n   iteration\n");
    double time = rank_all(given.target);
    verify_order();
    return npb_report("IS", problem->letter, size, ITERATIONS, time, (double)ITERATIONS * keys_total, "keys ranked",
                      tests_passed == TESTS * ITERATIONS + 1, iterations_away, checksum());
}
