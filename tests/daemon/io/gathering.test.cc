#include "daemon/io/gathering.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

constexpr std::uint32_t kInFlight = 32;

/// A target that ends one request every `interval`, `batch` of them at a time, and whose interval
/// is another one while we gather.
struct Target {
    Duration interval;
    Duration interval_gathered;
    std::uint64_t batch;
};

/// The share of turns, in percent, in which the loop gathered.
int share_of_gathering(Gathering& gathering, const Target& target) {
    constexpr int kTurns = 100'000;
    Instant now = Instant::from_ns(1'000'000'000);
    int gathered = 0;
    for (int i = 0; i < kTurns; ++i) {
        const bool gathers = gathering.time_for(kInFlight) > Duration{};
        gathered += gathers ? 1 : 0;
        const std::uint64_t done = gathers ? target.batch * 4 : target.batch;
        const Duration each = gathers ? target.interval_gathered : target.interval;
        now = now + each * static_cast<std::int64_t>(done);
        gathering.on_turn(now, done, kInFlight);
    }
    return gathered * 100 / kTurns;
}

// Goal: a target that answers one by one is gathered from, when that costs nothing.
TEST(Gathering, OneByOneIsGathered) {
    Gathering gathering;
    const Target target{Duration::from_us(20), Duration::from_us(20), 1};
    EXPECT_GT(share_of_gathering(gathering, target), 70);
}

// Goal: where gathering makes the target idle it is given up, but for short trials.
TEST(Gathering, LostThroughputEndsIt) {
    Gathering gathering;
    const Target target{Duration::from_us(20), Duration::from_us(30), 1};
    EXPECT_LT(share_of_gathering(gathering, target), 10);
}

// Goal: a target that answers in batches, or seldom, is left alone altogether.
TEST(Gathering, BatchesAndSlowTargetsAreLeftAlone) {
    Gathering batches;
    EXPECT_EQ(share_of_gathering(batches, {Duration::from_us(4), Duration::from_us(4), 8}), 0);
    Gathering slow;
    EXPECT_EQ(share_of_gathering(slow, {Duration::from_us(200), Duration::from_us(200), 1}), 0);
}

// Goal: a target that changes its habits is noticed, both ways.
TEST(Gathering, ChangesAreNoticed) {
    Gathering gathering;
    const Target good{Duration::from_us(20), Duration::from_us(20), 1};
    const Target bad{Duration::from_us(20), Duration::from_us(40), 1};
    EXPECT_GT(share_of_gathering(gathering, good), 70);
    EXPECT_LT(share_of_gathering(gathering, bad), 10);
    EXPECT_GT(share_of_gathering(gathering, good), 40);
}

// Goal: with few requests outstanding nothing is delayed; a delay is a small part of the latency
// and bounded.
TEST(Gathering, DelaysAreSmallAndBounded) {
    Gathering gathering;
    share_of_gathering(gathering, {Duration::from_us(16), Duration::from_us(16), 1});
    ASSERT_TRUE(gathering.gathers());
    EXPECT_EQ(gathering.time_for(Gathering::kInFlightMin - 1), Duration{});
    EXPECT_EQ(gathering.time_for(32), Duration::from_us(16 * 32 / 8));
    EXPECT_EQ(gathering.time_for(256), Gathering::kTimeMax);
}

}  // namespace
}  // namespace holdfast::daemon
