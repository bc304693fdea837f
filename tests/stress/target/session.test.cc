#include "stress/target/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

constexpr std::uint8_t kOperationalToFull = 0x87;

/// Answers every R2T for `data` until the response comes; returns it.
Seen feed_r2ts(PlayedInitiator& initiator, const std::vector<std::byte>& data,
               std::size_t piece_bytes) {
    while (true) {
        const Seen seen = initiator.next();
        if (seen.opcode() != Opcode::ReadyToTransfer) return seen;
        const std::uint32_t length = be32_at<at::kDesiredLength>(seen.view());
        std::uint32_t data_sn = 0;
        for (std::uint32_t done = 0; done < length;
             done += static_cast<std::uint32_t>(piece_bytes)) {
            const auto part = std::min<std::size_t>(piece_bytes, length - done);
            initiator.data_out(seen.itt(), seen.ttt(), seen.offset() + done,
                               Bytes{data}.subspan(seen.offset() + done, part),
                               done + part == length, data_sn++);
        }
    }
}

// Goal: immediate data is written, read back, with every digest combination.
TEST(TargetSession, WritesAndReadsWithEveryDigest) {
    for (const auto* digests : {"", "HeaderDigest=CRC32C", "DataDigest=CRC32C",
                                "HeaderDigest=CRC32C\nDataDigest=CRC32C"}) {
        World world{small_config()};
        PlayedInitiator initiator{world};
        initiator.login(digests);
        const auto data = pattern(4096, 7);
        initiator.write(40, data);
        EXPECT_EQ(initiator.next().status(), 0);
        EXPECT_EQ(initiator.read_back(40, 8), data) << digests;
        EXPECT_TRUE(world.counters().violations.empty());
    }
}

// Goal: solicited data in bursts, several R2Ts at once, in order and shuffled.
TEST(TargetSession, R2tsCoverTheWholeTransfer) {
    for (const bool shuffle : {false, true}) {
        TargetConfig config = small_config();
        config.shuffle = shuffle;
        config.r2t_bytes = 2048;
        config.operational.data_sequence_in_order = false;
        config.operational.max_outstanding_r2t = 3;
        World world{config};
        PlayedInitiator initiator{world};
        initiator.login(
            "InitialR2T=Yes\nImmediateData=No\nMaxOutstandingR2T=3\n"
            "DataSequenceInOrder=No");
        const auto data = pattern(32 * 512, 9);
        initiator.command(cdb_10(scsi_op::kWrite10, 0, 32), bit::kFinal | bit::kWrite, 32 * 512);
        EXPECT_EQ(feed_r2ts(initiator, data, 1000).status(), 0);
        EXPECT_EQ(initiator.read_back(0, 32), data);
        EXPECT_EQ(world.counters().r2ts, 8U);
        EXPECT_TRUE(world.counters().violations.empty());
    }
}

// Goal: immediate, unsolicited and solicited data of one command join.
TEST(TargetSession, UnsolicitedDataThenR2t) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login("InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=4096");
    const auto data = pattern(16 * 512, 5);
    const auto itt = initiator.command(cdb_10(scsi_op::kWrite10, 100, 16), bit::kWrite, 16 * 512,
                                       Bytes{data}.first(1024));
    initiator.data_out(itt, kNoTag, 1024, Bytes{data}.subspan(1024, 2048), false, 0);
    initiator.data_out(itt, kNoTag, 3072, Bytes{data}.subspan(3072, 1024), true, 1);
    EXPECT_EQ(feed_r2ts(initiator, data, 8192).status(), 0);
    EXPECT_EQ(initiator.read_back(100, 16), data);
    EXPECT_EQ(world.counters().unsolicited_bytes, 4096U);
}

// Goal: Data-In of a long read is cut by the initiator's limit, out of order when agreed.
TEST(TargetSession, LongReadsAreCutAndMayBeShuffled) {
    TargetConfig config = small_config();
    config.shuffle = true;
    config.operational.data_pdu_in_order = false;
    config.operational.data_sequence_in_order = false;
    World world{config};
    PlayedInitiator initiator{world};
    initiator.login(
        "MaxRecvDataSegmentLength=512\nMaxBurstLength=2048\nDataPDUInOrder=No\n"
        "DataSequenceInOrder=No");
    const auto data = pattern(32 * 512, 3);
    initiator.write(0, data);
    EXPECT_EQ(initiator.next().status(), 0);
    initiator.read(0, 32);
    std::vector<std::uint32_t> offsets;
    std::set<std::uint32_t> finals;
    for (int i = 0; i < 32; ++i) {
        const Seen seen = initiator.next();
        ASSERT_EQ(seen.opcode(), Opcode::DataIn);
        EXPECT_EQ(be32_at<at::kDataSn>(seen.view()), static_cast<std::uint32_t>(i));
        EXPECT_TRUE(std::ranges::equal(seen.data, Bytes{data}.subspan(seen.offset(), 512)));
        offsets.push_back(seen.offset());
        if ((seen.flags() & bit::kFinal) != 0) finals.insert(seen.offset() / 2048);
    }
    EXPECT_FALSE(std::ranges::is_sorted(offsets));
    EXPECT_EQ(finals.size(), 8U) << "one F for each sequence";
    std::ranges::sort(offsets);
    EXPECT_EQ(offsets.back(), 31U * 512U);
}

// Goal: residuals tell how far the transfer is from the expectation, both ways.
TEST(TargetSession, ResidualsAreTold) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login();
    initiator.command(cdb_10(scsi_op::kRead10, 0, 1), bit::kFinal | bit::kRead, 1024);
    Seen seen = initiator.next();
    EXPECT_NE(seen.flags() & bit::kUnderflow, 0);
    EXPECT_EQ(seen.residual(), 512U);
    initiator.command(cdb_10(scsi_op::kRead10, 0, 2), bit::kFinal | bit::kRead, 512);
    seen = initiator.next();
    EXPECT_NE(seen.flags() & bit::kOverflow, 0);
    EXPECT_EQ(seen.residual(), 512U);
    EXPECT_EQ(seen.data.size(), 512U);
}

// Goal: commands run in CmdSN order; duplicates and numbers outside the window are ignored.
TEST(TargetSession, CommandsRunInOrderOfCmdSn) {
    TargetConfig config = small_config();
    config.queue_depth = 8;
    World world{config};
    PlayedInitiator initiator{world};
    initiator.login();
    initiator.cmd_sn = 2;
    const auto second = initiator.command(Cdb{}, bit::kFinal, 0);
    EXPECT_FALSE(initiator.has_next());
    initiator.cmd_sn = 100;
    initiator.command(Cdb{}, bit::kFinal, 0);
    initiator.cmd_sn = 1;
    const auto first = initiator.command(Cdb{}, bit::kFinal, 0);
    EXPECT_EQ(initiator.next().itt(), first);
    EXPECT_EQ(initiator.next().itt(), second);
    initiator.cmd_sn = 1;
    initiator.command(Cdb{}, bit::kFinal, 0);
    EXPECT_FALSE(initiator.has_next());
    EXPECT_EQ(world.counters().violations.size(), 1U);
}

// Goal: the window shuts while commands wait for data, and opens again; depth 1 does not lock up.
TEST(TargetSession, WindowOfOneStaysOpen) {
    TargetConfig config = small_config();
    config.queue_depth = 1;
    World world{config};
    PlayedInitiator initiator{world};
    initiator.login("InitialR2T=Yes\nImmediateData=No");
    for (int i = 0; i < 3; ++i) {
        const auto data = pattern(512, 1);
        initiator.command(cdb_10(scsi_op::kWrite10, 0, 1), bit::kFinal | bit::kWrite, 512);
        const Seen r2t = initiator.next();
        EXPECT_EQ(be32_at<at::kMaxCmdSn>(r2t.view()) + 1, initiator.cmd_sn) << "shut";
        initiator.data_out(r2t.itt(), r2t.ttt(), 0, data, true);
        const Seen done = initiator.next();
        EXPECT_EQ(done.status(), 0);
        EXPECT_EQ(be32_at<at::kMaxCmdSn>(done.view()), initiator.cmd_sn) << "open";
    }
}

// Goal: SendTargets lists names and addresses, in as many PDUs as it takes.
TEST(TargetSession, DiscoveryListsTargets) {
    TargetConfig config = small_config();
    config.decoy_targets = 500;
    config.portals = {"[2001:db8::1]:3260,1"};
    World world{config};
    PlayedInitiator initiator{world};
    initiator.login_step("InitiatorName=iqn.x\nSessionType=Discovery", kOperationalToFull);
    Header header = start_header(Opcode::Text);
    put_be32<at::kItt>(std::span{header}, 5);
    put_be32<at::kTtt>(std::span{header}, kNoTag);
    put_be32<at::kCmdSn>(std::span{header}, initiator.cmd_sn++);
    const std::string wanted = PlayedInitiator::text_of("SendTargets=All");
    initiator.send(header, std::as_bytes(std::span{wanted}));
    std::string all;
    int answers = 0;
    while (true) {
        const Seen seen = initiator.next();
        ASSERT_EQ(seen.opcode(), Opcode::TextResponse);
        all += seen.text();
        ++answers;
        if ((seen.flags() & bit::kFinal) != 0) break;
        put_be32<at::kTtt>(std::span{header}, seen.ttt());
        put_be32<at::kCmdSn>(std::span{header}, initiator.cmd_sn++);
        initiator.send(header, {});
    }
    EXPECT_GT(answers, 3);
    const auto keys = parse_text(all);
    ASSERT_TRUE(keys.has_value());
    EXPECT_EQ(std::ranges::count(*keys, "TargetName", &KeyValue::key), 501);
    EXPECT_EQ((*keys)[1].value, "127.0.0.1:3260,1");
    EXPECT_EQ((*keys)[2].value, "[2001:db8::1]:3260,1");
}

// Goal: properly, a second login of the nexus ends the old session before it begins.
TEST(TargetSession, ProperReinstatementEndsTheOldSession) {
    World world{small_config()};
    PlayedInitiator old{world};
    old.login();
    PlayedInitiator fresh{world};
    EXPECT_EQ(fresh.login().login_status(), 0);
    EXPECT_EQ(old.wish(), LinkWish::Reset);
    EXPECT_EQ(world.counters().sessions_reinstated, 1U);
    EXPECT_EQ(world.target.sessions().size(), 1U);
}

// Goal: like tgt, the old session lives on and its late write is executed.
TEST(TargetSession, TgtLikeReinstatementStillExecutesOldWrites) {
    TargetConfig config = small_config();
    config.reinstatement = Reinstatement::TgtLike;
    World world{config};
    PlayedInitiator old{world};
    old.login();
    PlayedInitiator fresh{world};
    fresh.login();
    EXPECT_NE(old.tsih, fresh.tsih);
    const auto ghost = pattern(512, 0x66);
    old.write(3, ghost);
    EXPECT_EQ(old.next().status(), 0);
    EXPECT_EQ(fresh.read_back(3, 1), ghost);
}

// Goal: eight connections from eight initiators live side by side.
TEST(TargetSession, EightSessionsAtOnce) {
    World world{small_config()};
    std::vector<PlayedInitiator> initiators;
    for (std::uint8_t i = 0; i < 8; ++i) {
        auto& initiator = initiators.emplace_back(world);
        initiator.isid += i;
        initiator.login();
        initiator.write(i, pattern(512, i));
        EXPECT_EQ(initiator.next().status(), 0);
    }
    for (std::uint8_t i = 0; i < 8; ++i)
        EXPECT_EQ(initiators[7U - i].read_back(i, 1), pattern(512, i));
}

// Goal: several connections of one session share one CmdSN space, and a command that had to wait
// for its turn is answered on the connection that brought it.
TEST(TargetSession, TwoConnectionsOfOneSession) {
    TargetConfig config = small_config();
    config.operational.max_connections = 2;
    World world{config};
    PlayedInitiator first{world};
    first.login("MaxConnections=2");
    PlayedInitiator second{world};
    second.tsih = first.tsih;
    second.cid = 1;
    EXPECT_EQ(second.login().login_status(), 0);
    EXPECT_EQ(second.tsih, first.tsih);
    second.cmd_sn = 2;
    second.next_itt = 200;
    const auto later = second.command(Cdb{}, bit::kFinal, 0);
    EXPECT_FALSE(second.has_next());
    const auto earlier = first.command(Cdb{}, bit::kFinal, 0);
    ASSERT_TRUE(first.has_next());
    EXPECT_EQ(first.next().itt(), earlier);
    EXPECT_FALSE(first.has_next());
    ASSERT_TRUE(second.has_next());
    EXPECT_EQ(second.next().itt(), later);
    PlayedInitiator third{world};
    third.tsih = first.tsih;
    third.cid = 2;
    EXPECT_EQ(third.login().login_status(), 0x0206);
}

Seen manage(PlayedInitiator& initiator, std::uint8_t function, std::uint32_t referenced = kNoTag) {
    Header header = start_header(Opcode::TaskManagement);
    const std::span out{header};
    put_u8<at::kOpcode>(out, 0x42);
    put_u8<at::kFlags>(out, static_cast<std::uint8_t>(0x80U | function));
    put_be32<at::kItt>(out, 0x7777);
    put_be32<at::kReferencedTag>(out, referenced);
    put_be32<at::kCmdSn>(out, initiator.cmd_sn);
    put_be32<at::kRefCmdSn>(out, initiator.cmd_sn - 1);
    initiator.send(header, {});
    return initiator.next();
}

// Goal: an aborted task gets no answer, and its data later is ignored.
TEST(TargetSession, AbortTaskEndsTheTask) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login("InitialR2T=Yes\nImmediateData=No");
    const auto itt =
        initiator.command(cdb_10(scsi_op::kWrite10, 0, 1), bit::kFinal | bit::kWrite, 512);
    const Seen r2t = initiator.next();
    EXPECT_EQ(manage(initiator, 1, itt).response(), 0);
    initiator.data_out(itt, r2t.ttt(), 0, pattern(512, 1), true);
    EXPECT_FALSE(initiator.has_next());
    EXPECT_EQ(world.counters().stray_data_out, 1U);
    EXPECT_EQ(manage(initiator, 1, itt).response(), 1) << "no such task any more";
}

// Goal: a LUN reset ends tasks of all sessions, and tells the others by a unit attention.
TEST(TargetSession, LunResetReachesOtherSessions) {
    World world{small_config()};
    PlayedInitiator victim{world};
    victim.login("InitialR2T=Yes\nImmediateData=No");
    victim.command(cdb_10(scsi_op::kWrite10, 0, 1), bit::kFinal | bit::kWrite, 512);
    victim.next();
    PlayedInitiator other{world};
    other.isid += 1;
    other.login();
    EXPECT_EQ(manage(other, 5).response(), 0);
    EXPECT_EQ(world.counters().tasks_aborted, 1U);
    victim.command(Cdb{}, bit::kFinal, 0);
    EXPECT_EQ(victim.next().sense(), (std::vector<int>{6, 0x29, 0x03}));
    other.command(Cdb{}, bit::kFinal, 0);
    EXPECT_EQ(other.next().status(), 0);
}

// Goal: a cold reset answers, then ends every connection.
TEST(TargetSession, ColdResetEndsConnections) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login();
    EXPECT_EQ(manage(initiator, 7).response(), 0);
    EXPECT_EQ(initiator.wish(), LinkWish::Close);
}

// Goal: pings are echoed; the ping of an idle connection is sent, and silence ends it.
TEST(TargetSession, PingsBothWays) {
    TargetConfig config = small_config();
    config.ping_interval_ms = 1000;
    World world{config};
    PlayedInitiator initiator{world};
    initiator.login();
    Header header = start_header(Opcode::NopOut);
    put_u8<at::kOpcode>(std::span{header}, 0x40);
    put_be32<at::kItt>(std::span{header}, 55);
    put_be32<at::kTtt>(std::span{header}, kNoTag);
    initiator.send(header, pattern(100, 1));
    EXPECT_EQ(initiator.next().data, pattern(100, 1));
    world.pass(Duration::from_ms(1500));
    const Seen ping = initiator.next();
    EXPECT_EQ(ping.opcode(), Opcode::NopIn);
    EXPECT_NE(ping.ttt(), kNoTag);
    put_be32<at::kItt>(std::span{header}, kNoTag);
    put_be32<at::kTtt>(std::span{header}, ping.ttt());
    initiator.send(header, {});
    EXPECT_EQ(world.counters().pings_answered, 1U);
    world.pass(Duration::from_s(5));
    EXPECT_EQ(initiator.wish(), LinkWish::Reset);
}

// Goal: a logout is answered, and the connection closed after the answer.
TEST(TargetSession, LogoutCloses) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login();
    initiator.logout();
    const Seen answer = initiator.next();
    EXPECT_EQ(answer.opcode(), Opcode::LogoutResponse);
    EXPECT_EQ(answer.response(), 0);
    EXPECT_EQ(initiator.wish(), LinkWish::Close);
    initiator.hang_up();
    EXPECT_TRUE(world.target.sessions().empty());
}

// Goal: each breach of the data rules is refused and named.
TEST(TargetSession, DataOutRulesAreEnforced) {
    struct Case {
        std::uint32_t ttt_shift;
        std::uint32_t offset;
        std::size_t length;
        bool final;
        std::uint32_t data_sn;
    };
    constexpr std::array kCases{Case{1, 0, 1024, true, 0},  Case{0, 4, 1020, true, 0},
                                Case{0, 0, 2048, true, 0},  Case{0, 0xffff'fe00, 1024, true, 0},
                                Case{0, 0, 1024, false, 0}, Case{0, 0, 512, true, 0},
                                Case{0, 0, 1024, true, 1}};
    for (const Case& c : kCases) {
        World world{small_config()};
        PlayedInitiator initiator{world};
        initiator.login("InitialR2T=Yes\nImmediateData=No");
        const auto itt =
            initiator.command(cdb_10(scsi_op::kWrite10, 0, 2), bit::kFinal | bit::kWrite, 1024);
        const Seen r2t = initiator.next();
        initiator.data_out(itt, r2t.ttt() + c.ttt_shift, c.offset, pattern(c.length, 1), c.final,
                           c.data_sn);
        EXPECT_EQ(initiator.next().opcode(), Opcode::Reject);
        EXPECT_EQ(initiator.wish(), LinkWish::Close);
        EXPECT_EQ(world.counters().violations.size(), 1U);
    }
}

// Goal: a wrong data digest of ours is rejected, and the command never happened.
TEST(TargetSession, BadDataDigestIsRejected) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login("HeaderDigest=CRC32C\nDataDigest=CRC32C");
    Header header = start_header(Opcode::ScsiCommand);
    put_u8<at::kFlags>(std::span{header}, 0xa0);
    put_be24<at::kDataLength>(std::span{header}, 512);
    put_be32<at::kExpectedLength>(std::span{header}, 512);
    put_be32<at::kCmdSn>(std::span{header}, 1);
    std::vector<std::byte> bytes{header.begin(), header.end()};
    const auto head = digest_of(header);
    bytes.insert(bytes.end(), head.begin(), head.end());
    bytes.resize(bytes.size() + 516);
    initiator.send_raw(bytes);
    const Seen reject = initiator.next();
    EXPECT_EQ(reject.opcode(), Opcode::Reject);
    EXPECT_EQ(reject.response(), 0x02);
    EXPECT_EQ(reject.data.size(), 48U);
    EXPECT_EQ(world.counters().digest_errors, 1U);
    initiator.command(Cdb{}, bit::kFinal, 0);
    EXPECT_EQ(initiator.next().status(), 0) << "the same CmdSN is still free";
}

// Goal: units that are not there say so; REPORT LUNS lists those that are.
TEST(TargetSession, MissingUnitsAreTold) {
    TargetConfig config = small_config();
    config.luns.push_back(LunConfig{.id = 300, .size_bytes = 1U << 20});
    World world{config};
    PlayedInitiator initiator{world};
    initiator.login();
    Cdb cdb{};
    put_u8<0>(std::span{cdb}, scsi_op::kReportLuns);
    put_be32<6>(std::span{cdb}, 256);
    initiator.command(cdb, bit::kFinal | bit::kRead, 256);
    const Seen luns = initiator.next();
    ASSERT_EQ(luns.data.size(), 24U);
    EXPECT_EQ(std::to_integer<int>(luns.data[16]), 0x41);
    EXPECT_EQ(std::to_integer<int>(luns.data[17]), 0x2c);
}

// Goal: random bytes after a login, in PDU-sized pieces, never break the target.
TEST(TargetSession, HostileBytesAreSurvived) {
    SplitMix64 random{3};
    for (int round = 0; round < 300; ++round) {
        World world{small_config()};
        PlayedInitiator initiator{world};
        initiator.login();
        for (int i = 0; i < 40 && initiator.wish() == LinkWish::Keep; ++i) {
            Header header{};
            for (auto& b : header) b = static_cast<std::byte>(random.one_in(2) ? random.next() : 0);
            header[0] = static_cast<std::byte>(random.below(0x48));
            header[4] = std::byte{0};
            put_be32<at::kCmdSn>(std::span{header},
                                 initiator.cmd_sn + (random.one_in(4) ? 1U : 0U));
            put_be32<at::kItt>(std::span{header}, static_cast<std::uint32_t>(random.below(4)));
            initiator.send(header, pattern(random.below(600), 1));
            ++initiator.cmd_sn;
            while (initiator.has_next()) initiator.next();
        }
        initiator.hang_up();
        EXPECT_TRUE(world.target.sessions().empty());
    }
}

}  // namespace
}  // namespace holdfast::target
