#include "daemon/shared/status_block.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>

#include "base/random.h"

namespace holdfast::daemon {
namespace {

// Goal: before the first publication there is nothing to read.
TEST(StatusBlock, NothingPublishedReadsEmpty) {
    const auto block = std::make_unique<StatusBlock>();
    EXPECT_FALSE(StatusReader{*block}.try_read());
}

// Goal: facts are read as they were published.
TEST(StatusBlock, WhatWasPublishedIsRead) {
    const auto block = std::make_unique<StatusBlock>();
    StatusWriter writer{*block};
    StatusFacts facts;
    facts.name.assign_cut("swap0");
    facts.plan_bytes = 12345;
    facts.protections.push({.name = {}, .wanted = {}, .found = {}, .advice = {}, .holds = true});
    writer.publish(facts);
    const auto read = StatusReader{*block}.try_read();
    ASSERT_TRUE(read);
    EXPECT_EQ(read->name.view(), "swap0");
    EXPECT_EQ(read->plan_bytes, 12345U);
    ASSERT_EQ(read->protections.size(), 1U);
    EXPECT_TRUE(read->protections[0].holds);
}

// Goal: a writer that died in the middle of publishing never yields half a set of facts, and its
// successor can publish again.
TEST(StatusBlock, WriterThatDiedHalfwayReadsEmptyUntilItsSuccessorPublishes) {
    const auto block = std::make_unique<StatusBlock>();
    StatusWriter{*block}.publish(StatusFacts{});
    block->sequence.fetch_add(1);
    EXPECT_FALSE(StatusReader{*block}.try_read());
    StatusWriter{*block}.publish(StatusFacts{});
    EXPECT_TRUE(StatusReader{*block}.try_read());
}

// Goal: whatever a mad writer leaves in the block, reading it is safe.
TEST(StatusBlock, DamagedFactsAreNotHandedOut) {
    const auto block = std::make_unique<StatusBlock>();
    SplitMix64 random{7};
    for (int round = 0; round < 2'000; ++round) {
        StatusWriter{*block}.publish(StatusFacts{});
        for (int i = 0; i < 4; ++i)
            block->words[random.below(StatusBlock::kWords)].store(random.next());
        const auto read = StatusReader{*block}.try_read();
        if (!read) continue;
        EXPECT_LE(read->notices.span().size(), StatusFacts::kNoticesMax);
        EXPECT_LE(read->name.view().size(), 32U);
    }
}

// Goal: readers see only whole sets of facts while the writer keeps publishing.
// Method: three fields far apart carry the same number. The thread sanitizer watches the words.
TEST(StatusBlock, ConcurrentReadersSeeWholeSets) {
    const auto block = std::make_unique<StatusBlock>();
    std::atomic<bool> is_done{false};
    std::thread writing{[&] {
        StatusWriter writer{*block};
        StatusFacts facts;
        for (std::uint64_t i = 1; i <= 3'000; ++i) {
            facts.plan_bytes = i;
            facts.counters.requests_done = i;
            facts.loop_late_max_ns = i;
            writer.publish(facts);
            writer.beat();
        }
        is_done.store(true);
    }};
    std::uint64_t last = 0;
    while (!is_done.load()) {
        const auto read = StatusReader{*block}.try_read();
        if (!read) continue;
        ASSERT_EQ(read->plan_bytes, read->counters.requests_done);
        ASSERT_EQ(read->plan_bytes, read->loop_late_max_ns);
        ASSERT_GE(read->plan_bytes, last);
        last = read->plan_bytes;
    }
    writing.join();
    EXPECT_EQ(StatusReader{*block}.heartbeat(), 3'000U);
}

// Goal: a percentile is never below the truth and at most twice it.
TEST(LatencyHistogram, PercentilesAreUpperBoundsWithinAFactorOfTwo) {
    LatencyHistogram histogram;
    for (int us = 1; us <= 1000; ++us) histogram.add(Duration::from_us(us));
    EXPECT_EQ(histogram.total, 1000U);
    EXPECT_EQ(histogram.max_ns, 1'000'000U);
    for (const std::uint32_t permille : {500U, 950U, 990U, 999U}) {
        const std::uint64_t truth = permille * 1000ULL;
        EXPECT_GE(histogram.percentile_ns(permille), truth);
        EXPECT_LE(histogram.percentile_ns(permille), 2 * truth);
    }
}

// Goal: no latency, however odd, is lost or out of bounds.
TEST(LatencyHistogram, EmptyNegativeAndHugeLatenciesAreCounted) {
    LatencyHistogram histogram;
    EXPECT_EQ(histogram.percentile_ns(999), 0U);
    histogram.add(Duration::from_ns(-5));
    EXPECT_EQ(histogram.counts[0], 1U);
    histogram.add(Duration::max());
    EXPECT_EQ(histogram.counts[LatencyHistogram::kBuckets - 1], 1U);
}

}  // namespace
}  // namespace holdfast::daemon
