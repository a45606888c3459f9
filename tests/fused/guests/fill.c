/* Takes memory until there is none, gives it back, and takes it again.

   fill NODE PIECE_KIB HOW: on that node, in pieces of that size.  In HOW, l: everything is taken
   first and touched afterwards, which is when an overcommitted machine would kill; r: the kernel
   touches it first, by reading into it; s: others take memory meanwhile, so that both rounds need
   not get as much. */
#include <stramash.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

static long piece_bytes;
static int zeroes;
static int lazy, reads, shared;

struct piece { struct piece *next; };

static void touch(char *at, long number)
{
	for (long i = 64; i < piece_bytes; i += 4096)
		*(long *)(at + i) = number ^ i;
}

static int holds(char *at, long number)
{
	for (long i = 64; i < piece_bytes; i += 4096)
		if (*(long *)(at + i) != (number ^ i))
			return 0;
	return 1;
}

static long fill(struct piece **all)
{
	long count = 0;
	for (;;) {
		struct piece *one = malloc(piece_bytes);
		if (!one)
			break;
		one->next = *all;
		*all = one;
		count++;
		if (reads && read(zeroes, one + 1, piece_bytes - sizeof *one) != piece_bytes - sizeof *one)
			exit(6);
		if (!lazy)
			touch((char *)one, count);
	}
	if (errno != ENOMEM)
		exit(3);
	long number = count;
	for (struct piece *one = *all; one && lazy; one = one->next)
		touch((char *)one, number--);
	return count;
}

/* KiB that /proc/meminfo says can still be promised. */
static long left(void)
{
	static char text[1024];
	int file = open("/proc/meminfo", O_RDONLY);
	read(file, text, sizeof text - 1);
	close(file);
	char *limit = strstr(text, "CommitLimit:"), *promised = strstr(text, "Committed_AS:");
	if (!limit || !promised)
		exit(7);
	return atol(limit + 12) - atol(promised + 13);
}

static void empty(struct piece *all, long count)
{
	while (all) {
		struct piece *one = all;
		all = one->next;
		if (!holds((char *)one, count--))
			exit(4);
		free(one);
	}
}

static void *rounds(void *unused)
{
	long counts[2];
	for (int round = 0; round < 2; round++) {
		struct piece *all = 0;
		counts[round] = fill(&all);
		if (!shared && left() > 2 * (piece_bytes >> 10) + 64)
			exit(8);
		empty(all, counts[round]);
	}
	if (shared)
		return (void *)counts[1];
	if (counts[0] == 0 || labs(counts[0] - counts[1]) > 2)
		exit(5);
	return (void *)counts[1];
}

int main(int argc, char **argv)
{
	int node = atoi(argv[1]);
	piece_bytes = atol(argv[2]) << 10;
	lazy = !!strchr(argv[3], 'l');
	if ((reads = !!strchr(argv[3], 'r')))
		zeroes = open("/dev/zero", O_RDONLY);
	shared = !!strchr(argv[3], 's');
	long count = node == current_node() ? (long)rounds(0) : (long)migrate_call(node, rounds, 0);
	printf("%ld KiB\n", count * (piece_bytes >> 10));
	return 0;
}
