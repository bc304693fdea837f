#include "daemon/control/log_drain.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "daemon/control/sentences.h"

namespace holdfast::daemon {

namespace {

/// Standard error may be closed or full: then the line is lost, which is all we can do.
void write_line(const std::string& text) {
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Date and time in UTC of a point on the monotonic clock.
std::string date_of(Instant at) {
    using namespace std::chrono;
    const auto ago = nanoseconds{(monotonic_now() - at).ns()};
    const auto when = system_clock::now() - duration_cast<system_clock::duration>(ago);
    const auto ms = duration_cast<milliseconds>(when.time_since_epoch()).count() % 1000;
    return fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(system_clock::to_time_t(when)), ms);
}

}  // namespace

Instant monotonic_now() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return Instant::from_ns(std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

LogDrain LogDrain::for_standard_error(LogLevel level_max) {
    return LogDrain{level_max, std::getenv("JOURNAL_STREAM") != nullptr};
}

void LogDrain::line(LogLevel level, std::string_view name, std::string_view sentence) const {
    line_at(monotonic_now(), level, name, sentence);
}

void LogDrain::drain(std::string_view name, LogConsumer& consumer) const {
    while (const auto record = consumer.try_take())
        line_at(record->at, record->level, name, sentence_of(*record));
}

void LogDrain::line_at(Instant at, LogLevel level, std::string_view name,
                       std::string_view sentence) const {
    if (level > level_max_) return;
    const std::string subject = name.empty() ? std::string{} : fmt::format("{}: ", name);
    if (with_journal_prefix_) {
        write_line(fmt::format("<{}>{}{}\n", static_cast<int>(level), subject, sentence));
    } else {
        write_line(fmt::format("{} {:7} {}{}\n", date_of(at), to_text(level), subject, sentence));
    }
}

}  // namespace holdfast::daemon
