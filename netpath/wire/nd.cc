#include "netpath/wire/nd.h"

#include <array>

#include "base/assert.h"
#include "netpath/wire/checksum.h"

namespace holdfast::netpath::wire {

namespace {

constexpr std::size_t kFixedBytes = 24;
constexpr std::uint8_t kSourceLinkAddress = 1;
constexpr std::uint8_t kTargetLinkAddress = 2;
constexpr std::uint8_t kRouter = 0x80;
constexpr std::uint8_t kSolicited = 0x40;
constexpr std::uint8_t kOverride = 0x20;

bool is_multicast(const IpAddress& address) noexcept {
    return u8_at<0>(address.v6_bytes()) == 0xff;
}

bool is_unspecified(const IpAddress& address) noexcept {
    return be64_at<0>(address.v6_bytes()) == 0 && be64_at<8>(address.v6_bytes()) == 0;
}

/// False when an option has no length or does not fit: then the whole message is to be dropped.
bool take_options(std::span<const std::byte> bytes, std::uint8_t wanted,
                  NdMessage& message) noexcept {
    ByteReader reader{bytes};
    while (const auto type = reader.try_u8()) {
        const auto units = reader.try_u8();
        if (!units || *units == 0) return false;
        const auto body = reader.try_bytes(std::size_t{*units} * 8 - 2);
        if (!body) return false;
        if (*type == wanted && *units == 1)
            message.link_address = MacAddress::from(body->first<6>());
    }
    return true;
}

}  // namespace

std::expected<NdMessage, Malformed> parse_nd(const IpPacket& packet) noexcept {
    if (packet.protocol != kProtocolIcmpV6 || !packet.from.is_v6())
        return std::unexpected(Malformed::WrongVersion);
    if (packet.payload.size() < kFixedBytes) return std::unexpected(Malformed::TooShort);
    const auto fixed = packet.payload.first<kFixedBytes>();
    const std::uint8_t type = u8_at<0>(fixed);
    const bool is_solicitation = type == static_cast<std::uint8_t>(NdKind::Solicitation);
    if (!is_solicitation && type != static_cast<std::uint8_t>(NdKind::Advertisement))
        return std::unexpected(Malformed::Ignored);
    // 255 shows that no router has passed it on: sections 7.1.1 and 7.1.2.
    if (packet.hop_limit != 255 || u8_at<1>(fixed) != 0) return std::unexpected(Malformed::Ignored);
    if (!has_right_icmp_checksum(packet)) return std::unexpected(Malformed::WrongChecksum);
    NdMessage message{.kind = static_cast<NdKind>(type),
                      .target = IpAddress::v6(fixed.subspan<8, 16>()),
                      .link_address = {}};
    if (is_multicast(message.target)) return std::unexpected(Malformed::Ignored);
    const std::uint8_t wanted = is_solicitation ? kSourceLinkAddress : kTargetLinkAddress;
    if (!take_options(packet.payload.subspan(kFixedBytes), wanted, message))
        return std::unexpected(Malformed::WrongLength);
    // Duplicate address detection has no address to answer to: section 7.1.1.
    if (is_solicitation && is_unspecified(packet.from) && message.link_address)
        return std::unexpected(Malformed::Ignored);
    if (is_solicitation) return message;
    const std::uint8_t flags = u8_at<4>(fixed);
    message.is_router = (flags & kRouter) != 0;
    message.is_solicited = (flags & kSolicited) != 0;
    message.overrides = (flags & kOverride) != 0;
    if (message.is_solicited && is_multicast(packet.to)) return std::unexpected(Malformed::Ignored);
    return message;
}

void put_nd(ByteWriter& out, const NdMessage& message, const IpAddress& from,
            const IpAddress& to) noexcept {
    HF_ASSERT(message.link_address.has_value());
    const bool is_solicitation = message.kind == NdKind::Solicitation;
    std::array<std::byte, kNdBytes> bytes{};
    ByteWriter writer{bytes};
    writer.u8(static_cast<std::uint8_t>(message.kind));
    writer.u8(0);
    writer.be16(0);
    std::uint8_t flags = 0;
    if (!is_solicitation) {
        if (message.is_router) flags |= kRouter;
        if (message.is_solicited) flags |= kSolicited;
        if (message.overrides) flags |= kOverride;
    }
    writer.u8(flags);
    writer.u8(0);
    writer.be16(0);
    writer.bytes(message.target.v6_bytes());
    writer.u8(is_solicitation ? kSourceLinkAddress : kTargetLinkAddress);
    writer.u8(1);
    writer.bytes(message.link_address->bytes);
    HF_ASSERT(!writer.overflowed() && writer.used_bytes() == kNdBytes);
    Checksum sum;
    sum.add_pseudo_header(from, to, kProtocolIcmpV6, kNdBytes);
    sum.add(bytes);
    put_be16<2>(std::span{bytes}, sum.value());
    out.bytes(bytes);
}

IpAddress solicited_node(const IpAddress& address) noexcept {
    std::array<std::byte, 16> group{};
    put_be16<0>(std::span{group}, 0xff02);
    put_u8<11>(std::span{group}, 1);
    put_u8<12>(std::span{group}, 0xff);
    std::ranges::copy(address.v6_bytes().last<3>(), std::span{group}.last<3>().begin());
    return IpAddress::v6(group);
}

MacAddress multicast_mac(const IpAddress& group) noexcept {
    MacAddress mac;
    mac.bytes[0] = std::byte{0x33};
    mac.bytes[1] = std::byte{0x33};
    std::ranges::copy(group.v6_bytes().last<4>(), std::span{mac.bytes}.last<4>().begin());
    return mac;
}

}  // namespace holdfast::netpath::wire
