#include "reserve/sandbox.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "base/unique_fd.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

// Sockets, commands, devices and timers are all driven through the ring, so very little is left.
// Nothing handles a signal, so that there is no rt_sigreturn; nothing is let go of, so no close.
constexpr std::array kAllowed = {
    AllowedCall{__NR_io_uring_enter, "io_uring_enter", "the one place where an armed loop sleeps"},
    AllowedCall{__NR_getrandom, "getrandom", "CHAP challenges of a new connection"},
    AllowedCall{__NR_clock_gettime, "clock_gettime", "machines whose clock has no vDSO path"},
    AllowedCall{__NR_shutdown, "shutdown",
                "FIN after a logout; io_uring's own needs a worker thread"},
    AllowedCall{__NR_write, "write", "the last line of an assert or of the fuse",
                CallLimit::StandardError},
    AllowedCall{__NR_pread64, "pread64", "reading the filter's state back", CallLimit::StatusFile},
    AllowedCall{__NR_restart_syscall, "restart_syscall", "the kernel's own, after SIGSTOP"},
    AllowedCall{__NR_rt_sigprocmask, "rt_sigprocmask", "abort()"},
    AllowedCall{__NR_getpid, "getpid", "abort(), and naming ourselves in messages"},
    AllowedCall{__NR_gettid, "gettid", "abort(), and the line of the fuse"},
    AllowedCall{__NR_tgkill, "tgkill", "abort()", CallLimit::OwnProcess},
    AllowedCall{__NR_exit_group, "exit_group", "the end"},
};
static_assert(kAllowed.size() <= kCallsMax);

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// libseccomp answers with negative errno values.
std::unexpected<Errno> refusal(int answer) noexcept {
    HF_ASSERT(answer < 0);
    return std::unexpected(Errno{-answer});
}

/// What the first argument must be; empty: anything.
std::optional<scmp_datum_t> wanted_argument(CallLimit limit, int status_fd) noexcept {
    switch (limit) {
    case CallLimit::None: return {};
    case CallLimit::OwnProcess: return static_cast<scmp_datum_t>(::getpid());
    case CallLimit::StandardError: return scmp_datum_t{STDERR_FILENO};
    case CallLimit::StatusFile: return static_cast<scmp_datum_t>(status_fd);
    }
    return {};
}

int add(scmp_filter_ctx filter, const AllowedCall& call, int status_fd) noexcept {
    const auto wanted = wanted_argument(call.limit, status_fd);
    if (!wanted) return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number, 0, nullptr);
    const scmp_arg_cmp first{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = *wanted, .datum_b = 0};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number, 1, &first);
}

using Program = FixedVector<sock_filter, 512>;

OrErrno<Program> read_program(int fd) noexcept {
    Program program;
    sock_filter one{};
    if (::lseek(fd, 0, SEEK_SET) != 0) return std::unexpected(Errno::last());
    for (;;) {
        const ssize_t got = ::read(fd, &one, sizeof one);
        if (got == 0) return program;
        if (got != sizeof one) return std::unexpected(Errno{EIO});
        if (!program.try_push(one)) return std::unexpected(Errno{E2BIG});
    }
}

// Uses the heap, and has given everything back when it returns: libseccomp's own way to load frees
// only afterwards, which is a call of the heap inside the sandbox.
OrErrno<Program> build_program(int status_fd) noexcept {
    const Filter filter{seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release};
    if (!filter) return std::unexpected(Errno{ENOMEM});
    for (const AllowedCall& call : kAllowed) {
        if (const int answer = add(filter.get(), call, status_fd); answer < 0)
            return refusal(answer);
    }
    const UniqueFd file{::memfd_create("holdfast-filter", MFD_CLOEXEC)};
    if (!file) return std::unexpected(Errno::last());
    if (const int answer = seccomp_export_bpf(filter.get(), file.get()); answer < 0) {
        return refusal(answer);
    }
    return read_program(file.get());
}

OrErrno<void> load(Program& program) noexcept {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::unexpected(Errno::last());
    const sock_fprog all{.len = static_cast<unsigned short>(program.size()),
                         .filter = program.span().data()};
    const long answer =
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &all);
    if (answer < 0) return std::unexpected(Errno::last());
    // Positive: the id of a thread that has another filter already.
    if (answer > 0) return std::unexpected(Errno{EBUSY});
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

OrErrno<Sandbox> Sandbox::build() noexcept {
#if defined(HF_SANITIZED)
    return std::unexpected(Errno{ENOTSUP});
#endif
    Sandbox made;
    made.status_ = UniqueFd{::open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
    if (!made.status_) return std::unexpected(Errno::last());
    const auto program = build_program(made.status_.get());
    if (!program) return std::unexpected(program.error());
    made.program_ = *program;
    return made;
}

OrErrno<Protection> Sandbox::enter() noexcept {
    HF_ASSERT(status_ && !program_.empty());
    if (const auto loaded = load(program_); !loaded) return std::unexpected(loaded.error());
    const int mode = seccomp_mode(status_.release());
    return protection("system call filter", "Seccomp: 2", mode == 2 ? "Seccomp: 2" : "not on",
                      mode == 2, "the kernel needs CONFIG_SECCOMP_FILTER");
}

OrErrno<Protection> enter_sandbox() noexcept {
    auto sandbox = Sandbox::build();
    if (!sandbox) return std::unexpected(sandbox.error());
    return sandbox->enter();
}

}  // namespace holdfast::reserve
