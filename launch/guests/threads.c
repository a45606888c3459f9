/* SPDX-License-Identifier: GPL-2.0-or-later
 * Several threads add to one counter under a mutex; the exit status is 0 when no addition was lost. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 16, THREADS = 4, ADDITIONS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;
static long additions = ADDITIONS;

static void *add(void *unused)
{
    (void)unused;
    for (long i = 0; i < additions; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? atol(argv[1]) : THREADS;
    pthread_t thread[THREADS_MAX];

    if (argc > 2)
        additions = atol(argv[2]);
    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: threads [1..%d] [additions]\n", THREADS_MAX);
        return 2;
    }
    for (long i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, add, NULL) != 0)
            return 3;
    for (long i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    printf("%ld threads, %ld additions each: counter %ld\n", threads, additions, counter);
    return counter == threads * additions ? 0 : 1;
}
