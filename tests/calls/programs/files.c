/* Files, folders, pipes and waiting for them; prints what does not depend on the host. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int ends[2];

static void *later(void *argument)
{
	struct timespec pause = { 0, 300000 };
	nanosleep(&pause, 0);
	write(ends[1], argument, strlen(argument));
	return 0;
}

static void names(void)
{
	struct stat status;
	char buffer[64];

	printf("mkdir %d\n", mkdir("folder", 0750));
	printf("again %d\n", mkdir("folder", 0750) == -1 && errno == EEXIST);
	int fd = open("folder/file", O_CREAT | O_RDWR | O_EXCL, 0640);
	printf("write %d\n", (int)write(fd, "hello world\n", 12));
	printf("exclusive %d\n", open("folder/file", O_CREAT | O_EXCL, 0600) == -1 && errno == EEXIST);
	fstat(fd, &status);
	printf("size %d mode %o links %d\n", (int)status.st_size, status.st_mode, (int)status.st_nlink);
	printf("seek %d\n", (int)lseek(fd, 6, SEEK_SET));
	printf("read %d\n", (int)read(fd, buffer, 64));
	pread(fd, buffer, 5, 0);
	printf("pread %.5s\n", buffer);
	ftruncate(fd, 5);
	printf("end %d\n", (int)lseek(fd, 0, SEEK_END));
	struct iovec vector[2] = { { "ab", 2 }, { "cde", 3 } };
	printf("writev %d\n", (int)writev(fd, vector, 2));
	close(fd);
	printf("closed %d\n", close(fd) == -1 && errno == EBADF);
	printf("symlink %d\n", symlink("/folder/file", "absolute"));
	symlink("folder/file", "relative");
	symlink("loop", "loop");
	printf("loop %d\n", open("loop", O_RDONLY) == -1 && errno == ELOOP);
	int length = readlink("relative", buffer, 64);
	printf("readlink %d %.*s\n", length, length, buffer);
	stat("relative", &status);
	printf("through link %d\n", (int)status.st_size);
	lstat("relative", &status);
	printf("link %d %d\n", S_ISLNK(status.st_mode), (int)status.st_size);
	printf("nofollow %d\n", open("relative", O_NOFOLLOW | O_RDONLY) == -1 && errno == ELOOP);
	printf("link %d\n", link("folder/file", "hard"));
	printf("rename %d\n", rename("hard", "folder/zz"));
	printf("directory %d\n", open("folder/zz", O_DIRECTORY) == -1 && errno == ENOTDIR);
	DIR *folder = opendir("folder");
	int found = 0;
	for (struct dirent *entry; (entry = readdir(folder));)
		found += entry->d_name[0];
	closedir(folder);
	printf("entries %d\n", found);
	printf("not empty %d\n", rmdir("folder") == -1 && errno == ENOTEMPTY);
	printf("access %d %d\n", access("folder/zz", R_OK), access("nothing", F_OK) == -1 && errno == ENOENT);
	printf("unlink %d\n", unlink("folder/zz"));
	printf("unlinked %d\n", unlink("folder/zz") == -1 && errno == ENOENT);
	printf("file as folder %d\n", open("folder/file/x", O_RDONLY) == -1 && errno == ENOTDIR);
	chdir("folder");
	printf("relative %d\n", access("file", F_OK));
	chdir("..");
}

static void waiting(void)
{
	struct pollfd one = { 0 };
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 77 }, got;
	pthread_t thread;
	char buffer[16];
	fd_set set;
	struct timeval none = { 0, 1000 };
	int ready;

	pipe2(ends, O_CLOEXEC);
	one.fd = ends[0];
	one.events = POLLIN;
	printf("poll nothing %d\n", poll(&one, 1, 1));
	pthread_create(&thread, 0, later, "abc");
	ready = poll(&one, 1, -1);
	printf("poll %d %d\n", ready, one.revents);
	printf("read %d\n", (int)read(ends[0], buffer, 16));
	pthread_join(thread, 0);
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	printf("select nothing %d\n", select(ends[0] + 1, &set, 0, 0, &none));
	int epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
	printf("epoll nothing %d\n", epoll_wait(epoll, &got, 1, 0));
	pthread_create(&thread, 0, later, "de");
	ready = epoll_wait(epoll, &got, 1, -1);
	printf("epoll %d %d\n", ready, (int)got.data.u64);
	pthread_join(thread, 0);
	int waiting = 0;
	ioctl(ends[0], FIONREAD, &waiting);
	printf("waiting %d\n", waiting);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	read(ends[0], buffer, 16);
	printf("again %d\n", read(ends[0], buffer, 1) == -1 && errno == EAGAIN);
	close(ends[1]);
	printf("end %d\n", (int)read(ends[0], buffer, 1));
	one.events = POLLIN;
	printf("hang up %d\n", poll(&one, 1, 0) == 1 && one.revents & POLLHUP);
	int counter = eventfd(3, 0);
	unsigned long value = 4;
	write(counter, &value, 8);
	read(counter, &value, 8);
	printf("eventfd %lu\n", value);
	int copy = dup(counter);
	printf("dup %d\n", copy > counter);
	printf("dup2 %d\n", dup2(copy, 50));
}

static void mapped(void)
{
	int fd = open("mapped", O_CREAT | O_RDWR, 0600);
	ftruncate(fd, 8192);
	char *shared = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
	char buffer[8];
	strcpy(shared + 100, "shared");
	msync(shared, 8192, MS_SYNC);
	pread(fd, buffer, 7, 100);
	private[0] = 'p';
	printf("mapped %s %d\n", buffer, pread(fd, buffer, 1, 4096) == 1 && !buffer[0]);
	munmap(shared, 8192);
	close(fd);
	int window = shm_open("/stramash-test", O_CREAT | O_RDWR, 0600);
	ftruncate(window, 10000);
	long *first = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0);
	long *second = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0);
	first[600] = 42;
	printf("window %ld\n", second[600]);
	shm_unlink("/stramash-test");
	printf("gone %d\n", shm_open("/stramash-test", O_RDWR, 0) == -1 && errno == ENOENT);
	fd = open("/dev/zero", O_RDONLY);
	printf("zero %d\n", (int)read(fd, buffer, 8));
	printf("byte %d\n", buffer[3]);
	fd = open("/dev/full", O_WRONLY);
	printf("full %d\n", write(fd, "x", 1) == -1 && errno == ENOSPC);
}

int main(void)
{
	names();
	waiting();
	mapped();
	return 0;
}
