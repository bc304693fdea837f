/// How long the loop may leave replies in the kernel, so that one wake-up serves several of them.
/// Pure. One wake-up costs more CPU than one request.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace holdfast::daemon {

/// Learns the rhythm of replies. With few requests outstanding nothing is gathered: then latency is
/// what counts. By Little's law a request takes in_flight * interval; a fraction of that is what
/// gathering may add.
class Gathering {
public:
    static constexpr std::uint32_t kInFlightMin = 8;
    static constexpr std::int64_t kLatencyFraction = 8;
    static constexpr Duration kTimeMin = Duration::from_us(5);
    static constexpr Duration kTimeMax = Duration::from_us(100);
    /// Slower rhythms cost so little CPU that nothing is worth a delay.
    static constexpr Duration kIntervalMax = Duration::from_us(60);

    /// `done`: requests that ended since the last call.
    constexpr void on_turn(Instant now, std::uint64_t done) noexcept {
        if (done == 0) return;
        const Duration per_request =
            Duration::from_ns((now - last_).ns() / static_cast<std::int64_t>(done));
        last_ = now;
        interval_ =
            Duration::from_ns((interval_.ns() * 7 + std::min(per_request, kCeiling).ns()) / 8);
    }

    /// Zero: do not gather.
    [[nodiscard]] constexpr Duration time_for(std::uint32_t in_flight) const noexcept {
        if (in_flight < kInFlightMin || interval_ > kIntervalMax) return Duration{};
        const Duration fraction = Duration::from_ns(interval_.ns() * in_flight / kLatencyFraction);
        if (fraction < kTimeMin) return Duration{};
        return std::min(fraction, kTimeMax);
    }

private:
    static constexpr Duration kCeiling = Duration::from_ms(1);
    Instant last_;
    Duration interval_ = kCeiling;
};

}  // namespace holdfast::daemon
