#include "watchdog/supervise/life_signs.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace holdfast::watchdog {
namespace {

Instant at_ms(std::int64_t ms) {
    return Instant{} + Duration::from_ms(ms);
}

// Goal: for every state of a pair and every other fact the judgement is the one of the table in
// docs/watchdog.md.
TEST(Care, EveryCombination) {
    for (std::uint8_t active = 0; active < kActivePhaseCount; ++active) {
        for (std::uint8_t standby = 0; standby < kStandbySeatCount; ++standby) {
            for (const bool can_make : {false, true}) {
                const PairState state{static_cast<ActivePhase>(active),
                                      static_cast<StandbySeat>(standby)};
                SCOPED_TRACE(testing::Message() << int{active} << ' ' << int{standby} << can_make);
                Care wanted = Care::Held;
                if (state.active == ActivePhase::Serving) wanted = Care::Served;
                if (state.active == ActivePhase::Holding && state.standby == StandbySeat::Empty &&
                    !can_make)
                    wanted = Care::Lost;
                EXPECT_EQ(care_of({.state = state, .can_make = can_make}), wanted);
                // Whoever was killed and does not go: its state says nothing any more.
                for (const std::int64_t s : {0, 59}) {
                    EXPECT_EQ(care_of({.state = state,
                                       .was_killed = true,
                                       .since_kill = Duration::from_s(s),
                                       .can_make = can_make}),
                              Care::Held);
                }
                for (const std::int64_t s : {60, 61, 100'000}) {
                    EXPECT_EQ(care_of({.state = state,
                                       .was_killed = true,
                                       .since_kill = Duration::from_s(s),
                                       .can_make = can_make}),
                              Care::Lost);
                }
            }
        }
    }
}

// Goal: of several attachments the worst counts, in whatever order.
TEST(Care, TheWorstCounts) {
    for (std::uint8_t a = 0; a < kCareCount; ++a) {
        for (std::uint8_t b = 0; b < kCareCount; ++b) {
            const Care wanted = static_cast<Care>(std::max(a, b));
            EXPECT_EQ(worse(static_cast<Care>(a), static_cast<Care>(b)), wanted);
        }
    }
}

// Goal: who is not watched shows nothing, and never wakes up for it.
TEST(LifeSigns, NobodyWatches) {
    LifeSigns signs;
    for (std::int64_t ms = 0; ms < 1000; ++ms) {
        const auto due = signs.look(at_ms(ms), Care::Served);
        EXPECT_FALSE(due.to_manager || due.to_machine);
        EXPECT_TRUE(signs.next().is_never());
    }
}

// Goal: no watcher ever waits longer than a quarter of its time, be the looks rare or frequent, and
// each has its own pace.
TEST(LifeSigns, FourSignsInEachTime) {
    for (const std::int64_t step : {1, 7, 100}) {
        LifeSigns signs;
        signs.watch_by_manager(Duration::from_s(2));
        signs.watch_by_machine(Duration::from_s(60));
        std::int64_t manager_last = 0;
        std::int64_t machine_last = 0;
        std::int64_t to_machine = 0;
        for (std::int64_t ms = 0; ms <= 120'000; ms += step) {
            const auto due = signs.look(at_ms(ms), ms % 2 == 0 ? Care::Served : Care::Held);
            if (due.to_manager) manager_last = ms;
            if (due.to_machine) machine_last = ms;
            if (due.to_machine) ++to_machine;
            ASSERT_LT(ms - manager_last, 500 + step);
            ASSERT_LT(ms - machine_last, 15'000 + step);
            ASSERT_GT(signs.next(), at_ms(ms));
        }
        EXPECT_GE(to_machine, 8);
        EXPECT_LE(to_machine, 9) << "a sign too many is a wake-up too many";
    }
}

// Goal: the supervisor sleeps until a sign is due, and not longer.
TEST(LifeSigns, SleepsUntilTheNextSign) {
    LifeSigns signs;
    signs.watch_by_machine(Duration::from_s(40));
    signs.watch_by_manager(Duration::from_s(4));
    Instant now = at_ms(5);
    for (int i = 0; i < 100; ++i) {
        const auto due = signs.look(now, Care::Held);
        EXPECT_TRUE(due.to_manager);
        EXPECT_EQ(due.to_machine, i % 10 == 0);
        EXPECT_EQ(signs.next(), now + Duration::from_s(1));
        now = signs.next();
    }
}

// Goal: nobody is told that all is well while an attachment is lost, however long that is; and a
// sign comes at once when it is not lost any more. It never makes the supervisor spin.
TEST(LifeSigns, SilentWhileLost) {
    LifeSigns signs;
    signs.watch_by_manager(Duration::from_s(4));
    signs.watch_by_machine(Duration::from_s(8));
    EXPECT_TRUE(signs.look(at_ms(0), Care::Served).to_machine);
    for (std::int64_t ms = 0; ms < 100'000; ms += 100) {
        const auto due = signs.look(at_ms(ms), Care::Lost);
        ASSERT_FALSE(due.to_manager || due.to_machine);
        ASSERT_TRUE(signs.next().is_never());
    }
    const auto due = signs.look(at_ms(100'000), Care::Held);
    EXPECT_TRUE(due.to_manager && due.to_machine);
    EXPECT_EQ(signs.next(), at_ms(101'000));
}

// Goal: after a pause of the machine the sign is due at once, and is not made up for later.
TEST(LifeSigns, OneSignAfterAPause) {
    LifeSigns signs;
    signs.watch_by_machine(Duration::from_s(60));
    EXPECT_TRUE(signs.look(at_ms(0), Care::Served).to_machine);
    EXPECT_TRUE(signs.look(at_ms(3'600'000), Care::Served).to_machine);
    EXPECT_FALSE(signs.look(at_ms(3'600'001), Care::Served).to_machine);
    EXPECT_EQ(signs.next(), at_ms(3'615'000));
}

}  // namespace
}  // namespace holdfast::watchdog
