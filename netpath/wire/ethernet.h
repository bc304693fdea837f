/// Ethernet II frames, with at most one 802.1Q tag. IEEE 802.3 and 802.1Q; RFC 894, RFC 2464.
/// Pure. Two tags, 802.3 lengths and everything else that is not an EtherType are WrongVersion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "netpath/wire/address.h"
#include "netpath/wire/malformed.h"

namespace holdfast::netpath::wire {

inline constexpr std::uint16_t kEtherIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherArp = 0x0806;
inline constexpr std::uint16_t kEtherVlan = 0x8100;
inline constexpr std::uint16_t kEtherIpv6 = 0x86dd;
inline constexpr std::size_t kEthernetBytes = 14;
inline constexpr std::size_t kVlanBytes = 4;

/// A VLAN identifier, 1..4094. 0 on the wire is a priority tag, which means no VLAN.
using VlanId = std::uint16_t;

/// The addresses of a frame, and what it carries.
struct EthernetHeader {
    MacAddress to{};
    MacAddress from{};
    std::optional<VlanId> vlan{};
    std::uint16_t ether_type = 0;

    [[nodiscard]] constexpr std::size_t bytes() const noexcept {
        return kEthernetBytes + (vlan ? kVlanBytes : 0U);
    }
};

/// A frame's header and the rest of it, padding included. Borrows.
struct EthernetFrame {
    EthernetHeader header{};
    std::span<const std::byte> payload{};
};

[[nodiscard]] inline std::expected<EthernetFrame, Malformed> parse_ethernet(
    std::span<const std::byte> frame) noexcept {
    if (frame.size() < kEthernetBytes) return std::unexpected(Malformed::TooShort);
    const auto fixed = frame.first<kEthernetBytes>();
    EthernetFrame parsed{.header = {.to = MacAddress::from(fixed.subspan<0, 6>()),
                                    .from = MacAddress::from(fixed.subspan<6, 6>()),
                                    .vlan = {},
                                    .ether_type = be16_at<12>(fixed)},
                         .payload = frame.subspan(kEthernetBytes)};
    if (parsed.header.ether_type == kEtherVlan) {
        if (parsed.payload.size() < kVlanBytes) return std::unexpected(Malformed::TooShort);
        const auto tag = parsed.payload.first<kVlanBytes>();
        const auto vlan = static_cast<VlanId>(be16_at<0>(tag) & 0x0fffU);
        if (vlan != 0) parsed.header.vlan = vlan;
        parsed.header.ether_type = be16_at<2>(tag);
        parsed.payload = parsed.payload.subspan(kVlanBytes);
    }
    constexpr std::uint16_t kSmallestEtherType = 0x0600;  // Below it is a length: IEEE 802.3.
    if (parsed.header.ether_type < kSmallestEtherType || parsed.header.ether_type == kEtherVlan)
        return std::unexpected(Malformed::WrongVersion);
    return parsed;
}

/// Writes header.bytes() at the front of `out`, which must have them.
inline void put_ethernet(ByteWriter& out, const EthernetHeader& header) noexcept {
    out.bytes(header.to.bytes);
    out.bytes(header.from.bytes);
    if (header.vlan) {
        out.be16(kEtherVlan);
        out.be16(*header.vlan);
    }
    out.be16(header.ether_type);
}

}  // namespace holdfast::netpath::wire
