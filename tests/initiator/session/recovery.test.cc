// Loss and return: the ladder, the fence, reconnecting, and what requests see of it.
#include <gtest/gtest.h>

#include <array>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;
constexpr std::uint8_t kAbortTask = 1;
constexpr std::uint8_t kUnitReset = 5;
constexpr std::uint8_t kTargetReset = 6;

Pdu write_one(Peer& peer, std::uint16_t tag = 0) {
    peer.submit(tag, RequestKind::Write, tag * 8U, 1);
    return peer.expect(sim::kCommand);
}

/// A session in which tag 0, a write, has just timed out; returns its command.
Pdu attach_and_time_out(Peer& peer) {
    peer.attach();
    const Pdu command = write_one(peer);
    pass(peer, Duration::from_s(30));
    return command;
}

// ---- The ladder.

// Goal: a command that is not answered is aborted by its tag and number, then sent again as a new
// command.
// Rows: TMF-01, TMF-02, TMF-03, TMF-04, TMF-05, TMF-06, TMF-13
TEST(TaskManagement, AbortsThenSendsAgain) {
    Peer peer;
    const Pdu command = attach_and_time_out(peer);
    const Pdu abort = expect_management(peer, kAbortTask);
    EXPECT_EQ(abort.ttt(), command.itt());
    EXPECT_EQ(abort.u32(32), command.cmd_sn());
    EXPECT_EQ(abort.get(8, 8), kTestLun);
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.task_response(abort, 0));
    const Pdu again = peer.expect(sim::kCommand);
    EXPECT_NE(again.itt(), command.itt());
    EXPECT_NE(again.cmd_sn(), command.cmd_sn());
    peer.send(peer.response_to(command));
    peer.expect_no_completion();
    peer.send(peer.response_to(again));
    peer.expect_completion(0);
}

// Goal: the command's own answer before the response of the abort is an answer like any other.
// Rows: TMF-08, TMF-09, TMF-10
TEST(TaskManagement, AnswerBeforeTheAbortsResponseCounts) {
    for (const std::uint8_t response : std::to_array<std::uint8_t>({0, 1})) {
        Peer::Options options;
        options.target.initial_r2t = true;
        options.target.immediate_data = false;
        Peer peer{options};
        const Pdu command = attach_and_time_out(peer);
        const Pdu abort = expect_management(peer, kAbortTask);
        peer.send(peer.r2t(command, 0, 512, 0));
        EXPECT_EQ(peer.expect(sim::kDataOut).data.size(), 512U);
        peer.send(peer.response_to(command));
        peer.expect_completion(0);
        peer.send(peer.task_response(abort, response));
        EXPECT_TRUE(peer.is_quiet());
        EXPECT_FALSE(peer.next_order().has_value());
    }
}

// Goal: "task does not exist" for a task that we still hold is a lost answer: a new session.
// Rows: TMF-14
TEST(TaskManagement, UnknownTaskIsALostAnswer) {
    Peer peer;
    attach_and_time_out(peer);
    peer.send(peer.task_response(expect_management(peer, kAbortTask), 1));
    peer.expect_order(OrderKind::Reset);
}

// Goal: a command whose CmdSN the target has not even acknowledged is aborted like any other: the
// abort is immediate and names that CmdSN, so that the target may count it as received; and what
// is sent again then carries a new tag and the next CmdSN. At every recovery level.
// Rows: ER1-15
TEST(TaskManagement, UnacknowledgedCommandIsAborted) {
    for (const std::uint8_t level : std::to_array<std::uint8_t>({0, 1})) {
        Peer::Options options;
        options.config.wish.error_recovery_level = level;
        options.target.error_recovery_level = level;
        Peer peer{options};
        peer.attach();
        const Pdu command = write_one(peer, 0);
        peer.expected_cmd_sn = command.cmd_sn();  // It was dropped on its way.
        pass(peer, Duration::from_s(30));
        const Pdu abort = expect_management(peer, kAbortTask);
        EXPECT_TRUE(abort.is_immediate());
        EXPECT_EQ(abort.ttt(), command.itt());
        EXPECT_EQ(abort.u32(32), command.cmd_sn());
        peer.expected_cmd_sn = command.cmd_sn() + 1;
        peer.send(peer.task_response(abort, 0));
        const Pdu again = peer.expect(sim::kCommand);
        EXPECT_NE(again.itt(), command.itt());
        EXPECT_EQ(again.cmd_sn(), command.cmd_sn() + 1);
        peer.send(peer.response_to(again));
        peer.expect_completion(0);
    }
}

// Goal: refusal and silence climb rung by rung to the end of the session, in bounded time.
// Rows: TMF-13, TMF-16
TEST(TaskManagement, ClimbsToTheEnd) {
    for (const bool is_silent : {true, false}) {
        Peer peer;
        attach_and_time_out(peer);
        for (const std::uint8_t rung :
             std::to_array<std::uint8_t>({kAbortTask, kUnitReset, kTargetReset})) {
            const Pdu request = expect_management(peer, rung);
            EXPECT_EQ(request.get(8, 8), rung == kTargetReset ? 0 : kTestLun);
            EXPECT_TRUE(rung == kAbortTask || request.ttt() == kNone);
            if (is_silent) pass(peer, Duration::from_s(30));
            if (!is_silent) peer.send(peer.task_response(request, 5));
        }
        EXPECT_TRUE(peer.was_noticed(NoticeKind::SessionLost,
                                     static_cast<std::uint64_t>(LossReason::TaskManagementFailed)));
    }
}

// Goal: a reset holds new commands back, ends every command that was out, and all are sent again.
// Rows: TMF-10, TMF-11, TMF-17
TEST(TaskManagement, ResetEndsAllAndHoldsNewOnesBack) {
    Peer peer;
    const Pdu first = attach_and_time_out(peer);
    const Pdu abort = expect_management(peer, kAbortTask);
    const Pdu second = write_one(peer, 1);
    peer.send(peer.task_response(abort, 255));
    const Pdu reset = expect_management(peer, kUnitReset);
    peer.submit(2, RequestKind::Write, 0, 1);
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.task_response(reset, 0));
    for (const std::uint64_t lba : {0U, 8U, 0U}) {
        const Pdu again = peer.expect(sim::kCommand);
        EXPECT_EQ(again.get(34, 8), lba);
    }
    peer.send(peer.response_to(first));
    peer.send(peer.response_to(second));
    peer.expect_no_completion();
}

// Goal: a session that shares its unit resets nobody: after the abort comes the end.
// Rows: TMF-16
TEST(TaskManagement, SharedUnitIsNeverReset) {
    Peer::Options options;
    options.config.owns_unit_alone = false;
    Peer peer{options};
    attach_and_time_out(peer);
    peer.send(peer.task_response(expect_management(peer, kAbortTask), 5));
    peer.expect_order(OrderKind::Reset);
}

// Goal: a request that has not gone out is nobody's task: no abort for it.
// Rows: TMF-07
TEST(TaskManagement, UnsentRequestsAreNotAborted) {
    Peer peer;
    peer.attach();
    peer.window = 0;
    peer.send(peer.nop_in(kNone, kNone));
    while (peer.engine().counters().command_window > 1) {
        peer.submit(0, RequestKind::Read, 0, 1);
        peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
        peer.expect_completion(0);
    }
    peer.submit(0, RequestKind::Read, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    peer.submit(1, RequestKind::Read, 8, 1);
    EXPECT_TRUE(peer.is_quiet());
    pass(peer, Duration::from_s(30));
    EXPECT_EQ(expect_management(peer, kAbortTask).ttt(), command.itt());
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: response 7 belongs to RFC 7144, which was not negotiated.
// Rows: TMF-23
TEST(TaskManagement, UnnegotiatedResponseDropsTheSession) {
    Peer peer;
    attach_and_time_out(peer);
    peer.send(peer.task_response(expect_management(peer, kAbortTask), 7));
    peer.expect_violation(Violation::TaskResponseNotNegotiated);
}

// Goal: when the unit says that it dropped commands of others, what is out is asked about soon.
// Rows: RSP-07
TEST(TaskManagement, ClearedByOthersIsSuspectedSoon) {
    Peer peer;
    peer.attach();
    const Pdu lost = write_one(peer, 0);
    const Pdu told = write_one(peer, 1);
    peer.send(peer.sense_to(told, 0x06, 0x2f00));
    peer.send(peer.response_to(peer.expect(sim::kCommand)));
    peer.expect_completion(1);
    pass(peer, Duration::from_s(5));
    EXPECT_EQ(expect_management(peer, kAbortTask).ttt(), lost.itt());
}

// ---- Loss, fence, return.

// Goal: first the Reset and the transport's word that it is gone, only then a new login: the same
// ISID, TSIH 0. Before the write is sent again the unit is reset on the new session.
// Rows: SER-01, SER-02, SER-03, SER-04, SER-06, SER-10, SID-02, TMF-22
TEST(Recovery, ResetsReinstatesFencesAndSendsAgain) {
    Peer peer;
    peer.attach();
    write_one(peer);
    peer.send(peer.async(3));
    peer.expect_order(OrderKind::Reset);
    peer.live(Duration::from_s(10));
    EXPECT_FALSE(peer.next_order().has_value()) << "connects before the old transport is gone";
    peer.lose_transport();
    peer.come_back();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Fencing);
    const Pdu& before = peer.login_requests.front();
    const Pdu& after = peer.login_requests.back();
    EXPECT_EQ(before.get(8, 6), after.get(8, 6));
    EXPECT_EQ(after.get(14, 2), 0U);
    const Pdu reset = expect_management(peer, kUnitReset);
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.task_response(reset, 0));
    peer.send(peer.response_to(peer.expect(sim::kCommand)));
    peer.expect_completion(0);
    EXPECT_TRUE(peer.was_noticed(NoticeKind::Fenced,
                                 static_cast<std::uint64_t>(FenceRung::LogicalUnitReset)));
}

// Goal: with reads only there is nothing to fence, and they go out again in their order.
// Rows: SER-04, SER-10
TEST(Recovery, ReadsNeedNoFence) {
    Peer peer;
    peer.attach();
    for (std::uint16_t tag = 0; tag < 4; ++tag) {
        peer.submit(tag, RequestKind::Read, 100U - tag, 1);
        peer.expect(sim::kCommand);
    }
    peer.lose_transport();
    peer.come_back();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    for (std::uint16_t tag = 0; tag < 4; ++tag) {
        EXPECT_EQ(peer.expect(sim::kCommand).get(34, 8), 100U - tag);
    }
}

/// Says something of itself, wherever it stands.
void question(Peer& peer) {
    EXPECT_LE(peer.engine().phase(), SessionPhase::Ended);
    EXPECT_GT(peer.engine().facts().blocks, 0U);
    EXPECT_EQ(peer.engine().counters().requests_in_flight, 1U);
}

// Goal: wherever a recovery stands, it can be asked, and stopped; then it ends, and the request
// that waited ends with it, once.
// Rows: BUG-40
TEST(Recovery, CanBeAskedAndStoppedAtEveryStep) {
    using enum SessionPhase;
    for (const SessionPhase until : {Waiting, Connecting, LoggingIn, Probing, Fencing}) {
        SCOPED_TRACE(testing::Message() << "phase " << static_cast<int>(until));
        Peer peer;
        peer.attach();
        write_one(peer);
        peer.send(peer.async(3));
        question(peer);
        peer.expect_reset();
        if (until != Waiting) {
            peer.live(Duration::from_s(6));
            peer.expect_order(OrderKind::Connect);
        }
        if (until == LoggingIn) peer.engine().transport_up(ConnIndex{0}, peer.now(), {});
        if (until >= Probing && until != Waiting) peer.log_in();
        if (until == Fencing) peer.answer_probe();
        EXPECT_EQ(peer.engine().phase(), until);
        question(peer);
        peer.engine().stop(peer.now());
        peer.engine().stop(peer.now());
        question(peer);
        std::optional<OrderKind> order = peer.next_order();
        if (order == OrderKind::Reset) {
            peer.lose_transport();
            order = peer.next_order();
        }
        while (order == OrderKind::Connect) order = peer.next_order();
        EXPECT_EQ(order, OrderKind::Stopped);
        peer.expect_completion(0, Outcome::Gone);
        peer.expect_no_completion();
        EXPECT_EQ(peer.engine().phase(), Ended);
    }
}

// Goal: the first try is immediate, then the wait doubles up to its limit; portals take turns; a
// session that does no work does not start the count again.
// Rows: SER-07, SER-09, BUG-63
TEST(Recovery, BackoffGrowsAndPortalsTakeTurns) {
    Peer::Options options;
    Portal second;
    second.host.assign_cut("192.0.2.2");
    options.config.portals.push(second);
    Peer peer{options};
    peer.attach();
    peer.lose_transport();
    Duration longest{};
    std::array<std::int64_t, 10> waits{};
    for (std::int64_t& wait : waits) {
        const Instant from = peer.now();
        peer.live(Duration::from_s(60));
        peer.expect_order(OrderKind::Connect);
        wait = (peer.now() - from).ms();
        longest = std::max(longest, peer.now() - from);
        peer.lose_transport();
    }
    EXPECT_EQ(waits,
              (std::array<std::int64_t, 10>{0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000}));
    EXPECT_EQ(peer.last_portal.host.view(), "192.0.2.2");
    // A target that breaks the protocol each time it is reached is not hammered either.
    for (int i = 0; i < 3; ++i) {
        const Instant from = peer.now();
        peer.live(Duration::from_s(60));
        EXPECT_EQ((peer.now() - from).ms(), 5000);
        peer.expect_order(OrderKind::Connect);
        peer.log_in();
        Pdu odd;
        odd.bhs[0] = 0x3e;
        peer.send(odd);
        peer.expect_reset();
    }
}

// Goal: requests wait for a session as long as the profile says, then fail, and new ones at once;
// with a session they work again.
// Rows: SER-07, SER-10
TEST(Recovery, RequestsWaitByTheProfile) {
    Peer::Options options;
    options.config.timers.replacement = Duration::from_s(20);
    Peer peer{options};
    peer.attach();
    write_one(peer, 0);
    peer.lose_transport();
    peer.submit(1, RequestKind::Read, 0, 1);
    const auto refuse_for = [&](Duration time) {
        const Instant end = peer.now() + time;
        while (peer.now() < end) {
            peer.live(end - peer.now());
            if (peer.next_order() == OrderKind::Connect) peer.lose_transport();
        }
    };
    refuse_for(Duration::from_s(19));
    peer.expect_no_completion();
    refuse_for(Duration::from_s(2));
    peer.expect_completion(0, Outcome::TimedOut);
    peer.expect_completion(1, Outcome::TimedOut);
    peer.submit(2, RequestKind::Read, 0, 1);
    peer.expect_completion(2, Outcome::TimedOut);
    peer.come_back();
    peer.send(peer.task_response(expect_management(peer, kUnitReset), 0));
    peer.submit(3, RequestKind::Read, 0, 1);
    peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
    peer.expect_completion(3);
}

// Goal: another unit behind the name gets no request; the right one does when it is back.
// Rows: SER-08
TEST(Recovery, AnotherUnitGetsNoRequest) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 1);
    peer.expect(sim::kCommand);
    peer.lose_transport();
    peer.options.unit.serial = "S2";
    peer.come_back();
    EXPECT_TRUE(peer.was_noticed(NoticeKind::DeviceChanged, 2));
    peer.expect_no_completion();
    peer.expect_reset();
    peer.options.unit.serial = "S1";
    peer.options.unit.blocks = 4096;
    peer.come_back();
    peer.expect_order(OrderKind::DeviceResized);
    peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
    peer.expect_completion(0);
}

// Goal: a login refused after an outage, for whatever reason, does not end a device that was ready.
// Rows: LOG-25, LOG-27, SER-07, SER-11
TEST(Recovery, RefusedLoginsAreRetriedWhenReadyOnce) {
    for (const int status : {0x0201, 0x0203, 0x020a, 0x0301}) {
        Peer peer;
        peer.attach();
        peer.submit(0, RequestKind::Read, 0, 1);
        peer.expect(sim::kCommand);
        peer.lose_transport();
        peer.live(Duration::from_s(1));
        peer.expect_order(OrderKind::Connect);
        peer.refuse_login(static_cast<std::uint16_t>(status));
        EXPECT_TRUE(peer.was_noticed(NoticeKind::LoginRefused, static_cast<std::uint64_t>(status)));
        peer.expect_reset();
        peer.come_back();
        peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
        peer.expect_completion(0);
    }
}

// Goal: the first login gives up at once when the target says that it is our fault, after a bounded
// time when nobody answers or the target is busy.
// Rows: LOG-22, LOG-25, LOG-28
TEST(Recovery, FirstLoginGivesUp) {
    Peer refused;
    refused.engine().start(refused.now());
    refused.expect_order(OrderKind::Connect);
    refused.refuse_login(0x0201);
    refused.expect_reset();
    refused.expect_order(OrderKind::GaveUp);
    for (const bool is_busy : {true, false}) {
        Peer peer;
        peer.engine().start(peer.now());
        const Instant begun = peer.now();
        std::optional<OrderKind> order = peer.next_order();
        while (order == OrderKind::Connect) {
            if (is_busy) {
                peer.refuse_login(0x0301);
                peer.expect_order(OrderKind::Reset);
            }
            peer.lose_transport();
            peer.live(Duration::from_s(10));
            order = peer.next_order();
        }
        EXPECT_EQ(order, OrderKind::GaveUp);
        EXPECT_LE(peer.now() - begun, Duration::from_s(60 + 10));  // live() goes on to its end.
    }
}

// Goal: a silent portal costs one login time-out, not more.
// Rows: LOG-28
TEST(Recovery, SilentLoginTimesOut) {
    Peer peer;
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.engine().transport_up(ConnIndex{0}, peer.now(), FreshRandom{});
    peer.expect(sim::kLogin);
    peer.live(Duration::from_s(14));
    EXPECT_FALSE(peer.next_order().has_value());
    peer.live(Duration::from_s(1));
    peer.expect_order(OrderKind::Reset);
}

// Goal: redirects are followed at once and end in a bounded number of hops.
// Rows: LOG-23, LOG-24
TEST(Recovery, RedirectsAreFollowedAndEnd) {
    Peer peer;
    peer.engine().start(peer.now());
    int hops = 0;
    while (peer.next_order() == OrderKind::Connect && hops < 20) {
        EXPECT_EQ(peer.last_portal.host.view(), hops > 0 ? "192.0.2.9" : "192.0.2.1");
        peer.refuse_login(0x0101, "192.0.2.9:3261");
        peer.expect_order(OrderKind::Reset);
        peer.lose_transport();
        ++hops;
    }
    EXPECT_EQ(hops, 9);
    peer.live(Duration::from_s(10));
    EXPECT_EQ(peer.last_portal.host.view(), "192.0.2.1");
}

// Goal: a TCP end at every byte of every target PDU is a clean loss, and the request is done later.
// Rows: PDU-23, SER-10
TEST(Recovery, EndOfStreamAtEveryByte) {
    for (std::size_t cut = 0; cut < 48 + 512; cut += 7) {
        Peer peer;
        peer.attach();
        peer.submit(0, RequestKind::Read, 0, 1);
        const Pdu command = peer.expect(sim::kCommand);
        Pdu in = peer.data_in(command, 0, Bytes(512), 0, 0x81);
        in.put(24, 4, peer.stat_sn).put(28, 4, peer.expected_cmd_sn);
        Bytes wire = peer.encode(in);
        wire.resize(cut);
        peer.deliver(wire);
        peer.expect_no_completion();
        peer.lose_transport();
        peer.come_back();
        peer.send(peer.data_in(peer.expect(sim::kCommand), 0, Bytes(512), 0, 0x81));
        peer.expect_completion(0);
    }
}

}  // namespace
}  // namespace holdfast::initiator
