/* SPDX-License-Identifier: GPL-2.0-or-later
 * IS, the integer sort of the NAS Parallel Benchmarks 3.3 (serial, with buckets), written after their specification
 * (NAS report RNR-94-007): same keys, same ranking, same official test values.  Each timed ranking runs on another
 * node; the keys are made, sorted and checked at home, and the untimed first ranking stays there too.
 * Arguments: class (S, W, A, B); the node that ranks (default: the other one; "home" or -1: no migration). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <stramash.h>

enum { ITERATIONS = 10, TESTS = 5, BUCKETS_MAX = 1024, HOME = -1, TIMED = 1 };

/* x(k+1) = 5^13 x(k) modulo 2^46, from 314159265 on. */
static const uint64_t multiplier = 1220703125, first_seed = 314159265, seed_mask = (1ull << 46) - 1;

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

/* Whole pages: class A then has the paper's 16,896 of them, and no heap header moves the keys within their lines. */
static int *array_of(int count)
{
    int *array = mmap(NULL, count * sizeof *array, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (array == MAP_FAILED) {
        perror("is: mmap");
        exit(2);
    }
    return array;
}

/* A key is a quarter of the range times the sum of four random numbers below 1.  The numbers have 46 bits, so integers
 * give exactly what the published floating-point generator gives. */
static void make_keys(void)
{
    uint64_t seed = first_seed;
    int shift = 46 + 2 - problem->key_values_log2;

    for (int i = 0; i < keys_total; i++) {
        uint64_t sum = 0;

        for (int draw = 0; draw < 4; draw++)
            sum += seed = seed * multiplier & seed_mask;
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

/* What migrates.  Returns its argument, so that a call which did not happen is noticed. */
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

/* FNV-1a, a key at a time. */
static uint64_t checksum(void)
{
    uint64_t hash = 14695981039346656037ull;

    for (int i = 0; i < keys_total; i++)
        hash = (hash ^ (uint32_t)keys[i]) * 1099511628211ull;
    return hash;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* The ten timed rankings; what they took. */
static double rank_all(int target)
{
    region_begin(TIMED);
    double start = seconds();
    for (int iteration = 1; iteration <= ITERATIONS; iteration++) {
        printf("        %d\n", iteration);
        if (target == HOME) {
            rank(iteration);
        } else if (migrate_call(target, rank_there, &iteration) != &iteration) {
            perror("is: migrate_call");
            exit(2);
        }
    }
    double time = seconds() - start;
    region_end(TIMED);
    return time;
}

static int report(double time)
{
    int verified = tests_passed == TESTS * ITERATIONS + 1;

    printf("\n\n IS Benchmark Completed\n");
    printf(" Class           = %24c\n", problem->letter);
    printf(" Size            = %24d\n", keys_total);
    printf(" Iterations      = %24d\n", ITERATIONS);
    printf(" Time in seconds = %24.6f\n", time);
    printf(" Mop/s total     = %24.2f\n", time > 0 ? (double)ITERATIONS * keys_total / time / 1e6 : 0);
    printf(" Operation type  = %24s\n", "keys ranked");
    printf(" Verification    = %24s\n", verified ? "SUCCESSFUL" : "UNSUCCESSFUL");
    printf(" Version         = %24s\n", "3.3");
    printf(" Ranked away     = %24d\n", iterations_away);
    printf(" Checksum        =         %016llx\n", (unsigned long long)checksum());
    return verified ? 0 : 1;
}

static void usage(void)
{
    fprintf(stderr, "usage: is [S|W|A|B] [node|home]\n");
    exit(2);
}

static const struct problem *problem_of(const char *name)
{
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        if (toupper((unsigned char)name[0]) == problems[i].letter && name[1] == '\0')
            return &problems[i];
    usage();
    return NULL;
}

/* The node that ranks: as asked, or the first that is not this one, or none. */
static int target_of(const char *name)
{
    char *end;
    long node;

    if (name == NULL) {
        node = home == 0 ? 1 : 0;
        return node_available(node) ? node : HOME;
    }
    if (strcmp(name, "home") == 0)
        return HOME;
    node = strtol(name, &end, 10);
    if (end == name || *end != '\0' || node < HOME || node > 1 << 16)
        usage();
    if (node != HOME && !node_available(node)) {
        fprintf(stderr, "is: this machine has no node %ld to rank on\n", node);
        exit(2);
    }
    return node;
}

int main(int argc, char **argv)
{
    int target;

    if (argc > 3)
        usage();
    home = current_node();
    problem = problem_of(argc > 1 ? argv[1] : "S");
    target = target_of(argc > 2 ? argv[2] : NULL);
    keys_total = 1 << problem->keys_log2;
    key_values = 1 << problem->key_values_log2;
    buckets = 1 << problem->buckets_log2;
    keys = array_of(keys_total);
    bucketed = array_of(keys_total);
    ranks = array_of(key_values);

    printf("\n\n NAS Parallel Benchmarks (NPB3.3-SER) - IS Benchmark\n\n");
    printf(" Size:  %d  (class %c)\n Iterations:   %d\n", keys_total, problem->letter, ITERATIONS);
    make_keys();
    rank(1);
    tests_passed = 0;
    printf("\n   iteration\n");
    double time = rank_all(target);
    verify_order();
    return report(time);
}
