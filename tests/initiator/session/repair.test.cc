// Recovery within a command and within a connection: what is lost is asked for again.
#include <gtest/gtest.h>

#include <array>

#include "tests/initiator/session/peer.h"
#include "tests/initiator/session/pieces.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;
constexpr std::uint8_t kData = 0;
constexpr std::uint8_t kStatus = 1;
constexpr std::uint8_t kAck = 2;

Peer::Options level_one() {
    Peer::Options options;
    options.config.wish.error_recovery_level = 1;
    options.target.error_recovery_level = 1;
    options.target.header_digest = true;
    options.target.data_digest = true;
    return options;
}

/// With one byte of its data flipped. The status counts, though nobody gets it.
void send_broken(Peer& peer, Pdu pdu) {
    const bool has_status = pdu.opcode() != sim::kDataIn || (pdu.bhs[1] & 1) != 0;
    if (has_status) pdu.put(24, 4, peer.stat_sn++);
    pdu.put(28, 4, peer.expected_cmd_sn).put(32, 4, peer.expected_cmd_sn + peer.window - 1);
    Bytes wire = peer.encode(pdu);
    wire.at(60) ^= 0x10;
    peer.deliver(wire);
}

/// A PDU that the target sends again, with the StatSN that it had.
void resend(Peer& peer, Pdu pdu, std::uint32_t stat_sn) {
    pdu.put(24, 4, stat_sn).put(28, 4, peer.expected_cmd_sn);
    pdu.put(32, 4, peer.expected_cmd_sn + peer.window - 1);
    peer.deliver(peer.encode(pdu));
}

Pdu response(const Peer& peer, const Pdu& command, std::uint32_t data_count) {
    Pdu pdu = peer.response_to(command);
    pdu.put(36, 4, data_count);
    return pdu;
}

Pdu read_of(Peer& peer, std::uint16_t tag, std::uint64_t pieces) {
    peer.submit(tag, RequestKind::Read, 0, pieces);
    return peer.expect(sim::kCommand);
}

/// Takes the SNACK that is out; nothing else may be.
Pdu expect_snack(Peer& peer, std::uint8_t type, std::uint32_t first) {
    const Pdu snack = peer.expect(sim::kSnack);
    EXPECT_EQ(snack.bhs[1], 0x80 | type);
    EXPECT_EQ(snack.u32(40), first);
    EXPECT_EQ(snack.u32(44), 0U) << "all from there on";
    EXPECT_TRUE(snack.data.empty());
    EXPECT_TRUE(peer.is_quiet());
    return snack;
}

/// Whether the newest login offered the level.
bool offers_level_one(const Peer& peer) {
    bool is_offered = false;
    for (const Pdu& login : peer.login_requests) {
        for (const auto& [key, value] : sim::parse_text(login.data)) {
            if (key == "ErrorRecoveryLevel") is_offered = value == "1";
            if (key == "SessionType") is_offered = false;
        }
    }
    return is_offered;
}

// Goal: a Data-In with a wrong digest is dropped and asked for again by its number, on the same
// connection, and what follows it comes again, too.
// Rows: ER1-01, ER1-02, ER1-03, ER1-09, DIG-09
TEST(Repair, WrongDataDigestIsAskedForAgain) {
    Peer peer{level_one()};
    peer.attach();
    EXPECT_EQ(peer.agreed().error_recovery_level, 1);
    EXPECT_EQ(peer.engine().counters().error_recovery_level, 1U);
    const Pdu command = read_of(peer, 0, 4);
    peer.send(data(peer, command, 0));
    send_broken(peer, data(peer, command, 1));
    peer.send(data(peer, command, 2));
    const Pdu snack = expect_snack(peer, kData, 1);
    EXPECT_EQ(snack.itt(), command.itt());
    EXPECT_EQ(snack.ttt(), kNone);
    EXPECT_EQ(snack.get(8, 8), 0U);
    EXPECT_EQ(snack.expected_stat_sn(), peer.stat_sn);
    for (std::uint32_t n = 1; n < 4; ++n) peer.send(data(peer, command, n, n == 3 ? 0x81 : 0));
    peer.expect_completion(0);
    expect_pieces(peer, 0, 4);
    EXPECT_FALSE(peer.next_order().has_value());
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: a gap in DataSN is asked for once, however much comes beyond it, and a replica of what is
// there changes nothing.
// Rows: ER1-03, ER1-09
TEST(Repair, MissingDataIsAskedForOnce) {
    Peer peer{level_one()};
    peer.attach();
    const Pdu command = read_of(peer, 0, 5);
    peer.send(data(peer, command, 0));
    for (const std::uint32_t n : {2U, 3U}) peer.send(data(peer, command, n));
    expect_snack(peer, kData, 1);
    for (const std::uint32_t n : {2U, 3U}) peer.send(data(peer, command, n));
    EXPECT_TRUE(peer.is_quiet());
    peer.send(data(peer, command, 1));
    Pdu replica = data(peer, command, 0);
    replica.data.assign(kPiece, 0xee);
    peer.send(replica);
    for (std::uint32_t n = 2; n < 5; ++n) peer.send(data(peer, command, n, n == 4 ? 0x81 : 0));
    peer.expect_completion(0);
    expect_pieces(peer, 0, 5);
}

// Goal: a status whose data is missing is not acknowledged before the data is in place: first the
// data is asked for, then the status.
// Rows: ER1-02, ER1-04, STA-04
TEST(Repair, StatusWaitsForItsData) {
    Peer peer{level_one()};
    peer.attach();
    const Pdu command = read_of(peer, 0, 2);
    peer.send(data(peer, command, 0));
    const std::uint32_t its_status = peer.stat_sn;
    peer.send(response(peer, command, 2));
    peer.expect_no_completion();
    const Pdu first = expect_snack(peer, kData, 1);
    EXPECT_EQ(first.expected_stat_sn(), its_status);
    peer.send(data(peer, command, 1));
    peer.expect_no_completion();
    const Pdu second = expect_snack(peer, kStatus, its_status);
    EXPECT_EQ(second.itt(), kNone);
    EXPECT_EQ(second.ttt(), kNone);
    EXPECT_EQ(second.expected_stat_sn(), its_status);
    resend(peer, response(peer, command, 2), its_status);
    peer.expect_completion(0);
    expect_pieces(peer, 0, 2);
    EXPECT_EQ(read_of(peer, 1, 1).expected_stat_sn(), its_status + 1);
}

// Goal: the replica of a Data-In brings its status with it, and no more is asked for.
// Rows: ER1-03, ER1-04
TEST(Repair, ReplicaBringsTheStatus) {
    Peer peer{level_one()};
    peer.attach();
    const Pdu command = read_of(peer, 0, 2);
    peer.send(data(peer, command, 0));
    const std::uint32_t its_status = peer.stat_sn;
    send_broken(peer, data(peer, command, 1, 0x81));
    expect_snack(peer, kData, 1);
    resend(peer, data(peer, command, 1, 0x81), its_status);
    peer.expect_completion(0);
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: of Data-In that carries a status the data is taken even while an earlier status is missing,
// so that each loss costs one SNACK: what is lost as data comes as data, and the statuses behind
// it come once. Their replicas bring them.
// Rows: ER1-03, ER1-04, STA-05
TEST(Repair, DataIsTakenThoughItsStatusIsNot) {
    Peer peer{level_one()};
    peer.attach();
    constexpr std::uint16_t kReads = 4;
    std::vector<Pdu> ins;
    for (std::uint16_t tag = 0; tag < kReads; ++tag) {
        ins.push_back(data(peer, read_of(peer, tag, 1), 0, 0x81));
    }
    const std::uint32_t first = peer.stat_sn;
    for (std::uint16_t tag = 0; tag < kReads; ++tag) {
        if (tag % 2 == 0) send_broken(peer, ins[tag]);
        if (tag % 2 == 1) peer.send(ins[tag]);
    }
    for (const std::uint16_t tag : std::to_array<std::uint16_t>({0, 2})) {
        const Pdu snack = peer.expect(sim::kSnack);
        EXPECT_EQ(snack.bhs[1], 0x80 | kData);
        EXPECT_EQ(snack.itt(), ins[tag].itt());
    }
    EXPECT_TRUE(peer.is_quiet());
    resend(peer, ins[0], first);
    peer.expect_completion(0);
    resend(peer, ins[2], first + 2);
    peer.expect_no_completion();
    expect_snack(peer, kStatus, first + 1);
    for (std::uint16_t tag = 1; tag < kReads; ++tag) {
        resend(peer, ins[tag], first + tag);
        peer.expect_completion(tag);
    }
    EXPECT_TRUE(peer.is_quiet());
    EXPECT_EQ(peer.engine().counters().snacks_sent, 3U);
}

// Goal: a lost status is noticed by the next one, asked for, and all end in their order.
// Rows: ER1-04, STA-05, RSP-08
TEST(Repair, MissingStatusIsAskedForAgain) {
    Peer peer{level_one()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    const Pdu first = peer.expect(sim::kCommand);
    peer.submit(1, RequestKind::Write, 8, 1);
    const Pdu second = peer.expect(sim::kCommand);
    const std::uint32_t lost = peer.stat_sn++;
    peer.send(peer.response_to(second));
    peer.expect_no_completion();
    expect_snack(peer, kStatus, lost);
    resend(peer, peer.response_to(first), lost);
    resend(peer, peer.response_to(second), lost + 1);
    peer.expect_completion(0);
    peer.expect_completion(1);
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: sense data with a wrong digest costs a SNACK, not the session.
// Rows: ER1-04, DIG-10
TEST(Repair, WrongDigestOfASenseIsAskedForAgain) {
    Peer peer{level_one()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    const std::uint32_t its_status = peer.stat_sn;
    send_broken(peer, peer.sense_to(command, 0x03, 0x1100));
    expect_snack(peer, kStatus, its_status);
    resend(peer, peer.sense_to(command, 0x03, 0x1100), its_status);
    peer.expect_completion(0, Outcome::MediumError);
}

// Goal: when nothing else comes, the answer to the keep-alive shows that a status was lost.
// Rows: ER1-14, NOP-05
TEST(Repair, PingShowsALostStatus) {
    for (const bool is_answer : {true, false}) {
        Peer peer{level_one()};
        peer.attach();
        peer.submit(0, RequestKind::Write, 0, 1);
        const Pdu command = peer.expect(sim::kCommand);
        const std::uint32_t lost = peer.stat_sn++;
        peer.live(Duration::from_s(5));
        const Pdu ping = peer.expect(sim::kNopOut);
        peer.send(peer.nop_in(is_answer ? ping.itt() : kNone, kNone));
        expect_snack(peer, kStatus, lost);
        resend(peer, peer.response_to(command), lost);
        peer.expect_completion(0);
    }
}

// Goal: the A bit is answered with the tags of its Data-In and the number after it, not while there
// is a hole, not when the status acknowledges everything, and not at level 0.
// Rows: ER1-05, ER1-06, ER1-07, ER1-10
TEST(Repair, AcknowledgesDataWhenAsked) {
    const auto with_tag = [](Pdu pdu) { return pdu.put(8, 8, kTestLun).put(20, 4, 0x4711); };
    Peer peer{level_one()};
    peer.attach();
    const Pdu command = read_of(peer, 0, 4);
    peer.send(with_tag(data(peer, command, 0, 0x40)));
    const Pdu ack = expect_snack(peer, kAck, 1);
    EXPECT_EQ(ack.itt(), kNone);
    EXPECT_EQ(ack.ttt(), 0x4711U);
    EXPECT_EQ(ack.get(8, 8), kTestLun);
    peer.send(with_tag(data(peer, command, 2, 0x40)));
    expect_snack(peer, kData, 1);
    peer.send(data(peer, command, 1));
    EXPECT_TRUE(peer.is_quiet());
    peer.send(with_tag(data(peer, command, 2, 0x40)));
    expect_snack(peer, kAck, 3);
    peer.send(with_tag(data(peer, command, 3, 0xc1)));
    EXPECT_TRUE(peer.is_quiet());
    peer.expect_completion(0);

    Peer plain;
    plain.attach();
    const Pdu other = read_of(plain, 0, 2);
    plain.send(with_tag(data(plain, other, 0, 0x40)));
    EXPECT_TRUE(plain.is_quiet());
}

// Goal: a missing R2T is asked for by its number; then data flows as asked.
// Rows: ER1-03, R2T-08
TEST(Repair, MissingR2tIsAskedForAgain) {
    Peer::Options options = level_one();
    options.target.initial_r2t = true;
    options.target.immediate_data = false;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 2);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.r2t(command, 512, 512, 1));
    const Pdu snack = expect_snack(peer, kData, 0);
    EXPECT_EQ(snack.itt(), command.itt());
    for (std::uint32_t n = 0; n < 2; ++n) {
        peer.send(peer.r2t(command, n * 512, 512, n));
        EXPECT_EQ(peer.expect(sim::kDataOut).u32(40), n * 512);
    }
    peer.send(peer.response_to(command));
    peer.expect_completion(0);
}

// Goal: a Data-Out that reached the target broken is rejected and asked for by one more R2T.
// Rows: DIG-12, R2T-09, REJ-05
TEST(Repair, RecoveryR2tIsServed) {
    Peer::Options options = level_one();
    options.target.initial_r2t = true;
    options.target.immediate_data = false;
    Peer other{options};
    other.attach();
    other.submit(0, RequestKind::Write, 0, 1);
    const Pdu write = other.expect(sim::kCommand);
    other.send(other.r2t(write, 0, 512, 0));
    const Pdu first = other.expect(sim::kDataOut);
    other.send(other.reject(0x02, first));
    other.send(other.r2t(write, 0, 512, 1, 0x701));
    const Pdu again = other.expect(sim::kDataOut);
    EXPECT_EQ(again.data, first.data);
    EXPECT_EQ(again.ttt(), 0x701U);
    other.send(other.response_to(write));
    other.expect_completion(0);
}

// Goal: a command whose immediate data arrived broken was never taken in: the same command fills
// the hole that its CmdSN left, and what came after it goes on. Where the number was taken all the
// same, or at level 0, the session is dropped.
// Rows: ER1-12, REJ-05
TEST(Repair, RejectedCommandFillsItsHole) {
    Peer peer{level_one()};
    peer.attach();
    for (std::uint16_t tag = 0; tag < 2; ++tag) peer.submit(tag, RequestKind::Write, tag, 1);
    const Pdu first = peer.expect(sim::kCommand);
    const Pdu second = peer.expect(sim::kCommand);
    peer.expected_cmd_sn = first.cmd_sn();
    peer.send(peer.reject(0x02, first));
    const Pdu again = peer.expect(sim::kCommand);
    EXPECT_EQ(again.itt(), first.itt());
    EXPECT_EQ(again.cmd_sn(), first.cmd_sn());
    EXPECT_EQ(again.data, first.data);
    EXPECT_TRUE(peer.is_quiet());
    peer.expected_cmd_sn = second.cmd_sn() + 1;
    peer.send(peer.response_to(first));
    peer.send(peer.response_to(second));
    peer.expect_completion(0);
    peer.expect_completion(1);
    EXPECT_EQ(peer.engine().counters().tasks_resent, 1U);
    peer.submit(0, RequestKind::Write, 0, 1);
    peer.send(peer.reject(0x02, peer.expect(sim::kCommand)));
    peer.expect_order(OrderKind::Reset);

    Peer plain;
    plain.attach();
    plain.submit(0, RequestKind::Write, 0, 1);
    const Pdu lost = plain.expect(sim::kCommand);
    plain.expected_cmd_sn = lost.cmd_sn();
    plain.send(plain.reject(0x02, lost));
    plain.expect_order(OrderKind::Reset);
}

// Goal: a target that rejects the same command for ever is left.
TEST(Repair, RejectedCommandIsNotSentForEver) {
    Peer peer{level_one()};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    int sent = 0;
    while (!peer.is_quiet()) {
        const Pdu command = peer.expect(sim::kCommand);
        ASSERT_LT(++sent, 100);
        peer.expected_cmd_sn = command.cmd_sn();
        peer.send(peer.reject(0x02, command));
    }
    EXPECT_EQ(sent, 9);
    peer.expect_order(OrderKind::Reset);
}

// Goal: an R2T that does not come is not asked for: only the next one, or the command's time-out,
// tells that one is missing.
// Rows: R2T-12
TEST(Repair, MissingR2tIsNotAskedForOnATimer) {
    Peer::Options options = level_one();
    options.target.initial_r2t = true;
    options.target.immediate_data = false;
    Peer peer{options};
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    const Pdu command = peer.expect(sim::kCommand);
    pass(peer, Duration::from_s(29));
    EXPECT_TRUE(peer.is_quiet());
    EXPECT_EQ(peer.engine().counters().snacks_sent, 0U);
    peer.send(peer.r2t(command, 0, 512, 0));
    peer.expect(sim::kDataOut);
    peer.send(peer.response_to(command));
    peer.expect_completion(0);
}

// Goal: neither a target that sends rubbish for ever nor one that sends nothing holds a command
// for ever: after a bounded number of SNACKs the session is dropped, as at level 0.
// Rows: ER1-11
TEST(Repair, TriesAreBounded) {
    for (const bool is_silent : {true, false}) {
        Peer::Options options = level_one();
        options.config.timers.command = Duration::from_s(600);  // Else the ladder comes first.
        Peer peer{options};
        peer.attach();
        const Pdu command = read_of(peer, 0, 2);
        int snacks = 0;
        send_broken(peer, data(peer, command, 0));
        while (!peer.is_quiet() && snacks < 100) {
            while (!peer.is_quiet()) {
                const Pdu pdu = peer.expect(sim::kSnack);
                if (testing::Test::HasFailure()) return;
                snacks += pdu.opcode() == sim::kSnack ? 1 : 0;
            }
            if (!is_silent) send_broken(peer, data(peer, command, 0));
            for (int i = 0; is_silent && i < 5; ++i) {
                peer.advance(Duration::from_s(1));
                peer.send(peer.nop_in(kNone, kNone));
            }
        }
        EXPECT_GT(snacks, 2);
        EXPECT_LE(snacks, 8);
        EXPECT_TRUE(peer.was_noticed(NoticeKind::SessionLost,
                                     static_cast<std::uint64_t>(LossReason::RepairFailed)));
        peer.expect_order(OrderKind::Reset);
    }
}

// Goal: a target that rejects a SNACK, or hangs up at one, is asked for level 0 from then on; the
// number in the Reject counts for nothing, and what the command had is done again.
// Rows: ER1-16, DIG-11, REJ-10
TEST(Repair, TargetThatDoesNotKnowItIsRemembered) {
    for (const bool is_rejected : {true, false}) {
        Peer peer{level_one()};
        peer.attach();
        EXPECT_TRUE(offers_level_one(peer));
        const Pdu command = read_of(peer, 0, 2);
        peer.send(data(peer, command, 1, 0x81));
        const Pdu snack = expect_snack(peer, kData, 0);
        if (is_rejected) {
            peer.send(peer.reject(0x03, snack));
            peer.expect_order(OrderKind::Reset);
        }
        peer.lose_transport();
        peer.come_back();
        EXPECT_FALSE(offers_level_one(peer));
        const Pdu again = peer.expect(sim::kCommand);
        for (std::uint32_t n = 0; n < 2; ++n) peer.send(data(peer, again, n, n == 1 ? 0x81 : 0));
        peer.expect_completion(0);
    }
}

// Goal: a wrong header digest ends the connection at every level: nothing in it can be believed.
// Rows: DIG-07
TEST(Repair, WrongHeaderDigestStillDropsTheConnection) {
    Peer peer{level_one()};
    peer.attach();
    const Pdu command = read_of(peer, 0, 1);
    Pdu in = data(peer, command, 0, 0x81);
    Bytes wire = peer.encode(in.put(24, 4, peer.stat_sn));
    wire.at(40) ^= 1;
    peer.deliver(wire);
    peer.expect_order(OrderKind::Reset);
    EXPECT_TRUE(peer.was_noticed(NoticeKind::SessionLost,
                                 static_cast<std::uint64_t>(LossReason::HeaderDigest)));
}

// Goal: numbers that no loss explains are violations at level 1, too.
// Rows: STA-06
TEST(Repair, AbsurdNumbersDropTheSession) {
    Peer far_data{level_one()};
    far_data.attach();
    far_data.send(data(far_data, read_of(far_data, 0, 1), 0x100000));
    far_data.expect_violation(Violation::DataNumberWrong);
    Peer far_status{level_one()};
    far_status.attach();
    const Pdu command = read_of(far_status, 0, 1);
    far_status.stat_sn += 0x100000;
    far_status.send(far_status.response_to(command, 0x08));
    far_status.expect_violation(Violation::StatusNumberWrong);
}

// Goal: our logout goes out while a Data-In beyond a gap is still coming in: the rest is dropped,
// nothing is asked for after a logout, and the session goes its way.
TEST(Repair, LogoutInTheMidstOfDataBeyondAGap) {
    Peer peer{level_one()};
    peer.attach();
    peer.submit(0, RequestKind::Read, 0, 2);
    const Pdu command = peer.expect(sim::kCommand);
    peer.send(peer.async(1, 0, 0, 4));  // "Log out", within 4 s.
    Pdu beyond = data(peer, command, 1);
    beyond.put(28, 4, peer.expected_cmd_sn).put(32, 4, peer.expected_cmd_sn + 8);
    const Bytes bytes = peer.encode(beyond);
    peer.deliver(std::span{bytes}.first(100));
    peer.live(Duration::from_s(3));
    const Pdu logout = peer.expect(sim::kLogout);
    peer.deliver(std::span{bytes}.subspan(100));
    EXPECT_TRUE(peer.is_quiet());
    peer.send(peer.logout_response(logout, 0));
    peer.expect_order(OrderKind::Close);
    peer.expect_no_completion();
}

}  // namespace
}  // namespace holdfast::initiator
