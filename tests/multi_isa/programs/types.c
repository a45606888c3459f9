/* SPDX-License-Identifier: GPL-2.0-or-later
 * Sizes and places that data shared by instruction sets relies on: constants, compared in the compiler's output. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <wchar.h>

struct bits { unsigned a : 3; long b : 40; char c; unsigned short d : 9; };
struct jump { char before; jmp_buf buffer; int after; };

#define SIZE(name, type) const unsigned long size_##name = sizeof(type) * 1000 + _Alignof(type);
#define PLACE(name, type, field) const unsigned long place_##name = offsetof(type, field);

SIZE(char_is_signed, char[(char)-1 < 0 ? 2 : 1])
SIZE(short, short) SIZE(int, int) SIZE(long, long) SIZE(pointer, void *) SIZE(size_t, size_t)
SIZE(long_double, long double) SIZE(int128, __int128) SIZE(max_align, max_align_t) SIZE(wchar, wchar_t)
SIZE(fast16, int_fast16_t) SIZE(intmax, intmax_t) SIZE(time, time_t) SIZE(off, off_t) SIZE(mode, mode_t)
SIZE(bits, struct bits) SIZE(file_position, fpos_t)
SIZE(mutex, pthread_mutex_t) SIZE(condition, pthread_cond_t) SIZE(barrier, pthread_barrier_t)
SIZE(read_write_lock, pthread_rwlock_t) SIZE(spin, pthread_spinlock_t) SIZE(once, pthread_once_t)
SIZE(key, pthread_key_t) SIZE(thread, pthread_t) SIZE(attributes, pthread_attr_t) SIZE(semaphore, sem_t)
SIZE(c11_mutex, mtx_t) SIZE(c11_condition, cnd_t) SIZE(regex, regex_t) SIZE(timeval, struct timeval)
SIZE(timespec, struct timespec) SIZE(tm, struct tm) SIZE(usage, struct rusage) SIZE(message, struct msghdr)
SIZE(signal_information, siginfo_t) SIZE(signal_set, sigset_t) SIZE(action, struct sigaction)
SIZE(terminal, struct termios) SIZE(entry, struct dirent) SIZE(file_lock, struct flock)
SIZE(address, struct sockaddr_storage) SIZE(jmp_buf, jmp_buf) SIZE(sigjmp_buf, sigjmp_buf)
PLACE(after_jump, struct jump, after) PLACE(handler_mask, struct sigaction, sa_mask)
PLACE(lock_start, struct flock, l_start) PLACE(entry_name, struct dirent, d_name)

/* These differ, and must not be in shared data: README's list.  When one becomes equal, the list is out of date. */
#include <fenv.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <ucontext.h>
#define DIFFERS(name, type) const unsigned long differs_##name = sizeof(type);
DIFFERS(stat, struct stat) DIFFERS(event, struct epoll_event) DIFFERS(context, ucontext_t)
DIFFERS(floating_environment, fenv_t) DIFFERS(va_list, va_list) DIFFERS(links, nlink_t)
