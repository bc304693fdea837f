// NOP, Async Message, Reject, Logout, and the numbers that every PDU carries.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;

Pdu read_one(Peer& peer, std::uint16_t tag = 0) {
    peer.submit(tag, RequestKind::Read, 0, 1);
    return peer.expect(sim::kCommand);
}

void finish_read(Peer& peer, const Pdu& command, std::uint16_t tag = 0) {
    peer.send(peer.data_in(command, 0, Bytes(512), 0, 0x81));
    peer.expect_completion(tag);
}

// ---- Numbers.

// Goal: CmdSN counts numbered requests only, across the wrap; immediate ones show the current one.
// Rows: SEQ-01, SEQ-02, SEQ-03, LOG-06, TSK-01
TEST(Numbers, CmdSnCountsCommandsAcrossTheWrap) {
    Peer::Options options;
    options.config.first_cmd_sn = 0xfffffff8U;
    Peer peer{options};
    peer.attach();
    for (const Pdu& login : peer.login_requests) EXPECT_EQ(login.cmd_sn(), 0xfffffff8U);
    std::uint32_t due = peer.expected_cmd_sn;
    for (int i = 0; i < 12; ++i) {
        const Pdu command = read_one(peer);
        EXPECT_EQ(command.cmd_sn(), due++);
        EXPECT_EQ(command.bhs[1] & 0x07, 1);
        finish_read(peer, command);
        peer.live(Duration::from_s(5));
        const Pdu ping = peer.expect(sim::kNopOut);
        EXPECT_TRUE(ping.is_immediate());
        EXPECT_EQ(ping.cmd_sn(), due);
        peer.send(peer.nop_in(ping.itt(), kNone));
    }
}

// Goal: a closed window holds commands back, immediate PDUs pass, and any PDU opens it.
// Rows: SEQ-05, SEQ-07, NOP-08, SEQ-10
TEST(Numbers, ClosedWindowHoldsCommandsBack) {
    const auto open_by = [](Peer& peer, int how, const Pdu& ping) {
        peer.window = 8;
        if (how == 0) peer.send(peer.nop_in(ping.itt(), kNone));
        if (how == 1) peer.send(peer.nop_in(kNone, kNone));
        if (how == 2) peer.send(peer.async(250));
        if (how == 3) peer.send(peer.async(0));
    };
    for (int how = 0; how < 4; ++how) {
        Peer peer;
        peer.attach();
        peer.window = 0;
        peer.send(peer.nop_in(kNone, kNone));
        while (peer.is_quiet()) {
            if (peer.submit(0, RequestKind::Read, 0, 1) != Submitted::Accepted) break;
            if (peer.is_quiet()) break;
            finish_read(peer, peer.expect(sim::kCommand));
        }
        peer.advance(Duration{});
        const Pdu ping = peer.expect(sim::kNopOut);
        EXPECT_TRUE(peer.is_quiet());
        open_by(peer, how, ping);
        finish_read(peer, peer.expect(sim::kCommand));
    }
}

// Goal: a window that never opens costs the session, after a ping and a bounded time.
// Rows: SEQ-08
TEST(Numbers, StuckWindowDropsTheSession) {
    Peer peer;
    peer.attach();
    peer.window = 0;
    peer.send(peer.nop_in(kNone, kNone));
    for (int i = 0; i < 200; ++i) {
        peer.submit(0, RequestKind::Read, 0, 1);
        if (peer.is_quiet()) break;
        finish_read(peer, peer.expect(sim::kCommand));
    }
    for (int i = 0; i < 20; ++i) {
        peer.advance(Duration::from_s(4));
        if (!peer.is_quiet()) peer.send(peer.nop_in(peer.expect(sim::kNopOut).itt(), kNone));
    }
    EXPECT_TRUE(peer.was_noticed(NoticeKind::SessionLost,
                                 static_cast<std::uint64_t>(LossReason::WindowStuck)));
}

// Goal: ExpStatSN counts exactly the PDUs that section 11 counts, from any first StatSN.
// Rows: STA-01, STA-02, STA-03, LOG-09, ASY-09, REJ-02, RSP-08
TEST(Numbers, ExpStatSnCountsWhatIsCounted) {
    for (const std::uint32_t first : {0U, 0x7ffffff0U, 0xfffffff0U}) {
        Peer::Options options;
        options.first_stat_sn = first;
        Peer peer{options};
        peer.attach();
        const auto check = [&] {
            const Pdu command = read_one(peer, 1);
            EXPECT_EQ(command.expected_stat_sn(), peer.stat_sn);
            finish_read(peer, command, 1);
        };
        check();
        peer.submit(0, RequestKind::Write, 0, 64);
        const Pdu write = peer.expect(sim::kCommand);
        while (!peer.is_quiet()) peer.expect(sim::kDataOut);
        peer.send(peer.async(0));
        check();
        peer.send(peer.reject(0x07, write));
        check();
        peer.send(peer.nop_in(kNone, kNone));
        check();
        peer.submit(2, RequestKind::Read, 0, 2);
        const Pdu read = peer.expect(sim::kCommand);
        Pdu wild = peer.data_in(read, 0, Bytes(512), 0, 0x00);
        wild.put(24, 4, 0x12345678);  // Reserved here: not to be looked at.
        peer.send(wild);
        check();
        peer.send(peer.data_in(read, 512, Bytes(512), 1, 0x81));
        peer.expect_completion(2);
        check();
        peer.send(peer.response_to(write));
        peer.expect_completion(0);
        check();
        EXPECT_FALSE(peer.next_order().has_value());
    }
}

// Goal: a StatSN that comes again is dropped; one ahead is a lost response and costs the session.
// Rows: STA-05, STA-06
TEST(Numbers, DuplicateStatusIsDroppedGapIsLoss) {
    Peer peer;
    peer.attach();
    const Pdu command = read_one(peer);
    Pdu again = peer.response_to(command);
    --peer.stat_sn;
    peer.send(again);
    peer.expect_no_completion();
    finish_read(peer, command);
    ++peer.stat_sn;
    const Pdu next = read_one(peer);
    peer.send(peer.response_to(next));
    peer.expect_violation(Violation::StatusNumberWrong);
    peer.expect_no_completion();
}

// Goal: a ping's answer, or a task management response, with the tag of a command or with one that
// was never given out is a protocol error and the end of the session; with a stale tag of ours it
// is not.
// Rows: PDU-17, PDU-18, PDU-19
TEST(Numbers, AnswersNameWhatTheyAnswer) {
    const auto answer = [](const Peer& peer, bool is_nop, std::uint32_t itt) {
        if (is_nop) return peer.nop_in(itt, kNone);
        Pdu request;
        request.put(16, 4, itt);
        return peer.task_response(request, 0);
    };
    constexpr std::uint32_t kNeverGiven = 0x00018000;
    constexpr std::uint32_t kStaleAuxiliary = 0x0100fff1;
    for (const bool is_nop : {true, false}) {
        SCOPED_TRACE(is_nop);
        {
            Peer peer;
            peer.attach();
            peer.send(answer(peer, is_nop, read_one(peer).itt()));
            peer.expect_violation(Violation::TaskWrongKind);
        }
        {
            Peer peer;
            peer.attach();
            peer.send(answer(peer, is_nop, kNeverGiven));
            peer.expect_violation(Violation::TaskTagUnknown);
        }
        Peer peer;
        peer.attach();
        const Pdu command = read_one(peer);
        peer.send(answer(peer, is_nop, kStaleAuxiliary));
        finish_read(peer, command);
    }
}

// ---- NOP.

// Goal: a NOP-In that wants an answer gets it, with its tag and LUN; one that wants none gets none.
// Rows: NOP-01, NOP-02, NOP-04, PDU-02
TEST(Nop, AnswersPingsOfTheTarget) {
    Peer peer;
    peer.attach();
    Pdu ping = peer.nop_in(kNone, 0x1234);
    ping.put(8, 8, 0x0005'0000'0000'0000ULL);
    peer.send(ping);
    const Pdu answer = peer.expect(sim::kNopOut);
    EXPECT_EQ(answer.ttt(), 0x1234U);
    EXPECT_EQ(answer.itt(), kNone);
    EXPECT_EQ(answer.get(8, 8), 0x0005'0000'0000'0000ULL);
    EXPECT_TRUE(answer.is_immediate());
    peer.send(peer.nop_in(kNone, kNone));
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: our ping goes out after silence only and acknowledges what came, its answer is measured,
// silence after it is death.
// Rows: NOP-03, NOP-07, STA-07
TEST(Nop, PingsAfterSilence) {
    Peer peer;
    peer.attach();
    peer.live(Duration::from_s(4));
    EXPECT_TRUE(peer.is_quiet());
    peer.live(Duration::from_s(1));
    const Pdu ping = peer.expect(sim::kNopOut);
    EXPECT_EQ(ping.ttt(), kNone);
    EXPECT_NE(ping.itt(), kNone);
    EXPECT_EQ(ping.get(8, 8), 0U);
    EXPECT_EQ(ping.expected_stat_sn(), peer.stat_sn);
    peer.advance(Duration::from_ms(3));
    peer.send(peer.nop_in(ping.itt(), kNone));
    EXPECT_EQ(peer.engine().counters().nop_rtt_last_ns, 3'000'000U);
    peer.live(Duration::from_s(5));
    peer.expect(sim::kNopOut);
    peer.live(Duration::from_s(5));
    EXPECT_TRUE(peer.was_noticed(NoticeKind::NopTimeout));
    peer.expect_reset();
}

// Goal: a host that was late gives the target as much time again before it judges.
// Rows: NOP-08
TEST(Nop, SlowHostIsNotADeadTarget) {
    Peer peer;
    peer.attach();
    peer.live(Duration::from_s(5));
    const Pdu ping = peer.expect(sim::kNopOut);
    peer.advance(Duration::from_s(30), Duration::from_s(25));
    EXPECT_FALSE(peer.next_order().has_value());
    peer.send(peer.nop_in(ping.itt(), kNone));
    peer.advance(Duration::from_s(1));
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    // But not for ever: a silent target is dead in the end, however late we are each time.
    for (int i = 0; i < 40 && peer.engine().phase() == SessionPhase::Ready; ++i) {
        peer.advance(Duration::from_s(8), Duration::from_s(4));
        peer.pump();
    }
    EXPECT_TRUE(peer.was_noticed(NoticeKind::NopTimeout));
}

// Goal: what our own loop sends late counts from when it was sent. Its wish to be woken was met to
// the moment, so that only the sending tells of the lateness.
// Rows: NOP-08
TEST(Nop, AHostThatSendsLateIsNotADeadTarget) {
    Peer peer;
    peer.attach();
    peer.advance(Duration::from_s(5));
    std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
    const auto spans = peer.engine().tx_spans(ConnIndex{0}, peer.now(), room);
    ASSERT_EQ(spans.size(), 1U);
    const Duration pause = Duration::from_s(5);
    peer.engine().tx_sent(ConnIndex{0}, peer.now() + pause, spans[0].size());
    peer.engine().tx_released(ConnIndex{0}, spans[0].size());
    peer.advance(pause);
    EXPECT_FALSE(peer.was_noticed(NoticeKind::NopTimeout));
    peer.live(Duration::from_s(4));
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    peer.live(Duration::from_s(2));
    EXPECT_TRUE(peer.was_noticed(NoticeKind::NopTimeout));
}

// Goal: a pause that shows twice, in a late wake-up and in a late sending, uses up the grace once.
// Rows: NOP-08
TEST(Nop, APauseCountsOnce) {
    Peer peer;
    peer.attach();
    peer.advance(Duration::from_s(5));
    std::array<std::span<const std::byte>, Engine::kTxSpansMax> room;
    const auto spans = peer.engine().tx_spans(ConnIndex{0}, peer.now(), room);
    ASSERT_EQ(spans.size(), 1U);
    const Duration pause = Duration::from_s(14);
    peer.engine().tx_sent(ConnIndex{0}, peer.now() + pause, spans[0].size());
    peer.engine().tx_released(ConnIndex{0}, spans[0].size());
    peer.advance(pause, pause);
    peer.live(Duration::from_s(20));
    const auto& seen = peer.notices();
    const auto found = std::ranges::find(seen, NoticeKind::NopTimeout, &Notice::kind);
    ASSERT_NE(found, seen.end());
    EXPECT_EQ(found->b, 14'000U);
}

// Goal: a command's time that is over while the transport lets go starts no ladder: its rungs would
// be climbed on the next session, with a tag that means nothing there.
// Rows: TMF-13
TEST(Nop, NothingIsJudgedWhileTheTransportLeaves) {
    Peer peer;
    peer.attach();
    static_cast<void>(read_one(peer));
    ++peer.stat_sn;
    peer.send(peer.nop_in(kNone, kNone));
    peer.expect_order(OrderKind::Reset);
    peer.advance(Duration::from_s(31));
    EXPECT_GT(peer.engine().next_wake(), peer.now());
    EXPECT_FALSE(peer.was_noticed(NoticeKind::CommandTimeout));
    peer.lose_transport();
    peer.come_back();
    peer.expect(sim::kCommand);
}

// Goal: an echo that we did not send, a wrong pair of tags, and a StatSN ahead are protocol errors.
// Rows: NOP-03, NOP-05, PDU-20
TEST(Nop, WrongAnswersDropTheSession) {
    for (int wrong = 0; wrong < 3; ++wrong) {
        Peer peer;
        peer.attach();
        peer.live(Duration::from_s(5));
        Pdu answer = peer.nop_in(peer.expect(sim::kNopOut).itt(), kNone);
        if (wrong == 0) answer.data.resize(4);
        if (wrong == 1) answer.put(20, 4, 7);
        if (wrong == 2) {
            answer = peer.nop_in(kNone, kNone);
            ++peer.stat_sn;
        }
        peer.send(answer);
        constexpr std::array kExpected{Violation::PingEchoWrong, Violation::NopInBothTags,
                                       Violation::StatusNumberWrong};
        peer.expect_violation(kExpected.at(static_cast<std::size_t>(wrong)));
    }
}

// Goal: 10,000 pings at once end in bounded answers and a living session.
// Rows: ASY-08, SEC-01
TEST(Nop, FloodIsBounded) {
    Peer peer;
    peer.attach();
    const Bytes ping = [&] {
        Pdu pdu = peer.nop_in(kNone, 5);
        pdu.put(24, 4, peer.stat_sn).put(28, 4, peer.expected_cmd_sn);
        return peer.encode(pdu.put(32, 4, peer.expected_cmd_sn + 10));
    }();
    Bytes flood;
    for (int i = 0; i < 10'000; ++i) flood.insert(flood.end(), ping.begin(), ping.end());
    peer.deliver(flood);
    int answers = 0;
    while (!peer.is_quiet()) {
        peer.expect(sim::kNopOut);
        ++answers;
    }
    EXPECT_GT(answers, 0);
    EXPECT_LT(answers, 100);
    finish_read(peer, read_one(peer));
}

// ---- Async messages.

// Goal: a request to log out: nothing new goes out, what is out is settled, then logout and a new
// session; the held request is done there.
// Rows: ASY-01, ASY-02, ASY-05, LGO-02, LGO-04, LGO-05
TEST(Async, LogoutRequestSettlesLogsOutAndReturns) {
    for (const std::uint8_t event : std::to_array<std::uint8_t>({1, 4})) {
        Peer peer;
        peer.attach();
        const Pdu out = read_one(peer, 0);
        peer.send(peer.async(event, 0, 0, 4));
        peer.submit(1, RequestKind::Read, 8, 1);
        EXPECT_TRUE(peer.is_quiet());
        finish_read(peer, out, 0);
        const Pdu logout = peer.expect(sim::kLogout);
        EXPECT_EQ(logout.bhs[1] & 0x7f, 0);
        EXPECT_TRUE(peer.is_quiet());
        peer.send(peer.logout_response(logout, 0, 3600));
        peer.expect_order(OrderKind::Close);
        peer.lose_transport();
        peer.expect_order(OrderKind::Connect);
        peer.log_in();
        peer.answer_probe();
        finish_read(peer, peer.expect(sim::kCommand), 1);
    }
}

// Goal: when what is out is not settled in half the time given, the logout goes anyway.
// Rows: ASY-01
TEST(Async, LogoutRequestIsObeyedInTime) {
    Peer peer;
    peer.attach();
    read_one(peer, 0);
    peer.send(peer.async(1, 0, 0, 4));
    peer.send(peer.async(1, 0, 0, 400));
    EXPECT_TRUE(peer.is_quiet());
    peer.live(Duration::from_s(2));
    peer.expect(sim::kLogout);
}

// Goal: announced drops are losses of the transport, with the wait that was asked for; a drop of
// another connection is none of ours.
// Rows: ASY-03, ASY-04, ASY-08
TEST(Async, DropsAreLosses) {
    for (const std::uint8_t event : std::to_array<std::uint8_t>({2, 3})) {
        Peer peer;
        peer.attach();
        read_one(peer);
        if (event == 2) peer.send(peer.async(2, 77, 9, 0));
        EXPECT_FALSE(peer.next_order().has_value());
        peer.send(peer.async(event, 0, 3, 0));
        peer.expect_reset();
        peer.live(Duration::from_ms(2900));
        EXPECT_FALSE(peer.next_order().has_value());
        peer.come_back();
        finish_read(peer, peer.expect(sim::kCommand));
    }
}

// Goal: news about the unit start a new probe; vendor events are taken in and ignored.
// Rows: ASY-00, ASY-07, ASY-09
TEST(Async, ScsiEventProbesAgain) {
    Peer peer;
    peer.attach();
    Pdu event = peer.async(0);
    event.data = peer.sense_to(event, 0x06, 0x2a09).data;
    peer.options.unit.blocks = 4096;
    peer.send(event);
    while (!peer.is_quiet()) peer.answer_probe_command(peer.expect(sim::kCommand));
    peer.expect_order(OrderKind::DeviceResized);
    EXPECT_EQ(peer.engine().facts().blocks, 4096U);
    for (const std::uint8_t vendor : std::to_array<std::uint8_t>({248, 255}))
        peer.send(peer.async(vendor));
    Pdu short_sense = peer.async(0);
    short_sense.data = {0, 200, 0x70};
    peer.send(short_sense);
    finish_read(peer, read_one(peer));
}

// Goal: what was not negotiated, and codes that nobody assigned, are protocol errors.
// Rows: ASY-06, ASY-07
TEST(Async, UnknownEventsDropTheSession) {
    for (const std::uint8_t event : std::to_array<std::uint8_t>({5, 6, 247})) {
        Peer peer;
        peer.attach();
        peer.send(peer.async(event));
        peer.expect_violation(event == 5 ? Violation::AsyncEventNotNegotiated
                                         : Violation::AsyncEventUnassigned);
    }
}

// ---- Reject.

// Goal: a rejected command leaves a hole in CmdSN, so the session starts anew; the request is done
// there. Nothing is sent again on the old one.
// Rows: REJ-01, REJ-03, REJ-05, REJ-08, DIG-13
TEST(Rejects, RejectedCommandIsDoneOnANewSession) {
    for (const std::uint8_t reason :
         std::to_array<std::uint8_t>({0x02, 0x04, 0x06, 0x08, 0x09, 0x0a})) {
        Peer peer;
        peer.attach();
        const Pdu command = read_one(peer);
        peer.send(peer.reject(reason, command));
        EXPECT_TRUE(peer.is_quiet());
        peer.expect_reset();
        peer.come_back();
        finish_read(peer, peer.expect(sim::kCommand));
    }
}

// Goal: "not supported" goes up, "in progress" and a digest error of Data-Out change nothing.
// Rows: REJ-04, REJ-06, DIG-12
TEST(Rejects, WhatNeedsNoRecovery) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 64);
    const Pdu write = peer.expect(sim::kCommand);
    Pdu last;
    while (!peer.is_quiet()) last = peer.expect(sim::kDataOut);
    peer.send(peer.reject(0x02, last));
    peer.send(peer.reject(0x07, write));
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.response_to(write));
    peer.expect_completion(0);
    EXPECT_FALSE(peer.next_order().has_value());
    const Pdu command = read_one(peer, 1);
    peer.send(peer.reject(0x05, command));
    peer.expect_completion(1, Outcome::Unsupported);
}

// Goal: "too many immediate commands": the ping, or the management request, comes again later.
// Rows: REJ-07, SEQ-12
TEST(Rejects, TooManyImmediateIsSentLater) {
    Peer peer;
    peer.attach();
    peer.live(Duration::from_s(5));
    peer.send(peer.reject(0x06, peer.expect(sim::kNopOut)));
    EXPECT_TRUE(peer.is_quiet());
    peer.live(Duration::from_s(5));
    peer.send(peer.nop_in(peer.expect(sim::kNopOut).itt(), kNone));
    read_one(peer);
    for (int i = 0; i < 7; ++i) {
        peer.live(Duration::from_s(4));
        peer.send(peer.nop_in(kNone, kNone));
    }
    peer.live(Duration::from_s(2));
    const Pdu abort = peer.expect(sim::kTaskRequest);
    peer.send(peer.reject(0x06, abort));
    EXPECT_TRUE(peer.is_quiet());
    peer.live(Duration::from_s(1));
    EXPECT_EQ(peer.expect(sim::kTaskRequest).ttt(), abort.ttt());
}

// Goal: "waiting for logout" leads to a logout; the command comes again on the next session.
// Rows: REJ-09, ASY-02
TEST(Rejects, WaitingForLogoutLogsOut) {
    Peer peer;
    peer.attach();
    const Pdu command = read_one(peer);
    peer.send(peer.reject(0x0c, command));
    peer.advance(Duration{});
    const Pdu logout = peer.expect(sim::kLogout);
    peer.send(peer.logout_response(logout, 0));
    peer.expect_order(OrderKind::Close);
    peer.lose_transport();
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    peer.answer_probe();
    finish_read(peer, peer.expect(sim::kCommand));
}

// Goal: rejected headers that are short, long or foreign are never read beyond their end.
// Rows: REJ-01, SEC-01
TEST(Rejects, OddHeadersAreSafe) {
    for (const std::size_t bytes : {0UL, 1UL, 47UL, 49UL, 4000UL}) {
        Peer peer;
        peer.attach();
        Pdu reject = peer.reject(0x04, Pdu{});
        reject.data.assign(bytes, 0xff);
        peer.send(reject);
        peer.expect_order(OrderKind::Reset);
    }
}

// ---- Logout.

// Goal: what the answers to a logout mean, and that no answer is bounded.
// Rows: LGO-01, LGO-03, LGO-05, LGO-06, LGO-07, BUG-62
TEST(Logout, AnswersAndSilence) {
    for (const int result : {0, 1, 2, 3, -1}) {
        Peer peer;
        peer.attach();
        peer.engine().stop(peer.now());
        const Pdu logout = peer.expect(sim::kLogout);
        EXPECT_EQ(logout.u32(20), 0U);
        EXPECT_EQ(logout.expected_stat_sn(), peer.stat_sn);
        if (result >= 0) {
            peer.send(peer.logout_response(logout, static_cast<std::uint8_t>(result), 3600));
            peer.expect_order(result <= 1 ? OrderKind::Close : OrderKind::Reset);
        } else {
            peer.live(Duration::from_s(16));
            peer.expect_order(OrderKind::Reset);
        }
        peer.lose_transport();
        peer.expect_order(OrderKind::Stopped);
    }
}

// Goal: a second stop() waits for nobody.
// Rows: BUG-62
TEST(Logout, SecondStopHurries) {
    Peer peer;
    peer.attach();
    read_one(peer);
    peer.engine().stop(peer.now());
    peer.engine().stop(peer.now());
    peer.expect_order(OrderKind::Reset);
    peer.expect_no_completion();
    peer.lose_transport();
    peer.expect_completion(0, Outcome::Gone);
    peer.expect_order(OrderKind::Stopped);
}

// Goal: PDUs that nobody asked for in full feature phase drop the session: login and text answers.
// Rows: TXT-07, TXT-01, LOG-02,
TEST(Logout, AnswersWithoutQuestionDropTheSession) {
    for (const std::uint8_t opcode :
         {sim::kLoginResponse, sim::kTextResponse, sim::kLogoutResponse}) {
        Peer peer;
        peer.attach();
        Pdu pdu;
        pdu.bhs[0] = opcode;
        pdu.bhs[1] = 0x80;
        pdu.put(16, 4, 77).put(20, 4, kNone);
        peer.send(pdu);
        peer.expect_violation(Violation::PhaseWrong);
    }
}

}  // namespace
}  // namespace holdfast::initiator
