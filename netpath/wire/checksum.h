/// The checksum of IP, TCP and ICMP. RFC 1071; the pseudo-headers of RFC 9293 section 3.1 and
/// RFC 8200 section 8.1. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "netpath/wire/address.h"

namespace holdfast::netpath::wire {

/// Adds bytes up, sixteen bits at a time, in ones' complement. Pieces of odd length may follow
/// each other: the sum is that of all the bytes in a row.
class Checksum {
public:
    void add(std::span<const std::byte> bytes) noexcept;
    void add_be16(std::uint16_t value) noexcept;
    /// All that `following` has added up.
    void add(const Checksum& following) noexcept;
    /// Addresses, length and protocol of the segment that is added before or after.
    void add_pseudo_header(const IpAddress& from, const IpAddress& to, std::uint8_t protocol,
                           std::uint32_t length) noexcept;
    /// What the header field must hold. Over bytes that include a correct field it is 0.
    [[nodiscard]] std::uint16_t value() const noexcept;

private:
    std::uint64_t sum_ = 0;  // Native byte order: RFC 1071 section 2(B).
    bool is_odd_ = false;
};

/// value() of one piece.
[[nodiscard]] std::uint16_t checksum_of(std::span<const std::byte> bytes) noexcept;

}  // namespace holdfast::netpath::wire
