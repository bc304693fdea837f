#include "reserve/plan.h"

#include <gtest/gtest.h>

namespace holdfast::reserve {
namespace {

TEST(MemoryPlan, TotalIsTheSumOfItsLines) {
    // Goal: nothing is in the total that no line explains.
    MemoryPlan plan;
    plan.add({.name = "a", .count = 3, .each = ByteCount{64}, .reason = "three"});
    plan.add(
        {.name = "b", .count = 2, .each = ByteCount{4096}, .reason = "two", .alignment = 4096});
    ByteCount sum{};
    for (const PlanLine& line : plan.lines()) sum += line.bytes();
    EXPECT_EQ(plan.total(), sum);
    EXPECT_EQ(plan.total().raw(), 3U * 64 + 2 * 4096 + 4096 - 64);
}

TEST(MemoryPlan, LinesAreRoundedUpToTheCarveUnit) {
    // Goal: a line covers what a Region really gives up for it.
    for (std::uint64_t each = 0; each < 200; ++each) {
        const PlanLine line{.name = "x", .count = 1, .each = ByteCount{each}, .reason = "r"};
        EXPECT_GE(line.bytes().raw(), each);
        EXPECT_LT(line.bytes().raw(), each + kCarveUnitBytes);
        EXPECT_EQ(line.bytes().raw() % kCarveUnitBytes, 0U);
    }
}

TEST(MemoryPlan, TakesTheLinesOfAnother) {
    // Goal: plans of parts add up to the plan of the whole.
    MemoryPlan part;
    part.add({.name = "a", .count = 1, .each = ByteCount{100}, .reason = "r"});
    MemoryPlan whole;
    whole.add_all(part);
    whole.add_all(part);
    EXPECT_EQ(whole.lines().size(), 2U);
    EXPECT_EQ(whole.total(), part.total() + part.total());
}

TEST(MemoryPlanDeathTest, SixtyFifthLineIsOurBug) {
    // Goal: a line is never lost silently.
    MemoryPlan plan;
    const PlanLine line{.name = "x", .count = 1, .each = ByteCount{1}, .reason = "r"};
    for (std::size_t i = 0; i < MemoryPlan::kLinesMax; ++i) plan.add(line);
    EXPECT_DEATH(plan.add(line), "");
}

TEST(MemoryPlanDeathTest, OverflowIsOurBug) {
    // Goal: an absurd product cannot wrap into a small plan.
    MemoryPlan plan;
    EXPECT_DEATH(
        plan.add({.name = "x", .count = 1ULL << 40, .each = ByteCount{1ULL << 40}, .reason = "r"}),
        "product_fits");
}

TEST(MemoryPlanDeathTest, LineWithoutReasonIsOurBug) {
    // Goal: every line says why.
    MemoryPlan plan;
    EXPECT_DEATH(plan.add({.name = "x", .count = 1, .each = ByteCount{1}, .reason = ""}), "reason");
}

}  // namespace
}  // namespace holdfast::reserve
