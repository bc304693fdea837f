// The fence: no request is sent again while its old copy may still be executed.
#include <gtest/gtest.h>

#include "tests/initiator/session/peer.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint8_t kUnitReset = 5;
constexpr std::uint8_t kTargetReset = 6;

Pdu write_one(Peer& peer) {
    peer.submit(0, RequestKind::Write, 0, 1);
    return peer.expect(sim::kCommand);
}

/// Up to the probe's end on a session that follows a lost write.
void lose_a_write(Peer& peer) {
    peer.attach();
    write_one(peer);
    peer.lose_transport();
    peer.come_back();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Fencing);
}

bool was_fenced_by(Peer& peer, FenceRung rung) {
    return peer.was_noticed(NoticeKind::Fenced, static_cast<std::uint64_t>(rung));
}

Peer::Options successor() {
    Peer::Options options;
    options.config.takes_over_device = true;
    options.config.timers.replacement = Duration::max();
    return options;
}

/// Connects, logs in and probes; unlike attach() it stops at the fence.
void reach_the_fence(Peer& peer) {
    peer.engine().start(peer.now());
    peer.expect_order(OrderKind::Connect);
    peer.log_in();
    peer.answer_probe();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Fencing);
    EXPECT_FALSE(peer.next_order().has_value()) << "ready before the fence";
}

// Goal: the fence is needed until it has succeeded once, over any number of failed sessions; resets
// that are never answered, or refused, give way to waiting.
// Rows: SER-04
TEST(Fence, OutlivesFailedSessions) {
    Peer peer;
    lose_a_write(peer);
    expect_management(peer, kUnitReset);
    peer.lose_transport();
    peer.come_back();
    peer.send(peer.task_response(expect_management(peer, kUnitReset), 5));
    peer.send(peer.task_response(expect_management(peer, kTargetReset), 5));
    EXPECT_TRUE(peer.is_quiet());
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Fencing);
    pass(peer, Duration::from_s(31));
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::WaitedOut));
    peer.expect(sim::kCommand);
}

// Goal: where the unit reset is refused, in any words, the reset of the target is the fence, and
// its unit attention is our own doing.
// Rows: SER-04, TMF-16
TEST(Fence, RefusedUnitResetGivesWayToTheTargets) {
    for (const std::uint8_t refusal : std::to_array<std::uint8_t>({1, 2, 5, 6, 255})) {
        Peer peer;
        lose_a_write(peer);
        peer.send(peer.task_response(expect_management(peer, kUnitReset), refusal));
        const Pdu reset = expect_management(peer, kTargetReset);
        EXPECT_TRUE(peer.is_quiet());
        peer.send(peer.task_response(reset, 0));
        EXPECT_TRUE(was_fenced_by(peer, FenceRung::TargetWarmReset));
        const Pdu again = peer.expect(sim::kCommand);
        peer.send(peer.sense_to(again, 0x06, 0x2900));
        peer.send(peer.response_to(peer.expect(sim::kCommand)));
        peer.expect_completion(0);
    }
}

// Goal: a target reset that is never answered costs the session, and after two such sessions the
// fence is waited out.
// Rows: SER-04
TEST(Fence, SilentTargetResetEndsInWaiting) {
    Peer peer;
    lose_a_write(peer);
    for (int i = 0; i < 2; ++i) {
        peer.send(peer.task_response(expect_management(peer, kUnitReset), 255));
        expect_management(peer, kTargetReset);
        pass(peer, Duration::from_s(30));
        peer.expect_reset();
        peer.come_back();
    }
    EXPECT_TRUE(peer.is_quiet());
    while (peer.engine().phase() == SessionPhase::Fencing) pass(peer, Duration::from_s(1));
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::WaitedOut));
    peer.expect(sim::kCommand);
}

// Goal: a shared unit is fenced by waiting, never by a reset.
// Rows: SER-04
TEST(Fence, SharedUnitIsWaitedOut) {
    Peer::Options options;
    options.config.owns_unit_alone = false;
    Peer peer{options};
    peer.attach();
    write_one(peer);
    peer.lose_transport();
    const Instant lost = peer.now();
    peer.come_back();
    EXPECT_TRUE(peer.is_quiet());
    while (peer.engine().phase() == SessionPhase::Fencing) pass(peer, Duration::from_s(1));
    EXPECT_GE(peer.now() - lost, Duration::from_s(30));
    peer.expect(sim::kCommand);
}

// Goal: a process that takes over a device fences its first session, and only that.
// Rows: SER-04
TEST(Fence, SuccessorFencesItsFirstSession) {
    Peer peer{successor()};
    reach_the_fence(peer);
    peer.send(peer.task_response(expect_management(peer, kUnitReset), 0));
    peer.expect_order(OrderKind::DeviceReady);
    EXPECT_TRUE(was_fenced_by(peer, FenceRung::LogicalUnitReset));
    peer.submit(0, RequestKind::Read, 0, 1);
    peer.expect(sim::kCommand);
    peer.lose_transport();
    peer.come_back();
    EXPECT_EQ(peer.engine().phase(), SessionPhase::Ready);
}

// Goal: on a shared unit the successor waits from its own start on, because it cannot know better.
// Rows: SER-04
TEST(Fence, SuccessorOnASharedUnitWaits) {
    Peer::Options options = successor();
    options.config.owns_unit_alone = false;
    Peer peer{options};
    const Instant started = peer.now();
    reach_the_fence(peer);
    while (peer.engine().phase() == SessionPhase::Fencing) pass(peer, Duration::from_s(1));
    EXPECT_GE(peer.now() - started, Duration::from_s(30));
    peer.expect_order(OrderKind::DeviceReady);
}

// Goal: requests wait in a device that is taken over: neither a refusal nor silence makes the
// successor give up while the profile lets them wait.
// Rows: SER-07
TEST(Fence, SuccessorGivesUpByTheProfileOnly) {
    for (const bool is_patient : {true, false}) {
        Peer::Options options = successor();
        if (!is_patient) options.config.timers.replacement = Duration::from_s(120);
        Peer peer{options};
        peer.engine().start(peer.now());
        const Instant started = peer.now();
        std::optional<OrderKind> order = peer.next_order();
        while (order == OrderKind::Connect && peer.now() - started < Duration::from_s(600)) {
            peer.refuse_login(0x0203);
            peer.expect_order(OrderKind::Reset);
            peer.lose_transport();
            peer.live(Duration::from_s(10));
            order = peer.next_order();
        }
        if (is_patient) {
            EXPECT_EQ(order, OrderKind::Connect);
        } else {
            EXPECT_EQ(order, OrderKind::GaveUp);
            EXPECT_GE(peer.now() - started, Duration::from_s(110));
        }
    }
}

}  // namespace
}  // namespace holdfast::initiator
