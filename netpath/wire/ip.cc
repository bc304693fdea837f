#include "netpath/wire/ip.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "netpath/wire/checksum.h"

namespace holdfast::netpath::wire {

namespace {

constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kFragmentOffset = 0x1fff;
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kDestinationOptions = 60;

/// Bytes of the IPv4 header, options included. Empty: not a header.
std::expected<std::size_t, Malformed> ipv4_header_bytes(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < kIpv4Bytes) return std::unexpected(Malformed::TooShort);
    const std::uint8_t first = u8_at<0>(bytes.first<kIpv4Bytes>());
    if (first >> 4 != 4) return std::unexpected(Malformed::WrongVersion);
    const std::size_t header = std::size_t{first & 0x0fU} * 4;
    if (header < kIpv4Bytes || header > bytes.size())
        return std::unexpected(Malformed::WrongLength);
    return header;
}

/// Steps over the extension headers that may be stepped over. What it gives is the protocol; the
/// bytes before the payload are taken from `reader`.
std::expected<std::uint8_t, Malformed> skip_extensions(ByteReader& reader,
                                                       std::uint8_t next) noexcept {
    for (std::size_t i = 0; next == kHopByHop || next == kDestinationOptions; ++i) {
        if (i == kExtensionsMax) return std::unexpected(Malformed::Extension);
        const auto following = reader.try_u8();
        const auto units = reader.try_u8();
        if (!following || !units) return std::unexpected(Malformed::TooShort);
        if (!reader.try_bytes(std::size_t{*units} * 8 + 6))
            return std::unexpected(Malformed::WrongLength);
        next = *following;
    }
    constexpr std::array<std::uint8_t, 6> kRefused{43, 44, 50, 51, 135, 139};
    for (const std::uint8_t refused : kRefused) {
        if (next == refused) return std::unexpected(Malformed::Extension);
    }
    return next;
}

}  // namespace

std::expected<IpPacket, Malformed> parse_ipv4(std::span<const std::byte> bytes,
                                              std::size_t behind_bytes) noexcept {
    const auto header = ipv4_header_bytes(bytes);
    if (!header) return std::unexpected(header.error());
    if (checksum_of(bytes.first(*header)) != 0) return std::unexpected(Malformed::WrongChecksum);
    const auto fixed = bytes.first<kIpv4Bytes>();
    const std::size_t total = be16_at<2>(fixed);
    if (total < *header || total > bytes.size() + behind_bytes)
        return std::unexpected(Malformed::WrongLength);
    const std::size_t here = std::min(total, bytes.size());
    if ((be16_at<6>(fixed) & (kMoreFragments | kFragmentOffset)) != 0)
        return std::unexpected(Malformed::Fragment);
    return IpPacket{.from = IpAddress::v4(fixed.subspan<12, 4>()),
                    .to = IpAddress::v4(fixed.subspan<16, 4>()),
                    .protocol = u8_at<9>(fixed),
                    .hop_limit = u8_at<8>(fixed),
                    .traffic_class = u8_at<1>(fixed),
                    .payload = bytes.first(here).subspan(*header),
                    .rest_bytes = total - here};
}

std::expected<IpPacket, Malformed> parse_ipv6(std::span<const std::byte> bytes,
                                              std::size_t behind_bytes) noexcept {
    if (bytes.size() < kIpv6Bytes) return std::unexpected(Malformed::TooShort);
    const auto fixed = bytes.first<kIpv6Bytes>();
    if (u8_at<0>(fixed) >> 4 != 6) return std::unexpected(Malformed::WrongVersion);
    const std::size_t length = be16_at<4>(fixed);
    if (length > bytes.size() - kIpv6Bytes + behind_bytes)
        return std::unexpected(Malformed::WrongLength);
    const std::size_t here = std::min(length, bytes.size() - kIpv6Bytes);
    ByteReader reader{bytes.subspan(kIpv6Bytes, here)};
    const auto protocol = skip_extensions(reader, u8_at<6>(fixed));
    if (!protocol) return std::unexpected(protocol.error());
    return IpPacket{.from = IpAddress::v6(fixed.subspan<8, 16>()),
                    .to = IpAddress::v6(fixed.subspan<24, 16>()),
                    .protocol = *protocol,
                    .hop_limit = u8_at<7>(fixed),
                    .traffic_class = static_cast<std::uint8_t>(be16_at<0>(fixed) >> 4),
                    .payload = reader.rest(),
                    .rest_bytes = length - here};
}

bool has_right_icmp_checksum(const IpPacket& packet) noexcept {
    Checksum sum;
    if (packet.protocol == kProtocolIcmpV6)
        sum.add_pseudo_header(packet.from, packet.to, kProtocolIcmpV6,
                              static_cast<std::uint32_t>(packet.payload.size()));
    sum.add(packet.payload);
    return sum.value() == 0;
}

std::expected<QuotedPacket, Malformed> parse_quoted(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) return std::unexpected(Malformed::TooShort);
    const auto version = std::to_integer<unsigned>(bytes.front()) >> 4;
    if (version == 4) {
        const auto header = ipv4_header_bytes(bytes);
        if (!header) return std::unexpected(header.error());
        const auto fixed = bytes.first<kIpv4Bytes>();
        // The quote of a later fragment has no ports.
        if ((be16_at<6>(fixed) & kFragmentOffset) != 0) return std::unexpected(Malformed::Fragment);
        return QuotedPacket{.from = IpAddress::v4(fixed.subspan<12, 4>()),
                            .to = IpAddress::v4(fixed.subspan<16, 4>()),
                            .protocol = u8_at<9>(fixed),
                            .packet_bytes = be16_at<2>(fixed),
                            .payload = bytes.subspan(*header)};
    }
    if (version != 6) return std::unexpected(Malformed::WrongVersion);
    if (bytes.size() < kIpv6Bytes) return std::unexpected(Malformed::TooShort);
    const auto fixed = bytes.first<kIpv6Bytes>();
    ByteReader reader{bytes.subspan(kIpv6Bytes)};
    const auto protocol = skip_extensions(reader, u8_at<6>(fixed));
    if (!protocol) return std::unexpected(protocol.error());
    return QuotedPacket{.from = IpAddress::v6(fixed.subspan<8, 16>()),
                        .to = IpAddress::v6(fixed.subspan<24, 16>()),
                        .protocol = *protocol,
                        .packet_bytes = be16_at<4>(fixed) + std::uint32_t{kIpv6Bytes},
                        .payload = reader.rest()};
}

void put_ip(ByteWriter& out, const IpHeader& header) noexcept {
    HF_ASSERT(header.from.is_v6() == header.to.is_v6());
    HF_ASSERT(header.payload_bytes <= 0xffffU - kIpv4Bytes);
    const auto payload = static_cast<std::uint16_t>(header.payload_bytes);
    if (header.from.is_v6()) {
        out.be32(0x6000'0000U | (std::uint32_t{header.traffic_class} << 20));
        out.be16(payload);
        out.u8(header.protocol);
        out.u8(header.hop_limit);
        out.bytes(header.from.bytes());
        out.bytes(header.to.bytes());
        return;
    }
    std::array<std::byte, kIpv4Bytes> fixed{};
    put_u8<0>(std::span{fixed}, 0x45);
    put_u8<1>(std::span{fixed}, header.traffic_class);
    put_be16<2>(std::span{fixed}, static_cast<std::uint16_t>(payload + kIpv4Bytes));
    put_be16<4>(std::span{fixed}, header.identification);
    put_be16<6>(std::span{fixed}, kDontFragment);
    put_u8<8>(std::span{fixed}, header.hop_limit);
    put_u8<9>(std::span{fixed}, header.protocol);
    std::ranges::copy(header.from.v4_bytes(), std::span{fixed}.subspan<12, 4>().begin());
    std::ranges::copy(header.to.v4_bytes(), std::span{fixed}.subspan<16, 4>().begin());
    put_be16<10>(std::span{fixed}, checksum_of(fixed));
    out.bytes(fixed);
}

}  // namespace holdfast::netpath::wire
