/// Each scripted fault is seen to strike.
#include "stress/target/fault.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

/// A target with one logged-in initiator.
struct Faulty : testing::Test {
    Faulty() : world{small_config()}, initiator{world} { initiator.login(keys()); }
    [[nodiscard]] static const char* keys() { return "HeaderDigest=CRC32C\nDataDigest=CRC32C"; }
    Seen ready() {
        initiator.command(Cdb{}, bit::kFinal, 0);
        return initiator.next();
    }
    [[nodiscard]] std::uint64_t struck(const std::string& name) {
        const auto& faults = world.counters().faults;
        const auto found = faults.find(name);
        return found == faults.end() ? 0 : found->second;
    }

    World world;
    PlayedInitiator initiator;
};

// Goal: statuses come instead of the command's own, once.
TEST_F(Faulty, StatusFaults) {
    for (const auto& [text, status] :
         {std::pair{"busy", 0x08}, std::pair{"task-set-full", 0x28},
          std::pair{"reservation-conflict", 0x18}, std::pair{"check 3/11/00", 0x02}}) {
        world.fault(text);
        EXPECT_EQ(ready().status(), status) << text;
        EXPECT_EQ(ready().status(), 0) << text;
    }
    world.fault("check 3/11/00");
    EXPECT_EQ(ready().sense(), (std::vector<int>{3, 0x11, 0}));
}

// Goal: a filter lets other commands pass, and a counter counts what fits.
TEST_F(Faulty, FiltersAndCounters) {
    world.fault("command=2 op=write busy");
    EXPECT_EQ(ready().status(), 0);
    initiator.write(0, pattern(512, 1));
    EXPECT_EQ(initiator.next().status(), 0);
    initiator.write(0, pattern(512, 1));
    EXPECT_EQ(initiator.next().status(), 0x08);
    world.fault("every-commands=3 busy");
    int busy = 0;
    for (int i = 0; i < 30; ++i) busy += ready().status() == 0x08 ? 1 : 0;
    EXPECT_EQ(busy, 10);
}

// Goal: a chance strikes about as often as it says, and the same seed strikes the same commands.
TEST_F(Faulty, ChanceIsRepeatable) {
    std::vector<std::vector<bool>> runs;
    for (int run = 0; run < 2; ++run) {
        world.target.clear_faults();
        world.fault("prob=0.25 seed=11 op=command busy");
        auto& struck_at = runs.emplace_back();
        for (int i = 0; i < 400; ++i) struck_at.push_back(ready().status() == 0x08);
    }
    EXPECT_EQ(runs[0], runs[1]);
    const auto count = std::ranges::count(runs[0], true);
    EXPECT_GT(count, 60);
    EXPECT_LT(count, 140);
}

// Goal: a delayed command is answered at its time, and later commands overtake it.
TEST_F(Faulty, Delay) {
    world.fault("op=write delay 50ms");
    const auto slow = initiator.write(0, pattern(512, 1));
    EXPECT_FALSE(initiator.has_next());
    EXPECT_EQ(ready().status(), 0);
    world.pass(Duration::from_ms(49));
    EXPECT_FALSE(initiator.has_next());
    world.pass(Duration::from_ms(2));
    EXPECT_EQ(initiator.next().itt(), slow);
}

// Goal: PDUs that are no commands can be late as well.
TEST_F(Faulty, DelayOfANop) {
    world.fault("op=nop delay 3s");
    Header header = start_header(Opcode::NopOut);
    put_u8<at::kOpcode>(std::span{header}, 0x40);
    put_be32<at::kItt>(std::span{header}, 9);
    put_be32<at::kTtt>(std::span{header}, kNoTag);
    initiator.send(header, {});
    EXPECT_FALSE(initiator.has_next());
    world.pass(Duration::from_s(3));
    EXPECT_EQ(initiator.next().itt(), 9U);
}

// Goal: a dropped command leaves a hole in CmdSN that stops all later ones.
TEST_F(Faulty, Drop) {
    world.fault("drop");
    initiator.command(Cdb{}, bit::kFinal, 0);
    initiator.command(Cdb{}, bit::kFinal, 0);
    EXPECT_FALSE(initiator.has_next());
    EXPECT_EQ(struck("drop"), 1U);
}

// Goal: a dropped reply leaves the command done and unanswered; others go on.
TEST_F(Faulty, DropReply) {
    world.fault("op=write drop-reply");
    initiator.write(7, pattern(512, 4));
    EXPECT_FALSE(initiator.has_next());
    EXPECT_EQ(initiator.read_back(7, 1), pattern(512, 4));
}

// Goal: resets and closes reach the connection, by counter and by time.
TEST_F(Faulty, ResetAndClose) {
    world.fault("after-pdus=2 reset");
    ready();
    EXPECT_EQ(initiator.wish(), LinkWish::Keep);
    ready();
    EXPECT_EQ(initiator.wish(), LinkWish::Reset);
    initiator.hang_up();
    PlayedInitiator second{world};
    second.login();
    world.fault("at=2s close");
    world.pass(Duration::from_ms(1999));
    EXPECT_EQ(second.wish(), LinkWish::Keep);
    world.pass(Duration::from_ms(2));
    EXPECT_EQ(second.wish(), LinkWish::Close);
}

// Goal: every= strikes again and again.
TEST_F(Faulty, EveryStrikesAgain) {
    world.fault("every=1s unit-attention 2a/09");
    for (int i = 0; i < 3; ++i) {
        world.pass(Duration::from_ms(1001));
        EXPECT_EQ(ready().sense(), (std::vector<int>{6, 0x2a, 0x09}));
        EXPECT_EQ(ready().status(), 0);
    }
}

// Goal: the reply is cut at each byte, and the connection closed behind it.
TEST_F(Faulty, CloseAtEveryByte) {
    for (std::size_t at = 0; at < 52; ++at) {
        World fresh{small_config()};
        PlayedInitiator cut{fresh};
        cut.login(keys());
        fresh.fault("close-at-byte " + std::to_string(at));
        cut.command(Cdb{}, bit::kFinal, 0);
        EXPECT_EQ(cut.take_raw().size(), at);
        EXPECT_EQ(cut.wish(), LinkWish::Close);
    }
}

// Goal: digests and data are spoiled so that a correct initiator notices, or cannot.
TEST_F(Faulty, CorruptDigestsAndData) {
    const auto data = pattern(512, 2);
    initiator.write(0, data);
    initiator.next();
    world.fault("op=read corrupt-digest data");
    initiator.read(0, 1);
    EXPECT_FALSE(initiator.next().data_intact);
    world.fault("op=read corrupt-data");
    const auto changed = initiator.read_back(0, 1);
    EXPECT_EQ(changed.size(), 512U) << "the digest covers the changed data";
    EXPECT_NE(changed, data);
    EXPECT_EQ(initiator.read_back(0, 1), data) << "the disk itself is whole";
    world.fault("op=read corrupt-digest header");
    initiator.read(0, 1);
    EXPECT_FALSE(initiator.has_next());
}

// Goal: a reject carries the reason and the header, and the command is not done.
TEST_F(Faulty, Reject) {
    world.fault("op=write reject waiting-for-logout");
    initiator.write(0, pattern(512, 1));
    const Seen reject = initiator.next();
    EXPECT_EQ(reject.opcode(), Opcode::Reject);
    EXPECT_EQ(reject.response(), 0x0c);
    EXPECT_EQ(reject.data.size(), 48U);
    EXPECT_EQ(world.counters().scsi[scsi_op::kWrite10], 0U);
}

// Goal: async messages carry their event and parameters and count StatSN.
TEST_F(Faulty, AsyncMessages) {
    const auto before = ready().stat_sn();
    struct Case {
        const char* text;
        int event;
    };
    std::uint32_t sent = 0;
    for (const Case& c : {Case{"async-logout 10", 1}, Case{"async-negotiate 4", 4},
                          Case{"async-vendor", 255}, Case{"async-sense 3f/0e", 0}}) {
        world.fault(c.text);
        const Seen seen = initiator.next();
        EXPECT_EQ(seen.opcode(), Opcode::AsyncMessage) << c.text;
        EXPECT_EQ(u8_at<at::kAsyncEvent>(seen.view()), c.event) << c.text;
        EXPECT_EQ(seen.stat_sn(), before + ++sent);
    }
    world.fault("async-drop 2");
    EXPECT_EQ(be16_at<at::kAsyncParameter2>(initiator.next().view()), 2);
    EXPECT_EQ(initiator.wish(), LinkWish::Close);
}

// Goal: async-drop-all says event 3 and closes.
TEST_F(Faulty, AsyncDropAll) {
    world.fault("async-drop-all 1");
    EXPECT_EQ(u8_at<at::kAsyncEvent>(initiator.next().view()), 3);
    EXPECT_EQ(initiator.wish(), LinkWish::Close);
}

// Goal: one login is redirected, the next one is not.
TEST_F(Faulty, RedirectOnce) {
    world.fault("redirect 192.0.2.1:3260 permanent");
    PlayedInitiator moved{world};
    const Seen answer = moved.login();
    EXPECT_EQ(answer.login_status(), 0x0102);
    EXPECT_TRUE(answer.text().contains("TargetAddress=192.0.2.1:3260"));
    PlayedInitiator stays{world};
    EXPECT_EQ(stays.login().login_status(), 0);
}

// Goal: a held write executes at its time although its connection died, unless the nexus comes back
// properly or the unit is reset.
TEST_F(Faulty, HoldWriteOutlivesItsConnection) {
    const auto ghost = pattern(512, 0x99);
    world.fault("hold-write 5s");
    initiator.write(9, ghost);
    EXPECT_FALSE(initiator.has_next());
    initiator.hang_up();
    PlayedInitiator other{world};
    other.isid += 5;
    other.login();
    EXPECT_NE(other.read_back(9, 1), ghost);
    world.pass(Duration::from_s(5));
    EXPECT_EQ(other.read_back(9, 1), ghost);
    EXPECT_EQ(world.counters().late_writes, 1U);
}

// Goal: properly, the same nexus coming back cancels the held write.
TEST_F(Faulty, HoldWriteEndsWithProperReinstatement) {
    world.fault("hold-write 5s");
    initiator.write(9, pattern(512, 0x99));
    initiator.hang_up();
    PlayedInitiator back{world};
    back.login();
    world.pass(Duration::from_s(6));
    EXPECT_EQ(world.counters().late_writes, 0U);
    EXPECT_EQ(world.counters().late_writes_cancelled, 1U);
}

// Goal: a held write of a living connection is answered when it has executed.
TEST_F(Faulty, HoldWriteIsAnsweredLate) {
    world.fault("hold-write 1s");
    const auto itt = initiator.write(9, pattern(512, 0x99));
    EXPECT_EQ(ready().status(), 0);
    world.pass(Duration::from_s(1));
    EXPECT_EQ(initiator.next().itt(), itt);
}

// Goal: a LUN reset stops a held write, as the fence of an initiator needs it.
TEST_F(Faulty, LunResetCancelsHeldWrites) {
    world.fault("hold-write 5s");
    initiator.write(9, pattern(512, 0x99));
    Header header = start_header(Opcode::TaskManagement);
    put_u8<at::kOpcode>(std::span{header}, 0x42);
    put_u8<at::kFlags>(std::span{header}, 0x85);
    initiator.send(header, {});
    EXPECT_EQ(initiator.next().response(), 0);
    world.pass(Duration::from_s(6));
    EXPECT_EQ(world.counters().late_writes, 0U);
}

// Goal: a silent target neither reads nor sends, then goes on where it stopped.
TEST_F(Faulty, StopAnswering) {
    world.fault("stop-answering 10s");
    EXPECT_TRUE(world.target.rx_space(initiator.link).empty());
    EXPECT_FALSE(initiator.has_next());
    PlayedInitiator late{world};
    EXPECT_EQ(world.target.rx_space(late.link).size(), 0U) << "new connections as well";
    world.pass(Duration::from_s(10));
    EXPECT_EQ(world.target.take_touched().size(), 2U);
    EXPECT_EQ(ready().status(), 0);
}

// Goal: commands that arrive in the very read that silences the target wait for its return.
TEST_F(Faulty, StopAnsweringKeepsWhatWasRead) {
    world.fault("op=nop stop-answering 2s");
    Header header = start_header(Opcode::NopOut);
    put_u8<at::kOpcode>(std::span{header}, 0x40);
    put_be32<at::kItt>(std::span{header}, 9);
    put_be32<at::kTtt>(std::span{header}, kNoTag);
    initiator.send(header, {});
    EXPECT_FALSE(initiator.has_next());
    world.pass(Duration::from_s(2));
    EXPECT_TRUE(initiator.has_next());
}

// Goal: a power cut resets everybody, loses what was not flushed, and keeps the rest.
TEST_F(Faulty, PowerCut) {
    initiator.write(0, pattern(512, 1));
    initiator.write(1, pattern(512, 2), true);
    EXPECT_EQ(initiator.next().status(), 0);
    EXPECT_EQ(initiator.next().status(), 0);
    world.fault("power-cut 2s");
    EXPECT_EQ(initiator.wish(), LinkWish::Reset);
    initiator.hang_up();
    PlayedInitiator early{world};
    EXPECT_EQ(early.wish(), LinkWish::Reset) << "still dark";
    early.hang_up();
    world.pass(Duration::from_ms(2001));
    PlayedInitiator back{world};
    back.login();
    EXPECT_EQ(back.read_back(0, 1), std::vector<std::byte>(512));
    EXPECT_EQ(back.read_back(1, 1), pattern(512, 2));
    EXPECT_EQ(world.counters().blocks_lost, 1U);
}

// Goal: garbage goes out raw, also in place of the first login answer.
TEST_F(Faulty, Garbage) {
    world.fault("op=login garbage 4096");
    PlayedInitiator victim{world};
    Header header = start_header(Opcode::Login);
    put_u8<at::kOpcode>(std::span{header}, 0x43);
    victim.send(header, {});
    EXPECT_GE(victim.take_raw().size(), 4096U);
    world.fault("garbage 100");
    EXPECT_EQ(initiator.take_raw().size(), 100U);
}

// Goal: a resize is told by a unit attention and by READ CAPACITY.
TEST_F(Faulty, Resize) {
    world.fault("resize 0 8M");
    EXPECT_EQ(ready().sense(), (std::vector<int>{6, 0x2a, 0x09}));
    Cdb cdb{};
    put_u8<0>(std::span{cdb}, scsi_op::kReadCapacity10);
    initiator.command(cdb, bit::kFinal | bit::kRead, 8);
    const Seen capacity = initiator.next();
    ASSERT_EQ(capacity.data.size(), 8U);
    EXPECT_EQ(be32_at<0>(std::span{capacity.data}.first<8>()), 16'383U);
}

// Goal: a rule for one connection leaves the others alone.
TEST_F(Faulty, OnlyTheNamedConnection) {
    PlayedInitiator other{world};
    other.isid += 1;
    other.login();
    world.fault("conn=" + std::to_string(other.link) + " reset");
    EXPECT_EQ(other.wish(), LinkWish::Reset);
    EXPECT_EQ(initiator.wish(), LinkWish::Keep);
}

// Goal: the target's ping asks for an answer.
TEST_F(Faulty, Ping) {
    world.fault("ping");
    EXPECT_EQ(initiator.next().opcode(), Opcode::NopIn);
}

}  // namespace
}  // namespace holdfast::target
