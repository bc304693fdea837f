/// Big-endian fields in byte spans. Fixed headers are read at compile-time offsets, so an offset
/// that does not fit does not compile; variable data goes through ByteReader and ByteWriter.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/assert.h"

namespace holdfast {

namespace bytes_detail {

template <std::unsigned_integral T>
[[nodiscard]] constexpr T swapped(T value) noexcept {
    if constexpr (sizeof(T) == 1 || std::endian::native == std::endian::big) {
        return value;
    } else {
        return std::byteswap(value);
    }
}

template <std::unsigned_integral T>
[[nodiscard]] inline T load(std::span<const std::byte, sizeof(T)> from) noexcept {
    T value{};
    std::memcpy(&value, from.data(), sizeof(T));
    return swapped(value);
}

template <std::unsigned_integral T>
inline void store(std::span<std::byte, sizeof(T)> to, T value) noexcept {
    const T wire = swapped(value);
    std::memcpy(to.data(), &wire, sizeof(T));
}

}  // namespace bytes_detail

template <std::size_t Offset, std::size_t N>
[[nodiscard]] inline std::uint8_t u8_at(std::span<const std::byte, N> from) noexcept {
    static_assert(N != std::dynamic_extent && Offset < N);
    return std::to_integer<std::uint8_t>(from[Offset]);
}
template <std::size_t Offset, std::size_t N>
[[nodiscard]] inline std::uint16_t be16_at(std::span<const std::byte, N> from) noexcept {
    return bytes_detail::load<std::uint16_t>(from.template subspan<Offset, 2>());
}
/// Three bytes, as in DataSegmentLength. RFC 7143 section 11.2.1.6.
template <std::size_t Offset, std::size_t N>
[[nodiscard]] inline std::uint32_t be24_at(std::span<const std::byte, N> from) noexcept {
    return (std::uint32_t{u8_at<Offset>(from)} << 16) | be16_at<Offset + 1>(from);
}
template <std::size_t Offset, std::size_t N>
[[nodiscard]] inline std::uint32_t be32_at(std::span<const std::byte, N> from) noexcept {
    return bytes_detail::load<std::uint32_t>(from.template subspan<Offset, 4>());
}
template <std::size_t Offset, std::size_t N>
[[nodiscard]] inline std::uint64_t be64_at(std::span<const std::byte, N> from) noexcept {
    return bytes_detail::load<std::uint64_t>(from.template subspan<Offset, 8>());
}

template <std::size_t Offset, std::size_t N>
inline void put_u8(std::span<std::byte, N> to, std::uint8_t value) noexcept {
    static_assert(N != std::dynamic_extent && Offset < N);
    to[Offset] = std::byte{value};
}
template <std::size_t Offset, std::size_t N>
inline void put_be16(std::span<std::byte, N> to, std::uint16_t value) noexcept {
    bytes_detail::store(to.template subspan<Offset, 2>(), value);
}
template <std::size_t Offset, std::size_t N>
inline void put_be24(std::span<std::byte, N> to, std::uint32_t value) noexcept {
    HF_ASSERT(value < (1U << 24));
    put_u8<Offset>(to, static_cast<std::uint8_t>(value >> 16));
    put_be16<Offset + 1>(to, static_cast<std::uint16_t>(value & 0xffffU));
}
template <std::size_t Offset, std::size_t N>
inline void put_be32(std::span<std::byte, N> to, std::uint32_t value) noexcept {
    bytes_detail::store(to.template subspan<Offset, 4>(), value);
}
template <std::size_t Offset, std::size_t N>
inline void put_be64(std::span<std::byte, N> to, std::uint64_t value) noexcept {
    bytes_detail::store(to.template subspan<Offset, 8>(), value);
}

/// Takes fields from the front of a span. An attempt to take more than is left comes back empty and
/// takes nothing.
class ByteReader {
public:
    constexpr explicit ByteReader(std::span<const std::byte> bytes) noexcept : left_(bytes) {}

    [[nodiscard]] std::size_t left_bytes() const noexcept { return left_.size(); }
    [[nodiscard]] std::span<const std::byte> rest() const noexcept { return left_; }

    [[nodiscard]] std::optional<std::uint8_t> try_u8() noexcept { return try_be<std::uint8_t>(); }
    [[nodiscard]] std::optional<std::uint16_t> try_be16() noexcept {
        return try_be<std::uint16_t>();
    }
    [[nodiscard]] std::optional<std::uint32_t> try_be32() noexcept {
        return try_be<std::uint32_t>();
    }
    [[nodiscard]] std::optional<std::uint64_t> try_be64() noexcept {
        return try_be<std::uint64_t>();
    }
    [[nodiscard]] std::optional<std::span<const std::byte>> try_bytes(std::size_t count) noexcept {
        if (count > left_.size()) return {};
        const auto taken = left_.first(count);
        left_ = left_.subspan(count);
        return taken;
    }

private:
    template <std::unsigned_integral T>
    std::optional<T> try_be() noexcept {
        const auto taken = try_bytes(sizeof(T));
        if (!taken) return {};
        return bytes_detail::load<T>(taken->template first<sizeof(T)>());
    }

    std::span<const std::byte> left_;
};

/// Appends fields to a span that the caller owns. When a field does not fit, nothing is written and
/// overflowed() stays true: check once at the end.
class ByteWriter {
public:
    constexpr explicit ByteWriter(std::span<std::byte> room) noexcept : room_(room) {}

    void u8(std::uint8_t value) noexcept { put(value); }
    void be16(std::uint16_t value) noexcept { put(value); }
    void be32(std::uint32_t value) noexcept { put(value); }
    void be64(std::uint64_t value) noexcept { put(value); }
    void bytes(std::span<const std::byte> from) noexcept {
        if (from.size() > room_.size() - used_ || overflowed_) {
            overflowed_ = true;
            return;
        }
        if (!from.empty()) std::memcpy(room_.subspan(used_).data(), from.data(), from.size());
        used_ += from.size();
    }
    void text(std::string_view from) noexcept { bytes(std::as_bytes(std::span{from})); }

    [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }
    [[nodiscard]] std::size_t used_bytes() const noexcept { return used_; }
    [[nodiscard]] std::span<std::byte> written() const noexcept { return room_.first(used_); }

private:
    template <std::unsigned_integral T>
    void put(T value) noexcept {
        const T wire = bytes_detail::swapped(value);
        bytes(std::as_bytes(std::span{&wire, 1}));
    }

    std::span<std::byte> room_;
    std::size_t used_ = 0;
    bool overflowed_ = false;
};

/// The bytes as characters, for text that came off the wire. Borrows.
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> from) noexcept {
    // char may alias any object, so the view is well defined.
    return {reinterpret_cast<const char*>(from.data()), from.size()};
}

}  // namespace holdfast
