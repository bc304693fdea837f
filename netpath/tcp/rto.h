/// The retransmission time-out. RFC 6298, with Karn's algorithm kept by the caller: a sample of a
/// segment that was sent twice is given only when a timestamp tells which copy it was.
/// Pure. Its timer is Deadlines::rto of the connection.
#pragma once

#include <algorithm>

#include "base/assert.h"
#include "base/time.h"

namespace holdfast::netpath::tcp {

class RtoEstimator {
public:
    RtoEstimator(Duration initial, Duration least, Duration most) noexcept
        : base_(initial), least_(least), most_(most) {
        HF_ASSERT(Duration{} < least && least <= most && initial <= most);
    }

    /// Takes one round trip, at most one a window of data: section 3. (2.2) and (2.3).
    void on_sample(Duration rtt) noexcept {
        const std::int64_t r = std::max<std::int64_t>(rtt.ns(), 1);
        if (!has_sample_) {
            srtt_ns_ = r;
            rttvar_ns_ = r / 2;
            has_sample_ = true;
        } else {
            const std::int64_t error = r > srtt_ns_ ? r - srtt_ns_ : srtt_ns_ - r;
            rttvar_ns_ += (error - rttvar_ns_) / 4;
            srtt_ns_ += (r - srtt_ns_) / 8;
        }
        const auto spread = std::max(Duration::from_ns(rttvar_ns_) * 4, kGranularity);
        base_ = std::clamp(Duration::from_ns(srtt_ns_) + spread, least_, most_);
    }

    /// (5.5): doubles the time-out.
    void back_off() noexcept {
        if (backoffs_ < kBackoffsMax) ++backoffs_;
    }
    /// New data was acknowledged: section 5, at its end.
    void forget_backoff() noexcept { backoffs_ = 0; }
    /// (5.7): the SYN timed out, so that the first data is to wait three seconds.
    void on_slow_connect() noexcept {
        if (!has_sample_) base_ = std::min(std::max(base_, Duration::from_s(3)), most_);
        backoffs_ = 0;
    }

    /// Backed off, and never more than the most.
    [[nodiscard]] Duration rto() const noexcept {
        return std::min(base_ * (std::int64_t{1} << backoffs_), most_);
    }
    [[nodiscard]] bool has_sample() const noexcept { return has_sample_; }
    /// Zero without a sample.
    [[nodiscard]] Duration srtt() const noexcept { return Duration::from_ns(srtt_ns_); }
    [[nodiscard]] unsigned backoffs() const noexcept { return backoffs_; }

private:
    static constexpr Duration kGranularity = Duration::from_ms(1);  // G of section 2.
    static constexpr unsigned kBackoffsMax = 16;

    Duration base_;
    Duration least_;
    Duration most_;
    std::int64_t srtt_ns_ = 0;
    std::int64_t rttvar_ns_ = 0;
    unsigned backoffs_ = 0;
    bool has_sample_ = false;
};

}  // namespace holdfast::netpath::tcp
