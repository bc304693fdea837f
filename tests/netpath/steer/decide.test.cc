#include "netpath/steer/decide.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "tests/netpath/steer/packets.h"

namespace holdfast::netpath::steer {

namespace {

/// Everything that may be set, under pressure: a session over each version, one by each path.
OwnedSituation pressed() {
    OwnedSituation made;
    made.is_pressed = true;
    made.has_socket = true;
    made.management_port = 22;
    made.addresses = {address("192.0.2.1"), address("2001:db8::1")};
    made.neighbours = {address("192.0.2.2")};
    made.flows = {{.flow = {.local = address("192.0.2.1"),
                            .remote = address("192.0.2.2"),
                            .local_port = 40001,
                            .remote_port = 3260},
                   .path = FlowPath::Socket},
                  {.flow = {.remote = address("198.51.100.1"), .remote_port = 3260},
                   .path = FlowPath::Kernel}};
    return made;
}

/// An Ethernet frame with an IPv4 packet of `protocol`, then `payload`.
Bytes ipv4(const char* from, std::uint8_t protocol, std::initializer_list<unsigned> payload,
           std::uint16_t fragment = 0x4000) {
    Bytes frame(34);
    frame[12] = std::byte{0x08};
    frame[14] = std::byte{0x45};
    frame[20] = static_cast<std::byte>(fragment >> 8);
    frame[21] = static_cast<std::byte>(fragment & 0xff);
    frame[23] = static_cast<std::byte>(protocol);
    std::ranges::copy(address(from).bytes(), frame.begin() + 26);
    std::ranges::copy(address("192.0.2.1").bytes(), frame.begin() + 30);
    for (const unsigned byte : payload) frame.push_back(static_cast<std::byte>(byte));
    return frame;
}

Reason reason_of(const Bytes& frame, const OwnedSituation& situation) {
    return decide(frame, situation.view()).reason;
}

// Goal: a session's segments arrive under pressure by their own path; a segment that differs in
// one port does not.
TEST(Decide, SessionsArrive) {
    const OwnedSituation situation = pressed();
    const auto socket = ipv4("192.0.2.2", 6, {0x0c, 0xbc, 0x9c, 0x41});
    EXPECT_EQ(reason_of(socket, situation), Reason::ToSocket);
    EXPECT_EQ(reason_of(ipv4("198.51.100.1", 6, {0x0c, 0xbc, 0x12, 0x34}), situation),
              Reason::ToKernel);
    EXPECT_EQ(reason_of(ipv4("192.0.2.2", 6, {0x0c, 0xbc, 0x9c, 0x42}), situation),
              Reason::Dropped);
    EXPECT_EQ(reason_of(ipv4("192.0.2.2", 6, {0x0c, 0xbd, 0x9c, 0x41}), situation),
              Reason::Dropped);
    EXPECT_EQ(reason_of(ipv4("192.0.2.2", 6, {0x0c, 0xbc, 0x9c}), situation), Reason::Dropped);
    EXPECT_EQ(reason_of(ipv4("192.0.2.2", 6, {0x0c, 0xbc, 0x9c, 0x41}, 0x2000), situation),
              Reason::Dropped);
    OwnedSituation without = pressed();
    without.has_socket = false;
    EXPECT_EQ(reason_of(socket, without), Reason::NoSocket);
}

// Goal: without pressure everything else passes, without a lease everything does.
TEST(Decide, CalmAndUnleased) {
    OwnedSituation situation = pressed();
    const auto stray = ipv4("203.0.113.9", 17, {0, 53, 0, 53});
    EXPECT_EQ(reason_of(stray, situation), Reason::Dropped);
    situation.is_pressed = false;
    EXPECT_EQ(reason_of(stray, situation), Reason::Calm);
    situation.is_pressed = true;
    situation.is_leased = false;
    EXPECT_EQ(reason_of(stray, situation), Reason::Unleased);
}

// Goal: the management port passes as long as its bucket allows, and no other port asks it.
TEST(Decide, ManagementPort) {
    OwnedSituation situation = pressed();
    const auto ssh = ipv4("203.0.113.9", 6, {0x12, 0x34, 0, 22});
    EXPECT_EQ(reason_of(ssh, situation), Reason::ManagementExcess);
    situation.has_token = true;
    EXPECT_EQ(reason_of(ssh, situation), Reason::Management);
    const auto udp = decide(ipv4("203.0.113.9", 17, {0x12, 0x34, 0, 22}), situation.view());
    EXPECT_EQ(udp.reason, Reason::Dropped);
    EXPECT_FALSE(udp.takes_token);
    EXPECT_EQ(udp.kind, (PacketKind{.is_ip = true, .protocol = 17, .port = 22}));
}

// Goal: "too big" about a session passes whatever its path; other errors only to our own TCP, and
// errors about nobody's connection not at all.
TEST(Decide, IcmpErrors) {
    const OwnedSituation situation = pressed();
    const auto error = [](unsigned type, unsigned code, const char* to, unsigned port) {
        Bytes frame = ipv4("203.0.113.1", 1, {type, code, 0, 0, 0, 0, 5, 0});
        Bytes quote = ipv4("192.0.2.1", 6, {0x9c, port, 0x0c, 0xbc, 0, 0, 0, 0});
        std::ranges::copy(address(to).bytes(), quote.begin() + 30);
        frame.insert(frame.end(), quote.begin() + 14, quote.end());
        return frame;
    };
    EXPECT_EQ(reason_of(error(3, 4, "192.0.2.2", 0x41), situation), Reason::ToSocket);
    EXPECT_EQ(reason_of(error(3, 1, "192.0.2.2", 0x41), situation), Reason::ToSocket);
    EXPECT_EQ(reason_of(error(3, 4, "192.0.2.2", 0x42), situation), Reason::Dropped);
    EXPECT_EQ(reason_of(error(3, 4, "198.51.100.1", 0x41), situation), Reason::ToKernel);
    EXPECT_EQ(reason_of(error(3, 1, "198.51.100.1", 0x41), situation), Reason::Dropped);
    EXPECT_EQ(reason_of(error(8, 0, "192.0.2.2", 0x41), situation), Reason::Dropped);
}

// Goal: the bucket lets a burst through, then keeps the rate, and forgets no idle time beyond it.
TEST(TokenBucket, BurstThenRate) {
    TokenBucket bucket{Duration::from_ms(100), Duration::from_ms(200)};
    const Instant start = Instant::from_ns(5'000'000'000);
    EXPECT_TRUE(bucket.try_take(start));
    EXPECT_TRUE(bucket.try_take(start));
    EXPECT_TRUE(bucket.try_take(start));
    EXPECT_FALSE(bucket.try_take(start));
    EXPECT_FALSE(bucket.try_take(start + Duration::from_ms(99)));
    EXPECT_TRUE(bucket.try_take(start + Duration::from_ms(100)));
    EXPECT_FALSE(bucket.try_take(start + Duration::from_ms(100)));
    const Instant later = start + Duration::from_s(100);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.try_take(later)) << i;
    EXPECT_FALSE(bucket.try_take(later));
}

}  // namespace

}  // namespace holdfast::netpath::steer
