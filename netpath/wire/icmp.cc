#include "netpath/wire/icmp.h"

#include <optional>

namespace holdfast::netpath::wire {

namespace {

constexpr std::size_t kIcmpBytes = 8;
/// Ports and sequence number: the least that every router quotes. RFC 792.
constexpr std::size_t kQuotedTcpBytes = 8;

/// What the type and code say; empty for all that is no error about a packet of ours.
std::optional<IcmpKind> kind_of_v4(std::uint8_t type, std::uint8_t code) noexcept {
    constexpr std::uint8_t kUnreachable = 3;
    constexpr std::uint8_t kTimeExceeded = 11;
    constexpr std::uint8_t kParameterProblem = 12;
    if (type == kTimeExceeded || type == kParameterProblem) return IcmpKind::Soft;
    // Source Quench, type 4, means nothing any more: RFC 6633.
    if (type != kUnreachable) return {};
    switch (code) {
    case 4: return IcmpKind::TooBig;
    case 2:   // Protocol unreachable.
    case 3:   // Port unreachable.
    case 9:   // Network administratively prohibited.
    case 10:  // Host administratively prohibited.
    case 13: return IcmpKind::Hard;
    default: return IcmpKind::Soft;
    }
}

std::optional<IcmpKind> kind_of_v6(std::uint8_t type, std::uint8_t code) noexcept {
    switch (type) {
    case 1: return code == 1 || code == 4 ? IcmpKind::Hard : IcmpKind::Soft;
    case 2: return IcmpKind::TooBig;
    case 3: return IcmpKind::Soft;
    case 4: return code == 1 ? IcmpKind::Hard : IcmpKind::Soft;
    default: return {};
    }
}

}  // namespace

std::expected<IcmpError, Malformed> parse_icmp_error(const IpPacket& packet) noexcept {
    if (packet.payload.size() < kIcmpBytes) return std::unexpected(Malformed::TooShort);
    const bool is_v6 = packet.protocol == kProtocolIcmpV6;
    if (is_v6 != packet.from.is_v6()) return std::unexpected(Malformed::WrongVersion);
    if (!has_right_icmp_checksum(packet)) return std::unexpected(Malformed::WrongChecksum);
    const auto header = packet.payload.first<kIcmpBytes>();
    const std::uint8_t type = u8_at<0>(header);
    const std::uint8_t code = u8_at<1>(header);
    const auto kind = is_v6 ? kind_of_v6(type, code) : kind_of_v4(type, code);
    if (!kind) return std::unexpected(Malformed::Ignored);
    const auto quoted = parse_quoted(packet.payload.subspan(kIcmpBytes));
    if (!quoted) return std::unexpected(quoted.error());
    if (quoted->from.is_v6() != is_v6) return std::unexpected(Malformed::WrongVersion);
    if (quoted->protocol != kProtocolTcp) return std::unexpected(Malformed::Ignored);
    if (quoted->payload.size() < kQuotedTcpBytes) return std::unexpected(Malformed::TooShort);
    const auto tcp = quoted->payload.first<kQuotedTcpBytes>();
    IcmpError error{.kind = *kind,
                    .mtu_bytes = 0,
                    .flow = {.local = quoted->from,
                             .remote = quoted->to,
                             .local_port = be16_at<0>(tcp),
                             .remote_port = be16_at<2>(tcp)},
                    .seq = TcpSeq{be32_at<4>(tcp)},
                    .packet_bytes = quoted->packet_bytes};
    if (*kind == IcmpKind::TooBig)
        error.mtu_bytes = is_v6 ? be32_at<4>(header) : be16_at<6>(header);
    return error;
}

}  // namespace holdfast::netpath::wire
