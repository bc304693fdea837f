/// Tables of reserve/sandbox.h: which system calls the processes that lock their memory may make,
/// and why.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "reserve/sandbox.h"

namespace holdfast::reserve {

namespace {

using enum CallLimit;

// Sockets, commands, devices and timers are all driven through the ring, so very little is left.
// Nothing handles a signal, so that there is no rt_sigreturn; nothing is let go of, so no close.
constexpr std::array kArmed = {
    AllowedCall{__NR_io_uring_enter, "io_uring_enter", "the one place where an armed loop sleeps"},
    AllowedCall{__NR_getrandom, "getrandom", "CHAP challenges of a new connection"},
    AllowedCall{__NR_clock_gettime, "clock_gettime", "machines whose clock has no vDSO path"},
    AllowedCall{__NR_shutdown, "shutdown",
                "FIN after a logout; io_uring's own needs a worker thread"},
    AllowedCall{__NR_write, "write", "the last line of an assert or of the fuse", StandardError},
    AllowedCall{__NR_pread64, "pread64", "reading the filter's state back", StatusFile},
    AllowedCall{__NR_restart_syscall, "restart_syscall", "the kernel's own, after SIGSTOP"},
    AllowedCall{__NR_rt_sigprocmask, "rt_sigprocmask", "abort()"},
    AllowedCall{__NR_getpid, "getpid", "abort(), and naming ourselves in messages"},
    AllowedCall{__NR_gettid, "gettid", "abort(), and the line of the fuse"},
    AllowedCall{__NR_tgkill, "tgkill", "abort()", OwnProcess},
    AllowedCall{__NR_exit_group, "exit_group", "the end"},
};
static_assert(kArmed.size() <= kCallsMax);

// The heap is closed by the fuse and every socket is made, so that a takeover needs its device and
// the layers that are put on behind it. What can be opened stands in /dev, which is its root.
constexpr std::array kStanding = {
    AllowedCall{__NR_io_uring_enter, "io_uring_enter", "the place where it sleeps"},
    AllowedCall{__NR_io_uring_register, "io_uring_register", "the device's place in the ring"},
    AllowedCall{__NR_openat, "openat", "its device", ThirdIs, O_RDWR | O_CLOEXEC},
    AllowedCall{__NR_openat, "openat", "trying that Landlock refuses", ThirdIs,
                O_RDONLY | O_CLOEXEC},
    AllowedCall{__NR_mmap, "mmap", "descriptors of the device's queue, to be read", ThirdIs,
                PROT_READ},
    AllowedCall{__NR_close, "close", "descriptors that are in the ring's table by then"},
    AllowedCall{__NR_clock_nanosleep, "clock_nanosleep", "until udev has made the device's node"},
    AllowedCall{__NR_landlock_create_ruleset, "landlock_create_ruleset", "no files any more"},
    AllowedCall{__NR_landlock_restrict_self, "landlock_restrict_self", "the same"},
    AllowedCall{__NR_capset, "capset", "giving up rights"},
    AllowedCall{__NR_capget, "capget", "reading them back"},
    AllowedCall{__NR_prctl, "prctl", "the same, of the bounding set", FirstIs, PR_CAPBSET_DROP},
    AllowedCall{__NR_prctl, "prctl", "before each layer", FirstIs, PR_SET_NO_NEW_PRIVS},
    AllowedCall{__NR_prctl, "prctl", "its name", FirstIs, PR_SET_NAME},
    AllowedCall{__NR_prctl, "prctl", "from now on it outlives the supervisor", FirstIs,
                PR_SET_PDEATHSIG},
    AllowedCall{__NR_seccomp, "seccomp", "the filter of an armed process on top of this one"},
    AllowedCall{__NR_bpf, "bpf", "asking whether the classifier is still attached", FirstIs,
                BPF_OBJ_GET_INFO_BY_FD},
    AllowedCall{__NR_bind, "bind", "the reserved path: queues for sockets that are there"},
    AllowedCall{__NR_getsockopt, "getsockopt", "whether they copy", SecondIs, SOL_XDP},
    AllowedCall{__NR_bpf, "bpf", "them into the classifier's map", FirstIs, BPF_MAP_UPDATE_ELEM},
    AllowedCall{__NR_getrandom, "getrandom", "CHAP challenges of a new connection"},
    AllowedCall{__NR_clock_gettime, "clock_gettime", "machines whose clock has no vDSO path"},
    AllowedCall{__NR_shutdown, "shutdown", "FIN after a logout"},
    AllowedCall{__NR_write, "write", "the last line of an assert or of the fuse", StandardError},
    AllowedCall{__NR_pread64, "pread64", "reading a filter's state back"},
    AllowedCall{__NR_restart_syscall, "restart_syscall", "the kernel's own, after SIGSTOP"},
    AllowedCall{__NR_rt_sigprocmask, "rt_sigprocmask", "abort()"},
    AllowedCall{__NR_getpid, "getpid", "abort(), and naming ourselves in messages"},
    AllowedCall{__NR_gettid, "gettid", "abort(), and the line of the fuse"},
    AllowedCall{__NR_tgkill, "tgkill", "abort()", OwnProcess},
    AllowedCall{__NR_exit_group, "exit_group", "the end"},
};

// It starts nothing: the maker does. Its own sockets are pairs and those of NBD servers, all of
// them local.
constexpr std::array kSupervisor = {
    AllowedCall{__NR_ppoll, "ppoll", "the one place where it sleeps"},
    AllowedCall{__NR_poll, "poll", "the maker's answer"},
    AllowedCall{__NR_read, "read", "signals"},
    AllowedCall{__NR_write, "write", "orders, lines, settings, the watchdog"},
    AllowedCall{__NR_sendmsg, "sendmsg", "messages to control and to the maker"},
    AllowedCall{__NR_recvmsg, "recvmsg", "their messages"},
    AllowedCall{__NR_sendto, "sendto", "signs of life to the service manager"},
    AllowedCall{__NR_wait4, "wait4", "ends of our processes"},
    AllowedCall{__NR_kill, "kill", "those that hang, and ends"},
    AllowedCall{__NR_clock_gettime, "clock_gettime", "machines whose clock has no vDSO path"},
    AllowedCall{__NR_close, "close", "descriptors of what has ended"},
    AllowedCall{__NR_openat, "openat", "unit locks, vm.min_free_kbytes, memory pressure, devices"},
    AllowedCall{__NR_mkdir, "mkdir", "the folder of unit locks"},
    AllowedCall{__NR_flock, "flock", "unit locks"},
    AllowedCall{__NR_memfd_create, "memfd_create", "shared areas"},
    AllowedCall{__NR_ftruncate, "ftruncate", "the same"},
    AllowedCall{__NR_fstat, "fstat", "the same"},
    AllowedCall{__NR_newfstatat, "newfstatat", "the same, and files of the number of CPUs"},
    AllowedCall{__NR_fcntl, "fcntl", "seals of shared areas"},
    AllowedCall{__NR_mmap, "mmap", "mapping them", ThirdLacks, PROT_EXEC},
    AllowedCall{__NR_munmap, "munmap", "the same"},
    AllowedCall{__NR_madvise, "madvise", "the same"},
    AllowedCall{__NR_eventfd2, "eventfd2", "orders to a standby"},
    AllowedCall{__NR_socketpair, "socketpair", "ends for control and I/O processes", FirstIs,
                AF_UNIX},
    AllowedCall{__NR_socket, "socket", "NBD servers", FirstIs, AF_UNIX},
    AllowedCall{__NR_bind, "bind", "the same"},
    AllowedCall{__NR_listen, "listen", "the same"},
    AllowedCall{__NR_unlink, "unlink", "sockets that nobody serves"},
    AllowedCall{__NR_fchmod, "fchmod", "for their owner alone"},
    AllowedCall{__NR_ioctl, "ioctl", "the machine's watchdog", SecondIs, WDIOC_SETTIMEOUT},
    AllowedCall{__NR_ioctl, "ioctl", "the same", SecondIs, WDIOC_GETTIMEOUT},
    AllowedCall{__NR_sched_getaffinity, "sched_getaffinity", "the number of CPUs"},
    AllowedCall{__NR_pread64, "pread64", "reading the filter's state back"},
    AllowedCall{__NR_restart_syscall, "restart_syscall", "the kernel's own, after SIGSTOP"},
    AllowedCall{__NR_rt_sigprocmask, "rt_sigprocmask", "abort()"},
    AllowedCall{__NR_getpid, "getpid", "abort()"},
    AllowedCall{__NR_gettid, "gettid", "abort()"},
    AllowedCall{__NR_tgkill, "tgkill", "abort()", OwnProcess},
    AllowedCall{__NR_exit_group, "exit_group", "the end"},
};

}  // namespace

AllowedCalls armed_calls() noexcept {
    return kArmed;
}

AllowedCalls standing_calls() noexcept {
    return kStanding;
}

AllowedCalls supervisor_calls() noexcept {
    return kSupervisor;
}

}  // namespace holdfast::reserve
