#include "daemon/io/gathering.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

/// After a long run in which one request ended every `interval`.
Gathering settled_at(Duration interval) {
    Gathering gathering;
    Instant now = Instant::from_ns(1'000'000'000);
    for (int i = 0; i < 200; ++i) {
        now = now + interval * 4;
        gathering.on_turn(now, 4);
    }
    return gathering;
}

// Goal: nothing is delayed before the rhythm is known, nor with few requests outstanding, nor when
// replies are rare.
TEST(Gathering, StaysOutOfTheWay) {
    EXPECT_EQ(Gathering{}.time_for(128), Duration{});
    const Gathering fast = settled_at(Duration::from_us(10));
    EXPECT_EQ(fast.time_for(Gathering::kInFlightMin - 1), Duration{});
    EXPECT_EQ(settled_at(Duration::from_us(200)).time_for(128), Duration{});
}

// Goal: the delay is a small part of a request's latency, and bounded.
TEST(Gathering, DelayIsAFractionOfTheLatency) {
    const Gathering gathering = settled_at(Duration::from_us(16));
    const Duration latency = Duration::from_us(16 * 32);
    const Duration delay = gathering.time_for(32);
    EXPECT_GT(delay, Duration{});
    EXPECT_LE(delay * Gathering::kLatencyFraction, latency + Duration::from_us(8));
    EXPECT_EQ(settled_at(Duration::from_us(50)).time_for(256), Gathering::kTimeMax);
}

}  // namespace
}  // namespace holdfast::daemon
