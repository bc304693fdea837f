#include "netpath/steer/answer.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/bytes.h"
#include "netpath/wire/arp.h"
#include "netpath/wire/checksum.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/nd.h"

namespace holdfast::netpath::steer {

namespace {

using wire::IpAddress;
using wire::MacAddress;

constexpr std::size_t kSolicitationBytes = wire::kIpv6Bytes + wire::kNdBytes;

/// One host's own. RFC 1122 section 3.2.1.3; RFC 4291 section 2.5.2 for the unspecified one.
bool is_hosts_own(const IpAddress& address) noexcept {
    if (address.is_v6()) {
        const auto bytes = address.v6_bytes();
        return u8_at<0>(bytes) != 0xff && (be64_at<0>(bytes) != 0 || be64_at<8>(bytes) != 0);
    }
    constexpr std::uint8_t kLoopback = 127;
    constexpr std::uint8_t kGroups = 224;  // And what is beyond: reserved, and broadcast.
    const std::uint8_t first = u8_at<0>(address.v4_bytes());
    return first != 0 && first != kLoopback && first < kGroups;
}

bool is_hosts_own(const MacAddress& station) noexcept {
    return !station.is_group() && station != MacAddress{};
}

/// The sender may be answered, if what he asks for is ours.
std::optional<Answer> from(const Answer& answer, const MacAddress& frame_from,
                           std::span<const IpAddress> addresses) noexcept {
    const bool is_us = answer.asker_station == answer.ours.station ||
                       std::ranges::find(addresses, answer.asker) != addresses.end();
    const bool is_plain = answer.asker_station == frame_from &&
                          is_hosts_own(answer.asker_station) && is_hosts_own(answer.asker);
    if (is_us || !is_plain) return {};
    return answer;
}

std::optional<Answer> answer_to_arp(const wire::EthernetFrame& frame,
                                    std::span<const OwnAddress> answered,
                                    std::span<const IpAddress> addresses) noexcept {
    const auto arp = wire::parse_arp(frame.payload);
    if (!arp || arp->operation != wire::ArpOperation::Request) return {};
    const auto ours = std::ranges::find(answered, arp->target_ip, &OwnAddress::address);
    if (ours == answered.end()) return {};
    if (frame.header.to != MacAddress::broadcast() && frame.header.to != ours->station) return {};
    return from({.ours = *ours, .asker = arp->sender_ip, .asker_station = arp->sender_mac},
                frame.header.from, addresses);
}

/// The one form that is answered: no extension header, the source's station as the only option.
std::optional<Answer> answer_to_solicitation(const wire::EthernetFrame& frame,
                                             std::span<const OwnAddress> answered,
                                             std::span<const IpAddress> addresses) noexcept {
    if (frame.payload.size() < kSolicitationBytes) return {};
    const auto fixed = frame.payload.first<wire::kIpv6Bytes>();
    const auto message = frame.payload.subspan<wire::kIpv6Bytes, wire::kNdBytes>();
    constexpr std::uint8_t kHopLimit = 255;
    if (u8_at<0>(fixed) >> 4 != 6 || be16_at<4>(fixed) != wire::kNdBytes) return {};
    if (u8_at<6>(fixed) != wire::kProtocolIcmpV6 || u8_at<7>(fixed) != kHopLimit) return {};
    constexpr std::uint8_t kSourceStation = 1;  // RFC 4861 section 4.6.1.
    if (u8_at<0>(message) != static_cast<std::uint8_t>(wire::NdKind::Solicitation)) return {};
    if (u8_at<1>(message) != 0) return {};
    if (u8_at<24>(message) != kSourceStation || u8_at<25>(message) != 1) return {};
    const auto asker = IpAddress::v6(fixed.subspan<8, 16>());
    const auto to = IpAddress::v6(fixed.subspan<24, 16>());
    const auto target = IpAddress::v6(message.subspan<8, 16>());
    const auto ours = std::ranges::find(answered, target, &OwnAddress::address);
    if (ours == answered.end() || !is_hosts_own(target)) return {};
    const IpAddress group = wire::solicited_node(target);
    const bool is_to_us = to == target && frame.header.to == ours->station;
    if (!is_to_us && (to != group || frame.header.to != wire::multicast_mac(group))) return {};
    wire::Checksum sum;
    sum.add_pseudo_header(asker, to, wire::kProtocolIcmpV6, wire::kNdBytes);
    sum.add(message);
    if (sum.value() != 0) return {};
    return from({.ours = *ours,
                 .asker = asker,
                 .asker_station = MacAddress::from(message.subspan<26, 6>())},
                frame.header.from, addresses);
}

}  // namespace

std::optional<Answer> answer_to(std::span<const std::byte> frame,
                                std::span<const OwnAddress> answered,
                                std::span<const IpAddress> addresses) noexcept {
    const auto ethernet = wire::parse_ethernet(frame);
    // A tag, even one of no VLAN, makes the header longer.
    if (!ethernet || ethernet->payload.size() + wire::kEthernetBytes != frame.size()) return {};
    if (ethernet->header.ether_type == wire::kEtherArp)
        return answer_to_arp(*ethernet, answered, addresses);
    if (ethernet->header.ether_type == wire::kEtherIpv6)
        return answer_to_solicitation(*ethernet, answered, addresses);
    return {};
}

void write_answer(const Answer& answer, std::span<std::byte> frame) noexcept {
    const IpAddress& ours = answer.ours.address;
    HF_ASSERT(answer.asker.is_v6() == ours.is_v6());
    ByteWriter out{frame};
    wire::put_ethernet(out, {.to = answer.asker_station,
                             .from = answer.ours.station,
                             .vlan = {},
                             .ether_type = ours.is_v6() ? wire::kEtherIpv6 : wire::kEtherArp});
    if (ours.is_v6()) {
        wire::put_ip(out, {.from = ours,
                           .to = answer.asker,
                           .protocol = wire::kProtocolIcmpV6,
                           .hop_limit = 255,
                           .payload_bytes = wire::kNdBytes});
        wire::put_nd(out,
                     {.kind = wire::NdKind::Advertisement,
                      .target = ours,
                      .link_address = answer.ours.station,
                      .is_solicited = true,
                      .overrides = true},
                     ours, answer.asker);
    } else {
        wire::put_arp(out, {.operation = wire::ArpOperation::Reply,
                            .sender_mac = answer.ours.station,
                            .sender_ip = ours,
                            .target_mac = answer.asker_station,
                            .target_ip = answer.asker});
    }
    HF_ASSERT(!out.overflowed());
}

}  // namespace holdfast::netpath::steer
