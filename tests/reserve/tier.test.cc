#include "reserve/tier.h"

#include <gtest/gtest.h>

#include <array>

namespace holdfast::reserve {
namespace {

constexpr HostFacts kEverything{.kernel_major = 6,
                                .kernel_minor = 12,
                                .has_io_uring = true,
                                .has_ublk = true,
                                .has_seccomp = true,
                                .may_lock_memory = true,
                                .may_run_fifo = true,
                                .may_flush_io = true,
                                .may_lower_oom_score = true,
                                .may_set_kernel_reserve = true,
                                .reserve_fits = true,
                                .has_drop_gate = true,
                                .has_reserved_path = true};

// Everything that tier B needs, as switches.
constexpr std::array<bool HostFacts::*, 9> kNeedsOfB = {
    &HostFacts::has_io_uring,        &HostFacts::has_ublk,     &HostFacts::has_seccomp,
    &HostFacts::may_lock_memory,     &HostFacts::may_run_fifo, &HostFacts::may_flush_io,
    &HostFacts::may_lower_oom_score, &HostFacts::reserve_fits, &HostFacts::may_set_kernel_reserve,
};
constexpr std::array<bool HostFacts::*, 2> kNeedsOfA = {&HostFacts::has_drop_gate,
                                                        &HostFacts::has_reserved_path};

TEST(Tier, EveryCombinationOfFacts) {
    // Goal: a better tier is never promised with one of its needs missing, and never withheld with
    // all of them there; each missing fact is one reason.
    // Method: all 2^11 combinations.
    for (unsigned set = 0; set < 1U << 11; ++set) {
        HostFacts facts = kEverything;
        unsigned missing_b = 0;
        unsigned missing_a = 0;
        for (unsigned i = 0; i < 9; ++i) {
            facts.*kNeedsOfB[i] = (set >> i & 1U) != 0;
            missing_b += (set >> i & 1U) != 0 ? 0U : 1U;
        }
        for (unsigned i = 0; i < 2; ++i) {
            facts.*kNeedsOfA[i] = (set >> (9 + i) & 1U) != 0;
            missing_a += (set >> (9 + i) & 1U) != 0 ? 0U : 1U;
        }
        const TierVerdict verdict = decide_tier(facts);
        const Tier expected = missing_b > 0 ? Tier::C : missing_a > 0 ? Tier::B : Tier::A;
        ASSERT_EQ(verdict.tier, expected) << "set " << set;
        ASSERT_EQ(verdict.reasons.size(), missing_a + missing_b);
    }
}

TEST(Tier, OldKernelsAreTierC) {
    // Goal: Debian 12's own kernel, 6.1, counts by what it has; 5.x never reaches B.
    HostFacts facts = kEverything;
    facts.kernel_major = 5;
    EXPECT_EQ(decide_tier(facts).tier, Tier::C);
    facts.kernel_major = 7;
    facts.kernel_minor = 0;
    EXPECT_EQ(decide_tier(facts).tier, Tier::A);
}

TEST(Tier, WorstReasonsComeFirstAndFit) {
    // Goal: a list that is cut for status keeps what matters; no sentence is cut.
    const TierVerdict verdict = decide_tier(HostFacts{.reserve_fits = false});
    EXPECT_EQ(verdict.tier, Tier::C);
    EXPECT_EQ(verdict.reasons.size(), 12U);
    bool seen_minor = false;
    for (const TierReason& reason : verdict.reasons.span()) {
        EXPECT_LE(reason.text.size(), 95U) << reason.text;
        if (reason.costs == Tier::A) seen_minor = true;
        EXPECT_FALSE(seen_minor && reason.costs == Tier::B) << reason.text;
    }
}

TEST(Tier, HasItsLetter) {
    // Goal: the names that status prints.
    EXPECT_EQ(name_of(Tier::A), "A");
    EXPECT_EQ(name_of(Tier::B), "B");
    EXPECT_EQ(name_of(Tier::C), "C");
}

}  // namespace
}  // namespace holdfast::reserve
