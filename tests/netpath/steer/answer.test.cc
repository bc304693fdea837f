#include "netpath/steer/answer.h"

#include <gtest/gtest.h>

#include <array>

#include "base/bytes.h"
#include "netpath/steer/decide.h"
#include "netpath/wire/arp.h"
#include "netpath/wire/ethernet.h"
#include "netpath/wire/ip.h"
#include "netpath/wire/nd.h"
#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::steer {

namespace {

using wire::MacAddress;

const MacAddress kOurs = station(1);
const MacAddress kAsker = station(9);

Bytes arp_request(const char* from, const char* target) {
    return steer::arp_request(kAsker, from, target);
}

Bytes solicitation(const char* from, const char* target) {
    const auto group = wire::solicited_node(address(target));
    Bytes frame(14 + 40 + 32);
    ByteWriter out{frame};
    wire::put_ethernet(out, {.to = wire::multicast_mac(group),
                             .from = kAsker,
                             .vlan = {},
                             .ether_type = wire::kEtherIpv6});
    wire::put_ip(out, {.from = address(from),
                       .to = group,
                       .protocol = wire::kProtocolIcmpV6,
                       .hop_limit = 255,
                       .payload_bytes = wire::kNdBytes});
    wire::put_nd(
        out,
        {.kind = wire::NdKind::Solicitation, .target = address(target), .link_address = kAsker},
        address(from), group);
    return frame;
}

OwnedSituation pressed() {
    OwnedSituation made;
    made.is_pressed = true;
    made.addresses = {address("192.0.2.1"), address("192.0.2.7"), address("2001:db8::1")};
    made.answered = {{.address = address("192.0.2.1"), .station = kOurs},
                     {.address = address("2001:db8::1"), .station = kOurs}};
    return made;
}

Reason reason_of(const Bytes& frame, const OwnedSituation& situation) {
    return decide(frame, situation.view()).reason;
}

// Goal: an ARP request for our address becomes the reply that RFC 826 asks for; what stands behind
// it stays.
TEST(Answer, ArpRequest) {
    Bytes frame = arp_request("192.0.2.2", "192.0.2.1");
    frame.back() = std::byte{0x5a};
    const Decision decision = decide(frame, pressed().view());
    ASSERT_EQ(decision.verdict, Verdict::Answer);
    ASSERT_EQ(decision.reason, Reason::Answered);
    write_answer(*decision.answer, frame);
    const auto ethernet = wire::parse_ethernet(frame);
    ASSERT_TRUE(ethernet);
    EXPECT_EQ(ethernet->header.to, kAsker);
    EXPECT_EQ(ethernet->header.from, kOurs);
    const auto arp = wire::parse_arp(ethernet->payload);
    ASSERT_TRUE(arp);
    EXPECT_EQ(arp->operation, wire::ArpOperation::Reply);
    EXPECT_EQ(arp->sender_mac, kOurs);
    EXPECT_EQ(arp->sender_ip, address("192.0.2.1"));
    EXPECT_EQ(arp->target_mac, kAsker);
    EXPECT_EQ(arp->target_ip, address("192.0.2.2"));
    EXPECT_EQ(frame.back(), std::byte{0x5a});
}

// Goal: a solicitation becomes an advertisement that a careful receiver believes: checksum, hop
// limit, flags and station are right.
TEST(Answer, Solicitation) {
    Bytes frame = solicitation("2001:db8::2", "2001:db8::1");
    const Decision decision = decide(frame, pressed().view());
    ASSERT_EQ(decision.verdict, Verdict::Answer);
    write_answer(*decision.answer, frame);
    const auto ethernet = wire::parse_ethernet(frame);
    ASSERT_TRUE(ethernet);
    EXPECT_EQ(ethernet->header.to, kAsker);
    const auto packet = wire::parse_ipv6(ethernet->payload);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->from, address("2001:db8::1"));
    EXPECT_EQ(packet->to, address("2001:db8::2"));
    const auto message = wire::parse_nd(*packet);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->kind, wire::NdKind::Advertisement);
    EXPECT_EQ(message->link_address, kOurs);
    EXPECT_TRUE(message->is_solicited && message->overrides && !message->is_router);
}

// Goal: without pressure, for an address that the kernel answers for, and when the question comes
// again, the kernel gets it.
TEST(Answer, LeftToTheKernel) {
    OwnedSituation situation = pressed();
    const Bytes frame = arp_request("192.0.2.2", "192.0.2.1");
    EXPECT_EQ(reason_of(arp_request("192.0.2.2", "192.0.2.7"), situation), Reason::Neighbour);
    situation.answered[0].is_asked_again = true;
    EXPECT_EQ(reason_of(frame, situation), Reason::Neighbour);
    situation.answered[0].is_asked_again = false;
    situation.is_pressed = false;
    EXPECT_EQ(reason_of(frame, situation), Reason::Calm);
    situation.is_leased = false;
    EXPECT_EQ(reason_of(frame, situation), Reason::Unleased);
}

// Goal: nobody is answered who lies, asks for himself, or has no address: he might be us, a group,
// or somebody who looks whether our address is taken.
TEST(Answer, OddArpRequestsAreNot) {
    const OwnedSituation situation = pressed();
    for (const char* from : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1",
                             "192.0.2.7", "0.1.2.3"})
        EXPECT_EQ(reason_of(arp_request(from, "192.0.2.1"), situation), Reason::Neighbour) << from;
    const auto changed = [](std::size_t at, unsigned byte) {
        Bytes frame = arp_request("192.0.2.2", "192.0.2.1");
        frame[at] = static_cast<std::byte>(byte);
        return frame;
    };
    EXPECT_EQ(reason_of(changed(11, 8), situation), Reason::Neighbour) << "another station";
    EXPECT_EQ(reason_of(changed(27, 8), situation), Reason::Neighbour) << "the same";
    EXPECT_EQ(reason_of(changed(0, 2), situation), Reason::Neighbour) << "not sent to us";
    EXPECT_EQ(reason_of(changed(21, 2), situation), Reason::Neighbour) << "no question";
    Bytes group = changed(6, 3);
    group[22] = std::byte{3};
    EXPECT_EQ(reason_of(group, situation), Reason::Neighbour) << "a group asks";
    Bytes us = changed(11, 1);
    us[27] = std::byte{1};
    EXPECT_EQ(reason_of(us, situation), Reason::Neighbour) << "our own station asks";
}

// Goal: the same for solicitations.
TEST(Answer, OddSolicitationsAreNot) {
    const OwnedSituation situation = pressed();
    for (const char* from : {"::", "ff02::1", "2001:db8::1"})
        EXPECT_NE(reason_of(solicitation(from, "2001:db8::1"), situation), Reason::Answered)
            << from;
    const Bytes good = solicitation("2001:db8::2", "2001:db8::1");
    ASSERT_EQ(reason_of(good, situation), Reason::Answered);
    // Addresses, hop limit, length, group, target, option, checksum: no byte of the headers and of
    // the message may be another, but those of traffic class and flow label.
    for (std::size_t at = 0; at < good.size(); ++at) {
        if (at >= 14 && at < 18) continue;
        Bytes frame = good;
        frame[at] ^= std::byte{0x40};
        EXPECT_NE(reason_of(frame, situation), Reason::Answered) << "byte " << at;
    }
}

}  // namespace

}  // namespace holdfast::netpath::steer
