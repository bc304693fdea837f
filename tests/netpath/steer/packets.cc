#include "tests/netpath/steer/packets.h"

#include <arpa/inet.h>

#include <algorithm>

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

constexpr std::array<std::uint16_t, 6> kPorts{3260, 40001, 40002, 22, 860, 3261};
constexpr std::array<std::uint8_t, 10> kExtensions{0, 60, 0, 60, 43, 44, 51, 135, 59, 139};

const std::array<IpAddress, 4>& v4_addresses() {
    static const std::array all{address("192.0.2.1"), address("192.0.2.2"), address("192.0.2.3"),
                                address("198.51.100.1")};
    return all;
}

const std::array<IpAddress, 4>& v6_addresses() {
    static const std::array all{address("2001:db8::1"), address("2001:db8::2"), address("fe80::1"),
                                address("ff02::1:ff00:1")};
    return all;
}

/// Few, so that a frame is for us now and then.
const std::array<wire::MacAddress, 3>& stations() {
    const auto station = [](unsigned last) {
        wire::MacAddress made;
        made.bytes[0] = std::byte{2};
        made.bytes[5] = static_cast<std::byte>(last);
        return made;
    };
    static const std::array all{station(1), station(2), station(3)};
    return all;
}

const IpAddress& any_address(Choices& choices, bool v6) {
    return choices.of(v6 ? v6_addresses() : v4_addresses());
}

void add(Bytes& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}
void add8(Bytes& to, std::uint32_t value) {
    to.push_back(static_cast<std::byte>(value));
}
void add16(Bytes& to, std::uint32_t value) {
    add8(to, value >> 8);
    add8(to, value);
}
void add_noise(Bytes& to, Choices& choices, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) to.push_back(choices.byte());
}

void add_network(Bytes& to, Choices& choices, bool v6, int nesting);

void add_tcp(Bytes& to, Choices& choices) {
    add16(to, choices.of(kPorts));
    add16(to, choices.of(kPorts));
    add_noise(to, choices, choices.one_in(4) ? 3 : 16);
}

void add_icmp(Bytes& to, Choices& choices, bool v6, int nesting) {
    constexpr std::array<std::uint8_t, 6> kTypes4{3, 3, 11, 12, 0, 8};
    constexpr std::array<std::uint8_t, 6> kTypes6{2, 1, 3, 4, 128, 5};
    constexpr std::array<std::uint8_t, 4> kCodes{4, 4, 0, 1};
    add8(to, choices.of(v6 ? kTypes6 : kTypes4));
    add8(to, choices.of(kCodes));
    add_noise(to, choices, 6);
    // A quote of the other version never counts.
    if (nesting < 1) add_network(to, choices, choices.one_in(8) ? !v6 : v6, nesting + 1);
}

/// Right, but for the checksum, which put_nd_checksum() mends when it may.
void add_nd(Bytes& to, Choices& choices) {
    add8(to, choices.one_in(2) ? 135 : 136);
    add8(to, choices.one_in(8) ? 1 : 0);
    add_noise(to, choices, 6);
    add(to, any_address(choices, true).bytes());
    add8(to, 1 + choices.below(2));
    add8(to, choices.one_in(8) ? 2 : 1);
    add_noise(to, choices, 6);
}

void mend_nd(Bytes& payload, const IpAddress& from, const IpAddress& to) {
    payload[2] = payload[3] = std::byte{0};
    wire::Checksum sum;
    sum.add_pseudo_header(from, to, wire::kProtocolIcmpV6,
                          static_cast<std::uint32_t>(payload.size()));
    sum.add(payload);
    payload[2] = static_cast<std::byte>(sum.value() >> 8);
    payload[3] = static_cast<std::byte>(sum.value());
}

std::uint8_t add_transport(Bytes& to, Choices& choices, bool v6, int nesting) {
    switch (choices.below(6)) {
    case 0:
        add_icmp(to, choices, v6, nesting);
        return choices.one_in(8) ? (v6 ? 1 : 58) : (v6 ? 58 : 1);
    case 1: add_nd(to, choices); return 58;
    case 2: add_tcp(to, choices); return 17;
    case 3: add_noise(to, choices, 4); return static_cast<std::uint8_t>(choices.below(256));
    default: add_tcp(to, choices); return 6;
    }
}

void add_ipv4(Bytes& to, Choices& choices, int nesting) {
    constexpr std::array<std::uint16_t, 8> kFragments{0x4000, 0x4000, 0,      0,
                                                      0x4000, 0x2000, 0x0001, 0x8000};
    Bytes payload;
    const std::uint8_t protocol = add_transport(payload, choices, false, nesting);
    const std::uint32_t options = choices.one_in(4) ? choices.below(11) : 0;
    add8(to, 0x45 + options);
    add8(to, 0);
    add16(to, static_cast<std::uint32_t>(20 + options * 4 + payload.size()));
    add16(to, 1);
    add16(to, choices.of(kFragments));
    add8(to, 64);
    add8(to, protocol);
    add16(to, 0);
    add(to, any_address(choices, false).bytes());
    add(to, any_address(choices, false).bytes());
    add_noise(to, choices, std::size_t{options} * 4);
    add(to, payload);
}

void add_ipv6(Bytes& to, Choices& choices, int nesting) {
    const IpAddress from = any_address(choices, true);
    const IpAddress destination = any_address(choices, true);
    Bytes payload;
    std::uint8_t next = add_transport(payload, choices, true, nesting);
    if (next == 58 && payload.size() == 32 && !choices.one_in(4))
        mend_nd(payload, from, destination);
    Bytes headers;
    const std::uint32_t count = choices.one_in(3) ? choices.below(6) : 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        Bytes header;
        const std::uint32_t units = choices.one_in(4) ? choices.below(3) : 0;
        add8(header, next);
        add8(header, units);
        add_noise(header, choices, std::size_t{units} * 8 + 6);
        headers.insert(headers.begin(), header.begin(), header.end());
        next = choices.one_in(6) ? choices.of(kExtensions) : std::uint8_t{60};
    }
    add16(to, 0x6000);
    add16(to, 0);
    add16(to, static_cast<std::uint32_t>(headers.size() + payload.size()));
    add8(to, next);
    add8(to, choices.one_in(8) ? 64 : 255);
    add(to, from.bytes());
    add(to, destination.bytes());
    add(to, headers);
    add(to, payload);
}

void add_network(Bytes& to, Choices& choices, bool v6, int nesting) {
    if (v6)
        add_ipv6(to, choices, nesting);
    else
        add_ipv4(to, choices, nesting);
}

void add_arp(Bytes& to, Choices& choices) {
    wire::ArpPacket arp;
    arp.operation = choices.one_in(2) ? wire::ArpOperation::Reply : wire::ArpOperation::Request;
    for (std::byte& byte : arp.sender_mac.bytes) byte = choices.byte();
    arp.sender_ip = any_address(choices, false);
    arp.target_ip = any_address(choices, false);
    std::array<std::byte, wire::kArpBytes> room{};
    ByteWriter out{room};
    wire::put_arp(out, arp);
    add(to, room);
}

}  // namespace

wire::MacAddress station(unsigned last) {
    wire::MacAddress made;
    made.bytes[0] = std::byte{2};
    made.bytes[5] = static_cast<std::byte>(last);
    return made;
}

Bytes arp_request(const wire::MacAddress& asker, const char* from, const char* target) {
    Bytes frame(60);
    ByteWriter out{frame};
    wire::put_ethernet(out, {.to = wire::MacAddress::broadcast(),
                             .from = asker,
                             .vlan = {},
                             .ether_type = wire::kEtherArp});
    wire::put_arp(out, {.operation = wire::ArpOperation::Request,
                        .sender_mac = asker,
                        .sender_ip = address(from),
                        .target_mac = {},
                        .target_ip = address(target)});
    return frame;
}

wire::IpAddress address(const char* text) {
    std::array<std::byte, 16> bytes{};
    if (::inet_pton(AF_INET, text, bytes.data()) == 1)
        return IpAddress::v4(std::span{bytes}.first<4>());
    const bool is_v6 = ::inet_pton(AF_INET6, text, bytes.data()) == 1;
    HF_ASSERT(is_v6);
    return IpAddress::v6(bytes);
}

std::uint32_t Choices::below(std::uint32_t count) {
    if (!is_fed_) return static_cast<std::uint32_t>(engine_() % count);
    if (bytes_.empty()) return 0;
    const std::uint32_t value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value % count;
}

Situation OwnedSituation::view() const {
    return {.is_leased = is_leased,
            .is_pressed = is_pressed,
            .has_socket = has_socket,
            .flows = flows,
            .addresses = addresses,
            .answered = answered,
            .neighbours = neighbours,
            .management_port = management_port,
            .has_token = has_token};
}

OwnedSituation make_situation(Choices& choices) {
    OwnedSituation made;
    made.is_leased = !choices.one_in(16);
    made.is_pressed = !choices.one_in(3);
    made.has_socket = !choices.one_in(3);
    made.has_token = choices.one_in(2);
    if (!choices.one_in(4)) made.management_port = 22;
    // A remote end has one path: rules that overlap then say the same.
    const std::uint32_t count = choices.below(40);
    for (std::uint32_t i = 0; i < count; ++i) {
        const bool v6 = choices.one_in(2);
        FlowRule rule;
        rule.flow.remote = any_address(choices, v6);
        rule.flow.remote_port = choices.of(kPorts);
        if (!choices.one_in(3)) rule.flow.local_port = choices.of(kPorts);
        if (!choices.one_in(3)) rule.flow.local = any_address(choices, v6);
        const bool is_even = rule.flow.remote_port % 2 == 0;
        rule.path = is_even ? FlowPath::Socket : FlowPath::Kernel;
        if (choices.one_in(4)) rule.vlan = static_cast<wire::VlanId>(choices.below(2) * 5);
        made.flows.push_back(rule);
    }
    for (const bool v6 : {false, true}) {
        if (!choices.one_in(4)) made.addresses.push_back(any_address(choices, v6));
        if (!choices.one_in(4)) made.neighbours.push_back(any_address(choices, v6));
    }
    // Of multicast addresses there is one among those that are tried.
    for (const IpAddress& address : made.addresses)
        if (!choices.one_in(4))
            made.answered.push_back({.address = address,
                                     .station = choices.of(stations()),
                                     .is_asked_again = choices.one_in(4)});
    return made;
}

/// A question for one of our addresses, and at most one thing about it that is not as it should be.
Bytes make_question(Choices& choices) {
    const bool v6 = choices.one_in(2);
    const IpAddress target = any_address(choices, v6);
    const IpAddress asker = any_address(choices, v6);
    const wire::MacAddress station = choices.of(stations());
    const IpAddress group = v6 ? wire::solicited_node(target) : IpAddress{};
    const bool is_to_all = !choices.one_in(3);
    const wire::MacAddress all = v6 ? wire::multicast_mac(group) : wire::MacAddress::broadcast();
    std::array<std::byte, 100> room{};
    ByteWriter out{room};
    wire::put_ethernet(out, {.to = is_to_all ? all : choices.of(stations()),
                             .from = station,
                             .vlan = {},
                             .ether_type = v6 ? wire::kEtherIpv6 : wire::kEtherArp});
    if (v6) {
        const IpAddress to = is_to_all ? group : target;
        wire::put_ip(out, {.from = asker,
                           .to = to,
                           .protocol = wire::kProtocolIcmpV6,
                           .hop_limit = 255,
                           .payload_bytes = wire::kNdBytes});
        wire::put_nd(
            out, {.kind = wire::NdKind::Solicitation, .target = target, .link_address = station},
            asker, to);
    } else {
        wire::put_arp(out, {.operation = wire::ArpOperation::Request,
                            .sender_mac = station,
                            .sender_ip = asker,
                            .target_mac = {},
                            .target_ip = target});
    }
    const std::size_t used = choices.one_in(3) ? room.size() : out.used_bytes();
    Bytes frame;
    add(frame, std::span{room}.first(used));
    // The sender's address is no host's own; one byte is another; or nothing is wrong.
    constexpr std::array<std::uint8_t, 5> kOdd{0, 127, 224, 255, 239};
    if (choices.one_in(6)) frame[v6 ? 22 : 28] = static_cast<std::byte>(choices.of(kOdd));
    if (choices.one_in(6))
        frame[choices.below(static_cast<std::uint32_t>(frame.size()))] = choices.byte();
    if (choices.one_in(16)) frame.resize(30 + choices.below(60));
    return frame;
}

Bytes make_frame(Choices& choices) {
    if (choices.one_in(4)) return make_question(choices);
    constexpr std::size_t kLeast = 14;  // The kernel takes no shorter one.
    constexpr std::array<std::uint16_t, 6> kOthers{0x88cc, 0x8847, 0x0026, 0x05ff, 0x0600, 0x88a8};
    Bytes frame;
    add_noise(frame, choices, 12);
    const std::uint32_t tags = choices.one_in(4) ? 1 + choices.below(2) : 0;
    for (std::uint32_t i = 0; i < tags; ++i) {
        add16(frame, wire::kEtherVlan);
        add16(frame, choices.below(2) * 5 + choices.below(8) * 0x2000);
    }
    switch (choices.below(8)) {
    case 0:
        add16(frame, wire::kEtherArp);
        add_arp(frame, choices);
        break;
    case 1:
        add16(frame, choices.of(kOthers));
        add_noise(frame, choices, 46);
        break;
    case 2:
    case 3:
    case 4:
        add16(frame, wire::kEtherIpv6);
        add_network(frame, choices, true, 0);
        break;
    default: add16(frame, wire::kEtherIpv4); add_network(frame, choices, false, 0);
    }
    if (choices.one_in(8)) add_noise(frame, choices, choices.below(40));  // Padding.
    if (choices.one_in(8))
        frame[choices.below(static_cast<std::uint32_t>(frame.size()))] = choices.byte();
    if (choices.one_in(6))
        frame.resize(
            std::max(std::size_t{choices.below(static_cast<std::uint32_t>(frame.size()))}, kLeast));
    frame.resize(std::max(frame.size(), kLeast));
    return frame;
}

}  // namespace holdfast::netpath::steer
