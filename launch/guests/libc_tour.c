/* SPDX-License-Identifier: GPL-2.0-or-later
 * Walks through the C library (formatting, heap, sorting, mathematics, text, time, threads) and prints what it found;
 * the output depends on nothing but the C standard, so every ISA and every correct kernel prints the same. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NUMBERS = 1000, BLOCKS = 64 };

static _Thread_local int thread_value = 7;

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

static void sorting(void)
{
    static uint32_t numbers[NUMBERS];
    uint32_t state = 1, bad = 0;

    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = state = state * 1664525u + 1013904223u;
    qsort(numbers, NUMBERS, sizeof numbers[0], compare);
    for (int i = 1; i < NUMBERS; i++)
        bad += numbers[i - 1] > numbers[i];
    printf("qsort: least %u, greatest %u, out of order %u\n", numbers[0], numbers[NUMBERS - 1], bad);
}

static void heap(void)
{
    char *block[BLOCKS];
    unsigned long sum = 0;

    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(16u << (i % 12));
        memset(block[i], i, 16u << (i % 12));
    }
    for (int i = 0; i < BLOCKS; i += 2)
        free(block[i]);
    for (int i = 1; i < BLOCKS; i += 2) {
        block[i] = realloc(block[i], 32u << (i % 12));
        sum += (unsigned char)block[i][15];
        free(block[i]);
    }
    printf("heap: sum %lu\n", sum);
}

static void mathematics(void)
{
    double sum = 0;

    for (int i = 1; i <= 200; i++)
        sum += sin(i) * exp(-i / 50.0) + sqrt(i) / log(i + 1.0);
    printf("mathematics: %.12g, 2^0.5 %.17g, hypot %.3f\n", sum, pow(2, 0.5), hypot(3, 4));
}

static void text(void)
{
    char line[80];
    int day, year;

    snprintf(line, sizeof line, "%5d|%-5s|%#x|%e", 42, "ab", 255, 12345.678);
    printf("text: %s, length %zu\n", line, strlen(line));
    if (sscanf("day 24 of 2026", "day %d of %d", &day, &year) == 2)
        printf("sscanf: %d %d, strtol %ld\n", day, year, strtol("-0x7f", NULL, 16));
    errno = 0;
    if (fopen("/no/such/file", "r") == NULL)
        printf("fopen: %s\n", strerror(errno));
}

static void *in_thread(void *argument)
{
    thread_value += *(int *)argument;
    return (void *)(intptr_t)thread_value;
}

static void threads(void)
{
    pthread_t thread;
    void *result = NULL;
    int argument = 35;

    if (pthread_create(&thread, NULL, in_thread, &argument) == 0)
        pthread_join(thread, &result);
    printf("threads: there %d, here %d\n", (int)(intptr_t)result, thread_value);
}

int main(void)
{
    struct timespec before, after;

    clock_gettime(CLOCK_MONOTONIC, &before);
    sorting();
    heap();
    mathematics();
    text();
    threads();
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("clock: %s\n", after.tv_sec > before.tv_sec || after.tv_nsec > before.tv_nsec ? "advances" : "stands");
    return 0;
}
