/* SPDX-License-Identifier: GPL-2.0-or-later
 * Prints what its clocks show before and after some work.  Argument: "sleep" waits 1 ms between. */
#include <stdio.h>
#include <string.h>
#include <sys/times.h>
#include <time.h>

static volatile unsigned char byte[1 << 20];

static void show(void)
{
    static const clockid_t all[] = {
        CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};

    for (int i = 0; i < 4; i++) {
        struct timespec now;
        clock_gettime(all[i], &now);
        printf("%lld.%09ld ", (long long)now.tv_sec, now.tv_nsec);
    }
    struct tms used;
    long ticks = times(&used);
    printf("%ld %ld\n", ticks, (long)used.tms_utime);
}

int main(int argc, char **argv)
{
    show();
    for (int i = 0; i < 1 << 16; i++)
        byte[i * 331 % sizeof byte]++;
    show();
    if (argc > 1 && strcmp(argv[1], "sleep") == 0) {
        struct timespec wanted = {0, 1000000};
        nanosleep(&wanted, NULL);
        show();
    }
    return 0;
}
