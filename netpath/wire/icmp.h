/// ICMP and ICMPv6 errors about our own TCP segments. RFC 792, RFC 1122 section 3.2.2, RFC 4443.
/// Pure. Errors about anything else, and everything that is not an error, come back as Ignored.
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "netpath/wire/address.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/malformed.h"
#include "netpath/wire/tcp.h"

namespace holdfast::netpath::wire {

/// How an error is to be taken. RFC 5461 and RFC 5927 section 5 name the two kinds.
enum class IcmpKind : std::uint8_t {
    TooBig,  ///< Fragmentation needed; Packet Too Big.
    Soft,    ///< Net or host unreachable, time exceeded, parameter problem: may pass.
    Hard,    ///< Protocol or port unreachable, administratively prohibited.
};

/// An error and the segment that it is about.
struct IcmpError {
    IcmpKind kind = IcmpKind::Soft;
    /// TooBig: the next hop's MTU, bytes; 0 from a router that is older than RFC 1191.
    std::uint32_t mtu_bytes = 0;
    Flow flow{};                     ///< Seen from us: local is who sent the quoted segment.
    TcpSeq seq{};                    ///< Of the quoted segment.
    std::uint32_t packet_bytes = 0;  ///< Length of the quoted packet.
};

/// `packet` has protocol ICMP or ICMPv6; its checksum is judged here.
[[nodiscard]] std::expected<IcmpError, Malformed> parse_icmp_error(const IpPacket& packet) noexcept;

}  // namespace holdfast::netpath::wire
