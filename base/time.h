/// Time as data. Nothing here reads a clock: whoever owns a clock makes an Instant and hands it in.
/// Arithmetic saturates, because instants also come from other processes' memory, where any bit
/// pattern may stand.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace holdfast {

namespace saturating {

[[nodiscard]] constexpr std::int64_t end_of(bool is_negative) noexcept {
    using Limits = std::numeric_limits<std::int64_t>;
    return is_negative ? Limits::min() : Limits::max();
}
[[nodiscard]] constexpr std::int64_t plus(std::int64_t a, std::int64_t b) noexcept {
    std::int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? end_of(b < 0) : sum;
}
[[nodiscard]] constexpr std::int64_t minus(std::int64_t a, std::int64_t b) noexcept {
    std::int64_t difference = 0;
    return __builtin_sub_overflow(a, b, &difference) ? end_of(b > 0) : difference;
}
[[nodiscard]] constexpr std::int64_t times(std::int64_t a, std::int64_t b) noexcept {
    std::int64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? end_of((a < 0) != (b < 0)) : product;
}

}  // namespace saturating

/// A span of time in nanoseconds; may be negative.
class Duration {
public:
    constexpr Duration() noexcept = default;
    [[nodiscard]] static constexpr Duration from_ns(std::int64_t count) noexcept {
        return Duration{count};
    }
    [[nodiscard]] static constexpr Duration from_us(std::int64_t count) noexcept {
        return Duration{saturating::times(count, 1'000)};
    }
    [[nodiscard]] static constexpr Duration from_ms(std::int64_t count) noexcept {
        return Duration{saturating::times(count, 1'000'000)};
    }
    [[nodiscard]] static constexpr Duration from_s(std::int64_t count) noexcept {
        return Duration{saturating::times(count, 1'000'000'000)};
    }
    [[nodiscard]] static constexpr Duration max() noexcept {
        return Duration{std::numeric_limits<std::int64_t>::max()};
    }
    [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }
    [[nodiscard]] constexpr std::int64_t ms() const noexcept { return ns_ / 1'000'000; }

    constexpr auto operator<=>(const Duration&) const noexcept = default;
    friend constexpr Duration operator+(Duration a, Duration b) noexcept {
        return Duration{saturating::plus(a.ns_, b.ns_)};
    }
    friend constexpr Duration operator-(Duration a, Duration b) noexcept {
        return Duration{saturating::minus(a.ns_, b.ns_)};
    }
    friend constexpr Duration operator*(Duration a, std::int64_t times) noexcept {
        return Duration{saturating::times(a.ns_, times)};
    }

private:
    constexpr explicit Duration(std::int64_t ns) noexcept : ns_(ns) {}
    std::int64_t ns_ = 0;
};

/// A point on a monotonic clock whose zero is arbitrary. The clock has no now(): see the file
/// comment.
class Instant {
public:
    constexpr Instant() noexcept = default;
    [[nodiscard]] static constexpr Instant from_ns(std::int64_t ns) noexcept { return Instant{ns}; }
    /// Later than every instant that can happen: a deadline that is not set.
    [[nodiscard]] static constexpr Instant never() noexcept {
        return Instant{std::numeric_limits<std::int64_t>::max()};
    }
    [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }
    [[nodiscard]] constexpr bool is_never() const noexcept { return *this == never(); }

    constexpr auto operator<=>(const Instant&) const noexcept = default;
    /// An instant too late to be counted is never().
    friend constexpr Instant operator+(Instant at, Duration by) noexcept {
        return Instant{saturating::plus(at.ns_, by.ns())};
    }
    friend constexpr Duration operator-(Instant a, Instant b) noexcept {
        return Duration::from_ns(saturating::minus(a.ns_, b.ns_));
    }

private:
    constexpr explicit Instant(std::int64_t ns) noexcept : ns_(ns) {}
    std::int64_t ns_ = 0;
};

/// The earlier of two deadlines.
[[nodiscard]] constexpr Instant earlier(Instant a, Instant b) noexcept {
    return a < b ? a : b;
}

}  // namespace holdfast
