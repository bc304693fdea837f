/// Serial numbers of 32 bits. RFC 1982; RFC 7143 section 4.2.2.1 for CmdSN, StatSN, DataSN, R2TSN;
/// RFC 9293 section 3.4 for TCP sequence numbers.
#pragma once

#include <cstdint>

namespace holdfast {

/// A 32-bit serial number of one kind. There is no operator<, because serial order is not
/// transitive; two numbers that are 2^31 apart are unordered both ways.
template <class Tag>
class Serial32 {
public:
    constexpr Serial32() noexcept = default;
    constexpr explicit Serial32(std::uint32_t raw) noexcept : raw_(raw) {}

    [[nodiscard]] constexpr std::uint32_t raw() const noexcept { return raw_; }

    /// True when this number comes before `other` within half of the circle.
    [[nodiscard]] constexpr bool precedes(Serial32 other) const noexcept {
        const std::uint32_t ahead = other.raw_ - raw_;
        return ahead != 0 && ahead < kHalfCircle;
    }
    [[nodiscard]] constexpr bool precedes_or_is(Serial32 other) const noexcept {
        return *this == other || precedes(other);
    }
    /// The number `count` steps on; wraps at 2^32.
    [[nodiscard]] constexpr Serial32 plus(std::uint32_t count) const noexcept {
        return Serial32{raw_ + count};
    }
    /// Steps forward from `earlier` to this number, modulo 2^32.
    [[nodiscard]] constexpr std::uint32_t since(Serial32 earlier) const noexcept {
        return raw_ - earlier.raw_;
    }
    [[nodiscard]] constexpr Serial32 next() const noexcept { return plus(1); }

    constexpr bool operator==(const Serial32&) const noexcept = default;

private:
    static constexpr std::uint32_t kHalfCircle = 0x8000'0000U;
    std::uint32_t raw_ = 0;
};

}  // namespace holdfast
