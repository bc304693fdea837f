// The target at recovery level 1: what was lost is sent again when it is asked for.
#include <gtest/gtest.h>

#include <string>

#include "stress/target/session.h"
#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

constexpr std::uint8_t kData = 0;
constexpr std::uint8_t kStatus = 1;
constexpr std::uint8_t kAcknowledge = 2;
constexpr std::uint8_t kReData = 3;
constexpr const char* kKeys =
    "ErrorRecoveryLevel=1\nMaxRecvDataSegmentLength=512\nDataDigest=CRC32C";

TargetConfig level_one() {
    TargetConfig config = small_config();
    config.operational.recovery_level = 1;
    return config;
}

struct Snack {
    std::uint8_t type = kData;
    std::uint32_t itt = kNoTag;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::uint32_t tag = kNoTag;
    std::uint32_t exp_stat_sn = 0;
};

void send(PlayedInitiator& initiator, const Snack& snack) {
    Header header = start_header(Opcode::Snack);
    const std::span out{header};
    put_u8<at::kFlags>(out, static_cast<std::uint8_t>(0x80U | snack.type));
    put_be32<at::kItt>(out, snack.itt);
    put_be32<at::kTtt>(out, snack.tag);
    put_be32<at::kExpStatSn>(out, snack.exp_stat_sn);
    put_be32<at::kBegRun>(out, snack.first);
    put_be32<at::kRunLength>(out, snack.count);
    initiator.send(header, {});
}

std::uint32_t data_sn(const Seen& seen) {
    return be32_at<at::kDataSn>(seen.view());
}

/// Logged in, with four blocks on the unit.
struct Bench {
    explicit Bench(const std::string& more_keys = "") {
        EXPECT_TRUE(initiator.login(kKeys + more_keys).text().contains("ErrorRecoveryLevel=1"));
        initiator.settle();
        for (std::uint32_t lba : {0U, 2U}) {
            initiator.write(lba, Bytes{data}.subspan(lba * 512, 1024));
            EXPECT_EQ(initiator.next().status(), 0);
        }
    }
    World world{level_one()};
    PlayedInitiator initiator{world};
    std::vector<std::byte> data = pattern(4 * 512, 7);
};

// Goal: a Data-In that never arrived, or arrived broken, comes again by its number, as it was.
TEST(TargetSnack, LostDataComesAgain) {
    for (const char* fault : {"op=read lose-pdu", "op=read corrupt-digest data"}) {
        Bench bench;
        bench.world.fault(fault);
        const auto itt = bench.initiator.read(0, 4);
        Seen seen = bench.initiator.next();
        if (!seen.data_intact) seen = bench.initiator.next();
        EXPECT_EQ(data_sn(seen), 1U);
        while (bench.initiator.has_next()) seen = bench.initiator.next();
        EXPECT_EQ(data_sn(seen), 3U);
        EXPECT_NE(seen.flags() & bit::kStatusInData, 0);
        send(bench.initiator, {.itt = itt, .first = 0, .count = 1, .exp_stat_sn = seen.stat_sn()});
        const Seen again = bench.initiator.next();
        EXPECT_EQ(again.opcode(), Opcode::DataIn);
        EXPECT_TRUE(again.data_intact);
        EXPECT_EQ(data_sn(again), 0U);
        EXPECT_EQ(again.data, std::vector(bench.data.begin(), bench.data.begin() + 512));
        EXPECT_FALSE(bench.initiator.has_next());
        // Everything from 2 on, the status with it, under its own StatSN.
        send(bench.initiator, {.itt = itt, .first = 2, .exp_stat_sn = seen.stat_sn()});
        EXPECT_EQ(data_sn(bench.initiator.next()), 2U);
        EXPECT_EQ(bench.initiator.next().stat_sn(), seen.stat_sn());
        EXPECT_EQ(bench.world.counters().pdus_sent_again, 3U);
        EXPECT_TRUE(bench.world.counters().violations.empty());
    }
}

// Goal: a status that never arrived comes again; what was acknowledged does not, and the command's
// data has gone with its status.
TEST(TargetSnack, LostStatusComesAgainUntilAcknowledged) {
    Bench bench;
    bench.world.fault("op=write lose-pdu");
    const auto itt = bench.initiator.write(8, bench.data);
    EXPECT_FALSE(bench.initiator.has_next());
    const auto read = bench.initiator.read(0, 1);
    const Seen later = bench.initiator.next();
    const std::uint32_t lost = later.stat_sn() - 1;
    send(bench.initiator, {.type = kStatus, .first = lost, .count = 1, .exp_stat_sn = lost});
    const Seen status = bench.initiator.next();
    EXPECT_EQ(status.opcode(), Opcode::ScsiResponse);
    EXPECT_EQ(status.itt(), itt);
    EXPECT_EQ(status.stat_sn(), lost);
    const std::uint32_t acknowledged = later.stat_sn() + 1;
    for (const Snack& snack : {Snack{.type = kStatus, .first = lost, .exp_stat_sn = acknowledged},
                               Snack{.type = kData, .itt = read, .exp_stat_sn = acknowledged}}) {
        send(bench.initiator, snack);
        const Seen refused = bench.initiator.next();
        EXPECT_EQ(refused.opcode(), Opcode::Reject);
        EXPECT_EQ(refused.response(), 0x03);
    }
    EXPECT_EQ(bench.world.counters().snacks_refused, 2U);
}

// Goal: an R2T is sent again like data.
TEST(TargetSnack, LostR2tComesAgain) {
    World world{level_one()};
    PlayedInitiator initiator{world};
    initiator.login(std::string{kKeys} + "\nInitialR2T=Yes\nImmediateData=No");
    initiator.settle();
    world.fault("op=write lose-pdu");
    const auto itt =
        initiator.command(cdb_10(scsi_op::kWrite10, 0, 1), bit::kFinal | bit::kWrite, 512);
    EXPECT_FALSE(initiator.has_next());
    send(initiator, {.itt = itt});
    const Seen r2t = initiator.next();
    ASSERT_EQ(r2t.opcode(), Opcode::ReadyToTransfer);
    initiator.data_out(itt, r2t.ttt(), 0, pattern(512, 3), true);
    EXPECT_EQ(initiator.next().status(), 0);
}

// Goal: each sequence but the last asks for a DataACK, and what one acknowledges is forgotten.
TEST(TargetSnack, DataAckLetsDataGo) {
    Bench bench{"\nMaxBurstLength=1024\nFirstBurstLength=1024"};
    const auto itt = bench.initiator.read(0, 4);
    EXPECT_EQ(bench.initiator.next().flags(), 0);
    const Seen asking = bench.initiator.next();
    EXPECT_EQ(asking.flags(), bit::kFinal | bit::kAcknowledge);
    EXPECT_NE(asking.ttt(), kNoTag);
    Seen last;
    while (bench.initiator.has_next()) last = bench.initiator.next();
    EXPECT_EQ(last.flags() & bit::kAcknowledge, 0);
    const std::uint32_t due = last.stat_sn();
    send(bench.initiator,
         {.type = kAcknowledge, .first = 2, .tag = asking.ttt(), .exp_stat_sn = due});
    EXPECT_FALSE(bench.initiator.has_next());
    send(bench.initiator, {.itt = itt, .exp_stat_sn = due});
    EXPECT_EQ(data_sn(bench.initiator.next()), 2U) << "the first two are gone";
    EXPECT_TRUE(bench.world.counters().violations.empty());
    while (bench.initiator.has_next()) last = bench.initiator.next();
    send(bench.initiator, {.type = kAcknowledge, .first = 1, .tag = 0x4444, .exp_stat_sn = due});
    EXPECT_EQ(bench.initiator.next().opcode(), Opcode::Reject);
}

// Goal: R-Data brings all data in segments of today's size, and the status apart, with the tag.
TEST(TargetSnack, ReDataIsCutAnew) {
    Bench bench;
    const auto itt = bench.initiator.read(0, 4);
    Seen last;
    while (bench.initiator.has_next()) last = bench.initiator.next();
    Header text = start_header(Opcode::Text);
    put_be32<at::kItt>(std::span{text}, 0x5555);
    put_be32<at::kTtt>(std::span{text}, kNoTag);
    put_be32<at::kCmdSn>(std::span{text}, bench.initiator.cmd_sn++);
    put_be32<at::kExpStatSn>(std::span{text}, last.stat_sn());
    const std::string keys = PlayedInitiator::text_of("MaxRecvDataSegmentLength=1024");
    bench.initiator.send(text, std::as_bytes(std::span{keys}));
    EXPECT_EQ(bench.initiator.next().opcode(), Opcode::TextResponse);
    send(bench.initiator,
         {.type = kReData, .itt = itt, .tag = 0x99, .exp_stat_sn = last.stat_sn()});
    std::vector<std::byte> whole;
    for (std::uint32_t n = 0; n < 2; ++n) {
        const Seen in = bench.initiator.next();
        EXPECT_EQ(in.opcode(), Opcode::DataIn);
        EXPECT_EQ(data_sn(in), n);
        EXPECT_EQ(in.flags() & bit::kStatusInData, 0);
        EXPECT_EQ(in.offset(), n * 1024);
        whole.insert(whole.end(), in.data.begin(), in.data.end());
    }
    EXPECT_EQ(whole, bench.data);
    const Seen status = bench.initiator.next();
    EXPECT_EQ(status.opcode(), Opcode::ScsiResponse);
    EXPECT_EQ(status.stat_sn(), last.stat_sn());
    EXPECT_EQ(be32_at<at::kSnackTag>(status.view()), 0x99U);
    EXPECT_FALSE(bench.initiator.has_next());
}

// Goal: at level 0 a SNACK has no place.
TEST(TargetSnack, LevelZeroKnowsNone) {
    World world{small_config()};
    PlayedInitiator initiator{world};
    initiator.login();
    initiator.settle();
    send(initiator, {.type = kStatus});
    EXPECT_EQ(initiator.next().opcode(), Opcode::Reject);
    EXPECT_EQ(world.counters().snacks, 0U);
    EXPECT_FALSE(world.counters().violations.empty());
}

}  // namespace
}  // namespace holdfast::target
