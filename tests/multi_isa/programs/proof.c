/* SPDX-License-Identifier: GPL-2.0-or-later
 * What must work on both sides of a migration, in one program; under another kernel every call stays at home.  The
 * output is the same on every instruction set, also that of floating point. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <stramash.h>

enum { FAR = 1, NUMBERS = 200, THREADS = 4, ROUNDS = 500 };

struct operation {
    const char *name;
    long (*apply)(long, long);
};

static long add(long a, long b) { return a + b; }
static long multiply(long a, long b) { return a * b; }
static long keep(long a, long b) { return (void)b, a; }

static const struct operation operations[] = {{"add", add}, {"multiply", multiply}, {"keep", keep}};
static long (*chosen[3])(long, long) = {keep, add, multiply};
static _Thread_local int counted = 40;
static _Thread_local long sums[3];
static _Alignas(64) _Thread_local char line[64] = "aligned";
static int flag;
static struct { int first, second; } whole = {1, 2};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_key_t key;
static long total;
static pthread_t main_thread;
static jmp_buf back;

__attribute__((constructor)) static void before_main(void)
{
    flag = 7;
}

static int ascending(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static int next(void)
{
    static int calls;

    return ++calls;
}

static int other_next(void)
{
    static int calls = 100;

    return ++calls;
}

static void *sort(void *argument)
{
    qsort(argument, NUMBERS, sizeof(int), ascending);
    return argument;
}

static void *make_text(void *argument)
{
    char *text = realloc(argument, 300000);

    strcpy(text + 5, " far");
    errno = ERANGE;
    counted += 2;
    sums[1] = 11;
    return text;
}

static void *use_files(void *output)
{
    FILE *missing = fopen("/no/such/file", "r");

    fprintf(output, "open: %s\n", missing ? "found" : strerror(errno));
    pthread_setspecific(key, line);
    return (void *)(long)(pthread_self() == main_thread);
}

static void *jump(void *argument)
{
    if (setjmp(back) == 0)
        longjmp(back, (int)(long)argument);
    return (void *)-1; /* looks like an error of a system call, and is not one */
}

static void *compute(void *argument)
{
    double *x = argument;

    for (int i = 0; i < 4; i++)
        x[i] = x[i] * 3.0 + sin(x[i]) * exp(-x[i]) + pow(fabs(x[i]), 1.0 / 3.0) - log1p(x[i] * x[i]);
    return x;
}

static void *work(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        total += (long)argument;
        counted++;
        pthread_mutex_unlock(&lock);
    }
    return malloc(64);
}

static void *thread(void *argument)
{
    void *made = migrate_call(FAR, work, argument);

    pthread_barrier_wait(&barrier);
    pthread_mutex_lock(&lock);
    sums[0]--;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    free(made);
    return (void *)(long)counted;
}

static void *nested(void *depth)
{
    long n = (long)depth;

    return n ? (char *)migrate_call(n % 2, nested, (void *)(n - 1)) + n : 0;
}

static void at_end(void)
{
    puts("at exit");
}

static void *register_end(void *argument)
{
    return (void *)(long)atexit((void (*)(void))argument);
}

int main(int argc, char **argv)
{
    int numbers[NUMBERS];
    double x[4] = {0.1, 1.5, 2.25, 1e3};
    pthread_t threads[THREADS];
    char *text = malloc(20);
    long joined = 0;

    main_thread = pthread_self();
    pthread_key_create(&key, 0);
    pthread_barrier_init(&barrier, 0, THREADS);
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = i * 7919 % 1009;
    sort(migrate_call(FAR, sort, numbers));
    printf("sorted: %d %d %d\n", numbers[0], numbers[NUMBERS / 2], numbers[NUMBERS - 1]);
    strcpy(text, "hello");
    text = migrate_call(FAR, make_text, text);
    printf("text: %s, errno %d, counted %d, sums %ld\n", text, errno, counted, sums[1]);
    free(text);
    errno = 5;
    printf("self: %ld\n", (long)migrate_call(FAR, use_files, stdout));
    printf("errno of a failed open: %d\n", errno == ENOENT);
    printf("specific: %s\n", (char *)pthread_getspecific(key));
    printf("jump: %ld\n", (long)migrate_call(FAR, jump, (void *)3));
    for (volatile int i = 0; i < 3; i++)
        printf("%s: %ld, %ld\n", operations[i].name, operations[i].apply(6, 7), chosen[i](6, 7));
    compute(migrate_call(FAR, compute, x));
    printf("math: %.17g %.17g %.17g %.17g\n", x[0], x[1], x[2], x[3]);
    joined = next();
    joined += next() * 1000;
    printf("statics: %ld %d, flag %d, whole %d\n", joined, other_next(), flag, whole.second);
    joined = 0;
    sums[0] = THREADS;
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, thread, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(threads[i], &result);
        joined += (long)result;
    }
    printf("threads: total %ld, joined %ld, own %ld\n", total, joined, sums[0]);
    printf("nested: %ld\n", (long)migrate_call(FAR, nested, (void *)9));
    migrate_call(FAR, register_end, (void *)at_end);
    printf("arguments: %d %s, long double %.3Lf, year %d\n", argc, argv[argc - 1], 1.25L + argc, gmtime(&(time_t){0})->tm_year);
    return 3;
}
