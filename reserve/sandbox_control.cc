/// The table of the control process (reserve/sandbox.h), apart from the others: those who lock
/// their memory are not linked with it.
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>

#include "reserve/sandbox.h"

namespace holdfast::reserve {

namespace {

using enum CallLimit;

// What resolvers and their plug-ins need is in it: threads, files to be read, programs' text to be
// mapped, local sockets and those of the network. Files are limited by the user, and by Landlock.
constexpr std::array kControl = {
    // Waiting.
    AllowedCall{__NR_poll, "poll", "the one place where it sleeps"},
    AllowedCall{__NR_ppoll, "ppoll", "resolvers"},
    AllowedCall{__NR_select, "select", "resolvers"},
    AllowedCall{__NR_pselect6, "pselect6", "resolvers"},
    AllowedCall{__NR_epoll_create1, "epoll_create1", "resolvers"},
    AllowedCall{__NR_epoll_ctl, "epoll_ctl", "resolvers"},
    AllowedCall{__NR_epoll_wait, "epoll_wait", "resolvers"},
    AllowedCall{__NR_epoll_pwait, "epoll_pwait", "resolvers"},
    AllowedCall{__NR_eventfd2, "eventfd2", "resolvers"},
    AllowedCall{__NR_timerfd_create, "timerfd_create", "resolvers"},
    AllowedCall{__NR_timerfd_settime, "timerfd_settime", "resolvers"},
    AllowedCall{__NR_pipe2, "pipe2", "resolvers"},
    AllowedCall{__NR_nanosleep, "nanosleep", "resolvers"},
    AllowedCall{__NR_clock_nanosleep, "clock_nanosleep", "resolvers"},
    AllowedCall{__NR_restart_syscall, "restart_syscall", "the kernel's own, after SIGSTOP"},
    // Messages.
    AllowedCall{__NR_read, "read", "files and signals"},
    AllowedCall{__NR_readv, "readv", "resolvers"},
    AllowedCall{__NR_write, "write", "files and lines of the log"},
    AllowedCall{__NR_writev, "writev", "resolvers"},
    AllowedCall{__NR_sendto, "sendto", "answers to clients"},
    AllowedCall{__NR_recvfrom, "recvfrom", "their requests"},
    AllowedCall{__NR_sendmsg, "sendmsg", "messages to our other processes"},
    AllowedCall{__NR_recvmsg, "recvmsg", "their messages"},
    AllowedCall{__NR_sendmmsg, "sendmmsg", "resolvers"},
    AllowedCall{__NR_recvmmsg, "recvmmsg", "resolvers"},
    AllowedCall{__NR_accept4, "accept4", "clients"},
    AllowedCall{__NR_socket, "socket", "resolvers", FirstIs, AF_UNIX},
    AllowedCall{__NR_socket, "socket", "resolvers, and which interface leads to a portal", FirstIs,
                AF_INET},
    AllowedCall{__NR_socket, "socket", "the same", FirstIs, AF_INET6},
    AllowedCall{__NR_socket, "socket", "addresses of interfaces", FirstIs, AF_NETLINK},
    AllowedCall{__NR_socketpair, "socketpair", "resolvers", FirstIs, AF_UNIX},
    AllowedCall{__NR_bind, "bind", "netlink"},
    AllowedCall{__NR_connect, "connect", "resolvers"},
    AllowedCall{__NR_shutdown, "shutdown", "resolvers"},
    AllowedCall{__NR_getsockname, "getsockname", "resolvers"},
    AllowedCall{__NR_getpeername, "getpeername", "resolvers"},
    AllowedCall{__NR_getsockopt, "getsockopt", "credentials of clients"},
    AllowedCall{__NR_setsockopt, "setsockopt", "resolvers"},
    AllowedCall{__NR_ioctl, "ioctl", "bytes that wait, for resolvers", SecondIs, FIONREAD},
    AllowedCall{__NR_ioctl, "ioctl", "names of interfaces", SecondIs, SIOCGIFINDEX},
    AllowedCall{__NR_ioctl, "ioctl", "the same", SecondIs, SIOCGIFNAME},
    // Files.
    AllowedCall{__NR_openat, "openat", "its own files, /proc and /sys, resolvers"},
    AllowedCall{__NR_close, "close", "all of them"},
    AllowedCall{__NR_fstat, "fstat", "kinds and owners of files"},
    AllowedCall{__NR_newfstatat, "newfstatat", "the same"},
    AllowedCall{__NR_lstat, "lstat", "links that are to be removed"},
    AllowedCall{__NR_stat, "stat", "resolvers"},
    AllowedCall{__NR_statx, "statx", "std::filesystem"},
    AllowedCall{__NR_statfs, "statfs", "resolvers"},
    AllowedCall{__NR_fstatfs, "fstatfs", "resolvers"},
    AllowedCall{__NR_access, "access", "whether a file is there"},
    AllowedCall{__NR_faccessat, "faccessat", "the same"},
    AllowedCall{__NR_faccessat2, "faccessat2", "the same"},
    AllowedCall{__NR_readlink, "readlink", "namespaces of our processes"},
    AllowedCall{__NR_readlinkat, "readlinkat", "resolvers"},
    AllowedCall{__NR_getcwd, "getcwd", "resolvers"},
    AllowedCall{__NR_getdents64, "getdents64", "recordings that are kept"},
    AllowedCall{__NR_lseek, "lseek", "resolvers"},
    AllowedCall{__NR_pread64, "pread64", "reading the filter's state back"},
    AllowedCall{__NR_mkdir, "mkdir", "its own folders"},
    AllowedCall{__NR_unlink, "unlink", "links, and recordings"},
    AllowedCall{__NR_unlinkat, "unlinkat", "the same"},
    AllowedCall{__NR_rmdir, "rmdir", "std::filesystem"},
    AllowedCall{__NR_rename, "rename", "files and links, replaced whole"},
    AllowedCall{__NR_symlink, "symlink", "links to devices"},
    AllowedCall{__NR_fsync, "fsync", "session identifiers must be on the disk"},
    AllowedCall{__NR_fcntl, "fcntl", "flags of descriptors"},
    AllowedCall{__NR_dup, "dup", "resolvers"},
    AllowedCall{__NR_umask, "umask", "resolvers"},
    // Memory and threads.
    AllowedCall{__NR_mmap, "mmap", "the heap, shared areas, plug-ins of resolvers"},
    AllowedCall{__NR_munmap, "munmap", "the same"},
    AllowedCall{__NR_mremap, "mremap", "the same"},
    AllowedCall{__NR_mprotect, "mprotect", "the same"},
    AllowedCall{__NR_madvise, "madvise", "the same"},
    AllowedCall{__NR_brk, "brk", "the heap"},
    AllowedCall{__NR_futex, "futex", "locks of the C library"},
    AllowedCall{__NR_clone, "clone", "threads of resolvers", FirstHas, CLONE_THREAD},
    AllowedCall{__NR_clone3, "clone3", "its flags cannot be seen: clone is tried next", Missing},
    AllowedCall{__NR_set_robust_list, "set_robust_list", "their start"},
    AllowedCall{__NR_rseq, "rseq", "the same"},
    AllowedCall{__NR_sched_getaffinity, "sched_getaffinity", "the same"},
    AllowedCall{__NR_sched_yield, "sched_yield", "locks of plug-ins"},
    AllowedCall{__NR_exit, "exit", "the end of a thread"},
    AllowedCall{__NR_exit_group, "exit_group", "the end"},
    AllowedCall{__NR_rt_sigaction, "rt_sigaction", "resolvers"},
    AllowedCall{__NR_rt_sigprocmask, "rt_sigprocmask", "abort(), and new threads"},
    AllowedCall{__NR_rt_sigreturn, "rt_sigreturn", "resolvers"},
    AllowedCall{__NR_tgkill, "tgkill", "abort()", OwnProcess},
    // Asking.
    AllowedCall{__NR_getpid, "getpid", "names of files, abort()"},
    AllowedCall{__NR_getppid, "getppid", "status shows the supervisor"},
    AllowedCall{__NR_gettid, "gettid", "abort()"},
    AllowedCall{__NR_getuid, "getuid", "resolvers"},
    AllowedCall{__NR_geteuid, "geteuid", "owners of secrets"},
    AllowedCall{__NR_getgid, "getgid", "resolvers"},
    AllowedCall{__NR_getegid, "getegid", "resolvers"},
    AllowedCall{__NR_uname, "uname", "our name for a fresh initiator name"},
    AllowedCall{__NR_sysinfo, "sysinfo", "the C library"},
    AllowedCall{__NR_prlimit64, "prlimit64", "stacks of threads; none is set for another", FirstIs,
                0},
    AllowedCall{__NR_getrlimit, "getrlimit", "the same"},
    AllowedCall{__NR_getrandom, "getrandom", "session identifiers"},
    AllowedCall{__NR_gettimeofday, "gettimeofday", "machines whose clock has no vDSO path"},
    AllowedCall{__NR_clock_gettime, "clock_gettime", "the same"},
    AllowedCall{__NR_clock_getres, "clock_getres", "the same"},
    AllowedCall{__NR_time, "time", "the same"},
    AllowedCall{__NR_prctl, "prctl", "names of threads", FirstIs, PR_SET_NAME},
};

}  // namespace

AllowedCalls control_calls() noexcept {
    return kControl;
}

}  // namespace holdfast::reserve
