#include "reserve/sandbox.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "base/assert.h"
#include "base/unique_fd.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

constexpr std::array kAllowed = {
    AllowedCall{__NR_io_uring_enter, "io_uring_enter", "the one place where an armed loop sleeps"},
    AllowedCall{__NR_ppoll, "ppoll", "the same, where there is no ring"},
    AllowedCall{__NR_read, "read", "eventfd, timerfd, commands: descriptors that exist already"},
    AllowedCall{__NR_write, "write", "eventfd, the line of an assert or of the fuse"},
    AllowedCall{__NR_pread64, "pread64", "reading back our own /proc files, opened before"},
    AllowedCall{__NR_recvfrom, "recvfrom", "commands on the seqpacket socket"},
    AllowedCall{__NR_recvmsg, "recvmsg", "commands on the seqpacket socket"},
    AllowedCall{__NR_sendto, "sendto", "answers on the seqpacket socket"},
    AllowedCall{__NR_sendmsg, "sendmsg", "answers on the seqpacket socket"},
    AllowedCall{__NR_connect, "connect", "AF_UNSPEC and portals, on sockets made before"},
    AllowedCall{__NR_shutdown, "shutdown", "orderly end of a connection"},
    AllowedCall{__NR_setsockopt, "setsockopt", "per-connection options on sockets made before"},
    AllowedCall{__NR_getsockopt, "getsockopt", "SO_ERROR, TCP_INFO"},
    AllowedCall{__NR_timerfd_settime, "timerfd_settime", "timers without allocation"},
    AllowedCall{__NR_getrandom, "getrandom", "CHAP challenges, jitter"},
    AllowedCall{__NR_clock_gettime, "clock_gettime", "machines whose clock has no vDSO path"},
    AllowedCall{__NR_getrusage, "getrusage", "own CPU time and page faults, for status"},
    AllowedCall{__NR_close, "close", "letting go of what exists"},
    AllowedCall{__NR_futex, "futex", "waking a thread of ours"},
    AllowedCall{__NR_restart_syscall, "restart_syscall", "the kernel's own, after SIGSTOP"},
    AllowedCall{__NR_rt_sigreturn, "rt_sigreturn", "coming back from a signal handler"},
    AllowedCall{__NR_rt_sigprocmask, "rt_sigprocmask", "abort()"},
    AllowedCall{__NR_getpid, "getpid", "abort()"},
    AllowedCall{__NR_gettid, "gettid", "abort()"},
    AllowedCall{__NR_tgkill, "tgkill", "abort()", CallLimit::OwnProcess},
    AllowedCall{__NR_exit_group, "exit_group", "the end"},
};

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// libseccomp answers with negative errno values.
std::unexpected<Errno> refusal(int answer) noexcept {
    HF_ASSERT(answer < 0);
    return std::unexpected(Errno{-answer});
}

int add(scmp_filter_ctx filter, const AllowedCall& call) noexcept {
    if (call.limit == CallLimit::None) {
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number, 0, nullptr);
    }
    const auto pid = static_cast<scmp_datum_t>(::getpid());
    const scmp_arg_cmp own{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = pid, .datum_b = 0};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number, 1, &own);
}

OrErrno<void> load() noexcept {
    const Filter filter{seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release};
    if (!filter) return std::unexpected(Errno{ENOMEM});
    if (const int answer = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); answer < 0) {
        return refusal(answer);
    }
    for (const AllowedCall& call : kAllowed) {
        if (const int answer = add(filter.get(), call); answer < 0) return refusal(answer);
    }
    if (const int answer = seccomp_load(filter.get()); answer < 0) return refusal(answer);
    return {};
}

// The number behind "Seccomp:" in /proc/self/status; 2 means a filter. Negative when unknown.
int seccomp_mode(int status_fd) noexcept {
    std::array<char, 4096> cells{};
    const ssize_t got = ::pread(status_fd, cells.data(), cells.size(), 0);
    if (got <= 0) return -1;
    const std::string_view text{cells.data(), static_cast<std::size_t>(got)};
    constexpr std::string_view kKey = "\nSeccomp:";
    const std::size_t at = text.find(kKey);
    if (at == std::string_view::npos) return -1;
    std::string_view rest = without_leading_blanks(text.substr(at + kKey.size()));
    return try_take_number<int>(rest).value_or(-1);
}

}  // namespace

std::span<const AllowedCall> allowed_calls() noexcept {
    return kAllowed;
}

OrErrno<Protection> enter_sandbox() noexcept {
    // Opened before, because the filter has no open.
    const UniqueFd status{::open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
    if (!status) return std::unexpected(Errno::last());
    if (const auto loaded = load(); !loaded) return std::unexpected(loaded.error());
    const int mode = seccomp_mode(status.get());
    return protection("system call filter", "Seccomp: 2", mode == 2 ? "Seccomp: 2" : "not on",
                      mode == 2, "the kernel needs CONFIG_SECCOMP_FILTER");
}

}  // namespace holdfast::reserve
