/// Time as data. Nothing here reads a clock: whoever owns a clock makes an Instant and hands it in.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace holdfast {

/// A span of time in nanoseconds; may be negative.
class Duration {
public:
    constexpr Duration() noexcept = default;
    [[nodiscard]] static constexpr Duration from_ns(std::int64_t count) noexcept {
        return Duration{count};
    }
    [[nodiscard]] static constexpr Duration from_us(std::int64_t count) noexcept {
        return Duration{count * 1'000};
    }
    [[nodiscard]] static constexpr Duration from_ms(std::int64_t count) noexcept {
        return Duration{count * 1'000'000};
    }
    [[nodiscard]] static constexpr Duration from_s(std::int64_t count) noexcept {
        return Duration{count * 1'000'000'000};
    }
    [[nodiscard]] static constexpr Duration max() noexcept {
        return Duration{std::numeric_limits<std::int64_t>::max()};
    }
    [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }
    [[nodiscard]] constexpr std::int64_t ms() const noexcept { return ns_ / 1'000'000; }

    constexpr auto operator<=>(const Duration&) const noexcept = default;
    friend constexpr Duration operator+(Duration a, Duration b) noexcept {
        return Duration{a.ns_ + b.ns_};
    }
    friend constexpr Duration operator-(Duration a, Duration b) noexcept {
        return Duration{a.ns_ - b.ns_};
    }
    friend constexpr Duration operator*(Duration a, std::int64_t times) noexcept {
        return Duration{a.ns_ * times};
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
    /// Saturates at never().
    friend constexpr Instant operator+(Instant at, Duration by) noexcept {
        std::int64_t sum = 0;
        if (__builtin_add_overflow(at.ns_, by.ns(), &sum)) return never();
        return Instant{sum};
    }
    friend constexpr Duration operator-(Instant a, Instant b) noexcept {
        return Duration::from_ns(a.ns_ - b.ns_);
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
