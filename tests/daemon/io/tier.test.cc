#include "daemon/io/tier.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

reserve::Protections rows(bool holds) {
    reserve::Protections made;
    made.push(reserve::protection("one", "1", "1", true, "advice one"));
    made.push(reserve::protection("two", "2", holds ? "2" : "0", holds, "advice two"));
    return made;
}

// Goal: with every protection ublk gives B, and says what A would need; NBD gives C.
TEST(Tier, EveryProtectionHolds) {
    const auto gate = reserve::protection("drop gate", "native", "native", true, "");
    const TierVerdict ublk = judge_tier(rows(true), ExportKind::Ublk, &gate);
    EXPECT_EQ(ublk.tier, PromiseTier::B);
    EXPECT_EQ(ublk.reasons.size(), 1U);
    EXPECT_EQ(judge_tier(rows(true), ExportKind::Nbd).tier, PromiseTier::C);
}

// Goal: one missing protection lowers the tier, and its advice is the reason.
TEST(Tier, OneMissingProtectionLowersIt) {
    const TierVerdict verdict = judge_tier(rows(false), ExportKind::Ublk);
    EXPECT_EQ(verdict.tier, PromiseTier::C);
    ASSERT_EQ(verdict.reasons.size(), 2U);
    EXPECT_EQ(verdict.reasons[0].view(), "advice two");
}

// Goal: without the classifier tier B stays, and the reason says what to do about A.
TEST(Tier, DropGateIsOnlyForA) {
    const auto gate =
        reserve::protection("drop gate", "native", "none", false, "take another card");
    const TierVerdict verdict = judge_tier(rows(true), ExportKind::Ublk, &gate);
    EXPECT_EQ(verdict.tier, PromiseTier::B);
    ASSERT_EQ(verdict.reasons.size(), 2U);
    EXPECT_EQ(verdict.reasons[1].view(), "no drop gate: take another card");
    const TierVerdict without = judge_tier(rows(true), ExportKind::Ublk);
    EXPECT_EQ(without.tier, PromiseTier::B);
    EXPECT_EQ(without.reasons.size(), 2U);
}

// Goal: a layer of the sandbox that this kernel lacks costs no tier.
TEST(Tier, AMissingLayerDoesNotLowerIt) {
    reserve::Protections all = rows(true);
    all.push(reserve::layer("three", "3", "0", false, "advice three"));
    EXPECT_EQ(judge_tier(all, ExportKind::Ublk).tier, PromiseTier::B);
}

}  // namespace
}  // namespace holdfast::daemon
