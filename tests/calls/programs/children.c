/* posix_spawn, waiting for children, environment and arguments of a new image; FP and counters along the way. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void note(int number)
{
	told = number;
}

int main(int count, char **arguments)
{
	char *child[] = { "again", "child", "3", 0 };
	char *killed[] = { "again", "killed", 0 };
	char *environment[] = { "COLOUR=green", 0 };
	int status;
	pid_t pid;

	setvbuf(stdout, 0, _IONBF, 0);
	if (count > 1 && !strcmp(arguments[1], "child")) {
		printf("child %s %s %s\n", arguments[0], arguments[2], getenv("COLOUR"));
		return atoi(arguments[2]);
	}
	if (count > 1) {
		raise(SIGKILL);
		return 1;
	}
	signal(SIGCHLD, note);
	printf("spawn %d\n", posix_spawn(&pid, "/proc/self/exe", 0, 0, child, environment));
	printf("wait %d\n", waitpid(pid, &status, 0) == pid);
	printf("status %d\n", WEXITSTATUS(status));
	printf("told %d\n", told == SIGCHLD);
	posix_spawn(&pid, "/proc/self/exe", 0, 0, killed, environment);
	printf("wait %d\n", wait(&status) == pid);
	printf("killed %d\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	printf("no child %d\n", wait(&status) == -1 && errno == ECHILD);
	printf("missing %d\n", posix_spawn(&pid, "/missing", 0, 0, child, environment) == ENOENT);
	execve("/proc/self/exe", child, environment);
	return 2;
}
