// The session's main road: login, probe, reads, writes, logout.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

Bytes pattern(std::size_t bytes, std::uint8_t seed) {
    Bytes data(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        data[i] = static_cast<std::uint8_t>(seed + i * 3 + i / 256);
    return data;
}

bool same(std::span<const std::byte> a, std::span<const std::uint8_t> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// Goal: from start() to the first block read, without a fault.
// Rows: LOG-06, SEQ-01, RED-08
TEST(Session, ReadsAfterLoginAndProbe) {
    Peer peer;
    peer.attach();
    EXPECT_EQ(peer.engine().facts().blocks, 1U << 20);
    EXPECT_EQ(peer.engine().facts().block_bytes, 512U);
    ASSERT_EQ(peer.submit(3, RequestKind::Read, 100, 8), Submitted::Accepted);
    const Pdu command = peer.expect(sim::kCommand);
    EXPECT_EQ(command.cdb(0), 0x88);
    EXPECT_EQ(command.u32(20), 4096U);
    const Bytes data = pattern(4096, 9);
    peer.send(peer.data_in(command, 0, data, 0, 0x81));
    peer.expect_completion(3);
    EXPECT_TRUE(same(peer.buffer(3).first(4096), data));
}

// Goal: immediate data, unsolicited data and R2T together carry every byte of a write once.
// Rows: WRI-04, WRI-06, R2T-01
TEST(Session, WritesWithImmediateUnsolicitedAndSolicitedData) {
    Peer::Options options;
    options.limits.request_bytes_max = 128 * 1024;
    Peer peer{options};
    peer.attach();
    ASSERT_EQ(peer.submit(0, RequestKind::Write, 0, 256), Submitted::Accepted);
    Bytes received(256 * 512);
    const auto take = [&](const Pdu& pdu, std::size_t at) {
        std::copy(pdu.data.begin(), pdu.data.end(), received.begin() + static_cast<long>(at));
        return pdu.data.size();
    };
    const Pdu command = peer.expect(sim::kCommand);
    std::size_t have = take(command, 0);
    EXPECT_EQ(have, 8192U);
    while (have < 65536) {
        const Pdu out = peer.expect(sim::kDataOut);
        EXPECT_EQ(out.ttt(), 0xffffffffU);
        have += take(out, out.u32(40));
        EXPECT_EQ(out.is_final(), have == 65536);
    }
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.r2t(command, 65536, 65536, 0));
    while (have < 131072) have += take(peer.expect(sim::kDataOut), have);
    peer.send(peer.response_to(command));
    peer.expect_completion(0);
    EXPECT_TRUE(same(peer.buffer(0).first(131072), received));
}

// Goal: stop() settles, logs out and ends.
// Rows: LGO-01, LGO-02, LGO-04
TEST(Session, LogsOutWhenSettled) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    peer.engine().stop(peer.now());
    EXPECT_TRUE(peer.is_quiet());
    EXPECT_EQ(peer.submit(1, RequestKind::Read, 0, 1), Submitted::Stopped);
    peer.send(peer.data_in(command, 0, Bytes(512), 0, 0x81));
    peer.expect_completion(0);
    const Pdu logout = peer.expect(sim::kLogout);
    EXPECT_EQ(logout.bhs[1], 0x80);
    EXPECT_TRUE(logout.is_immediate());
    peer.send(peer.logout_response(logout, 0));
    peer.expect_order(OrderKind::Close);
    peer.lose_transport();
    peer.expect_order(OrderKind::Stopped);
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ended);
}

}  // namespace
}  // namespace holdfast::initiator
