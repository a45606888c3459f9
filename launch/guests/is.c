/* SPDX-License-Identifier: GPL-2.0-or-later
 * IS, the integer sort of the NAS Parallel Benchmarks 3.3 (serial, with buckets), written after their specification
 * (NAS report RNR-94-007): same keys, same ranking, same official test values.  Each timed ranking runs on another
 * node; the keys are made, sorted and checked at home, and the untimed first ranking stays there too.
 * Arguments: class (S, W, A, B); the node that ranks (default: the other one; "home" or -1: no migration; "tour", the
 * default with more than two nodes: each in turn, the thread going from node to node). */
#include <npb.h>

enum { ITERATIONS = 10, TESTS = 5, BUCKETS_MAX = 1024 };

/* The rank of the key at `index` moves with the iteration, because each iteration changes two keys:
 * rank + direction * (iteration - delay). */
struct test {
    int index, rank, direction, delay;
};

struct problem {
    int letter, keys_log2, key_values_log2, buckets_log2;
    struct test test[TESTS];
};

static const struct problem problems[] = {
    {'S', 16, 11, 9,
     {{48427, 0, 1, 0}, {17148, 18, 1, 0}, {23627, 346, 1, 0}, {62548, 64917, -1, 0}, {4431, 65463, -1, 0}}},
    {'W', 20, 16, 10,
     {{357773, 1249, 1, 2},
      {934767, 11698, 1, 2},
      {875723, 1039987, -1, 0},
      {898999, 1043896, -1, 0},
      {404505, 1048018, -1, 0}}},
    {'A', 23, 19, 10,
     {{2112377, 104, 1, 1},
      {662041, 17523, 1, 1},
      {5336171, 123928, 1, 1},
      {3642833, 8288932, -1, 1},
      {4250760, 8388264, -1, 1}}},
    {'B', 25, 21, 10,
     {{41869, 33422937, -1, 0},
      {812306, 10244, 1, 0},
      {5102857, 59149, 1, 0},
      {18232239, 33135281, -1, 0},
      {26860214, 99, 1, 0}}},
};

static const struct problem *problem;
static int keys_total, key_values, buckets;
static int *keys;     /* keys_total of them */
static int *bucketed; /* the same keys, by bucket */
static int *ranks;    /* of every value a key can have: how many keys are not greater */
static int bucket_size[BUCKETS_MAX], bucket_end[BUCKETS_MAX];
static int tests_passed, home, iterations_away;

/* A key is a quarter of the range times the sum of four random numbers below 1.  The numbers have 46 bits, so integers
 * give exactly what the published floating-point generator gives. */
static void make_keys(void)
{
    uint64_t seed = 314159265;
    int shift = 46 + 2 - problem->key_values_log2;

    for (int i = 0; i < keys_total; i++) {
        uint64_t sum = 0;

        for (int draw = 0; draw < 4; draw++)
            sum += seed = seed * npb_multiplier & npb_mask;
        keys[i] = (int)(sum >> shift);
    }
}

/* Partial verification: are the test keys (their values before this ranking) where they should be? */
static void verify_ranks(int iteration, const int *value)
{
    for (int i = 0; i < TESTS; i++) {
        const struct test *test = &problem->test[i];

        if (value[i] <= 0 || value[i] >= keys_total)
            continue;
        if (ranks[value[i] - 1] == test->rank + test->direction * (iteration - test->delay))
            tests_passed++;
        else
            printf("Failed partial verification: iteration %d, test key %d\n", iteration, i);
    }
}

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

/* Sort by the last ranks, which this uses up; the keys must then ascend. */
static void verify_order(void)
{
    int descents = 0;

    for (int i = 0; i < keys_total; i++)
        keys[--ranks[bucketed[i]]] = bucketed[i];
    for (int i = 1; i < keys_total; i++)
        descents += keys[i - 1] > keys[i];
    if (descents == 0)
        tests_passed++;
    else
        printf("Full_verify: number of keys out of sort: %d\n", descents);
}

static uint64_t checksum(void)
{
    uint64_t hash = npb_hash_start;

    for (int i = 0; i < keys_total; i++)
        hash = npb_hash(hash, (uint32_t)keys[i]);
    return hash;
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
