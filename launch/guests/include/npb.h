/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernels of the NAS Parallel Benchmarks (NAS report RNR-94-007; official values of NPB 3.3) have in common
 * here: arguments, random numbers, arrays of whole pages, where the work is done, and the report.
 */
#ifndef NPB_H
#define NPB_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <stramash.h>

enum { NPB_HOME = -1, NPB_TOUR = -2, NPB_TIMED = 1 }; /* no migration; all nodes in turn; the timed region */

/* x(k+1) = a x(k) modulo 2^46; the numbers are x(k) 2^-46.  Integers give exactly what the published floating-point
 * generator gives. */
static const uint64_t npb_multiplier = 1220703125, npb_mask = (1ull << 46) - 1;

static inline double npb_random(uint64_t *seed, uint64_t multiplier)
{
    *seed = *seed * multiplier & npb_mask;
    return (double)*seed * 0x1p-46;
}

/* multiplier^exponent modulo 2^46. */
static inline uint64_t npb_power(uint64_t multiplier, uint64_t exponent)
{
    uint64_t result = 1;

    for (; exponent; exponent >>= 1, multiplier = multiplier * multiplier & npb_mask)
        if (exponent & 1)
            result = result * multiplier & npb_mask;
    return result;
}

/* Zeroed whole pages, so that footprints are the paper's and no heap header moves data within their lines. */
static inline void *npb_array(size_t count, size_t size)
{
    void *array = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (array == MAP_FAILED) {
        perror("npb: mmap");
        exit(2);
    }
    return array;
}

/* FNV-1a over the bit patterns of results: equal on every node and under every operating system. */
static const uint64_t npb_hash_start = 14695981039346656037ull;

static inline uint64_t npb_hash(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * 1099511628211ull;
}

static inline uint64_t npb_hash_double(uint64_t hash, double value)
{
    uint64_t word;

    memcpy(&word, &value, sizeof word);
    return npb_hash(hash, word);
}

static inline double npb_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Arguments: problem class, and the node that does the work. */
struct npb_arguments {
    int letter; /* of the class, a capital */
    int target; /* node, NPB_HOME or NPB_TOUR */
};

static inline void npb_usage(const char *name)
{
    fprintf(stderr, "usage: %s [S|W|A|B] [node|home|tour]\n", name);
    exit(2);
}

/* The node that works: as asked, or the other one, or none; with more than two, all in turn. */
static inline int npb_target(const char *name, const char *asked)
{
    int home = current_node();
    char *end;
    long node;

    if (asked == NULL) {
        node = home == 0 ? 1 : 0;
        return node_available(2) ? NPB_TOUR : node_available(node) ? node : NPB_HOME;
    }
    if (strcmp(asked, "tour") == 0)
        return NPB_TOUR;
    if (strcmp(asked, "home") == 0)
        return NPB_HOME;
    node = strtol(asked, &end, 10);
    if (end == asked || *end != '\0' || node < NPB_HOME || node > 1 << 16)
        npb_usage(name);
    if (node != NPB_HOME && !node_available(node)) {
        fprintf(stderr, "%s: this machine has no node %ld to work on\n", name, node);
        exit(2);
    }
    return node;
}

static inline struct npb_arguments npb_parse(const char *name, int argc, char **argv)
{
    struct npb_arguments given = {'S', NPB_HOME};

    if (argc > 3 || (argc > 1 && (argv[1][0] == '\0' || argv[1][1] != '\0')))
        npb_usage(name);
    if (argc > 1)
        given.letter = toupper((unsigned char)argv[1][0]);
    if (strchr("SWAB", given.letter) == NULL)
        npb_usage(name);
    given.target = npb_target(name, argc > 2 ? argv[2] : NULL);
    return given;
}

/* A thread on its way around the machine: `hops` nodes on, then function(argument). */
struct npb_way {
    void *(*function)(void *);
    void *argument;
    int hops;
};

static void *npb_go_on(void *data)
{
    struct npb_way *way = data;
    int next = current_node() + 1;

    if (way->hops-- == 0)
        return way->function(way->argument);
    return migrate_call(node_available(next) ? next : 0, npb_go_on, way);
}

/* One node further at each call, each time from node to node: the next, the one behind it, ..., home again. */
static inline void *npb_tour(void *(*function)(void *), void *argument)
{
    static int hops;
    struct npb_way way = {function, argument, 0};

    hops = node_available(hops) ? hops + 1 : 1;
    way.hops = hops;
    return npb_go_on(&way);
}

/* function(argument) on the node that works, or here.  It returns its argument, so that a call which did not happen is
 * noticed. */
static inline void npb_work(int target, void *(*function)(void *), void *argument)
{
    void *result = target == NPB_HOME   ? function(argument)
                   : target == NPB_TOUR ? npb_tour(function, argument)
                                        : migrate_call(target, function, argument);

    if (result != argument) {
        perror("npb: migrate_call");
        exit(2);
    }
}

/* As npb_work, for a timed part that is one call; what it took. */
static inline double npb_timed_work(int target, void *(*function)(void *), void *argument)
{
    region_begin(NPB_TIMED);
    double start = npb_seconds();
    npb_work(target, function, argument);
    double time = npb_seconds() - start;
    region_end(NPB_TIMED);
    return time;
}

/* The official report.  size: as the benchmark prints it.  Returns the exit status. */
static inline int npb_report(const char *name, int letter, const char *size, int iterations, double time,
                             double operations, const char *kind, int verified, int calls_away, uint64_t checksum)
{
    printf("\n\n %s Benchmark Completed\n", name);
    printf(" Class           = %24c\n", letter);
    printf(" Size            = %24s\n", size);
    printf(" Iterations      = %24d\n", iterations);
    printf(" Time in seconds = %24.6f\n", time);
    printf(" Mop/s total     = %24.2f\n", time > 0 ? operations / time / 1e6 : 0);
    printf(" Operation type  = %24s\n", kind);
    printf(" Verification    = %24s\n", verified ? "SUCCESSFUL" : "UNSUCCESSFUL");
    printf(" Version         = %24s\n", "3.3");
    printf(" Calls away      = %24d\n", calls_away);
    printf(" Checksum        =         %016llx\n", (unsigned long long)checksum);
    return verified ? 0 : 1;
}

#endif
