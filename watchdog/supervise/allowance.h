/// How many takeovers are allowed: so many at once, and one more after each interval.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.h"
#include "base/time.h"

namespace holdfast::watchdog {

/// See the file comment. Pure; times are the supervisor's own.
class Allowance {
public:
    constexpr Allowance(std::uint32_t at_once, Duration interval) noexcept
        : at_once_(at_once), interval_(interval), left_(at_once) {
        HF_ASSERT(at_once > 0 && interval > Duration{});
    }

    /// False: used up; next() says when to ask again.
    [[nodiscard]] constexpr bool try_take(Instant own) noexcept {
        refill(own);
        if (left_ == 0) return false;
        if (left_ == at_once_) refilled_ = own;  // The interval counts from the first one taken.
        --left_;
        return true;
    }
    /// When try_take() may succeed; in the past when it would now.
    [[nodiscard]] constexpr Instant next() const noexcept {
        return left_ > 0 ? refilled_ : refilled_ + interval_;
    }
    [[nodiscard]] constexpr std::uint32_t left() const noexcept { return left_; }

private:
    constexpr void refill(Instant own) noexcept {
        const std::int64_t due = (own - refilled_).ns() / interval_.ns();
        if (due <= 0) return;
        const auto missing = static_cast<std::int64_t>(at_once_ - left_);
        left_ += static_cast<std::uint32_t>(std::min(due, missing));
        refilled_ = refilled_ + interval_ * due;
    }

    std::uint32_t at_once_;
    Duration interval_;
    std::uint32_t left_;
    Instant refilled_;
};

}  // namespace holdfast::watchdog
