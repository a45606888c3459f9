/* SPDX-License-Identifier: GPL-2.0-or-later
 * Programs on several nodes take one spin lock again and again; the last one checks that no addition was lost.
 * Arguments: how many programs take part, how often each takes the lock. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared { /* one cache line each */
    _Alignas(64) unsigned long arrived;
    _Alignas(64) unsigned long lock;
    _Alignas(64) unsigned long counter;
    _Alignas(64) unsigned long finished;
};

int main(int argc, char **argv)
{
    unsigned long participants = argc > 1 ? strtoul(argv[1], NULL, 0) : 2;
    unsigned long times = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;
    int file = shm_open("/lock", O_RDWR | O_CREAT, 0600);

    if (file < 0 || ftruncate(file, sizeof(struct shared)) != 0)
        return 2;
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED)
        return 3;
    __atomic_fetch_add(&shared->arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&shared->arrived, __ATOMIC_ACQUIRE) < participants)
        ;
    for (unsigned long i = 0; i < times; i++) {
        while (__atomic_exchange_n(&shared->lock, 1, __ATOMIC_ACQUIRE))
            ;
        shared->counter++;
        __atomic_store_n(&shared->lock, 0, __ATOMIC_RELEASE);
    }
    if (__atomic_add_fetch(&shared->finished, 1, __ATOMIC_SEQ_CST) < participants)
        return 0;
    printf("counter %lu\n", shared->counter);
    return shared->counter == participants * times ? 0 : 1;
}
