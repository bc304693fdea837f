/// IPv4 and IPv6 packets, as far as a host needs that sends and takes whole datagrams only.
/// RFC 791, RFC 1122 section 3.2, RFC 8200. Pure.
///
/// IPv4 options are stepped over; source routes are not obeyed. Of the IPv6 extension headers
/// hop-by-hop and destination options are stepped over, at most kExtensionsMax of them. Fragments
/// are refused in both: whoever sends TCP with path MTU discovery makes none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "base/bytes.h"
#include "netpath/wire/address.h"
#include "netpath/wire/malformed.h"

namespace holdfast::netpath::wire {

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolIcmpV6 = 58;
inline constexpr std::size_t kIpv4Bytes = 20;
inline constexpr std::size_t kIpv6Bytes = 40;
inline constexpr std::size_t kExtensionsMax = 4;

/// What is common to both versions. Borrows its payload.
struct IpPacket {
    IpAddress from{};
    IpAddress to{};
    std::uint8_t protocol = 0;
    std::uint8_t hop_limit = 0;
    std::uint8_t traffic_class = 0;      ///< TOS: RFC 2474 and RFC 3168.
    std::span<const std::byte> payload;  ///< Without padding of the link.
    std::size_t rest_bytes = 0;          ///< Of the payload, in the pieces behind.
};

/// A whole datagram with a correct header checksum. The first `bytes` of it, headers included, lie
/// here; `behind_bytes` more in other pieces.
[[nodiscard]] std::expected<IpPacket, Malformed> parse_ipv4(std::span<const std::byte> bytes,
                                                            std::size_t behind_bytes = 0) noexcept;
[[nodiscard]] std::expected<IpPacket, Malformed> parse_ipv6(std::span<const std::byte> bytes,
                                                            std::size_t behind_bytes = 0) noexcept;

/// Of an ICMP or ICMPv6 message in one piece. RFC 792, RFC 4443 section 2.3.
[[nodiscard]] bool has_right_icmp_checksum(const IpPacket& packet) noexcept;

/// The front of a packet that an ICMP error quotes. It may be cut anywhere behind its fixed header,
/// and its checksum may be stale: RFC 1812 section 4.3.2.3.
struct QuotedPacket {
    IpAddress from{};
    IpAddress to{};
    std::uint8_t protocol = 0;
    std::uint32_t packet_bytes = 0;      ///< As its header says: before it was cut.
    std::span<const std::byte> payload;  ///< What is left of it.
};
[[nodiscard]] std::expected<QuotedPacket, Malformed> parse_quoted(
    std::span<const std::byte> bytes) noexcept;

/// What a packet of ours says. Don't Fragment is always set: RFC 1191 section 3.
struct IpHeader {
    IpAddress from{};
    IpAddress to{};
    std::uint8_t protocol = 0;
    std::uint8_t hop_limit = 64;  ///< RFC 1700; IANA's recommended default.
    std::uint8_t traffic_class = 0;
    std::uint16_t identification = 0;  ///< Any value is legal with DF: RFC 6864 section 4.1.
    std::uint32_t payload_bytes = 0;

    [[nodiscard]] std::size_t bytes() const noexcept {
        return from.is_v6() ? kIpv6Bytes : kIpv4Bytes;
    }
};
/// Writes header.bytes(); a payload of more than 65535 bytes, headers counted, is our bug.
void put_ip(ByteWriter& out, const IpHeader& header) noexcept;

}  // namespace holdfast::netpath::wire
