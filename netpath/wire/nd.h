/// Neighbour discovery for IPv6: solicitations and advertisements. RFC 4861 sections 4.3, 4.4, 7.
/// Pure. Router discovery and redirects are the kernel's.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "netpath/wire/address.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/malformed.h"

namespace holdfast::netpath::wire {

enum class NdKind : std::uint8_t { Solicitation = 135, Advertisement = 136 };

/// One message. What section 7.1 asks of it has been judged: hop limit 255, code 0, checksum,
/// option lengths, no multicast target.
struct NdMessage {
    NdKind kind = NdKind::Solicitation;
    IpAddress target{};
    /// Source link-layer address of a solicitation, target's of an advertisement.
    std::optional<MacAddress> link_address{};
    bool is_router = false;
    bool is_solicited = false;
    bool overrides = false;
};

/// Bytes of the message that put_nd() writes.
inline constexpr std::size_t kNdBytes = 32;

[[nodiscard]] std::expected<NdMessage, Malformed> parse_nd(const IpPacket& packet) noexcept;
/// Writes the ICMPv6 message with its link-layer address, which must be there, and checksum.
void put_nd(ByteWriter& out, const NdMessage& message, const IpAddress& from,
            const IpAddress& to) noexcept;

/// ff02::1:ffXX:XXXX, and its Ethernet address. RFC 4291 section 2.7.1, RFC 2464 section 7.
[[nodiscard]] IpAddress solicited_node(const IpAddress& address) noexcept;
[[nodiscard]] MacAddress multicast_mac(const IpAddress& group) noexcept;

}  // namespace holdfast::netpath::wire
