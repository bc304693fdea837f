// Error recovery level 2: a connection is lost, the session is not. RFC 7143
// sections 6.3.4, 7.1.4.3, 7.2, 7.5, 11.5 and 11.14.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/initiator/session/added.h"
#include "tests/initiator/session/peer.h"
#include "tests/initiator/session/pieces.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;
constexpr std::uint8_t kLunReset = 5;
constexpr std::uint8_t kReassign = 8;

Peer::Options level_two(std::uint8_t connections = 1) {
    Peer::Options options;
    options.config.wish.error_recovery_level = 2;
    options.limits.connections = connections;
    options.target.error_recovery_level = 2;
    options.target.max_connections = connections;
    options.target.time2wait_s = 1;
    return options;
}

using Indices = std::vector<std::uint8_t>;

/// Ready with two connections; the one that Peer plays is 0.
void attach_two(Peer& peer, Added& second) {
    peer.attach();
    connections_ordered(peer, OrderKind::Connect);
    second.log_in();
}

/// The transport of connection 0 breaks, and Time2Wait passes; it is logged in again as `back`.
void lose_and_log_in(Peer& peer, Added& back) {
    connections_ordered(peer, OrderKind::Connect);
    back.lose();
    EXPECT_TRUE(connections_ordered(peer, OrderKind::Connect).empty());
    peer.advance(Duration::from_ms(999));
    EXPECT_TRUE(connections_ordered(peer, OrderKind::Connect).empty()) << "before Time2Wait";
    peer.advance(Duration::from_ms(1));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), Indices{0});
    back.log_in();
}

/// TASK REASSIGN of this command goes out next.
Pdu expect_reassign(Added& on, const Pdu& command, std::uint32_t expected_data_sn) {
    const Pdu request = on.expect(sim::kTaskRequest);
    EXPECT_EQ(request.bhs[1], 0x80 | kReassign);
    EXPECT_TRUE(request.is_immediate());
    EXPECT_EQ(request.ttt(), command.itt());
    EXPECT_EQ(request.get(8, 8), 0U);
    EXPECT_EQ(request.u32(32), 0U) << "RefCmdSN is for ABORT TASK";
    EXPECT_EQ(request.u32(36), expected_data_sn);
    return request;
}

/// The session was given up, and comes back with a new one; the write that was out is fenced.
void expect_session_recovery(Peer& peer, bool has_write) {
    EXPECT_TRUE(peer.was_noticed(NoticeKind::SessionLost));
    connections_ordered(peer, OrderKind::Connect);
    peer.login_requests.clear();
    peer.live(Duration::from_s(6));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), Indices{0});
    peer.log_in();
    EXPECT_EQ(peer.login_requests.front().get(14, 2), 0U) << "a new session";
    peer.answer_probe();
    if (!has_write) return;
    peer.send(peer.task_response(expect_management(peer, kLunReset), 0));
}

std::string level_offered(const Peer& peer) {
    std::string level = "none";
    for (const Pdu& login : peer.login_requests) {
        for (const auto& [key, value] : sim::parse_text(login.data)) {
            if (key == "ErrorRecoveryLevel") level = value;
        }
    }
    return level;
}

// Goal: what a SNACK had asked for on the lost connection is the reassignment's business: no SNACK
// speaks of a command that the new connection has not taken over.
// Rows: ER2-05
TEST(LevelTwo, GapsOfALostConnectionAreForgotten) {
    Peer::Options options = level_two();
    options.target.data_digest = true;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 3);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(data(peer, command, 0));
    peer.send(data(peer, command, 2));
    EXPECT_EQ(peer.expect(sim::kSnack).itt(), command.itt());
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    expect_reassign(back, command, 1);
    peer.submit(1, RequestKind::Read, 0, 2);
    const Pdu next = back.expect(sim::kCommand);
    back.send(data(peer, next, 1));
    EXPECT_EQ(back.expect(sim::kSnack).itt(), next.itt());
    peer.advance(Duration::from_s(5));  // Asked again.
    EXPECT_EQ(back.expect(sim::kSnack).itt(), next.itt());
}

// Goal: the only connection breaks in the middle of a read: after Time2Wait it is logged in again
// under its own CID, the read is reassigned, and goes on where it stopped.
// Rows: ER2-01, ER2-02, ER2-03, ER2-05, TMF-19
TEST(LevelTwo, ReadGoesOnWhereItStopped) {
    Peer peer{level_two()};
    peer.attach();
    EXPECT_EQ(peer.agreed().error_recovery_level, 2);
    const Pdu first_login = peer.login_requests.front();
    peer.submit(0, RequestKind::Read, 0, 4);
    const Pdu command = peer.expect(sim::kCommand);
    for (std::uint32_t n = 0; n < 2; ++n) peer.send(data(peer, command, n));
    const std::uint32_t acknowledged = peer.stat_sn;
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    const Pdu login = back.requests.front();
    EXPECT_EQ(login.get(8, 6), first_login.get(8, 6));
    EXPECT_EQ(login.get(14, 2), kSessionHandle);
    EXPECT_EQ(login.get(20, 2), first_login.get(20, 2));
    EXPECT_EQ(login.expected_stat_sn(), acknowledged);
    EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionReinstated, 0));
    const Pdu request = expect_reassign(back, command, 2);
    EXPECT_TRUE(back.is_quiet());
    back.send(peer.task_response(request, 0));
    for (std::uint32_t n = 2; n < 4; ++n) back.send(data(peer, command, n, n == 3 ? 0x81 : 0));
    peer.expect_completion(0);
    expect_pieces(peer, 0, 4);
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
    EXPECT_EQ(peer.engine().counters().tasks_reassigned, 1U);
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    // All is as it was: new commands go out, in the same order of numbers.
    peer.submit(1, RequestKind::Read, 0, 1);
    const Pdu next = back.expect(sim::kCommand);
    EXPECT_EQ(next.cmd_sn(), command.cmd_sn() + 1);
    back.send(peer.data_in(next, 0, Bytes(512), 0, 0x81));
    peer.expect_completion(1);
}

// Goal: a target that begins the read anew instead is understood, too.
// Rows: ER2-01
TEST(LevelTwo, ReadMayBeginAnew) {
    Peer peer{level_two()};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 3);
    const Pdu command = peer.expect(sim::kCommand);
    for (std::uint32_t n = 0; n < 2; ++n) peer.send(data(peer, command, n));
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    back.send(peer.task_response(expect_reassign(back, command, 2), 0));
    for (std::uint32_t n = 0; n < 3; ++n) back.send(data(peer, command, n, n == 2 ? 0x81 : 0));
    peer.expect_completion(0);
    expect_pieces(peer, 0, 3);
}

// Goal: a gap after the reassignment is asked for from where the reassignment began, never below
// it: the target has forgotten that data. No SNACK is kept from the old connection, and none is an
// R-Data SNACK, because our MaxRecvDataSegmentLength is the same on every connection.
// Rows: TMF-20
TEST(LevelTwo, SnackAfterAReassignmentBeginsWhereThatBegan) {
    Peer peer{level_two()};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 5);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(data(peer, command, 0));
    peer.send(data(peer, command, 2));  // The SNACK for 1 is lost with the connection.
    peer.expect(sim::kSnack);
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    back.send(peer.task_response(expect_reassign(back, command, 1), 0));
    EXPECT_TRUE(back.is_quiet()) << "the old gap is not asked for again";
    back.send(data(peer, command, 1));
    back.send(data(peer, command, 3));
    const Pdu snack = back.expect(sim::kSnack);
    EXPECT_EQ(snack.bhs[1], 0x80) << "Data or R2T";
    EXPECT_EQ(snack.itt(), command.itt());
    EXPECT_EQ(snack.ttt(), kNone);
    EXPECT_EQ(snack.u32(40), 2U);
    for (std::uint32_t n = 2; n < 5; ++n) back.send(data(peer, command, n, n == 4 ? 0x81 : 0));
    peer.expect_completion(0);
    expect_pieces(peer, 0, 5);
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
}

// Goal: a command that the target never acknowledged is sent again as it was, which closes the hole
// that it left, and is not reassigned.
// Rows: ER2-08, ER1-12, ER1-13
TEST(LevelTwo, UnacknowledgedCommandIsSentAgain) {
    Peer peer{level_two()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 7, 2);
    const std::uint32_t expected = peer.expected_cmd_sn;
    const Pdu command = peer.expect(sim::kCommand);
    peer.expected_cmd_sn = expected;  // It never arrived.
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    const Pdu again = back.expect(sim::kCommand);
    Pdu same = again;
    same.put(28, 4, command.expected_stat_sn());
    EXPECT_EQ(same.bhs, command.bhs);
    EXPECT_EQ(again.data, command.data);
    EXPECT_TRUE(back.is_quiet());
    back.send(peer.response_to(again));
    peer.expect_completion(0);
    EXPECT_EQ(peer.engine().counters().tasks_resent, 1U);
    EXPECT_EQ(peer.engine().counters().tasks_reassigned, 0U);
}

// Goal: a write that is reassigned serves R2Ts from its first byte on, whatever their numbers and
// whatever was asked for before; old transfer tags are void.
// Rows: ER2-09
TEST(LevelTwo, ReassignedWriteServesNewR2ts) {
    Peer::Options options = level_two();
    options.config.wish.immediate_data = false;
    options.config.wish.initial_r2t = true;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 4);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.r2t(command, 0, 2 * kPiece, 0, 0x11));
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    back.send(peer.task_response(expect_reassign(back, command, 0), 0));
    EXPECT_TRUE(back.is_quiet()) << "nothing for the old R2T";
    back.send(peer.r2t(command, 0, 4 * kPiece, 3, 0x22));
    const Pdu out = back.expect(sim::kDataOut);
    EXPECT_EQ(out.ttt(), 0x22U);
    EXPECT_EQ(out.u32(40), 0U);
    EXPECT_EQ(out.data.size(), std::size_t{4} * kPiece);
    EXPECT_EQ(std::memcmp(out.data.data(), peer.buffer(0).data(), out.data.size()), 0);
    peer.expect_no_completion();
    back.send(peer.response_to(command));
    peer.expect_completion(0);
}

// Goal: the other connection goes on, and nothing of the lost one's is sent before its transport is
// gone and it was logged in again.
// Rows: ER2-01, MCS-05
TEST(LevelTwo, OtherConnectionGoesOn) {
    Peer peer{level_two(2)};
    Added second{peer, 1};
    attach_two(peer, second);
    for (std::uint16_t tag = 0; tag < 2; ++tag) peer.submit(tag, RequestKind::Write, tag, 1);
    const Pdu there = second.expect(sim::kCommand);
    const Pdu here = peer.expect(sim::kCommand);
    for (int i = 0; i < 11; ++i) {  // Connection 0 answers nothing any more, not even its ping.
        peer.advance(Duration::from_s(1));
        second.send(peer.nop_in(kNone, kNone));
    }
    EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionLost, 0));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{0});
    second.send(peer.response_to(there));
    EXPECT_TRUE(peer.next_completion().has_value());
    for (std::uint16_t tag = 2; tag < 4; ++tag) {
        peer.submit(tag, RequestKind::Read, 0, 1);
        second.send(peer.data_in(second.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
        peer.expect_completion(tag);
    }
    for (int i = 0; i < 3; ++i) {  // The transport still borrows.
        peer.advance(Duration::from_s(1));
        second.send(peer.nop_in(kNone, kNone));
    }
    EXPECT_TRUE(connections_ordered(peer, OrderKind::Connect).empty());
    EXPECT_TRUE(second.is_quiet());
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    back.send(peer.task_response(expect_reassign(back, here, 0), 0));
    back.send(peer.response_to(here));
    EXPECT_TRUE(peer.next_completion().has_value());
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
}

/// Both are attached, a write of connection 0 is out, its transport breaks and it is refused for
/// good; the living one carries the logout that comes.
Pdu refused_reinstatement(Peer& peer, Added& second, Pdu& command) {
    attach_two(peer, second);
    for (std::uint16_t tag = 0; tag < 2; ++tag) peer.submit(tag, RequestKind::Write, tag, 1);
    second.send(peer.response_to(second.expect(sim::kCommand)));
    EXPECT_TRUE(peer.next_completion().has_value());
    command = peer.expect(sim::kCommand);
    peer.lose_transport();
    peer.advance(Duration::from_s(1));
    Added refused{peer, 0};
    refused.refuse(0x0208);
    EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{0});
    EXPECT_TRUE(second.is_quiet());
    refused.lose();
    const Pdu logout = second.expect(sim::kLogout);
    EXPECT_EQ(logout.bhs[1], 0x82) << "remove the connection for recovery";
    EXPECT_EQ(logout.get(20, 2), 0U);
    EXPECT_TRUE(second.is_quiet());
    return logout;
}

// Goal: a connection that is not taken back is logged out over a living one, which takes its
// commands over; later it is added again.
// Rows: ER2-01, ER2-10, LGO-08, TMF-18
TEST(LevelTwo, LogoutOverAnotherConnection) {
    Peer peer{level_two(2)};
    Added second{peer, 1};
    Pdu command;
    const Pdu logout = refused_reinstatement(peer, second, command);
    second.send(peer.logout_response(logout, 0));
    EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionRemoved, 0));
    second.send(peer.task_response(expect_reassign(second, command, 0), 0));
    second.send(peer.response_to(command));
    EXPECT_TRUE(peer.next_completion().has_value());
    for (int i = 0; i < 11; ++i) {
        peer.advance(Duration::from_s(1));
        second.send(peer.nop_in(kNone, kNone));
    }
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), (Indices{0}));
    Added again{peer, 0};
    again.log_in();
    EXPECT_TRUE(peer.was_noticed(NoticeKind::ConnectionAdded, 0));
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
}

// Goal: a logout for recovery that fails ends in session recovery with its fence; a target that
// cannot do it at all is not asked for level 2 again.
// Rows: ER2-10, ER2-11
TEST(LevelTwo, FailedLogoutIsTheSessionsEnd) {
    for (const std::uint8_t result : std::to_array<std::uint8_t>({1, 2, 3})) {
        Peer peer{level_two(2)};
        Added second{peer, 1};
        Pdu command;
        const Pdu logout = refused_reinstatement(peer, second, command);
        second.send(peer.logout_response(logout, result));
        EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{1});
        second.lose();
        expect_session_recovery(peer, true);
        EXPECT_EQ(level_offered(peer), result == 2 ? "1" : "2") << int{result};
        const Pdu again = peer.expect(sim::kCommand);
        EXPECT_NE(again.itt(), command.itt());
        peer.send(peer.response_to(again));
        EXPECT_TRUE(peer.next_completion().has_value());
    }
}

// Goal: what TASK REASSIGN may be answered with: only "complete" lets the command go on, "still
// allegiant" is asked again, everything else is session recovery with its fence.
// Rows: ER2-10, ER2-11, TMF-21
TEST(LevelTwo, EveryReassignResponseIsUnderstood) {
    for (const std::uint8_t response : std::to_array<std::uint8_t>({1, 2, 3, 4, 5, 6, 255})) {
        Peer peer{level_two()};
        peer.attach();
        peer.submit(0, RequestKind::Write, 0, 1);
        const Pdu command = peer.expect(sim::kCommand);
        Added back{peer, 0};
        lose_and_log_in(peer, back);
        back.send(peer.task_response(expect_reassign(back, command, 0), response));
        EXPECT_TRUE(back.is_quiet());
        if (response == 3) {
            peer.advance(Duration::from_ms(200));
            back.send(peer.task_response(expect_reassign(back, command, 0), 0));
            back.send(peer.response_to(command));
            peer.expect_completion(0);
            continue;
        }
        EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{0});
        back.lose();
        expect_session_recovery(peer, true);
        EXPECT_EQ(level_offered(peer), response >= 4 ? "1" : "2") << int{response};
    }
}

// Goal: a target that rejects TASK REASSIGN is asked for less; one that has too many immediate
// requests is asked again.
// Rows: ER2-11
TEST(LevelTwo, RejectedReassign) {
    for (const std::uint8_t reason : std::to_array<std::uint8_t>({0x05, 0x06})) {
        Peer peer{level_two()};
        peer.attach();
        peer.submit(0, RequestKind::Write, 0, 1);
        const Pdu command = peer.expect(sim::kCommand);
        Added back{peer, 0};
        lose_and_log_in(peer, back);
        back.send(peer.reject(reason, expect_reassign(back, command, 0)));
        if (reason == 0x06) {
            EXPECT_TRUE(back.is_quiet());
            peer.advance(Duration::from_ms(200));
            expect_reassign(back, command, 0);
            continue;
        }
        back.lose();
        expect_session_recovery(peer, true);
        EXPECT_EQ(level_offered(peer), "1");
    }
}

// Goal: what is not taken over within Time2Wait and Time2Retain is not waited for any longer: a new
// session, with the fence, before the write is sent again.
// Rows: ER2-05, SER-11
TEST(LevelTwo, RetainTimeIsTheLimit) {
    Peer peer{level_two()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    connections_ordered(peer, OrderKind::Connect);
    peer.lose_transport();
    int tries = 0;
    for (int ms = 0; ms < 20'900; ms += 10) {
        peer.advance(Duration::from_ms(10));
        if (connections_ordered(peer, OrderKind::Connect).empty()) continue;
        ++tries;
        peer.lose_transport();  // Nobody listens.
    }
    EXPECT_GE(tries, 4);
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Waiting);
    peer.advance(Duration::from_ms(200));
    expect_session_recovery(peer, true);
    EXPECT_NE(peer.expect(sim::kCommand).itt(), command.itt());
}

// Goal: Time2Retain 0 means that the target keeps nothing, so the session is recovered.
// Rows: ER2-07
TEST(LevelTwo, NothingRetainedIsSessionRecovery) {
    Peer::Options options = level_two();
    options.config.wish.time2retain_s = 0;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    peer.expect(sim::kCommand);
    peer.lose_transport();
    expect_session_recovery(peer, true);
}

// Goal: a target that announces the drop of one connection tells its own times, for that one only.
// Rows: ER2-06, ASY-03
TEST(LevelTwo, AnnouncedDropHasItsOwnTimes) {
    Peer peer{level_two(2)};
    Added second{peer, 1};
    attach_two(peer, second);
    second.send(peer.async(2, 0, 3, 9));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Reset), Indices{0});
    peer.lose_transport();
    peer.advance(Duration::from_ms(2900));
    EXPECT_TRUE(connections_ordered(peer, OrderKind::Connect).empty());
    peer.advance(Duration::from_ms(100));
    EXPECT_EQ(connections_ordered(peer, OrderKind::Connect), Indices{0});
    Added back{peer, 0};
    back.log_in();
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
    second.send(peer.async(2, 0, 1, 0));  // Nothing is kept this time.
    EXPECT_TRUE(peer.was_noticed(NoticeKind::SessionLost));
}

// Goal: the new transport breaks before all commands are taken over: those that were, are
// reassigned once more; the limit of time is that of the first loss.
// Rows: ER2-10
TEST(LevelTwo, LossDuringRecoveryConverges) {
    Peer peer{level_two()};
    peer.attach();
    for (std::uint16_t tag = 0; tag < 2; ++tag) peer.submit(tag, RequestKind::Read, tag, 2);
    const std::array<Pdu, 2> commands{peer.expect(sim::kCommand), peer.expect(sim::kCommand)};
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    back.send(peer.task_response(expect_reassign(back, commands[0], 0), 0));
    back.send(data(peer, commands[0], 0));
    expect_reassign(back, commands[1], 0);
    Added third{peer, 0};
    lose_and_log_in(peer, third);
    std::array<Pdu, 2> asked{third.expect(sim::kTaskRequest), third.expect(sim::kTaskRequest)};
    for (const Pdu& request : asked) {
        const Pdu& command = request.ttt() == commands[0].itt() ? commands[0] : commands[1];
        EXPECT_EQ(request.u32(36), request.ttt() == commands[0].itt() ? 1U : 0U);
        third.send(peer.task_response(request, 0));
        for (std::uint32_t n = request.u32(36); n < 2; ++n) {
            third.send(data(peer, command, n, n == 1 ? 0x81 : 0));
        }
        EXPECT_TRUE(peer.next_completion().has_value());
    }
    EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
}

// Goal: nothing of a command is believed before its reassignment was answered.
// Rows: MCS-01, TMF-18
TEST(LevelTwo, NoAnswerBeforeTheReassignment) {
    Peer peer{level_two()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    expect_reassign(back, command, 0);
    back.send(peer.response_to(command));
    EXPECT_TRUE(peer.was_noticed(NoticeKind::PeerViolation,
                                 static_cast<std::uint64_t>(Violation::TaskWrongConnection)));
    peer.expect_no_completion();
}

// Goal: a target that does not answer TASK REASSIGN is not waited for for ever.
// Rows: ER2-10
TEST(LevelTwo, SilentReassignIsTheSessionsEnd) {
    Peer peer{level_two()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    Added back{peer, 0};
    lose_and_log_in(peer, back);
    expect_reassign(back, command, 0);
    for (int i = 0; i < 15; ++i) {
        EXPECT_FALSE(peer.was_noticed(NoticeKind::SessionLost));
        peer.advance(Duration::from_s(1));
        back.send(peer.nop_in(kNone, kNone));
    }
    back.lose();
    expect_session_recovery(peer, true);
}

// Goal: a profile that lets requests fail does not let them wait longer for a connection.
TEST(LevelTwo, RequestsFailAfterTheReplacementTime) {
    Peer::Options options = level_two();
    options.config.timers.replacement = Duration::from_s(4);
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 1);
    peer.expect(sim::kCommand);
    peer.lose_transport();
    peer.submit(1, RequestKind::Read, 0, 1);
    peer.advance(Duration::from_ms(3900));
    peer.expect_no_completion();
    peer.lose_transport();
    peer.advance(Duration::from_ms(200));
    for (int i = 0; i < 2; ++i) {
        const auto ended = peer.next_completion();
        ASSERT_TRUE(ended.has_value());
        EXPECT_EQ(ended->outcome, Outcome::TimedOut);
    }
}

// Goal: stop() while no connection is there ends in bounded time.
TEST(LevelTwo, StopWithoutAConnection) {
    Peer peer{level_two()};
    peer.attach();
    peer.lose_transport();
    peer.engine().stop(peer.now());
    peer.advance(Duration::from_s(1));
    peer.lose_transport();  // The login that was tried meanwhile.
    peer.engine().stop(peer.now());
    while (const auto order = peer.next_order()) {
        if (*order == OrderKind::Stopped) return;
    }
    FAIL() << "not stopped";
}

}  // namespace
}  // namespace holdfast::initiator
