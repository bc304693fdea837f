#include "reserve/host_facts.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <string_view>

#include "base/unique_fd.h"
#include "reserve/kernel_file.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

constexpr unsigned kCapIpcLock = 14;  // CAP_IPC_LOCK, linux/capability.h.

void read_kernel_version(HostFacts& facts) noexcept {
    utsname names{};
    if (::uname(&names) != 0) return;
    std::string_view release{&names.release[0]};
    facts.kernel_major = try_take_number<std::uint32_t>(release).value_or(0);
    if (!release.starts_with('.')) return;
    release.remove_prefix(1);
    facts.kernel_minor = try_take_number<std::uint32_t>(release).value_or(0);
}

bool can_open(const char* path, int flags) noexcept {
    return static_cast<bool>(UniqueFd{::open(path, flags | O_CLOEXEC)});
}

bool try_io_uring() noexcept {
    io_uring_params parameters{};
    return static_cast<bool>(
        UniqueFd{static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters))});
}

bool try_seccomp() noexcept {
    std::uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

// "CapEff:\t000001fffeffffff" in /proc/self/status.
bool has_capability(unsigned capability) noexcept {
    KernelLines lines;
    if (!lines.open("/proc/self/status")) return false;
    while (const auto line = lines.next()) {
        if (!line->starts_with("CapEff:")) continue;
        std::string_view rest = without_leading_blanks(line->substr(7));
        return (try_take_number<std::uint64_t>(rest, 16).value_or(0) >> capability & 1U) != 0;
    }
    return false;
}

bool may_lock_without_limit() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) return true;
    return has_capability(kCapIpcLock);
}

bool try_fifo() noexcept {
    const int policy = ::sched_getscheduler(0);
    sched_param before{};
    if (policy < 0 || ::sched_getparam(0, &before) != 0) return false;
    const sched_param wanted{.sched_priority = 1};
    if (::sched_setscheduler(0, SCHED_FIFO, &wanted) != 0) return false;
    (void)::sched_setscheduler(0, policy, &before);  // Lowering one's own class is always allowed.
    return true;
}

bool try_io_flusher() noexcept {
    const int before = ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
    if (before < 0 || ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) return false;
    if (before == 0) (void)::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    return true;
}

bool try_oom_score() noexcept {
    constexpr const char* kPath = "/proc/self/oom_score_adj";
    const auto before = read_kernel_number(kPath);
    if (!before || !write_kernel_number(kPath, -1000)) return false;
    (void)write_kernel_number(kPath, *before);  // Raising it again is always allowed.
    return true;
}

}  // namespace

HostFacts probe_host() noexcept {
    HostFacts facts;
    read_kernel_version(facts);
    facts.has_io_uring = try_io_uring();
    facts.has_ublk = can_open("/dev/ublk-control", O_RDWR);
    facts.has_seccomp = try_seccomp();
    facts.may_lock_memory = may_lock_without_limit();
    facts.may_run_fifo = try_fifo();
    facts.may_flush_io = try_io_flusher();
    facts.may_lower_oom_score = try_oom_score();
    facts.may_set_kernel_reserve = can_open("/proc/sys/vm/min_free_kbytes", O_WRONLY);
    return facts;
}

}  // namespace holdfast::reserve
