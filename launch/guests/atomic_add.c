/* SPDX-License-Identifier: GPL-2.0-or-later
 * Programs on several nodes map /dev/shm/counter, start together, and add to one word with an atomic instruction each
 * of its own ISA; the last one to finish checks the sum.  Arguments: how many programs take part, additions each. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <stramash.h>

enum { PARTICIPANTS = 2, ADDITIONS = 100000 };

struct shared { /* one cache line each, but for nothing else */
    _Alignas(64) unsigned long arrived;
    _Alignas(64) unsigned long counter;
    _Alignas(64) unsigned long finished;
};

int main(int argc, char **argv)
{
    unsigned long participants = argc > 1 ? strtoul(argv[1], NULL, 0) : PARTICIPANTS;
    unsigned long additions = argc > 2 ? strtoul(argv[2], NULL, 0) : ADDITIONS;
    int file = shm_open("/counter", O_RDWR | O_CREAT, 0600);

    if (file < 0 || ftruncate(file, sizeof(struct shared)) != 0) {
        perror("shm_open /counter");
        return 2;
    }
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    __atomic_fetch_add(&shared->arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&shared->arrived, __ATOMIC_ACQUIRE) < participants)
        ;
    for (unsigned long i = 0; i < additions; i++)
        __atomic_fetch_add(&shared->counter, 1, __ATOMIC_SEQ_CST);
    if (__atomic_add_fetch(&shared->finished, 1, __ATOMIC_SEQ_CST) < participants) {
        printf("node %d: %lu additions done\n", current_node(), additions);
        return 0;
    }
    unsigned long sum = __atomic_load_n(&shared->counter, __ATOMIC_SEQ_CST);
    printf("node %d: %lu additions done, last: sum %lu of %lu\n", current_node(), additions, sum,
           participants * additions);
    return sum == participants * additions ? 0 : 1;
}
