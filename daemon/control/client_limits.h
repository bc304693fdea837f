/// What one client of the control socket, or one user, may take of the control process: so that
/// nobody keeps root out, and nobody keeps control busy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace holdfast::daemon {

/// Connections at once.
inline constexpr std::size_t kClientsMax = 64;
/// Of these nobody but root gets the last ones, and each user so many.
inline constexpr std::size_t kClientsOfOthersMax = 48;
inline constexpr std::size_t kClientsOfOneUserMax = 16;

/// Whether another connection is taken. `of_user` and `of_others` are connected already; others are
/// all but root.
[[nodiscard]] constexpr bool may_connect(bool is_root, std::size_t of_user,
                                         std::size_t of_others) noexcept {
    return is_root || (of_user < kClientsOfOneUserMax && of_others < kClientsOfOthersMax);
}

/// Requests of one client: so many at once, and so many a second. What comes beyond waits in its
/// socket; nothing is refused.
class RequestRate {
public:
    static constexpr std::uint32_t kAtOnce = 50;
    static constexpr Duration kInterval = Duration::from_ms(20);

    /// True: one request may be worked on now.
    [[nodiscard]] constexpr bool try_take(Instant now) noexcept {
        refill(now);
        if (left_ == 0) return false;
        --left_;
        return true;
    }
    /// When the next may be; in the past when it may be now.
    [[nodiscard]] constexpr Instant next() const noexcept {
        return left_ > 0 ? refilled_ : refilled_ + kInterval;
    }

private:
    constexpr void refill(Instant now) noexcept {
        const std::int64_t due = (now - refilled_).ns() / kInterval.ns();
        if (due <= 0) return;
        left_ = static_cast<std::uint32_t>(std::min<std::int64_t>(
            kAtOnce, std::int64_t{left_} + std::min<std::int64_t>(due, kAtOnce)));
        refilled_ = left_ == kAtOnce ? now : refilled_ + kInterval * due;
    }

    std::uint32_t left_ = kAtOnce;
    Instant refilled_;
};

}  // namespace holdfast::daemon
