#include "watchdog/supervise/heartbeat_watch.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace holdfast::watchdog {
namespace {

constexpr Duration kTick = OwnTime::kTick;

/// A supervisor that looks at one process, tick after tick.
struct Watched {
    explicit Watched(Duration limit = HeartbeatWatch::kLoopLimit) {
        watch.begin(time.at(), limit, count);
    }
    /// One look after `passed` on the monotonic clock.
    bool look(Duration passed, bool beats) {
        clock = clock + passed;
        if (beats) ++count;
        return watch.is_silent(time.look(clock), count);
    }
    /// Looks until silence is found; the time it took on the monotonic clock, 0 for never.
    Duration until_silent(int looks_max) {
        const Instant begun = clock;
        for (int i = 0; i < looks_max; ++i)
            if (look(kTick, false)) return clock - begun;
        return {};
    }

    Instant clock = Instant::from_ns(1'000'000'000'000);
    std::uint64_t count = 7;
    OwnTime time{clock};
    HeartbeatWatch watch;
};

// Goal: a hung process is found within its limit, and not before.
TEST(HeartbeatWatch, FindsSilenceAtTheLimit) {
    Watched watched;
    EXPECT_EQ(watched.until_silent(100), HeartbeatWatch::kLoopLimit);
}

// Goal: the slowest legal heart, one beat in each 1.4 s, lives for ever.
TEST(HeartbeatWatch, SlowHeartLives) {
    Watched watched;
    for (int i = 0; i < 10'000; ++i) ASSERT_FALSE(watched.look(kTick, i % 14 == 0));
}

// Goal: SIGSTOP of everything, suspend, a paused machine: the clock jumps, nobody beat, nobody is
// killed, whatever had been counted before.
TEST(HeartbeatWatch, JumpOfTheClockKillsNobody) {
    for (int silent_before = 0; silent_before < 14; ++silent_before) {
        for (const Duration jump : {Duration::from_ms(201), Duration::from_s(2),
                                    Duration::from_s(30), Duration::from_s(86'400)}) {
            Watched watched;
            for (int i = 0; i < silent_before; ++i) ASSERT_FALSE(watched.look(kTick, false));
            ASSERT_FALSE(watched.look(jump, false));
            // And it has the whole limit to come back to life.
            EXPECT_EQ(watched.until_silent(100), HeartbeatWatch::kLoopLimit);
        }
    }
}

// Goal: a supervisor that is always late judges nobody.
TEST(HeartbeatWatch, StarvedSupervisorJudgesNobody) {
    Watched watched;
    for (int i = 0; i < 1000; ++i) ASSERT_FALSE(watched.look(Duration::from_ms(250), false));
}

// Goal: wake-ups for other reasons, between two ticks, neither hasten nor delay the judgement.
TEST(HeartbeatWatch, EarlyLooksDoNotCount) {
    Watched watched;
    Duration passed;
    bool silent = false;
    while (!silent && passed < Duration::from_s(10)) {
        silent = watched.look(Duration::from_ms(1), false);
        passed = passed + Duration::from_ms(1);
    }
    EXPECT_EQ(passed, HeartbeatWatch::kLoopLimit);
}

// Goal: real-time throttling, 50 ms late once a second, hides no hang.
TEST(HeartbeatWatch, ThrottlingDoesNotHideAHang) {
    Watched watched;
    Duration passed;
    for (int i = 1; i < 100; ++i) {
        const Duration tick = i % 10 == 0 ? kTick + Duration::from_ms(50) : kTick;
        passed = passed + tick;
        if (watched.look(tick, false)) break;
    }
    EXPECT_LE(passed, HeartbeatWatch::kLoopLimit + kTick);
}

// Goal: a clock that does not move, or moves back, passes no time.
TEST(OwnTime, NeverRunsBackwards) {
    OwnTime time{Instant::from_ns(1000)};
    EXPECT_EQ(time.look(Instant::from_ns(1000)).at, Instant{});
    EXPECT_EQ(time.look(Instant::from_ns(500)).at, Instant{});
    EXPECT_EQ(time.look(Instant::from_ns(600)).at, Instant::from_ns(100));
}

}  // namespace
}  // namespace holdfast::watchdog
