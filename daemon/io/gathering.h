/// How long the loop may leave replies in the kernel, so that one wake-up serves several of them.
/// Pure.
///
/// A target that answers one request at a time wakes us for each, which costs more CPU than the
/// request itself; then waiting a little pays. A target that answers in batches needs no help, and
/// a delay only makes it idle. Nobody knows beforehand, so both ways are tried on the live load, in
/// epochs, and gathering is used only while it costs no throughput to speak of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace holdfast::daemon {

/// Thread: the loop's. Limits: a delay is at most kTimeMax.
class Gathering {
public:
    /// With fewer requests outstanding latency is what counts.
    static constexpr std::uint32_t kInFlightMin = 8;
    /// By Little's law a request takes in_flight * interval; gathering may add this part of it.
    static constexpr std::int64_t kLatencyFraction = 8;
    static constexpr Duration kTimeMin = Duration::from_us(5);
    static constexpr Duration kTimeMax = Duration::from_us(100);
    /// Slower rhythms cost so little CPU that nothing is worth a delay.
    static constexpr Duration kIntervalMax = Duration::from_us(60);
    /// Requests in one epoch.
    static constexpr std::uint64_t kEpochRequests = 256;
    /// Every so many epochs the other way is tried again.
    static constexpr std::uint32_t kTrialEpochs = 16;
    /// Replies of one wake-up, from which on the target's own batches are good enough.
    static constexpr std::uint64_t kBatchEnough = 4;

    /// After every turn. `done`: requests that ended in it. `in_flight`: that are outstanding now.
    constexpr void on_turn(Instant now, std::uint64_t done, std::uint32_t in_flight) noexcept {
        if (in_flight + done < kInFlightMin) return begin_epoch(now);
        requests_ += done;
        if (done > 0) ++wakeups_;
        if (requests_ < kEpochRequests) return;
        learn(Duration::from_ns((now - epoch_start_).ns() / static_cast<std::int64_t>(requests_)));
        choose();
        begin_epoch(now);
    }

    /// Zero: do not gather.
    [[nodiscard]] constexpr Duration time_for(std::uint32_t in_flight) const noexcept {
        if (!gathers_ || in_flight < kInFlightMin) return Duration{};
        const Duration fraction =
            Duration::from_ns(interval_without_.ns() * in_flight / kLatencyFraction);
        if (fraction < kTimeMin) return Duration{};
        return std::min(fraction, kTimeMax);
    }
    [[nodiscard]] constexpr bool gathers() const noexcept { return gathers_; }

private:
    constexpr void begin_epoch(Instant now) noexcept {
        epoch_start_ = now;
        requests_ = wakeups_ = 0;
    }
    constexpr void learn(Duration interval) noexcept {
        Duration& known = gathers_ ? interval_with_ : interval_without_;
        known = known == Duration{} ? interval
                                    : Duration::from_ns((known.ns() * 3 + interval.ns()) / 4);
        if (!gathers_) batch_without_ = requests_ / std::max<std::uint64_t>(wakeups_, 1);
    }
    constexpr void choose() noexcept {
        ++epochs_;
        const bool can_help = batch_without_ < kBatchEnough && interval_without_ <= kIntervalMax;
        const bool pays = interval_with_.ns() * 20 <= interval_without_.ns() * 21;
        const bool is_trial = epochs_ % kTrialEpochs == 0;
        // The trial of gathering comes only where it can help; the other one always.
        gathers_ = can_help && (pays != is_trial);
    }

    Instant epoch_start_;
    std::uint64_t requests_ = 0;
    std::uint64_t wakeups_ = 0;
    std::uint32_t epochs_ = 0;
    bool gathers_ = false;
    Duration interval_without_;  // Between replies; zero: not known.
    Duration interval_with_;     // Zero pays: so it is tried once.
    std::uint64_t batch_without_ = 0;
};

}  // namespace holdfast::daemon
