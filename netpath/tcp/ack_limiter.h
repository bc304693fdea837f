/// How often a segment that should not have come is answered. RFC 5961 section 7: ten in five
/// seconds. The count is the connection's own, so that nobody off the path learns from it about
/// another connection. Pure.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace holdfast::netpath::tcp {

class AckLimiter {
public:
    static constexpr std::uint32_t kAcksMax = 10;
    static constexpr Duration kPeriod = Duration::from_s(5);

    /// True: answer. Counts it.
    [[nodiscard]] bool try_take(Instant now) noexcept {
        if (now >= period_end_) {
            period_end_ = now + kPeriod;
            used_ = 0;
        }
        if (used_ == kAcksMax) return false;
        ++used_;
        return true;
    }

private:
    Instant period_end_{};
    std::uint32_t used_ = 0;
};

}  // namespace holdfast::netpath::tcp
