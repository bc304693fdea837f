// The probe of the unit on the wire: step by step the first time, all at once after a loss.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint8_t kTestUnitReady = 0x00;
/// Of the played unit: units, INQUIRY, ready, pages 00h and 80h, capacity, modes, and two that it
/// refuses.
constexpr std::size_t kCommands = 9;

/// A session that was lost with nothing to fence, and has just logged in again.
void come_back_to_the_probe(Peer& peer) {
    peer.attach();
    peer.lose_transport();
    peer.live(Duration::from_s(6));
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Probing);
}

/// What is out, unanswered.
std::vector<Pdu> take_all(Peer& peer) {
    std::vector<Pdu> commands;
    while (!peer.is_quiet()) commands.push_back(peer.expect(sim::kCommand));
    return commands;
}

// Goal: the first probe asks one thing at a time; after a loss all that it needed goes out before
// anything is answered, under CmdSNs in a row and tags of its own. Answered backwards it is the
// same unit, and the session is ready with the last answer.
TEST(Probe, GoesOutAtOnceAfterALoss) {
    Peer peer;
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    for (std::size_t i = 0; i < kCommands; ++i) {
        const std::vector<Pdu> commands = take_all(peer);
        ASSERT_EQ(commands.size(), 1U);
        peer.answer_probe_command(commands[0]);
    }
    peer.expect_order(OrderKind::DeviceReady);
    const DeviceFacts before = peer.engine().facts();
    peer.lose_transport();
    peer.live(Duration::from_s(6));
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    std::vector<Pdu> commands = take_all(peer);
    ASSERT_EQ(commands.size(), 8U);  // The depth of the session.
    for (std::size_t i = 1; i < commands.size(); ++i) {
        EXPECT_EQ(commands[i].cmd_sn(), commands[i - 1].cmd_sn() + 1);
        EXPECT_NE(commands[i].itt(), commands[i - 1].itt());
    }
    while (!commands.empty()) {
        peer.answer_probe_command(commands.back());
        commands.pop_back();
    }
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Probing);
    peer.answer_probe();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    EXPECT_EQ(peer.engine().facts(), before);
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: no more is out than the target's window and the session's depth allow.
TEST(Probe, KeepsToTheWindowAndTheDepth) {
    for (const bool is_window : {true, false}) {
        Peer::Options options;
        options.limits.depth = is_window ? 16 : 3;
        Peer peer{options};
        if (is_window) peer.window = 3;
        come_back_to_the_probe(peer);
        std::size_t answered = 0;
        while (peer.engine().phase() == SessionPhase::Probing) {
            const std::vector<Pdu> commands = take_all(peer);
            ASSERT_FALSE(commands.empty());
            EXPECT_LE(commands.size(), answered == 0 && is_window ? 64U : 3U);
            for (const Pdu& command : commands) peer.answer_probe_command(command);
            answered += commands.size();
        }
        EXPECT_EQ(answered, kCommands);
        EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    }
}

// Goal: a unit attention in the midst of it is taken, and everything behind it is asked again:
// the capacity that counts is the one told after it.
// Rows: RSP-07, SER-08
TEST(Probe, UnitAttentionAsksAgain) {
    Peer::Options options;
    options.limits.depth = 16;
    Peer peer{options};
    come_back_to_the_probe(peer);
    for (const Pdu& command : take_all(peer)) {
        if (command.cdb(0) == kTestUnitReady) {
            peer.send(peer.sense_to(command, 0x06, 0x2a09));
        } else {
            peer.answer_probe_command(command);
        }
    }
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Probing);
    peer.options.unit.blocks *= 2;
    const std::vector<Pdu> again = take_all(peer);
    EXPECT_EQ(again.size(), kCommands - 2);
    for (const Pdu& command : again) peer.answer_probe_command(command);
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    peer.expect_order(OrderKind::DeviceResized);
    EXPECT_EQ(peer.engine().facts().blocks, peer.options.unit.blocks);
}

// Goal: another unit behind the same name is found out when all goes out at once, too: no request
// goes there.
// Rows: SER-08
TEST(Probe, AnotherUnitIsFoundOut) {
    Peer peer;
    peer.attach();
    peer.submit(0, RequestKind::Write, 0, 1);
    peer.expect(sim::kCommand);
    peer.lose_transport();
    peer.options.unit.serial = "S2";
    peer.come_back();
    peer.expect_order(OrderKind::Reset);
    EXPECT_TRUE(peer.was_noticed(NoticeKind::DeviceChanged, 2));
    EXPECT_TRUE(peer.is_quiet());
}

// Goal: a session that is lost with the probe half answered begins anew; nothing of the old probe
// is believed, and an answer that still comes for it is none.
TEST(Probe, LossInTheMidstBeginsAnew) {
    for (std::size_t answered = 0; answered < 8; ++answered) {
        Peer peer;
        come_back_to_the_probe(peer);
        const std::vector<Pdu> commands = take_all(peer);
        ASSERT_EQ(commands.size(), 8U);
        peer.options.unit.blocks = 100;
        for (std::size_t i = 0; i < answered; ++i) peer.answer_probe_command(commands[7 - i]);
        peer.lose_transport();
        peer.options.unit.blocks = 1U << 20;
        peer.live(Duration::from_s(6));
        peer.expect_order(OrderKind::Connect);
        peer.log_in();
        peer.send(peer.response_to(commands[0]));  // A tag of the session before.
        peer.answer_probe();
        EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
        EXPECT_EQ(peer.engine().facts().blocks, 1U << 20);
        EXPECT_FALSE(peer.next_order().has_value());
    }
}

}  // namespace
}  // namespace holdfast::initiator
