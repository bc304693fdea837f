#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "netpath/wire/arp.h"
#include "netpath/wire/checksum.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/icmp.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/nd.h"
#include "netpath/wire/tcp.h"

namespace holdfast::netpath::wire {
namespace {

using Bytes = std::vector<std::byte>;

Bytes from_hex(const std::string& hex) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

IpAddress v6(const std::string& hex) {
    const Bytes bytes = from_hex(hex);
    return IpAddress::v6(std::span{bytes}.first<16>());
}

const std::string kHost1 = "20010db8000000000000000000000001";
const std::string kHost2 = "20010db8000000000000000000abcdef";

// Goal: the sum is that of RFC 1071 section 3's example.
TEST(Checksum, ExampleOfTheRfc) {
    const Bytes bytes = from_hex("0001f203f4f5f6f7");
    EXPECT_EQ(checksum_of(bytes), 0xffff - 0xddf2);
}

// Goal: pieces of any length, odd ones too, sum up as the whole does.
TEST(Checksum, PiecesSumUpAsTheWhole) {
    Bytes bytes;
    for (unsigned i = 0; i < 67; ++i) bytes.push_back(static_cast<std::byte>(i * 37 + 5));
    const std::span<const std::byte> all{bytes};
    for (std::size_t i = 0; i <= bytes.size(); ++i) {
        for (std::size_t j = i; j <= bytes.size(); ++j) {
            Checksum sum;
            sum.add(all.first(i));
            sum.add(all.subspan(i, j - i));
            sum.add(all.subspan(j));
            ASSERT_EQ(sum.value(), checksum_of(bytes)) << i << " " << j;
        }
    }
}

// Goal: sums of pieces, of odd ones too, add up to that of the whole.
TEST(Checksum, SumsAddUp) {
    Bytes bytes;
    for (unsigned i = 0; i < 67; ++i) bytes.push_back(static_cast<std::byte>(i * 91 + 3));
    const std::span<const std::byte> all{bytes};
    for (std::size_t i = 0; i <= bytes.size(); ++i) {
        Checksum front;
        front.add(all.first(i));
        Checksum behind;
        behind.add(all.subspan(i));
        front.add(behind);
        front.add(all.first(7));
        Checksum whole;
        whole.add(all);
        whole.add(all.first(7));
        ASSERT_EQ(front.value(), whole.value()) << i;
    }
}

// Goal: every flipped bit of an IPv4 header is noticed.
TEST(Ipv4, FlippedBitsAreNoticed) {
    std::array<std::byte, 24> packet{};
    ByteWriter writer{packet};
    const std::array<std::byte, 4> address{std::byte{192}, std::byte{0}, std::byte{2},
                                           std::byte{1}};
    put_ip(writer, {.from = IpAddress::v4(address),
                    .to = IpAddress::v4(address),
                    .protocol = 6,
                    .payload_bytes = 4});
    ASSERT_TRUE(parse_ipv4(packet).has_value());
    for (std::size_t bit = 0; bit < kIpv4Bytes * 8; ++bit) {
        packet[bit / 8] ^= std::byte{1} << (bit % 8);
        EXPECT_FALSE(parse_ipv4(packet).has_value()) << bit;
        packet[bit / 8] ^= std::byte{1} << (bit % 8);
    }
}

// Goal: a packet that is cut anywhere is refused, in both versions.
TEST(Ip, CutPacketsAreRefused) {
    for (const bool is_v6 : {false, true}) {
        std::array<std::byte, 60> packet{};
        ByteWriter writer{packet};
        const IpAddress address = is_v6 ? v6(kHost1) : IpAddress{};
        const IpHeader header{.from = address, .to = address, .protocol = 6, .payload_bytes = 7};
        put_ip(writer, header);
        const std::size_t total = header.bytes() + 7;
        const auto parse = [is_v6](std::span<const std::byte> bytes) {
            return is_v6 ? parse_ipv6(bytes) : parse_ipv4(bytes);
        };
        for (std::size_t cut = 0; cut < total; ++cut)
            EXPECT_FALSE(parse(std::span{packet}.first(cut)).has_value()) << cut;
        const auto whole = parse(packet);  // With padding behind it.
        ASSERT_TRUE(whole.has_value());
        EXPECT_EQ(whole->payload.size(), 7U);
    }
}

// Goal: fragments and source-routed extension headers are refused; options headers are stepped
// over.
TEST(Ip, FragmentsAndExtensions) {
    auto packet =
        from_hex("6000000000100040" + kHost1 + kHost2 + "0600010400000000" + "0000000000000000");
    const auto stepped = parse_ipv6(packet);
    ASSERT_TRUE(stepped.has_value());
    EXPECT_EQ(stepped->protocol, kProtocolTcp);
    EXPECT_EQ(stepped->payload.size(), 8U);
    packet[6] = std::byte{44};
    EXPECT_EQ(parse_ipv6(packet).error(), Malformed::Extension);
    packet[6] = std::byte{43};
    EXPECT_EQ(parse_ipv6(packet).error(), Malformed::Extension);
}

// Goal: a tag is read and written; priority tags mean no VLAN; two tags are refused.
TEST(Ethernet, Tags) {
    std::array<std::byte, 18> frame{};
    ByteWriter writer{frame};
    put_ethernet(writer, {.vlan = VlanId{77}, .ether_type = kEtherIpv4});
    EXPECT_EQ(parse_ethernet(frame)->header.vlan, VlanId{77});
    frame[14] = frame[15] = std::byte{0};
    EXPECT_FALSE(parse_ethernet(frame)->header.vlan.has_value());
    frame[16] = std::byte{0x81};
    frame[17] = std::byte{0};
    EXPECT_EQ(parse_ethernet(frame).error(), Malformed::WrongVersion);
    for (std::size_t cut = 0; cut < frame.size(); ++cut)
        EXPECT_FALSE(parse_ethernet(std::span{frame}.first(cut)).has_value());
}

// Goal: an ARP packet survives writing and reading, and other hardware is refused.
TEST(Arp, RoundTrip) {
    std::array<std::byte, kArpBytes> packet{};
    ByteWriter writer{packet};
    const ArpPacket reply{.operation = ArpOperation::Reply,
                          .sender_mac = MacAddress::broadcast(),
                          .sender_ip = {},
                          .target_mac = {},
                          .target_ip = {}};
    put_arp(writer, reply);
    const auto read = parse_arp(packet);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->operation, ArpOperation::Reply);
    EXPECT_EQ(read->sender_mac, MacAddress::broadcast());
    packet[1] = std::byte{6};
    EXPECT_EQ(parse_arp(packet).error(), Malformed::WrongVersion);
}

// Goal: an advertisement survives; what RFC 4861 section 7.1 forbids is refused.
TEST(Nd, RoundTripAndRules) {
    Bytes message(kNdBytes);
    ByteWriter writer{message};
    const IpAddress from = v6(kHost1);
    const IpAddress to = v6(kHost2);
    put_nd(writer,
           {.kind = NdKind::Advertisement,
            .target = from,
            .link_address = MacAddress::broadcast(),
            .is_solicited = true,
            .overrides = true},
           from, to);
    IpPacket packet{
        .from = from, .to = to, .protocol = kProtocolIcmpV6, .hop_limit = 255, .payload = message};
    const auto read = parse_nd(packet);
    ASSERT_TRUE(read.has_value());
    EXPECT_TRUE(read->is_solicited && read->overrides && !read->is_router);
    EXPECT_EQ(read->link_address, MacAddress::broadcast());
    packet.hop_limit = 254;
    EXPECT_EQ(parse_nd(packet).error(), Malformed::Ignored);
    packet.hop_limit = 255;
    message[20] ^= std::byte{1};
    EXPECT_EQ(parse_nd(packet).error(), Malformed::WrongChecksum);
}

// Goal: the group of an address and its station address. RFC 4291 section 2.7.1, RFC 2464
// section 7.
TEST(Nd, SolicitedNode) {
    const IpAddress group = solicited_node(v6(kHost2));
    EXPECT_EQ(group, v6("ff0200000000000000000001ffabcdef"));
    const auto mac = from_hex("3333ffabcdef");
    EXPECT_EQ(multicast_mac(group), MacAddress::from(std::span{mac}.first<6>()));
}

// Goal: options in any combination that fits say the same after writing and reading.
TEST(Tcp, OptionsRoundTrip) {
    for (unsigned choice = 0; choice < 32; ++choice) {
        TcpHeader header{.from_port = 1, .to_port = 2, .seq = TcpSeq{3}, .ack = TcpSeq{4}};
        TcpOptions& options = header.options;
        if ((choice & 1) != 0) options.mss_bytes = 1460;
        if ((choice & 2) != 0) options.window_shift = 7;
        options.sack_permitted = (choice & 4) != 0;
        if ((choice & 8) != 0) options.timestamps = TcpTimestamps{5, 6};
        if ((choice & 16) != 0) options.sacks.push({TcpSeq{0xffff'fff0}, TcpSeq{16}});
        if (options.bytes() > kTcpOptionBytesMax) continue;
        Bytes segment(tcp_header_bytes(header));
        put_tcp(segment, header, {}, {});
        const auto read = parse_tcp({.protocol = kProtocolTcp, .payload = segment});
        ASSERT_TRUE(read.has_value()) << choice;
        const TcpOptions& back = read->header.options;
        EXPECT_EQ(back.mss_bytes, options.mss_bytes);
        EXPECT_EQ(back.window_shift, options.window_shift);
        EXPECT_EQ(back.sack_permitted, options.sack_permitted);
        EXPECT_EQ(back.timestamps.has_value(), options.timestamps.has_value());
        EXPECT_EQ(back.sacks.size(), options.sacks.size());
        EXPECT_EQ(back.bytes(), options.bytes());
    }
}

// Goal: a packet in three pieces is the one in one piece, wherever it is cut behind its headers;
// a flipped bit in any piece is noticed, and so is a byte too few.
TEST(Tcp, PiecesAreTheWhole) {
    for (const bool is_v6 : {false, true}) {
        const IpAddress address = is_v6 ? v6(kHost1) : IpAddress{};
        const TcpHeader header{.from_port = 1, .to_port = 2, .flags = kAck};
        const IpHeader ip{.from = address, .to = address, .protocol = 6, .payload_bytes = 20 + 31};
        Bytes packet(ip.bytes() + ip.payload_bytes);
        for (std::size_t i = 0; i < packet.size(); ++i) packet[i] = std::byte(i * 7);
        ByteWriter writer{packet};
        put_ip(writer, ip);
        put_tcp(std::span{packet}.subspan(ip.bytes()), header, address, address);
        const auto check = [is_v6](std::span<const std::byte> all, std::size_t a, std::size_t b) {
            const std::array rest{all.subspan(a, b - a), all.subspan(b)};
            const auto whole = is_v6 ? parse_ipv6(all.first(a), all.size() - a)
                                     : parse_ipv4(all.first(a), all.size() - a);
            if (!whole) return false;
            const auto segment = parse_tcp(*whole, rest);
            return segment && segment->payload.size() + whole->rest_bytes == 31;
        };
        const std::size_t headers = ip.bytes() + kTcpBytes;
        for (std::size_t a = headers; a <= packet.size(); ++a) {
            for (std::size_t b = a; b <= packet.size(); ++b) {
                ASSERT_TRUE(check(packet, a, b)) << a << " " << b;
                for (const std::size_t at : {headers, a - 1, a, b - 1, b, packet.size() - 1}) {
                    if (at >= packet.size()) continue;
                    packet[at] ^= std::byte{1};
                    EXPECT_FALSE(check(packet, a, b)) << a << " " << b << " " << at;
                    packet[at] ^= std::byte{1};
                }
            }
            EXPECT_FALSE(check(std::span{packet}.first(packet.size() - 1), headers, headers));
        }
        packet.resize(packet.size() + 9, std::byte{0x77});  // Padding of the link.
        EXPECT_TRUE(check(packet, headers + 5, headers + 31 + 2));
    }
}

// Goal: every flipped bit of a segment is noticed.
TEST(Tcp, FlippedBitsAreNoticed) {
    TcpHeader header{.from_port = 1, .to_port = 2, .flags = kAck};
    Bytes segment(tcp_header_bytes(header) + 11, std::byte{0x5a});
    put_tcp(segment, header, {}, {});
    ASSERT_TRUE(parse_tcp({.protocol = kProtocolTcp, .payload = segment}).has_value());
    for (std::size_t bit = 0; bit < segment.size() * 8; ++bit) {
        segment[bit / 8] ^= std::byte{1} << (bit % 8);
        EXPECT_FALSE(parse_tcp({.protocol = kProtocolTcp, .payload = segment}).has_value()) << bit;
        segment[bit / 8] ^= std::byte{1} << (bit % 8);
    }
}

}  // namespace
}  // namespace holdfast::netpath::wire
