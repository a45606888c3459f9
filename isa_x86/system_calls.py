"""System calls of x86-64 Linux: numbers, and the structures whose layout differs between ISAs.

Sources: Linux arch/x86/entry/syscalls/syscall_64.tbl (names and numbers up to 6.17),
arch/x86/include/uapi/asm/stat.h (struct stat), include/uapi/linux/eventpoll.h (packed on x86-64
only), include/uapi/asm-generic/fcntl.h (x86 has no fcntl.h of its own).
"""

from cosim.system_call_numbers import PRIVATE_NUMBERS, SINCE_5_1, numbered

MACHINE = "x86_64"  # utsname.machine

# Open flags whose value depends on the ISA.
O_DIRECT = 0o040000
O_LARGEFILE = 0o100000
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000

# struct stat: format and the fields in order; *_time_s and *_time_ns are seconds and nanoseconds.
STAT_FORMAT = "<QQQIII4xQqqqqqqqqq24x"
STAT_FIELDS = (
    "device", "inode", "links", "mode", "user", "group", "device_number",
    "size_bytes", "block_bytes", "blocks",
    "access_time_s", "access_time_ns", "modify_time_s", "modify_time_ns",
    "change_time_s", "change_time_ns",
)  # fmt: skip

EPOLL_EVENT_FORMAT = "<IQ"  # events, data: packed

# clone(flags, stack, parent_tid, child_tid, thread_pointer): positions of the last two arguments.
CLONE_CHILD_TID_ARGUMENT = 3
CLONE_THREAD_POINTER_ARGUMENT = 4

# What /proc/cpuinfo says of one core; the blank line between cores is added.
CPU_INFORMATION = """processor\t: {core}
vendor_id\t: Stramash
model name\t: Stramash x86-64 core
cpu MHz\t\t: {megahertz}
flags\t\t: fpu tsc msr cx8 sep cmov clflush mmx fxsr sse sse2 syscall nx lm
"""

# (first number, names in order); numbers between the runs are unused.
_RUNS = (
    (0, """
read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction
rt_sigprocmask rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield
mremap msync mincore madvise shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm
setitimer getpid sendfile socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind
listen getsockname getpeername socketpair setsockopt getsockopt clone fork vfork execve exit
wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock fsync
fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink
symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo
times ptrace getuid syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid
setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid getpgid setfsuid
setfsgid getsid capget capset rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend
sigaltstack utime mknod uselib personality ustat statfs fstatfs sysfs getpriority setpriority
sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max
sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall vhangup
modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot sync acct settimeofday
mount umount2 swapon swapoff reboot sethostname setdomainname iopl ioperm create_module
init_module delete_module get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg
afs_syscall tuxcall security gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr
fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr tkill time futex
sched_setaffinity sched_getaffinity set_thread_area io_setup io_destroy io_getevents io_submit
io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old epoll_wait_old
remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create
timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime
clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind
set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
mq_getsetattr kexec_load waitid add_key request_key keyctl ioprio_set ioprio_get inotify_init
inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat fchownat futimesat
newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages utimensat
epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4
signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo
perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64 name_to_handle_at
open_by_handle_at clock_adjtime syncfs sendmmsg setns getcpu process_vm_readv process_vm_writev
kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create
kexec_file_load bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq uretprobe uprobe
"""),
    SINCE_5_1,
)

NUMBERS = numbered(_RUNS) | PRIVATE_NUMBERS
