#include "netpath/steer/decide.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "netpath/wire/arp.h"
#include "netpath/wire/checksum.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/nd.h"

namespace holdfast::netpath::steer {

namespace {

using wire::IpAddress;

constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kDestinationOptions = 60;

// RFC 792; RFC 4443 section 2.1.
constexpr std::uint8_t kUnreachable = 3;
constexpr std::uint8_t kNeedsFragmenting = 4;
constexpr std::uint8_t kTimeExceeded = 11;
constexpr std::uint8_t kParameterProblem = 12;
constexpr std::uint8_t kTooBigV6 = 2;
constexpr std::uint8_t kErrorMaxV6 = 4;
constexpr std::size_t kIcmpErrorBytes = 8;  // In front of the quote.

/// A network header, judged as little as a decision needs.
struct Net {
    IpAddress from{};
    IpAddress to{};
    std::uint8_t protocol = 0;
    std::uint8_t hop_limit = 0;
    bool is_whole = false;                 ///< No fragment; every extension was stepped over.
    bool is_first = false;                 ///< Its payload begins with the transport's header.
    std::span<const std::byte> payload{};  ///< With the link's padding.
};

std::optional<Net> read_ipv4(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < wire::kIpv4Bytes) return {};
    const auto fixed = bytes.first<wire::kIpv4Bytes>();
    const std::size_t header = std::size_t{u8_at<0>(fixed) & 0x0fU} * 4;
    if (u8_at<0>(fixed) >> 4 != 4 || header < wire::kIpv4Bytes || header > bytes.size()) return {};
    const std::uint16_t fragment = be16_at<6>(fixed);
    return Net{.from = IpAddress::v4(fixed.subspan<12, 4>()),
               .to = IpAddress::v4(fixed.subspan<16, 4>()),
               .protocol = u8_at<9>(fixed),
               .hop_limit = u8_at<8>(fixed),
               .is_whole = (fragment & 0x3fffU) == 0,
               .is_first = (fragment & 0x1fffU) == 0,
               .payload = bytes.subspan(header)};
}

bool is_stepped_over(std::uint8_t protocol) noexcept {
    return protocol == kHopByHop || protocol == kDestinationOptions;
}

bool is_other_extension(std::uint8_t protocol) noexcept {
    constexpr std::array<std::uint8_t, 6> kOthers{43, 44, 50, 51, 135, 139};
    return std::ranges::find(kOthers, protocol) != kOthers.end();
}

/// Goes as far as it can: the protocol is that of the header which stopped it.
void skip_extensions(Net& net) noexcept {
    for (std::size_t i = 0; i < wire::kExtensionsMax && is_stepped_over(net.protocol); ++i) {
        ByteReader reader{net.payload};
        const auto following = reader.try_u8();
        const auto units = reader.try_u8();
        if (!following || !units || !reader.try_bytes(std::size_t{*units} * 8 + 6)) return;
        net.protocol = *following;
        net.payload = reader.rest();
    }
    net.is_whole = !is_stepped_over(net.protocol) && !is_other_extension(net.protocol);
    net.is_first = net.is_whole;
}

std::optional<Net> read_ipv6(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < wire::kIpv6Bytes) return {};
    const auto fixed = bytes.first<wire::kIpv6Bytes>();
    if (u8_at<0>(fixed) >> 4 != 6) return {};
    Net net{.from = IpAddress::v6(fixed.subspan<8, 16>()),
            .to = IpAddress::v6(fixed.subspan<24, 16>()),
            .protocol = u8_at<6>(fixed),
            .hop_limit = u8_at<7>(fixed),
            .payload = bytes.subspan(wire::kIpv6Bytes)};
    skip_extensions(net);
    return net;
}

/// Both ports, source first; empty when the packet ends before them.
struct Ports {
    std::uint16_t from = 0;
    std::uint16_t to = 0;
};
std::optional<Ports> ports_of(std::span<const std::byte> payload) noexcept {
    if (payload.size() < 4) return {};
    const auto fixed = payload.first<4>();
    return Ports{.from = be16_at<0>(fixed), .to = be16_at<2>(fixed)};
}

bool contains(std::span<const IpAddress> addresses, const IpAddress& one) noexcept {
    return std::ranges::find(addresses, one) != addresses.end();
}

/// A packet on its way to a decision.
struct Packet {
    wire::VlanId vlan = 0;
    const Situation* situation = nullptr;
};

bool matches(const FlowRule& rule, const wire::Flow& flow, wire::VlanId vlan) noexcept {
    if (rule.flow.remote != flow.remote || rule.flow.remote_port != flow.remote_port) return false;
    if (rule.flow.local_port != 0 && rule.flow.local_port != flow.local_port) return false;
    if (rule.flow.local != IpAddress{} && rule.flow.local != flow.local) return false;
    return !rule.vlan || *rule.vlan == vlan;
}

/// A rule that names the local port goes before one that does not.
std::optional<FlowPath> path_of(const wire::Flow& flow, wire::VlanId vlan,
                                const Situation& situation) noexcept {
    for (const bool names_port : {true, false}) {
        for (const FlowRule& rule : situation.flows)
            if ((rule.flow.local_port != 0) == names_port && matches(rule, flow, vlan))
                return rule.path;
    }
    return {};
}

Decision to_session(FlowPath path, bool has_socket) noexcept {
    if (path == FlowPath::Kernel) return {.verdict = Verdict::Pass, .reason = Reason::ToKernel};
    // A kernel that got it would answer with a reset: it knows no such connection.
    if (!has_socket) return {.verdict = Verdict::Drop, .reason = Reason::NoSocket};
    return {.verdict = Verdict::Socket, .reason = Reason::ToSocket};
}

bool is_error(const Net& net, std::uint8_t type) noexcept {
    if (net.from.is_v6()) return type >= 1 && type <= kErrorMaxV6;
    return type == kUnreachable || type == kTimeExceeded || type == kParameterProblem;
}

bool is_too_big(const Net& net, std::uint8_t type, std::uint8_t code) noexcept {
    if (net.from.is_v6()) return type == kTooBigV6;
    return type == kUnreachable && code == kNeedsFragmenting;
}

/// An ICMP error about a session's segment. The kernel's TCP can wait for all of them but one.
std::optional<Decision> decide_icmp(const Net& net, const Packet& packet) noexcept {
    const std::uint8_t icmp = net.from.is_v6() ? wire::kProtocolIcmpV6 : wire::kProtocolIcmp;
    if (net.protocol != icmp || net.payload.size() < kIcmpErrorBytes) return {};
    const auto fixed = net.payload.first<kIcmpErrorBytes>();
    if (!is_error(net, u8_at<0>(fixed))) return {};
    const auto quote = net.payload.subspan(kIcmpErrorBytes);
    const auto quoted = net.from.is_v6() ? read_ipv6(quote) : read_ipv4(quote);
    if (!quoted || !quoted->is_first || quoted->protocol != wire::kProtocolTcp) return {};
    const auto ports = ports_of(quoted->payload);
    if (!ports) return {};
    const auto path = path_of({.local = quoted->from,
                               .remote = quoted->to,
                               .local_port = ports->from,
                               .remote_port = ports->to},
                              packet.vlan, *packet.situation);
    if (!path) return {};
    if (*path == FlowPath::Kernel && !is_too_big(net, u8_at<0>(fixed), u8_at<1>(fixed))) return {};
    return to_session(*path, packet.situation->has_socket);
}

std::optional<Decision> decide_session(const Net& net, const Packet& packet) noexcept {
    if (!net.is_whole) return {};
    if (net.protocol != wire::kProtocolTcp) return decide_icmp(net, packet);
    const auto ports = ports_of(net.payload);
    if (!ports) return {};
    const auto path = path_of(
        {.local = net.to, .remote = net.from, .local_port = ports->to, .remote_port = ports->from},
        packet.vlan, *packet.situation);
    if (!path) return {};
    return to_session(*path, packet.situation->has_socket);
}

PacketKind kind_of(const Net& net) noexcept {
    PacketKind kind{.is_ip = true, .protocol = net.protocol};
    const auto ports = ports_of(net.payload);
    if (!net.is_whole || !ports) return kind;
    if (net.protocol == wire::kProtocolTcp || net.protocol == kProtocolUdp) kind.port = ports->to;
    if (net.protocol == wire::kProtocolIcmp || net.protocol == wire::kProtocolIcmpV6)
        kind.port = ports->from >> 8;
    return kind;
}

/// Between us and whom we talk to.
struct Neighbourly {
    bool is_ours = false;
    std::optional<Learned> learned{};
    std::optional<Answer> answer{};
};

std::optional<Learned> learn(const IpAddress& who, const wire::MacAddress& where,
                             const Situation& situation) noexcept {
    if (where.is_group() || !contains(situation.neighbours, who)) return {};
    return Learned{.address = who, .station = where};
}

Neighbourly judge_arp(std::span<const std::byte> payload, const Situation& situation) noexcept {
    const auto arp = wire::parse_arp(payload);
    if (!arp) return {};
    return {.is_ours = contains(situation.addresses, arp->target_ip) ||
                       contains(situation.neighbours, arp->sender_ip),
            .learned = learn(arp->sender_ip, arp->sender_mac, situation)};
}

/// A message with one option and a right checksum says where its sender is.
std::optional<Learned> learn_nd(const Net& net, bool is_solicitation, const IpAddress& target,
                                const Situation& situation) noexcept {
    if (net.payload.size() < wire::kNdBytes) return {};
    const auto message = net.payload.first<wire::kNdBytes>();
    wire::Checksum sum;
    sum.add_pseudo_header(net.from, net.to, wire::kProtocolIcmpV6, wire::kNdBytes);
    sum.add(message);
    if (sum.value() != 0) return {};
    constexpr std::uint8_t kSourceOption = 1;  // RFC 4861 section 4.6.1.
    constexpr std::uint8_t kTargetOption = 2;
    const std::uint8_t wanted = is_solicitation ? kSourceOption : kTargetOption;
    if (u8_at<24>(message) != wanted || u8_at<25>(message) != 1) return {};
    const auto station = wire::MacAddress::from(message.subspan<26, 6>());
    return learn(is_solicitation ? net.from : target, station, situation);
}

Neighbourly judge_nd(const Net& net, const Situation& situation) noexcept {
    constexpr std::size_t kFixedBytes = 24;
    constexpr std::uint8_t kHopLimit = 255;  // RFC 4861 section 7.1: it came from this link.
    if (!net.is_whole || net.protocol != wire::kProtocolIcmpV6 || !net.from.is_v6()) return {};
    if (net.hop_limit != kHopLimit || net.payload.size() < kFixedBytes) return {};
    const auto fixed = net.payload.first<kFixedBytes>();
    const bool is_solicitation = u8_at<0>(fixed) == std::uint8_t{135};
    if (!is_solicitation && u8_at<0>(fixed) != std::uint8_t{136}) return {};
    if (u8_at<1>(fixed) != 0) return {};
    const auto target = IpAddress::v6(fixed.subspan<8, 16>());
    return {.is_ours = contains(situation.addresses, target) ||
                       contains(situation.addresses, net.to) ||
                       contains(situation.neighbours, target),
            .learned = learn_nd(net, is_solicitation, target, situation)};
}

bool is_management(const PacketKind& kind, const Situation& situation) noexcept {
    return situation.management_port != 0 && kind.is_ip && kind.protocol == wire::kProtocolTcp &&
           kind.port == situation.management_port;
}

/// What is nobody's session's.
Decision decide_rest(const PacketKind& kind, const Neighbourly& neighbourly,
                     const Situation& situation) noexcept {
    Decision decision{.kind = kind, .learned = neighbourly.learned};
    if (!situation.is_pressed) return decision;
    if (neighbourly.answer && !neighbourly.answer->ours.is_asked_again) {
        decision.verdict = Verdict::Answer;
        decision.reason = Reason::Answered;
        decision.answer = neighbourly.answer;
        return decision;
    }
    if (neighbourly.is_ours) {
        decision.reason = Reason::Neighbour;
        return decision;
    }
    decision.takes_token = is_management(kind, situation);
    if (decision.takes_token && situation.has_token) {
        decision.reason = Reason::Management;
        return decision;
    }
    decision.verdict = Verdict::Drop;
    decision.reason = decision.takes_token ? Reason::ManagementExcess : Reason::Dropped;
    return decision;
}

}  // namespace

Decision decide(std::span<const std::byte> frame, const Situation& situation) noexcept {
    if (!situation.is_leased) return {.verdict = Verdict::Pass, .reason = Reason::Unleased};
    const auto ethernet = wire::parse_ethernet(frame);
    if (!ethernet) return decide_rest({}, {}, situation);
    const std::uint16_t type = ethernet->header.ether_type;
    const PacketKind without_ip{.protocol = type};
    if (type == wire::kEtherArp) {
        Neighbourly asked = judge_arp(ethernet->payload, situation);
        asked.answer = answer_to(frame, situation.answered, situation.addresses);
        return decide_rest(without_ip, asked, situation);
    }
    std::optional<Net> net;
    if (type == wire::kEtherIpv4) net = read_ipv4(ethernet->payload);
    if (type == wire::kEtherIpv6) net = read_ipv6(ethernet->payload);
    if (!net) return decide_rest(without_ip, {}, situation);
    const Packet packet{.vlan = ethernet->header.vlan.value_or(0), .situation = &situation};
    if (const auto session = decide_session(*net, packet)) return *session;
    Neighbourly asked = judge_nd(*net, situation);
    asked.answer = answer_to(frame, situation.answered, situation.addresses);
    return decide_rest(kind_of(*net), asked, situation);
}

}  // namespace holdfast::netpath::steer
