/// ARP for IPv4 over Ethernet. RFC 826; RFC 5227 for what a probe looks like. Pure.
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "base/bytes.h"
#include "netpath/wire/address.h"
#include "netpath/wire/malformed.h"

namespace holdfast::netpath::wire {

inline constexpr std::size_t kArpBytes = 28;

enum class ArpOperation : std::uint16_t { Request = 1, Reply = 2 };

/// One ARP packet; every field may hold any value, except that addresses have the right kind.
struct ArpPacket {
    ArpOperation operation = ArpOperation::Request;
    MacAddress sender_mac{};
    IpAddress sender_ip{};
    MacAddress target_mac{};
    IpAddress target_ip{};
};

[[nodiscard]] inline std::expected<ArpPacket, Malformed> parse_arp(
    std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < kArpBytes) return std::unexpected(Malformed::TooShort);
    const auto fixed = bytes.first<kArpBytes>();
    const bool is_ethernet_ipv4 = be16_at<0>(fixed) == 1 && be16_at<2>(fixed) == 0x0800 &&
                                  u8_at<4>(fixed) == 6 && u8_at<5>(fixed) == 4;
    if (!is_ethernet_ipv4) return std::unexpected(Malformed::WrongVersion);
    const std::uint16_t operation = be16_at<6>(fixed);
    if (operation != 1 && operation != 2) return std::unexpected(Malformed::Ignored);
    return ArpPacket{.operation = static_cast<ArpOperation>(operation),
                     .sender_mac = MacAddress::from(fixed.subspan<8, 6>()),
                     .sender_ip = IpAddress::v4(fixed.subspan<14, 4>()),
                     .target_mac = MacAddress::from(fixed.subspan<18, 6>()),
                     .target_ip = IpAddress::v4(fixed.subspan<24, 4>())};
}

inline void put_arp(ByteWriter& out, const ArpPacket& packet) noexcept {
    out.be16(1);
    out.be16(0x0800);
    out.u8(6);
    out.u8(4);
    out.be16(static_cast<std::uint16_t>(packet.operation));
    out.bytes(packet.sender_mac.bytes);
    out.bytes(packet.sender_ip.v4_bytes());
    out.bytes(packet.target_mac.bytes);
    out.bytes(packet.target_ip.v4_bytes());
}

}  // namespace holdfast::netpath::wire
