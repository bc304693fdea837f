#include "daemon/io/child.h"

#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "reserve/kernel_file.h"

namespace holdfast::daemon {

namespace {

constexpr std::array kSignals{SIGCHLD, SIGTERM, SIGINT};

}  // namespace

sigset_t supervisor_signals() noexcept {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : kSignals) ::sigaddset(&set, number);
    return set;
}

void become_ordinary() noexcept {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_OTHER, &none);
    ::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    static_cast<void>(reserve::write_kernel_number("/proc/self/oom_score_adj", 0));
    const sigset_t set = supervisor_signals();
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

void close_all_but(std::span<int> kept) noexcept {
    std::ranges::sort(kept);
    unsigned first = 3;
    for (const int fd : kept) {
        if (fd < 3) continue;  // Also those that are not there.
        const unsigned number = static_cast<unsigned>(fd);
        if (number > first) ::close_range(first, number - 1, 0);
        first = std::max(first, number + 1);
    }
    ::close_range(first, ~0U, 0);
}

void put_lines(std::string_view text) noexcept {
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace holdfast::daemon
