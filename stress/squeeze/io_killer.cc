/// io-killer: sends SIGKILL (or another signal) to the process of a given name, again and again.
///
/// It is locked in memory and runs before ordinary threads, because the machine that it runs on
/// swaps over the very process that it kills. Prints one JSON object at the end, which SIGTERM
/// brings about: how many were killed, and how often nobody had the name.
///
/// Exit status: 0, or 2 when it could not run.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"
#include "stress/squeeze/arguments.h"

namespace holdfast::stress {
namespace {

constexpr int kPriority = 10;  // Below the supervisor and the I/O processes.

struct Settings {
    const char* name = "holdfast-io";
    std::uint64_t every_ms = 5000;
    std::uint64_t signal = SIGKILL;
};

/// 0 for an entry of /proc that is no process.
pid_t pid_of(const char* entry) noexcept {
    const std::string_view text{entry};
    pid_t pid = 0;
    const auto [stop, error] = std::from_chars(text.begin(), text.end(), pid);
    return error == std::errc{} && stop == text.end() ? pid : 0;
}

bool has_name(pid_t pid, std::string_view name) noexcept {
    std::array<char, 32> path{};
    std::snprintf(path.data(), path.size(), "/proc/%d/comm", pid);
    const UniqueFd fd{::open(path.data(), O_RDONLY | O_CLOEXEC)};
    std::array<char, 32> text{};
    const ssize_t got = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    return got > 1 && std::string_view{text.data(), static_cast<std::size_t>(got) - 1} == name;
}

/// The first process of that name; 0 for none.
pid_t find(std::string_view name) noexcept {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder{::opendir("/proc"), &::closedir};
    if (!folder) return 0;
    while (const dirent* const entry = ::readdir(folder.get())) {
        const pid_t pid = pid_of(&entry->d_name[0]);
        if (pid > 0 && has_name(pid, name)) return pid;
    }
    return 0;
}

int run(const Settings& settings) {
    if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        std::perror("io-killer: cannot lock memory");
        return 2;
    }
    const sched_param priority{.sched_priority = kPriority};
    ::sched_setscheduler(0, SCHED_FIFO, &priority);
    sigset_t ends{};
    ::sigemptyset(&ends);
    ::sigaddset(&ends, SIGTERM);
    ::sigaddset(&ends, SIGINT);
    ::sigprocmask(SIG_BLOCK, &ends, nullptr);
    const timespec pause{.tv_sec = static_cast<time_t>(settings.every_ms / 1000),
                         .tv_nsec = static_cast<long>(settings.every_ms % 1000) * 1'000'000};
    std::uint64_t kills = 0;
    std::uint64_t missed = 0;
    while (::sigtimedwait(&ends, nullptr, &pause) < 0) {
        const pid_t pid = find(settings.name);
        const bool killed = pid > 0 && ::kill(pid, static_cast<int>(settings.signal)) == 0;
        ++(killed ? kills : missed);
    }
    std::printf("{\"kills\": %" PRIu64 ", \"missed\": %" PRIu64 "}\n", kills, missed);
    return 0;
}

}  // namespace
}  // namespace holdfast::stress

int main(int argc, char** argv) {
    using namespace holdfast::stress;
    Settings settings;
    bool help = false;
    const std::array options{
        Option{"--name", &settings.name, "of the process, as in /proc/PID/comm (holdfast-io)"},
        Option{"--every-ms", &settings.every_ms, "milliseconds between two kills (5000)"},
        Option{"--signal", &settings.signal, "its number (9)"},
        Option{"--help", &help, "this text"},
    };
    const std::span<char* const> words{argv, static_cast<std::size_t>(argc)};
    const auto parsed = parse_arguments(words.subspan(words.empty() ? 0 : 1), options);
    if (help) {
        std::fputs(describe(options).c_str(), stdout);
        return 0;
    }
    if (!parsed || settings.every_ms == 0) {
        std::fprintf(stderr, "io-killer: %s\n%s",
                     parsed ? "--every-ms must not be 0" : parsed.error().c_str(),
                     describe(options).c_str());
        return 2;
    }
    return run(settings);
}
