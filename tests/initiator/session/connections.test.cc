// Several connections in one session: how they come, who sends on them, what their ends mean.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tests/initiator/session/added.h"
#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;

Peer::Options with_connections(std::uint8_t ours, std::uint16_t theirs) {
    Peer::Options options;
    options.limits.connections = ours;
    options.target.max_connections = theirs;
    return options;
}

/// A session of two connections, ready.
void attach_two(Peer& peer, Added& second) {
    peer.attach();
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), (Indices{0, 1}));
    second.log_in();
    EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionAdded, 1));
}

bool has_key(const Pdu& login, std::string_view name) {
    const auto pairs = sim::parse_text(login.data);
    return std::ranges::any_of(pairs, [&](const auto& pair) { return pair.first == name; });
}

// Goal: connections are added once the session works, as many as both sides want, to the same
// portal, with the session's handle, each with its own CID, and with the keys of a connection only.
// Rows: MCS-02, MCS-03, SID-04, SID-08, LOG-07
TEST(Connections, AreAddedWhenTheSessionWorks) {
    Peer peer{with_connections(4, 3)};
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), Indices{0});
    peer.answer_probe();
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), (Indices{1, 2}));
    EXPECT_EQ(peer.last_portal.host.view(), "192.0.2.1");
    for (const std::uint8_t index : std::to_array<std::uint8_t>({1, 2})) {
        Added added{peer, index};
        added.log_in();
        for (const Pdu& request : added.requests) {
            EXPECT_EQ(request.get(8, 6), peer.login_requests.front().get(8, 6));
            EXPECT_EQ(request.get(14, 2), kSessionHandle);
            EXPECT_EQ(request.get(20, 2), index);
            EXPECT_EQ(request.cmd_sn(), peer.expected_cmd_sn);
            for (const char* key : {"MaxConnections", "MaxBurstLength", "ErrorRecoveryLevel"}) {
                EXPECT_FALSE(has_key(request, key)) << key;
            }
        }
        EXPECT_TRUE(has_key(added.requests.back(), "MaxRecvDataSegmentLength"));
        EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionAdded, index));
        EXPECT_EQ(peer.engine().counters().connections, index + 1U);
    }
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    EXPECT_EQ(peer.engine().counters().connections_agreed, 3U);
    peer.engine().transport_lost(ConnIndex{0}, peer.now());
    EXPECT_EQ(peer.engine().counters().connections, 0U);
    EXPECT_EQ(peer.engine().counters().connections_agreed, 0U);
}

// Goal: commands go to the shortest queue, in one order of CmdSN, and each is answered where it
// went; a connection that does not move delays nobody else.
// Rows: MCS-01, MCS-04, MCS-05
TEST(Connections, ShareTheWork) {
    Peer peer{with_connections(2, 2)};
    Added second{peer, 1};
    attach_two(peer, second);
    for (std::uint16_t tag = 0; tag < 6; ++tag) peer.submit(tag, RequestKind::Write, tag, 1);
    std::vector<Pdu> here;
    std::vector<Pdu> there;
    for (int i = 0; i < 3; ++i) there.push_back(second.expect(sim::kCommand));
    EXPECT_TRUE(second.is_quiet());
    for (int i = 0; i < 3; ++i) here.push_back(peer.expect(sim::kCommand));
    EXPECT_TRUE(peer.is_quiet());
    std::vector<std::uint32_t> numbers;
    for (const auto* side : {&there, &here}) {
        for (const Pdu& command : *side) numbers.push_back(command.cmd_sn());
    }
    for (std::size_t i = 1; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], numbers[i - 1] + 1);
    for (const Pdu& command : there) second.send(peer.response_to(command));
    for (std::uint16_t tag = 0; tag < 6; ++tag) {
        if (peer.engine().counters().requests_in_flight == 3) break;
        EXPECT_TRUE(peer.next_completion().has_value());
    }
    // The first connection is busy: whatever comes now goes over the second.
    peer.submit(7, RequestKind::Read, 0, 1);
    second.send(peer.data_in(second.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
    peer.expect_completion(7);
    EXPECT_TRUE(peer.is_quiet());
    for (const Pdu& command : here) peer.send(peer.response_to(command));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(peer.next_completion().has_value());
}

// Goal: data, R2T and status of a command over another connection than its own are violations.
// Rows: MCS-01
TEST(Connections, AnswersBelongToTheirConnection) {
    for (int what = 0; what < 3; ++what) {
        Peer peer{with_connections(2, 2)};
        Added second{peer, 1};
        attach_two(peer, second);
        const bool is_read = what == 0;
        peer.submit(0, is_read ? RequestKind::Read : RequestKind::Write, 0, 1);
        const Pdu command = peer.expect(sim::kCommand);
        if (what == 0) second.send(peer.data_in(command, 0, Bytes(512), 0, 0x81));
        if (what == 1) second.send(peer.r2t(command, 0, 512, 0));
        if (what == 2) second.send(peer.response_to(command));
        EXPECT_TRUE(peer.was_noticed(NoticeKind::PeerViolation,
                                     static_cast<std::uint64_t>(Violation::TaskWrongConnection)));
        EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), (Indices{0, 1}));
    }
}

// Goal: a target that agreed to several connections and then refuses one, or opens a new session
// instead, is served with those that it has; it is not asked again. One that is busy is.
// Rows: MCS-08, LOG-32, SID-06
TEST(Connections, RefusalLeavesTheSession) {
    const auto use = [](Peer& peer) {
        peer.submit(0, RequestKind::Read, 0, 1);
        peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
        peer.expect_completion(0);
        peer.live(Duration::from_s(4));
    };
    for (const int status : {0x0206, 0x0208, 0x0301, 0}) {
        Peer peer{with_connections(2, 2)};
        Added second{peer, 1};
        peer.attach();
        connections_ordered(peer, OrderKind::Connect);
        if (status != 0) second.refuse(static_cast<std::uint16_t>(status));
        if (status == 0) second.log_in(kSessionHandle + 1);
        EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionRefused, 1));
        EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{1});
        use(peer);
        second.lose();
        for (int i = 0; i < 4; ++i) use(peer);
        const bool is_tried_again = status == 0x0301;
        EXPECT_EQ(connections_ordered(peer, OrderKind::Connect).empty(), !is_tried_again);
        EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    }
}

// Goal: an added connection whose login hangs or breaks costs itself only, and is tried again.
// Rows: MCS-05, LOG-32
TEST(Connections, FailedAdditionIsTriedAgain) {
    for (const bool is_silent : {true, false}) {
        Peer peer{with_connections(2, 2)};
        Added second{peer, 1};
        peer.attach();
        connections_ordered(peer, OrderKind::Connect);
        second.bring_up();
        second.expect(sim::kLogin);
        for (int i = 0; is_silent && i < 20; ++i) {
            peer.advance(Duration::from_s(1));
            peer.send(peer.nop_in(kNone, kNone));
        }
        EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), is_silent ? Indices{1} : Indices{});
        second.lose();
        for (int i = 0; i < 11; ++i) {
            peer.advance(Duration::from_s(1));
            peer.send(peer.nop_in(kNone, kNone));
        }
        EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), Indices{1});
        second.log_in();
        EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionAdded, 1));
    }
}

// Goal: the end of one connection ends the session below level 2: all are reset, nothing begins
// before the last is gone, and every request is done on a new session.
// Rows: SER-01, SER-03
TEST(Connections, LossOfOneIsLossOfAll) {
    Peer peer{with_connections(2, 2)};
    Added second{peer, 1};
    attach_two(peer, second);
    for (std::uint16_t tag = 0; tag < 4; ++tag) peer.submit(tag, RequestKind::Read, tag, 1);
    for (int i = 0; i < 2; ++i) second.expect(sim::kCommand);
    for (int i = 0; i < 2; ++i) peer.expect(sim::kCommand);
    second.lose();
    EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{0});
    peer.advance(Duration::from_s(1));
    EXPECT_TRUE(connections_ordered(peer, OrderKind::Connect).empty());
    peer.lose_transport();
    peer.come_back();
    for (int i = 0; i < 4; ++i) {
        peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
        EXPECT_TRUE(peer.next_completion().has_value());
    }
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), (Indices{0, 1}));
    second.log_in();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
}

// Goal: each connection has a keep-alive of its own.
TEST(Connections, SilenceOfOneIsNoticed) {
    Peer peer{with_connections(2, 2)};
    Added second{peer, 1};
    attach_two(peer, second);
    for (int i = 0; i < 11; ++i) {
        peer.advance(Duration::from_s(1));
        if (i == 5) second.expect(sim::kNopOut);
        peer.send(peer.nop_in(kNone, kNone));
    }
    EXPECT_TRUE(peer.was_noticed(NoticeKind::NopTimeout));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), (Indices{0, 1}));
}

// Goal: a command is aborted over the connection that it went out on.
// Rows: MCS-07, TMF-02
TEST(Connections, AbortGoesWhereTheCommandWent) {
    Peer peer{with_connections(2, 2)};
    Added second{peer, 1};
    attach_two(peer, second);
    peer.submit(0, RequestKind::Read, 0, 1);
    peer.submit(1, RequestKind::Read, 0, 1);
    const Pdu lost = second.expect(sim::kCommand);
    peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
    peer.expect_completion(0);
    for (int i = 0; i < 31; ++i) {
        peer.advance(Duration::from_s(1));
        peer.send(peer.nop_in(kNone, kNone));
        second.send(peer.nop_in(kNone, kNone));
    }
    EXPECT_TRUE(peer.is_quiet());
    const Pdu abort = second.expect(sim::kTaskRequest);
    EXPECT_EQ(abort.ttt(), lost.itt());
    second.send(peer.task_response(abort, 0));
    peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
    peer.expect_completion(1);
}

// Goal: one logout, over the leading connection, ends the session with all its connections.
// Rows: MCS-06, LGO-01
TEST(Connections, OneLogoutEndsAll) {
    Peer peer{with_connections(2, 2)};
    Added second{peer, 1};
    attach_two(peer, second);
    peer.engine().stop(peer.now());
    const Pdu logout = peer.expect(sim::kLogout);
    EXPECT_EQ(logout.bhs[1], 0x80);
    EXPECT_TRUE(second.is_quiet());
    peer.send(peer.logout_response(logout, 0));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Close), (Indices{0, 1}));
    second.lose();
    EXPECT_FALSE(peer.next_order().has_value());
    peer.lose_transport();
    peer.expect_order(OrderKind::Stopped);
}

}  // namespace
}  // namespace holdfast::initiator
