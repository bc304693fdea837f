#include "daemon/client/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/random.h"
#include "daemon/client/fine_histogram.h"
#include "daemon/client/progress.h"

namespace holdfast::daemon {
namespace {

using testing::HasSubstr;

std::vector<std::byte> pattern_at(std::uint64_t address, std::uint64_t generation) {
    std::vector<std::byte> data(4 * kPatternUnitBytes);
    fill_pattern(data, address, generation);
    return data;
}

// Goal: the pattern passes its own check.
TEST(Pattern, WhatWasFilledIsRight) {
    EXPECT_FALSE(check_pattern(pattern_at(1024, 7), 1024, 7));
}

// Goal: data that belongs to another address is told from other damage.
TEST(Pattern, WrongPlaceIsTold) {
    const auto mismatch = check_pattern(pattern_at(1024, 7), 2048, 7);
    ASSERT_TRUE(mismatch);
    EXPECT_EQ(mismatch->fault, PatternFault::WrongAddress);
    EXPECT_EQ(mismatch->found_address, 1024U);
    EXPECT_THAT(sentence_of(*mismatch), HasSubstr("wrong place"));
}

// Goal: data of an earlier run is told from other damage.
TEST(Pattern, OldGenerationIsTold) {
    const auto mismatch = check_pattern(pattern_at(1024, 6), 1024, 7);
    ASSERT_TRUE(mismatch);
    EXPECT_EQ(mismatch->fault, PatternFault::WrongGeneration);
    EXPECT_THAT(sentence_of(*mismatch), HasSubstr("seed 6 instead of 7"));
}

// Goal: blocks that were never written are told from other damage.
TEST(Pattern, ZeroesAreTold) {
    const std::vector<std::byte> zeroes(kPatternUnitBytes);
    const auto mismatch = check_pattern(zeroes, 0, 1);
    ASSERT_TRUE(mismatch);
    EXPECT_EQ(mismatch->fault, PatternFault::NotOurs);
}

// Goal: no single changed byte goes unnoticed, and the right unit is named.
TEST(Pattern, EveryFlippedByteIsFound) {
    for (std::size_t i = 0; i < 4 * kPatternUnitBytes; ++i) {
        auto data = pattern_at(8192, 3);
        data[i] ^= std::byte{0x40};
        const auto mismatch = check_pattern(data, 8192, 3);
        ASSERT_TRUE(mismatch) << i;
        EXPECT_EQ(mismatch->expected_address, 8192 + i / kPatternUnitBytes * kPatternUnitBytes);
    }
}

// Goal: every value up to 2^64 - 1 has a bucket whose borders enclose it.
TEST(FineHistogram, EveryValueIsInABucketThatHoldsIt) {
    SplitMix64 random{1};
    for (int i = 0; i < 100'000; ++i) {
        const std::uint64_t value = random.next() >> random.below(64);
        const std::size_t bucket = FineHistogram::bucket_of(value);
        ASSERT_LE(value, FineHistogram::upper_of(bucket));
        if (bucket == 0) continue;
        ASSERT_GT(value, FineHistogram::upper_of(bucket - 1));
    }
    EXPECT_EQ(FineHistogram::upper_of(FineHistogram::bucket_of(~0ULL)), ~0ULL);
}

// Goal: the error of a percentile is below two percent.
TEST(FineHistogram, PercentilesAreWithinTwoPercent) {
    FineHistogram histogram;
    for (std::uint64_t i = 1; i <= 100'000; ++i) histogram.add(i * 1000);
    for (const std::uint32_t permille : {1U, 500U, 950U, 990U, 999U, 1000U}) {
        const double truth = permille * 100'000.0;
        const auto found = static_cast<double>(histogram.percentile_ns(permille));
        EXPECT_GE(found, truth * 0.999);
        EXPECT_LE(found, truth * 1.02);
    }
    EXPECT_EQ(histogram.min_ns(), 1000U);
    EXPECT_EQ(FineHistogram{}.percentile_ns(990), 0U);
}

// Goal: the line shows share, amount and rate, also when the whole is not known.
TEST(Progress, LineShowsShareAndRate) {
    EXPECT_EQ(Progress::line("reading", 1U << 20, 4U << 20, Duration::from_s(2)),
              "reading: 25 %, 1.0 MiB of 4.0 MiB, 512.0 KiB/s");
    EXPECT_EQ(Progress::line("reading", 100, 0, Duration::from_s(1)), "reading: 100 B, 100 B/s");
    EXPECT_EQ(size_text(1023), "1023 B");
    EXPECT_EQ(size_text(~0ULL), "16384.0 PiB");
}

}  // namespace
}  // namespace holdfast::daemon
