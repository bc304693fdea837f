/// Link and network addresses as they stand in packets. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"

namespace holdfast::netpath::wire {

/// 48 bits of an Ethernet station. IEEE 802.
struct MacAddress {
    std::array<std::byte, 6> bytes{};

    [[nodiscard]] static constexpr MacAddress broadcast() noexcept {
        MacAddress all;
        all.bytes.fill(std::byte{0xff});
        return all;
    }
    [[nodiscard]] static MacAddress from(std::span<const std::byte, 6> wire) noexcept {
        MacAddress address;
        std::ranges::copy(wire, address.bytes.begin());
        return address;
    }
    /// The group bit: broadcast and multicast. Never a neighbour's own address.
    [[nodiscard]] constexpr bool is_group() const noexcept {
        return (bytes[0] & std::byte{1}) != std::byte{0};
    }
    constexpr bool operator==(const MacAddress&) const noexcept = default;
};

/// An IPv4 or an IPv6 address. Unset is IPv4 0.0.0.0.
class IpAddress {
public:
    constexpr IpAddress() noexcept = default;
    [[nodiscard]] static IpAddress v4(std::span<const std::byte, 4> wire) noexcept {
        IpAddress address;
        std::ranges::copy(wire, address.bytes_.begin());
        return address;
    }
    [[nodiscard]] static IpAddress v6(std::span<const std::byte, 16> wire) noexcept {
        IpAddress address;
        std::ranges::copy(wire, address.bytes_.begin());
        address.is_v6_ = true;
        return address;
    }
    [[nodiscard]] constexpr bool is_v6() const noexcept { return is_v6_; }
    /// 4 or 16 bytes, as on the wire. Borrows from this object.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return std::span{bytes_}.first(is_v6_ ? 16U : 4U);
    }
    [[nodiscard]] std::span<const std::byte, 4> v4_bytes() const noexcept {
        HF_ASSERT(!is_v6_);
        return std::span{bytes_}.first<4>();
    }
    [[nodiscard]] std::span<const std::byte, 16> v6_bytes() const noexcept {
        HF_ASSERT(is_v6_);
        return std::span{bytes_};
    }
    constexpr bool operator==(const IpAddress&) const noexcept = default;

private:
    std::array<std::byte, 16> bytes_{};
    bool is_v6_ = false;
};

/// The two ends of a TCP connection, seen from here.
struct Flow {
    IpAddress local{};
    IpAddress remote{};
    std::uint16_t local_port = 0;
    std::uint16_t remote_port = 0;
    constexpr bool operator==(const Flow&) const noexcept = default;
};

}  // namespace holdfast::netpath::wire
