// The target at recovery level 2: what a lost connection leaves behind, and who takes it over.
#include <gtest/gtest.h>

#include <algorithm>

#include "stress/target/session.h"
#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

constexpr std::uint8_t kReassign = 8;

TargetConfig level_two() {
    TargetConfig config = small_config();
    config.operational.recovery_level = 2;
    config.operational.time2wait_s = 1;
    config.operational.time2retain_s = 5;
    config.operational.max_connections = 2;
    return config;
}

constexpr const char* kKeys =
    "ErrorRecoveryLevel=2\nMaxConnections=2\nDefaultTime2Wait=0\nDefaultTime2Retain=20";

/// The same session again: with the CID of `old`, or another one.
Seen join(PlayedInitiator& fresh, const PlayedInitiator& old, std::uint16_t cid) {
    fresh.tsih = old.tsih;
    fresh.cid = cid;
    fresh.cmd_sn = old.cmd_sn;
    fresh.next_itt = old.next_itt;
    return fresh.login();
}

std::uint8_t reassign(PlayedInitiator& initiator, std::uint32_t itt, std::uint32_t first = 0) {
    Header header = start_header(Opcode::TaskManagement);
    const std::span out{header};
    put_u8<at::kOpcode>(out, 0x42);
    put_u8<at::kFlags>(out, 0x80U | kReassign);
    put_be32<at::kItt>(out, 0x7777);
    put_be32<at::kReferencedTag>(out, itt);
    put_be32<at::kCmdSn>(out, initiator.cmd_sn);
    put_be32<at::kExpDataSn>(out, first);
    initiator.send(header, {});
    return initiator.next().response();
}

// Goal: a write that is held outlives its connection, is executed once, and is answered where it
// was reassigned to.
TEST(TargetRecovery, HeldWriteIsAnsweredOnTheNewConnection) {
    World world{level_two()};
    PlayedInitiator first{world};
    EXPECT_TRUE(first.login(kKeys).text().contains("ErrorRecoveryLevel=2"));
    first.settle();
    world.fault("op=write hold-write 2s");
    const auto data = pattern(512, 3);
    const auto itt = first.write(9, data);
    first.hang_up();
    EXPECT_EQ(world.target.sessions().size(), 1U);
    PlayedInitiator again{world};
    EXPECT_EQ(join(again, first, first.cid).login_status(), 0);
    EXPECT_EQ(again.tsih, first.tsih);
    EXPECT_EQ(reassign(again, itt), 0);
    EXPECT_FALSE(again.has_next());
    world.pass(Duration::from_s(2));
    const Seen status = again.next();
    EXPECT_EQ(status.opcode(), Opcode::ScsiResponse);
    EXPECT_EQ(status.itt(), itt);
    EXPECT_EQ(again.read_back(9, 1), data);
    EXPECT_EQ(world.counters().late_writes, 1U);
    EXPECT_EQ(world.counters().connections_reinstated, 1U);
    EXPECT_TRUE(world.counters().violations.empty());
}

// Goal: a write whose data was on its way is asked for from its first byte.
TEST(TargetRecovery, DataIsAskedForOnceMore) {
    World world{level_two()};
    PlayedInitiator first{world};
    first.login(std::string{kKeys} + "\nInitialR2T=Yes\nImmediateData=No");
    first.settle();
    const auto itt =
        first.command(cdb_10(scsi_op::kWrite10, 0, 2), bit::kFinal | bit::kWrite, 1024);
    const Seen lost = first.next();
    first.hang_up();
    PlayedInitiator again{world};
    join(again, first, first.cid);
    EXPECT_EQ(reassign(again, itt), 0);
    const Seen r2t = again.next();
    ASSERT_EQ(r2t.opcode(), Opcode::ReadyToTransfer);
    EXPECT_EQ(r2t.offset(), 0U);
    EXPECT_NE(r2t.ttt(), lost.ttt());
    const auto data = pattern(1024, 8);
    again.data_out(itt, r2t.ttt(), 0, data, true);
    EXPECT_EQ(again.next().status(), 0);
    EXPECT_EQ(again.read_back(0, 2), data);
}

// Goal: a status that was sent and not acknowledged is given again, with the data of a read from
// ExpDataSN on.
TEST(TargetRecovery, AnsweredCommandsAreAnsweredAgain) {
    World world{level_two()};
    PlayedInitiator first{world};
    first.login(std::string{kKeys} + "\nMaxRecvDataSegmentLength=512");
    first.settle();
    const auto data = pattern(4 * 512, 5);
    const auto write = first.write(0, data);
    const auto read = first.read(0, 4);
    first.hang_up();
    PlayedInitiator again{world};
    join(again, first, first.cid);
    EXPECT_EQ(reassign(again, write), 0);
    EXPECT_EQ(again.next().itt(), write);
    EXPECT_EQ(reassign(again, read, 0), 0);
    const Seen whole = again.next();  // Its MaxRecvDataSegmentLength is the default: one PDU.
    EXPECT_EQ(whole.data.size(), data.size());
    EXPECT_EQ(reassign(again, 0x5555), 1) << "a task that never was";
}

// Goal: a connection that is there, or was not logged out, keeps its tasks; a logout for recovery
// over another connection lets them go, and nothing is found under a CID that nobody has.
TEST(TargetRecovery, LogoutForRecoveryLetsTasksGo) {
    World world{level_two()};
    PlayedInitiator first{world};
    first.login(kKeys);
    first.settle();
    PlayedInitiator second{world};
    join(second, first, 1);
    world.fault("op=write hold-write 1s");
    const auto itt = first.write(0, pattern(512, 1));
    second.cmd_sn = first.cmd_sn;
    EXPECT_EQ(reassign(second, itt), 3);
    first.hang_up();
    EXPECT_EQ(reassign(second, itt), 3) << "lost, but not logged out";
    second.cid = 7;
    second.logout(2);
    EXPECT_EQ(second.next().response(), 1);
    second.cid = first.cid;
    second.logout(2);
    EXPECT_EQ(second.next().response(), 0);
    EXPECT_EQ(reassign(second, itt), 0);
    world.pass(Duration::from_s(1));
    EXPECT_EQ(second.next().itt(), itt);
    EXPECT_EQ(second.wish(), LinkWish::Keep);
}

// Goal: what had not come in turn goes with its connection, and the login says what is expected.
TEST(TargetRecovery, CommandsOutOfTurnAreDiscarded) {
    World world{level_two()};
    PlayedInitiator first{world};
    first.login(kKeys);
    first.settle();
    const std::uint32_t hole = first.cmd_sn++;
    const auto early = first.write(0, pattern(512, 1));
    first.hang_up();
    PlayedInitiator again{world};
    const Seen login = join(again, first, first.cid);
    EXPECT_EQ(be32_at<at::kExpCmdSn>(login.view()), hole);
    EXPECT_EQ(reassign(again, early), 1);
    again.cmd_sn = hole;
    again.command(Cdb{}, bit::kFinal, 0);
    EXPECT_EQ(again.next().status(), 0);
    EXPECT_FALSE(again.has_next()) << "nothing had waited behind it";
}

// Goal: after Time2Wait and Time2Retain the tasks are gone, and the session with them; the write
// that runs is executed late all the same.
TEST(TargetRecovery, NothingIsKeptForEver) {
    World world{level_two()};
    PlayedInitiator first{world};
    first.login(kKeys);
    first.settle();
    world.fault("op=write hold-write 9s");
    first.write(3, pattern(512, 4));
    first.hang_up();
    world.pass(Duration::from_ms(5900));
    EXPECT_EQ(world.target.sessions().size(), 1U);
    world.pass(Duration::from_ms(200));
    EXPECT_TRUE(world.target.sessions().empty());
    EXPECT_EQ(world.counters().tasks_forgotten, 1U);
    PlayedInitiator late{world};
    EXPECT_EQ(join(late, first, first.cid).login_status(), 0x020a);
    world.pass(Duration::from_s(4));
    EXPECT_EQ(world.counters().late_writes, 1U);
}

// Goal: below level 2 nothing is kept.
TEST(TargetRecovery, LevelZeroKeepsNothing) {
    World world{level_two()};
    PlayedInitiator first{world};
    first.login("ErrorRecoveryLevel=1\nMaxConnections=2");
    first.settle();
    PlayedInitiator second{world};
    join(second, first, 1);
    EXPECT_EQ(reassign(second, 0x5555), 4);
    second.cid = 0;
    second.logout(2);
    EXPECT_EQ(second.next().response(), 2);
}

}  // namespace
}  // namespace holdfast::target
