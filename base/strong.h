/// Integers that carry their meaning. Two kinds never mix; each kind has only the arithmetic that
/// it needs.
#pragma once

#include <compare>
#include <cstdint>

namespace holdfast {

/// A raw integer of one kind, with comparison and nothing else.
template <class Tag, class Raw>
class Strong {
public:
    using RawType = Raw;
    constexpr Strong() noexcept = default;
    constexpr explicit Strong(Raw raw) noexcept : raw_(raw) {}
    [[nodiscard]] constexpr Raw raw() const noexcept { return raw_; }
    constexpr auto operator<=>(const Strong&) const noexcept = default;

private:
    Raw raw_{};
};

/// A Strong that adds up: counts and sizes.
template <class Tag, class Raw>
class Amount {
public:
    using RawType = Raw;
    constexpr Amount() noexcept = default;
    constexpr explicit Amount(Raw raw) noexcept : raw_(raw) {}
    [[nodiscard]] constexpr Raw raw() const noexcept { return raw_; }
    constexpr auto operator<=>(const Amount&) const noexcept = default;
    constexpr Amount& operator+=(Amount other) noexcept {
        raw_ = static_cast<Raw>(raw_ + other.raw_);
        return *this;
    }
    constexpr Amount& operator-=(Amount other) noexcept {
        raw_ = static_cast<Raw>(raw_ - other.raw_);
        return *this;
    }
    friend constexpr Amount operator+(Amount a, Amount b) noexcept { return a += b; }
    friend constexpr Amount operator-(Amount a, Amount b) noexcept { return a -= b; }

private:
    Raw raw_{};
};

/// A number of bytes.
using ByteCount = Amount<struct ByteCountTag, std::uint64_t>;
/// A distance in bytes from the start of a device, a buffer or a transfer; the owner says which.
using ByteOffset = Strong<struct ByteOffsetTag, std::uint64_t>;
/// A logical block address on a logical unit, in the unit's own block size. SBC-3.
using Lba = Strong<struct LbaTag, std::uint64_t>;
/// A number of logical blocks, in the unit's own block size.
using BlockCount = Amount<struct BlockCountTag, std::uint64_t>;

}  // namespace holdfast
