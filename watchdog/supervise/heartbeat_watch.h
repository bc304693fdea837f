/// Judges one heartbeat: a counter that its owner moves whenever its loop turns.
///
/// Limits of silence, on the supervisor's own time: see docs/watchdog.md. They are several times
/// the longest sleep of the loop that beats.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "watchdog/supervise/own_time.h"

namespace holdfast::watchdog {

/// See the file comment. Pure.
class HeartbeatWatch {
public:
    /// Of a loop that turns: active while serving, standby while standing.
    static constexpr Duration kLoopLimit = Duration::from_ms(1500);
    /// Of an active that opens and maps a device between two turns.
    static constexpr Duration kTakeoverLimit = Duration::from_s(10);
    /// Of a process that locks memory, which may wait for swap, and shows no life meanwhile.
    static constexpr Duration kWarmUpLimit = Duration::from_s(60);

    /// A new process, or a new stage of it.
    constexpr void begin(Instant own, Duration limit, std::uint64_t count) noexcept {
        since_ = own;
        limit_ = limit;
        count_ = count;
    }
    [[nodiscard]] constexpr Duration limit() const noexcept { return limit_; }

    /// True when the counter stood still for the whole limit while the supervisor ran.
    [[nodiscard]] constexpr bool is_silent(const Look& look, std::uint64_t count) noexcept {
        if (look.was_late || count != count_) {
            count_ = count;
            since_ = look.at;
            return false;
        }
        return look.at - since_ >= limit_;
    }

private:
    Instant since_;
    Duration limit_ = kLoopLimit;
    std::uint64_t count_ = 0;
};

}  // namespace holdfast::watchdog
