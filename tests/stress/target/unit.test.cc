#include "stress/target/unit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/stress/target/played_initiator.h"

namespace holdfast::target {
namespace {

LogicalUnit unit_with(LunConfig config) {
    config.size_bytes = 1U << 20;
    config.serial = "TEST0001";
    return LogicalUnit{
        config, Disk{std::move(*Storage::anonymous(1U << 20)), config.block_bytes, config.cache}};
}

Cdb cdb_of(std::initializer_list<int> octets) {
    Cdb cdb{};
    std::ranges::transform(octets, cdb.begin(), [](int o) { return static_cast<std::byte>(o); });
    return cdb;
}

int octet(const Outcome& outcome, std::size_t at) {
    return std::to_integer<int>(outcome.reply.at(at));
}

// Goal: write and read back, at the first and last block; one past the end is refused.
TEST(TargetUnit, BlocksAreReadAsWritten) {
    LogicalUnit unit = unit_with({});
    const auto data = pattern(512, 1);
    for (const std::uint32_t lba : {0U, 2047U}) {
        const auto write = cdb_10(scsi_op::kWrite10, lba, 1);
        EXPECT_EQ(unit.plan(write).out_bytes, 512U);
        EXPECT_EQ(unit.run(write, data).status, ScsiStatus::Good);
        const auto read = unit.run(cdb_10(scsi_op::kRead10, lba, 1), {});
        EXPECT_TRUE(std::ranges::equal(read.data(), data));
    }
    EXPECT_EQ(unit.plan(cdb_10(scsi_op::kRead10, 2047, 2)).refusal, kLbaOutOfRange);
    EXPECT_EQ(unit.plan(cdb_10(scsi_op::kRead10, 2048, 0)).refusal, kLbaOutOfRange);
    EXPECT_EQ(unit.plan(cdb_10(scsi_op::kWrite10, 0xffff'ffff, 0xffff)).refusal, kLbaOutOfRange);
}

// Goal: 64-bit LBAs near the wrap do not pass the range check.
TEST(TargetUnit, LbaSumsDoNotWrap) {
    LogicalUnit unit = unit_with({});
    Cdb cdb{};
    put_u8<0>(std::span{cdb}, scsi_op::kRead16);
    put_be64<2>(std::span{cdb}, ~0ULL);
    put_be32<10>(std::span{cdb}, 2);
    EXPECT_EQ(unit.plan(cdb).refusal, kLbaOutOfRange);
}

// Goal: a read-only unit refuses whatever changes it.
TEST(TargetUnit, ReadOnlyRefusesChanges) {
    LogicalUnit unit = unit_with({.read_only = true, .thin = true});
    for (const auto opcode : {scsi_op::kWrite10, scsi_op::kWriteSame10, scsi_op::kUnmap})
        EXPECT_EQ(unit.plan(cdb_10(opcode, 0, 1)).refusal, kWriteProtected);
    EXPECT_FALSE(unit.plan(cdb_10(scsi_op::kRead10, 0, 1)).refusal);
    EXPECT_EQ(octet(unit.run(cdb_of({0x1a, 0, 0x3f, 0, 255}), {}), 2) & 0x80, 0x80);
}

// Goal: WCE follows the cache, DPOFUA is always set.
TEST(TargetUnit, ModeSenseShowsTheCache) {
    for (const bool cache : {false, true}) {
        LogicalUnit unit = unit_with({.cache = cache});
        const auto six = unit.run(cdb_of({0x1a, 0, 0x08, 0, 255}), {});
        EXPECT_EQ((octet(six, 6) & 0x04) != 0, cache);
        EXPECT_EQ(octet(six, 2) & 0x10, 0x10);
        const auto ten = unit.run(cdb_of({0x5a, 0, 0x08, 0, 0, 0, 0, 0, 255}), {});
        EXPECT_EQ((octet(ten, 10) & 0x04) != 0, cache);
    }
}

// Goal: every listed page exists and names itself; others are refused.
TEST(TargetUnit, VitalPagesAreThoseListed) {
    LogicalUnit unit = unit_with({.thin = true});
    const auto list = unit.run(cdb_of({0x12, 1, 0, 0, 255}), {});
    ASSERT_EQ(list.reply.size(), 10U);
    for (std::size_t i = 4; i < list.reply.size(); ++i) {
        const int code = octet(list, i);
        const auto page = unit.run(cdb_of({0x12, 1, code, 0, 255}), {});
        EXPECT_EQ(octet(page, 1), code);
    }
    EXPECT_EQ(unit.run(cdb_of({0x12, 1, 0x42, 0, 255}), {}).status, ScsiStatus::CheckCondition);
}

// Goal: the allocation length cuts replies.
TEST(TargetUnit, AllocationLengthCuts) {
    LogicalUnit unit = unit_with({});
    for (const int length : {0, 1, 5, 36})
        EXPECT_EQ(unit.run(cdb_of({0x12, 0, 0, 0, length}), {}).reply.size(),
                  static_cast<std::size_t>(length));
}

// Goal: 4096-byte blocks are counted as such.
TEST(TargetUnit, LargeBlocks) {
    LogicalUnit unit = unit_with({.block_bytes = 4096});
    const auto capacity = unit.run(cdb_of({0x25}), {});
    EXPECT_EQ(octet(capacity, 3), 255);
    EXPECT_EQ(octet(capacity, 6), 0x10);
    EXPECT_EQ(unit.plan(cdb_10(scsi_op::kWrite10, 0, 1)).out_bytes, 4096U);
}

// Goal: UNMAP takes its list, and a truncated or absurd list does no harm.
TEST(TargetUnit, UnmapReadsItsDescriptors) {
    LogicalUnit unit = unit_with({.thin = true});
    EXPECT_EQ(unit.run(cdb_10(scsi_op::kWrite10, 0, 16), pattern(16 * 512, 3)).status,
              ScsiStatus::Good);
    std::array<std::byte, 24> list{};
    const std::span out{list};
    put_be16<0>(out, 22);
    put_be16<2>(out, 16);
    put_be64<8>(out, 4);
    put_be32<16>(out, 2);
    for (std::size_t size = 0; size <= list.size(); ++size) {
        const auto outcome = unit.run(cdb_10(scsi_op::kUnmap, 0, 24), Bytes{list}.first(size));
        const bool bad = size > 0 && size < 8;
        EXPECT_EQ(outcome.status, bad ? ScsiStatus::CheckCondition : ScsiStatus::Good);
    }
    const auto read = unit.run(cdb_10(scsi_op::kRead10, 4, 2), {});
    EXPECT_TRUE(std::ranges::all_of(read.data(), [](auto b) { return b == std::byte{0}; }));
    put_be64<8>(out, ~0ULL);
    EXPECT_EQ(unit.run(cdb_10(scsi_op::kUnmap, 0, 24), list).sense, kLbaOutOfRange);
}

// Goal: COMPARE AND WRITE writes on a match, and says where a mismatch begins.
TEST(TargetUnit, CompareAndWrite) {
    LogicalUnit unit = unit_with({});
    Cdb cdb{};
    put_u8<0>(std::span{cdb}, scsi_op::kCompareAndWrite);
    put_u8<13>(std::span{cdb}, 1);
    std::vector<std::byte> data(1024);
    std::ranges::fill(std::span{data}.subspan(512), std::byte{5});
    EXPECT_EQ(unit.plan(cdb).out_bytes, 1024U);
    EXPECT_EQ(unit.run(cdb, data).status, ScsiStatus::Good);
    const auto again = unit.run(cdb, data);
    EXPECT_EQ(again.sense.key, sense_key::kMiscompare);
    EXPECT_EQ(again.sense.information, 0U);
}

// Goal: no CDB makes the unit misbehave: each is planned, and run with what was planned.
TEST(TargetUnit, EveryOperationCodeIsSurvived) {
    LogicalUnit unit = unit_with({.cache = true, .thin = true});
    SplitMix64 random{7};
    for (int round = 0; round < 20'000; ++round) {
        Cdb cdb{};
        for (auto& b : cdb) b = static_cast<std::byte>(random.one_in(3) ? random.next() : 0);
        cdb[0] = static_cast<std::byte>(round);
        const Plan plan = unit.plan(cdb);
        if (plan.refusal) continue;
        const std::vector<std::byte> data(plan.out_bytes, std::byte{1});
        static_cast<void>(unit.run(cdb, data));
    }
}

}  // namespace
}  // namespace holdfast::target
