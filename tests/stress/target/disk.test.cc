#include "stress/target/disk.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace holdfast::target {
namespace {

constexpr std::uint32_t kBlock = 512;

Disk disk_with_cache(bool cache) {
    return Disk{std::move(*Storage::anonymous(1U << 20)), kBlock, cache};
}

std::vector<std::byte> blocks_of(std::uint8_t value, std::size_t count) {
    return std::vector<std::byte>(count * kBlock, static_cast<std::byte>(value));
}

bool holds(Disk& disk, std::uint64_t lba, std::uint8_t value) {
    return std::ranges::equal(disk.view(lba, 1), blocks_of(value, 1));
}

// Goal: what was written is read at once, and is gone after a power cut unless flushed or FUA.
TEST(TargetDisk, PowerCutLosesOnlyWhatWasNotFlushed) {
    Disk disk = disk_with_cache(true);
    SplitMix64 random{1};
    disk.write(0, blocks_of(1, 4), false);
    disk.flush(0, 2);
    disk.write(10, blocks_of(2, 1), true);
    disk.write(1, blocks_of(3, 1), false);
    EXPECT_TRUE(holds(disk, 1, 3));
    EXPECT_EQ(disk.unflushed_blocks(), 3U);
    EXPECT_EQ(disk.power_cut(CutStyle::All, random), 3U);
    EXPECT_TRUE(holds(disk, 0, 1));
    EXPECT_TRUE(holds(disk, 1, 1)) << "back to the flushed content";
    EXPECT_TRUE(holds(disk, 2, 0));
    EXPECT_TRUE(holds(disk, 10, 2));
}

// Goal: a random cut leaves each block whole: old or new, never a mixture.
TEST(TargetDisk, RandomCutNeverTearsABlock) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        Disk disk = disk_with_cache(true);
        SplitMix64 random{seed};
        disk.write(0, blocks_of(1, 64), false);
        disk.flush_all();
        disk.write(0, blocks_of(2, 64), false);
        const std::uint64_t lost = disk.power_cut(CutStyle::RandomSubset, random);
        std::uint64_t old = 0;
        for (std::uint64_t lba = 0; lba < 64; ++lba) {
            ASSERT_TRUE(holds(disk, lba, 1) || holds(disk, lba, 2)) << "seed " << seed;
            if (holds(disk, lba, 1)) ++old;
        }
        EXPECT_EQ(old, lost);
        EXPECT_GT(lost, 0U);
        EXPECT_LT(lost, 64U);
    }
}

// Goal: without a cache every write is durable.
TEST(TargetDisk, WithoutCacheNothingIsLost) {
    Disk disk = disk_with_cache(false);
    SplitMix64 random{1};
    disk.write(5, blocks_of(9, 2), false);
    EXPECT_EQ(disk.power_cut(CutStyle::All, random), 0U);
    EXPECT_TRUE(holds(disk, 6, 9));
}

// Goal: discarded blocks read as zeros at odd borders, and a cut does not bring them back.
TEST(TargetDisk, DiscardIsZeroAndDurable) {
    Disk disk = disk_with_cache(true);
    SplitMix64 random{1};
    disk.write(0, blocks_of(7, 64), false);
    disk.discard(3, 50);
    disk.flush(0, 3);
    EXPECT_EQ(disk.power_cut(CutStyle::All, random), 11U);
    EXPECT_TRUE(holds(disk, 2, 7));
    for (std::uint64_t lba = 3; lba < 64; ++lba) ASSERT_TRUE(holds(disk, lba, 0));
}

}  // namespace
}  // namespace holdfast::target
