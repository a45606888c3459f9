/* Handlers with siginfo, an alternate stack, jumps out of handlers, restarted calls, floating-point state, masks. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile sig_atomic_t seen, pipe_end, on_stack;
static volatile double noise;
static char stack[65536];
static void *expected;

static void fault(int number, siginfo_t *info, void *context)
{
	char here;
	on_stack = &here >= stack && &here < stack + sizeof stack;
	printf("fault %d code %d expected address %d on stack %d\n", number,
	       number == SIGILL ? 0 : info->si_code, !expected || info->si_addr == expected, on_stack);
	siglongjmp(back, 1);
}

static void note(int number)
{
	noise = noise * 3.5 + number;
	seen++;
	if (pipe_end)
		write(pipe_end, "x", 1);
}

static void set(int number, void *handler, int flags)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = handler;
	action.sa_flags = flags;
	sigaction(number, &action, 0);
}

int main(void)
{
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
	int ends[2];
	char byte;
	sigset_t block, none, old;
	struct itimerval timer = { { 0, 0 }, { 0, 2000 } };
	struct timespec second = { 1, 0 };
	siginfo_t info;

	setvbuf(stdout, 0, _IOLBF, 0);
	sigaltstack(&alternate, 0);
	set(SIGSEGV, fault, SA_SIGINFO | SA_ONSTACK);
	set(SIGBUS, fault, SA_SIGINFO | SA_ONSTACK);
	expected = (void *)0x1234;
	if (!sigsetjmp(back, 1))
		*(volatile int *)0x1234 = 1;
	char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expected = page;
	if (!sigsetjmp(back, 1))
		*(volatile char *)page = 1;
	set(SIGILL, fault, SA_SIGINFO);
	expected = 0;
	if (!sigsetjmp(back, 1)) {
#ifdef __x86_64__
		__asm__ volatile("ud2");
#else
		__asm__ volatile(".word 0");
#endif
	}

	/* raise: the floating-point registers of the interrupted code survive the handler */
	set(SIGUSR1, note, 0);
	double value = 1.25;
	for (int i = 0; i < 3; i++) {
		value = value * 1.5;
		raise(SIGUSR1);
	}
	printf("seen %d value %g\n", seen, value);

	/* a blocked signal waits; unblocking delivers it once */
	sigemptyset(&block);
	sigemptyset(&none);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, &old);
	raise(SIGUSR1);
	raise(SIGUSR1);
	printf("blocked %d\n", seen);
	sigprocmask(SIG_SETMASK, &old, 0);
	printf("unblocked %d\n", seen);

	/* SA_RESTART: the read goes on; without it: EINTR */
	pipe(ends);
	pipe_end = ends[1];
	set(SIGALRM, note, SA_RESTART);
	setitimer(ITIMER_REAL, &timer, 0);
	int got = read(ends[0], &byte, 1);
	printf("restarted read %d\n", got);
	pipe_end = 0;
	set(SIGALRM, note, 0);
	setitimer(ITIMER_REAL, &timer, 0);
	got = read(ends[0], &byte, 1);
	printf("interrupted read %d %d\n", got, errno == EINTR);
	setitimer(ITIMER_REAL, &timer, 0);
	got = nanosleep(&second, &second);
	printf("interrupted sleep %d %d left %d\n", got, errno == EINTR, second.tv_nsec > 900000000);

	/* sigsuspend lets a blocked signal in */
	sigprocmask(SIG_BLOCK, &block, 0);
	raise(SIGUSR1);
	int before = seen;
	sigsuspend(&none);
	printf("suspended %d errno %d\n", seen - before, errno == EINTR);
	raise(SIGUSR1);
	printf("waited for %d\n", sigwaitinfo(&block, &info) == SIGUSR1);
	timer.it_value.tv_usec = 1000;
	second.tv_sec = 0;
	second.tv_nsec = 1000000;
	printf("timed wait %d\n", sigtimedwait(&block, &info, &second) == -1 && errno == EAGAIN);
	set(SIGUSR2, note, SA_RESETHAND);
	raise(SIGUSR2);
	struct sigaction now;
	sigaction(SIGUSR2, 0, &now);
	printf("reset %d\n", now.sa_handler == SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	close(ends[0]);
	printf("broken pipe %d\n", write(ends[1], "y", 1) == -1 && errno == EPIPE);
	fflush(stdout);
	abort();
}
