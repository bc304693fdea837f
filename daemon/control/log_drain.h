/// Where log records become lines: on standard error, with systemd's level prefix when the journal
/// listens, with date and level otherwise. May block; only control does this.
#pragma once

#include <string_view>

#include "base/time.h"
#include "daemon/shared/log_ring.h"

namespace holdfast::daemon {

/// See the file comment. Copyable settings, no state.
class LogDrain {
public:
    LogDrain(LogLevel level_max, bool with_journal_prefix) noexcept
        : level_max_(level_max), with_journal_prefix_(with_journal_prefix) {}
    /// Prefix if JOURNAL_STREAM is set in the environment.
    [[nodiscard]] static LogDrain for_standard_error(LogLevel level_max);

    /// One line about an attachment; about control itself when `name` is empty.
    void line(LogLevel level, std::string_view name, std::string_view sentence) const;
    /// All records that wait in the ring.
    void drain(std::string_view name, LogConsumer& consumer) const;

private:
    void line_at(Instant at, LogLevel level, std::string_view name,
                 std::string_view sentence) const;

    LogLevel level_max_;
    bool with_journal_prefix_;
};

/// CLOCK_MONOTONIC.
[[nodiscard]] Instant monotonic_now() noexcept;

}  // namespace holdfast::daemon
