/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Does one wrong thing, named by its first argument; the functions keep their names in the symbol table.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, used))

static const int constant = 7;
static volatile int sink;

KEEP int jump_to_garbage(void)
{
    ((void (*)(void))0x123456780UL)();
    return 1;
}

KEEP int dereference_null(void)
{
    return *(volatile int *)(sink ? &sink : NULL);
}

KEEP int write_to_constant(void)
{
    *(volatile int *)&constant = 8;
    return 1;
}

KEEP int write_to_code(void)
{
    *(volatile char *)write_to_constant = 0;
    return 1;
}

KEEP int recurse(int depth)
{
    volatile char room[4096];
    room[depth % 4096] = 1;
    return recurse(depth + 1) + room[0];
}

KEEP int illegal_instruction(void)
{
#ifdef __x86_64__
    __asm__ volatile("ud2");
#else
    __asm__ volatile("udf #7");
#endif
    return 1;
}

KEEP int privileged_instruction(void)
{
#ifdef __x86_64__
    __asm__ volatile("hlt");
#else
    __asm__ volatile("mrs x0, sctlr_el1" ::: "x0");
#endif
    return 1;
}

KEEP int divide_by_zero(void)
{
    volatile int zero = 0;
    return 5 / zero;
}

KEEP int read_file(const char *path)
{
    char line[64] = "";
    int file = open(path, O_RDONLY);
    if (file < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return 3;
    }
    ssize_t got = read(file, line, sizeof line - 1);
    printf("%s: read %.*s\n", path, (int)strcspn(line, "\n"), line);
    return got < 0;
}

KEEP int ask_for_a_tebibyte(void)
{
    char *volatile room = malloc(1UL << 40);
    printf("1 TiB: %s\n", room == NULL ? strerror(errno) : "given");
    room = malloc(1 << 20);
    memset(room, 1, 1 << 20);
    printf("1 MiB: %d\n", room[12345]);
    return 4;
}

KEEP int loop_for_ever(void)
{
    puts("looping");
    fflush(stdout);
    for (;;)
        sink = sink * 3 + 1;
}

KEEP int flood(const char *mebibytes)
{
    size_t size = strtoul(mebibytes, NULL, 10) << 20;
    char *bytes = calloc(size, 1);
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(1, bytes + done, size - done);
        if (wrote < 0)
            return 1;
        done += wrote;
    }
    return 5;
}

KEEP int wait_for_ever(void)
{
    static int word;
    puts("waiting");
    fflush(stdout);
    return (int)syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0);
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
#define DOES(name, call) if (strcmp(what, name) == 0) return call
    DOES("jump", jump_to_garbage());
    DOES("null", dereference_null());
    DOES("constant", write_to_constant());
    DOES("code", write_to_code());
    DOES("recurse", recurse(0));
    DOES("illegal", illegal_instruction());
    DOES("privileged", privileged_instruction());
    DOES("divide", divide_by_zero());
    DOES("abort", (abort(), 1));
    DOES("read", read_file(words[2]));
    DOES("big", ask_for_a_tebibyte());
    DOES("loop", loop_for_ever());
    DOES("flood", flood(words[2]));
    DOES("wait", wait_for_ever());
    return 2;
}
