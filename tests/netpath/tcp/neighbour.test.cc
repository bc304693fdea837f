#include "netpath/tcp/neighbour.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "netpath/wire/arp.h"
#include "netpath/wire/nd.h"

namespace holdfast::netpath::tcp {
namespace {

using wire::IpAddress;
using wire::MacAddress;

constexpr MacAddress kOurs{{std::byte{2}, {}, {}, {}, {}, std::byte{1}}};
constexpr MacAddress kTheirs{{std::byte{2}, {}, {}, {}, {}, std::byte{2}}};
constexpr MacAddress kOther{{std::byte{2}, {}, {}, {}, {}, std::byte{3}}};

IpAddress address(bool is_v6, std::uint8_t last) {
    std::array<std::byte, 16> bytes{std::byte{0x20}, std::byte{1}};
    bytes[15] = std::byte{last};
    if (is_v6) return IpAddress::v6(bytes);
    bytes[3] = std::byte{last};
    return IpAddress::v4(std::span{bytes}.first<4>());
}

/// Two neighbours on one wire.
class Pair {
public:
    Pair(bool is_v6, bool is_known) {
        const MacAddress known = is_known ? kTheirs : MacAddress{};
        ours.start(now, address(is_v6, 1), address(is_v6, 2), {.local = kOurs, .remote = known});
        theirs.start(now, address(is_v6, 2), address(is_v6, 1),
                     {.local = kTheirs, .remote = kOurs});
    }
    /// Everything of `from` to `to`; what it gives is the destinations.
    std::vector<MacAddress> carry(Neighbour& from, Neighbour& to) {
        std::vector<MacAddress> seen;
        std::array<std::byte, Neighbour::kFrameBytesMax> room{};
        while (const std::size_t bytes = from.output(now, room)) {
            const auto frame = std::span{room}.first(bytes);
            seen.push_back(wire::parse_ethernet(frame)->header.to);
            EXPECT_TRUE(to.input(now, frame));
        }
        return seen;
    }
    Instant now = Instant::from_ns(1'000'000'000);
    Neighbour ours;
    Neighbour theirs;
};

class NeighbourTest : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Versions, NeighbourTest, testing::Bool());

// Goal: who knows nothing asks everybody at once, and knows after the answer.
TEST_P(NeighbourTest, AsksAndLearns) {
    Pair pair{GetParam(), false};
    EXPECT_FALSE(pair.ours.is_known());
    const auto asked = pair.carry(pair.ours, pair.theirs);
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_TRUE(asked[0].is_group());
    EXPECT_EQ(pair.carry(pair.theirs, pair.ours), std::vector{kOurs});
    EXPECT_EQ(pair.ours.link().remote, kTheirs);
    EXPECT_EQ(pair.ours.next_wake(), pair.now + Neighbour::kConfirmFor);
}

// Goal: in silence the known station is asked alone three times, then everybody, once a second.
TEST_P(NeighbourTest, AsksAloneThenEverybody) {
    Pair pair{GetParam(), true};
    std::array<std::byte, Neighbour::kFrameBytesMax> room{};
    EXPECT_EQ(pair.ours.output(pair.now, room), 0U);
    for (unsigned i = 0; i < 6; ++i) {
        pair.now = pair.ours.next_wake();
        const std::size_t bytes = pair.ours.output(pair.now, room);
        ASSERT_GT(bytes, 0U);
        const auto frame = wire::parse_ethernet(std::span{room}.first(bytes));
        EXPECT_EQ(frame->header.to.is_group(), i >= Neighbour::kAskedAlone);
        EXPECT_EQ(pair.ours.output(pair.now, room), 0U);
    }
    EXPECT_EQ(pair.ours.unanswered(), 6U);
    EXPECT_EQ(pair.ours.link().remote, kTheirs) << "what is known stays in use";
}

// Goal: progress of the connection stands for an answer.
TEST_P(NeighbourTest, ProgressConfirms) {
    Pair pair{GetParam(), true};
    std::array<std::byte, Neighbour::kFrameBytesMax> room{};
    for (int i = 0; i < 100; ++i) {
        pair.now = pair.now + Duration::from_s(29);
        pair.ours.on_confirmed(pair.now);
        EXPECT_EQ(pair.ours.output(pair.now, room), 0U);
    }
}

// Goal: a frame that is cut anywhere, or flipped, teaches nothing and crashes nothing.
TEST_P(NeighbourTest, CutFrames) {
    Pair pair{GetParam(), false};
    std::array<std::byte, Neighbour::kFrameBytesMax> room{};
    const std::size_t bytes = pair.ours.output(pair.now, room);
    ASSERT_GT(bytes, 0U);
    for (std::size_t cut = 0; cut < bytes; ++cut)
        EXPECT_FALSE(pair.theirs.input(pair.now, std::span{room}.first(cut)));
}

// Goal: RFC 4861 section 7.2.5: an advertisement without Override does not replace a known address.
TEST(Neighbour, OverrideIsAsked) {
    Pair pair{true, true};
    for (const bool overrides : {false, true}) {
        std::array<std::byte, Neighbour::kFrameBytesMax> room{};
        ByteWriter out{room};
        wire::put_ethernet(
            out, {.to = kOurs, .from = kOther, .vlan = {}, .ether_type = wire::kEtherIpv6});
        wire::put_ip(out, {.from = address(true, 2),
                           .to = address(true, 1),
                           .protocol = wire::kProtocolIcmpV6,
                           .hop_limit = 255,
                           .payload_bytes = wire::kNdBytes});
        wire::put_nd(out,
                     {.kind = wire::NdKind::Advertisement,
                      .target = address(true, 2),
                      .link_address = kOther,
                      .overrides = overrides},
                     address(true, 2), address(true, 1));
        EXPECT_TRUE(pair.ours.input(pair.now, out.written()));
        EXPECT_EQ(pair.ours.link().remote, overrides ? kOther : kTheirs);
    }
}

// Goal: ARP from an address that is neither ours nor the neighbour's is nobody's.
TEST(Neighbour, StrangersAreIgnored) {
    Pair pair{false, true};
    std::array<std::byte, Neighbour::kFrameBytesMax> room{};
    ByteWriter out{room};
    wire::put_ethernet(out,
                       {.to = kOurs, .from = kOther, .vlan = {}, .ether_type = wire::kEtherArp});
    wire::put_arp(out, {.operation = wire::ArpOperation::Reply,
                        .sender_mac = kOther,
                        .sender_ip = address(false, 7),
                        .target_mac = kOurs,
                        .target_ip = address(false, 1)});
    EXPECT_FALSE(pair.ours.input(pair.now, out.written()));
    EXPECT_EQ(pair.ours.link().remote, kTheirs);
}

}  // namespace
}  // namespace holdfast::netpath::tcp
