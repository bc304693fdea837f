#include "watchdog/supervise/pair.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::watchdog {
namespace {

constexpr std::string_view kActiveLetters = "OSTHE";
constexpr std::string_view kStandbyLetters = "-ws";
constexpr std::string_view kOrderLetters = ".mtche";

std::string drawn(const std::optional<PairStep>& next) {
    if (!next) return "   ";
    return {kActiveLetters[static_cast<std::size_t>(next->state.active)],
            kStandbyLetters[static_cast<std::size_t>(next->state.standby)],
            kOrderLetters[static_cast<std::size_t>(next->order)]};
}

std::vector<PairState> all_states() {
    std::vector<PairState> all;
    for (std::uint8_t active = 0; active < kActivePhaseCount; ++active)
        for (std::uint8_t standby = 0; standby < kStandbySeatCount; ++standby)
            all.push_back({static_cast<ActivePhase>(active), static_cast<StandbySeat>(standby)});
    return all;
}

// Goal: every state under every event does what docs/watchdog.md says.
// Method: the table is redrawn. Columns are the events in their order; a cell is the next state
// and the order: Opening Serving TakingOver Holding Ended; - nobody, w warming, s standing;
// m make standby, t take over, c cold successor, h hold, e end. Blank: no meaning.
TEST(PairTable, IsTheOneInTheDocument) {
    constexpr std::array<std::string_view, 15> kTable{
        // serves left died often hold due made stands sbdied none
        "S-.|E-e|E-e|E-e|   |O-.|   |   |   |   ",  // Opening, nobody
        "Sw.|Ewe|Ewe|Ewe|   |Ow.|   |Os.|O-.|   ", "Ss.|Ese|Ese|Ese|   |Os.|   |   |O-.|   ",
        "   |E-e|T-c|H-h|   |S-m|Sw.|   |   |   ",  // Serving
        "   |Ewe|Twc|Hwh|   |Sw.|   |Ss.|S-.|   ", "   |Ese|T-t|Hsh|   |Ss.|   |   |S-.|   ",
        "S-.|E-e|T-c|H-h|   |T-.|   |   |   |H-h",  // TakingOver
        "Sw.|Ewe|Twc|Hwh|   |Tw.|   |Ts.|T-.|Hwh", "Ss.|Ese|T-t|Hsh|   |Ts.|   |   |T-.|Hsh",
        "   |   |   |   |T-c|H-.|   |   |   |   ",  // Holding
        "   |   |   |   |Twc|Hw.|   |Hs.|H-.|   ", "   |   |   |   |T-t|Hs.|   |   |H-.|   ",
        "   |   |   |   |   |E-.|   |   |   |   ",  // Ended
        "   |   |   |   |   |Ew.|   |Es.|E-.|   ", "   |   |   |   |   |Es.|   |   |E-.|   ",
    };
    std::size_t row = 0;
    for (const PairState state : all_states()) {
        std::string line;
        for (std::uint8_t event = 0; event < kPairEventCount; ++event) {
            if (event > 0) line += '|';
            line += drawn(step(state, static_cast<PairEvent>(event)));
        }
        EXPECT_EQ(line, kTable[row]) << "row " << row;
        ++row;
    }
}

// Goal: whatever happens, in whatever order, requests that wait always have somebody to wait for:
// from each state that can be reached with a device that was served, serving can be reached again,
// unless the process left in order.
TEST(PairTable, WaitingRequestsCanAlwaysBeServedAgain) {
    for (const PairState start : all_states()) {
        if (start.active == ActivePhase::Opening || start.active == ActivePhase::Ended) continue;
        std::vector<PairState> reached{start};
        bool serves = false;
        for (std::size_t i = 0; i < reached.size(); ++i) {
            serves = serves || reached[i].active == ActivePhase::Serving;
            for (std::uint8_t event = 0; event < kPairEventCount; ++event) {
                const auto next = step(reached[i], static_cast<PairEvent>(event));
                if (next && std::ranges::find(reached, next->state) == reached.end())
                    reached.push_back(next->state);
            }
        }
        EXPECT_TRUE(serves) << drawn(PairStep{.state = start});
    }
}

Pair serving_pair() {
    Pair pair;
    EXPECT_EQ(pair.on_active_serves(), PairOrder::None);
    return pair;
}

void stand(Pair& pair) {
    pair.on_standby_made();
    pair.on_standby_stands();
    ASSERT_EQ(pair.state().standby, StandbySeat::Standing);
}

constexpr Instant at_s(std::int64_t seconds) {
    return Instant{} + Duration::from_s(seconds);
}

// Goal: a process that dies before it ever served ends the attachment, and nobody takes over.
TEST(PairLimits, OpeningIsNotTakenOver) {
    Pair pair;
    EXPECT_EQ(pair.on_active_gone(at_s(1), Death::Crashed), PairOrder::End);
    EXPECT_EQ(pair.on_look(at_s(100), true), PairOrder::None);
    EXPECT_EQ(pair.takeovers(), 0U);
}

// Goal: an outside kill every five seconds is a non-event, for an hour.
TEST(PairLimits, KillsFromOutsideAreNoPoison) {
    Pair pair = serving_pair();
    for (std::int64_t at = 0; at < 3600; at += 5) {
        ASSERT_EQ(pair.on_look(at_s(at), true), PairOrder::MakeStandby);
        stand(pair);
        ASSERT_EQ(pair.on_active_gone(at_s(at), Death::Killed), PairOrder::TakeOver);
        ASSERT_EQ(pair.on_active_serves(), PairOrder::None);
    }
    EXPECT_EQ(pair.takeovers(), 720U);
    EXPECT_EQ(pair.last_death(), Death::Killed);
}

// Goal: a poisonous input cannot kill the pair for ever: after the allowance it holds, with its
// standby kept, and tries once each interval.
TEST(PairLimits, CrashesAreLimitedAndThenHeld) {
    Pair pair = serving_pair();
    for (std::uint32_t i = 0; i < Pair::kCrashesAtOnce; ++i) {
        stand(pair);
        ASSERT_EQ(pair.on_active_gone(at_s(i), i % 2 == 0 ? Death::Crashed : Death::Hung),
                  PairOrder::TakeOver);
        ASSERT_EQ(pair.on_active_serves(), PairOrder::None);
    }
    stand(pair);
    EXPECT_EQ(pair.on_active_gone(at_s(10), Death::Crashed), PairOrder::Hold);
    EXPECT_EQ(pair.state(), (PairState{ActivePhase::Holding, StandbySeat::Standing}));
    EXPECT_EQ(pair.on_look(at_s(59), true), PairOrder::None);
    EXPECT_EQ(pair.on_look(at_s(60), true), PairOrder::TakeOver);
    EXPECT_EQ(pair.on_active_serves(), PairOrder::None);
    EXPECT_EQ(pair.on_active_gone(at_s(61), Death::Crashed), PairOrder::Hold);
    EXPECT_EQ(pair.on_look(at_s(119), true), PairOrder::None);
    EXPECT_EQ(pair.on_look(at_s(120), true), PairOrder::Succeed);
    // Time without a crash gives the whole allowance back.
    EXPECT_EQ(pair.on_active_serves(), PairOrder::None);
    for (std::uint32_t i = 0; i < Pair::kCrashesAtOnce; ++i) {
        ASSERT_EQ(pair.on_active_gone(at_s(900), Death::Crashed), PairOrder::Succeed);
        ASSERT_EQ(pair.on_active_serves(), PairOrder::None);
    }
    EXPECT_EQ(pair.on_active_gone(at_s(900), Death::Crashed), PairOrder::Hold);
}

// Goal: a storm of kills is limited, too, but recovers within a second.
TEST(PairLimits, KillsAreLimitedToOneASecond) {
    Pair pair = serving_pair();
    for (std::uint32_t i = 0; i < Pair::kKillsAtOnce; ++i) {
        ASSERT_EQ(pair.on_active_gone(at_s(1), Death::Killed), PairOrder::Succeed);
        ASSERT_EQ(pair.on_active_serves(), PairOrder::None);
    }
    EXPECT_EQ(pair.on_active_gone(at_s(1), Death::Killed), PairOrder::Hold);
    EXPECT_EQ(pair.on_look(at_s(2), true), PairOrder::Succeed);
}

// Goal: a successor that cannot even be made is tried again, and a standby that came to stand
// meanwhile is used.
TEST(PairLimits, SuccessorThatCannotBeMadeIsTriedAgain) {
    Pair pair = serving_pair();
    pair.on_standby_made();
    EXPECT_EQ(pair.on_active_gone(at_s(1), Death::Killed), PairOrder::Succeed);
    EXPECT_EQ(pair.on_successor_not_started(at_s(1)), PairOrder::Hold);
    pair.on_standby_stands();
    EXPECT_EQ(pair.on_look(at_s(1), true), PairOrder::None);
    EXPECT_EQ(pair.on_look(at_s(2), true), PairOrder::TakeOver);
}

// Goal: standbys are made when wanted, not in a hurry after one died, and never while a takeover
// is under way.
TEST(PairStandby, IsMadeInItsTime) {
    Pair pair = serving_pair();
    EXPECT_EQ(pair.on_look(at_s(0), false), PairOrder::None);
    EXPECT_EQ(pair.on_look(at_s(0), true), PairOrder::MakeStandby);
    EXPECT_EQ(pair.on_look(at_s(0), true), PairOrder::MakeStandby);  // It could not be made.
    pair.on_standby_made();
    EXPECT_EQ(pair.on_look(at_s(1), true), PairOrder::None);
    pair.on_standby_gone(at_s(1));
    EXPECT_EQ(pair.on_look(at_s(10), true), PairOrder::None);
    EXPECT_EQ(pair.on_look(at_s(11), true), PairOrder::MakeStandby);
    stand(pair);
    pair.on_standby_gone(at_s(20));
    EXPECT_EQ(pair.on_look(at_s(20), true), PairOrder::None);
    EXPECT_EQ(pair.on_look(at_s(21), true), PairOrder::MakeStandby);
    EXPECT_EQ(pair.on_active_gone(at_s(22), Death::Hung), PairOrder::Succeed);
    EXPECT_EQ(pair.on_look(at_s(22), true), PairOrder::None);
}

// Goal: what a mad process claims in shared memory changes nothing.
TEST(PairStandby, ClaimsOutOfPlaceAreIgnored) {
    Pair pair = serving_pair();
    const PairState before = pair.state();
    EXPECT_EQ(pair.on_active_serves(), PairOrder::None);
    pair.on_standby_stands();
    EXPECT_EQ(pair.state(), before);
    EXPECT_EQ(pair.takeovers(), 0U);
}

// Goal: signals that a process brings on itself are crashes, all others come from outside.
TEST(PairDeath, SignalsTellCrashesFromKills) {
    const std::set<int> crashes{SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP};
    for (int signal = 1; signal < 65; ++signal)
        EXPECT_EQ(death_by_signal(signal) == Death::Crashed, crashes.contains(signal)) << signal;
}

}  // namespace
}  // namespace holdfast::watchdog
