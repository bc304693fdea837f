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

// Goal: the reserved path gives A with zero copy and a gate that drops; without the gate B; in copy
// mode, whose row does not hold, C, as its NBD export does. It never says that TCP is the kernel's.
TEST(Tier, ReservedPathGivesA) {
    const auto gate = reserve::protection("drop gate", "native", "native", true, "");
    const auto loose = reserve::protection("drop gate", "native", "generic", false, "a card");
    const auto judge = [&](bool is_zero_copy, ExportKind kind, const reserve::Protection& row) {
        return judge_tier(rows(is_zero_copy), kind, &row, NetworkPath::Xdp);
    };
    EXPECT_EQ(judge(true, ExportKind::Ublk, gate).tier, PromiseTier::A);
    EXPECT_TRUE(judge(true, ExportKind::Ublk, gate).reasons.empty());
    const TierVerdict without = judge(true, ExportKind::Ublk, loose);
    EXPECT_EQ(without.tier, PromiseTier::B);
    ASSERT_EQ(without.reasons.size(), 1U);
    EXPECT_EQ(without.reasons[0].view(), "no drop gate: a card");
    EXPECT_EQ(judge(false, ExportKind::Ublk, gate).tier, PromiseTier::C);
    EXPECT_EQ(judge(true, ExportKind::Nbd, gate).tier, PromiseTier::C);
}

// Goal: a layer of the sandbox that this kernel lacks costs no tier.
TEST(Tier, AMissingLayerDoesNotLowerIt) {
    reserve::Protections all = rows(true);
    all.push(reserve::layer("three", "3", "0", false, "advice three"));
    EXPECT_EQ(judge_tier(all, ExportKind::Ublk).tier, PromiseTier::B);
}

}  // namespace
}  // namespace holdfast::daemon
