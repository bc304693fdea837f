#include "reserve/pool.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <set>
#include <vector>

namespace holdfast::reserve {
namespace {

struct Thing {
    int value = 7;
};

class PoolOfFour : public testing::Test {
protected:
    alignas(64) std::array<std::byte, 4096> bytes_{};
    Region region_{bytes_};
    Pool<Thing> pool_{region_, 4};
};

TEST_F(PoolOfFour, LendsEachObjectOnce) {
    // Goal: two borrowers never share an object, and the fifth gets nothing.
    std::vector<Slot<Thing>> slots;
    std::set<Thing*> seen;
    for (int i = 0; i < 4; ++i) {
        slots.push_back(pool_.try_take());
        ASSERT_TRUE(slots.back());
        EXPECT_EQ(slots.back()->value, 7);
        EXPECT_TRUE(seen.insert(&*slots.back()).second);
        EXPECT_LT(slots.back().index(), 4U);
    }
    EXPECT_FALSE(pool_.try_take());
    EXPECT_EQ(pool_.free_count(), 0U);
    slots.clear();
    EXPECT_TRUE(pool_.is_whole());
}

TEST_F(PoolOfFour, LowWaterRemembersTheWorst) {
    // Goal: status can say how near to the edge we were.
    {
        const auto a = pool_.try_take();
        const auto b = pool_.try_take();
        const auto c = pool_.try_take();
        EXPECT_TRUE(a && b && c);
    }
    const auto again = pool_.try_take();
    EXPECT_TRUE(again);
    EXPECT_EQ(pool_.low_water(), 1U);
}

TEST_F(PoolOfFour, MovingASlotMovesTheLoan) {
    // Goal: an object goes home exactly once.
    auto a = pool_.try_take();
    Slot<Thing> b{std::move(a)};
    EXPECT_FALSE(a);
    a = std::move(b);
    EXPECT_TRUE(a);
    auto c = pool_.try_take();
    a = std::move(c);
    EXPECT_EQ(pool_.free_count(), 3U);
    a.give_back();
    a.give_back();
    EXPECT_TRUE(pool_.is_whole());
}

TEST_F(PoolOfFour, GivenBackLastIsTakenFirst) {
    // Goal: the warmest object is used next.
    auto a = pool_.try_take();
    Thing* const warm = &*a;
    a.give_back();
    EXPECT_EQ(&*pool_.try_take(), warm);
}

TEST(Pool, PlanCoversThePool) {
    // Goal: what add_to_plan says is what the constructor carves at most.
    for (std::uint32_t count = 1; count < 50; ++count) {
        MemoryPlan plan;
        Pool<Thing>::add_to_plan(plan, "things", count, "r");
        alignas(64) std::array<std::byte, 4096> bytes{};
        Region region{std::span{bytes}.first(static_cast<std::size_t>(plan.total().raw()))};
        const Pool<Thing> pool{region, count};
        EXPECT_EQ(pool.capacity(), count);
        EXPECT_EQ(region.used(), plan.total());
    }
}

TEST(PoolDeathTest, EmptySlotHasNoObject) {
    // Goal: using what was not lent is caught in every build.
    const Slot<Thing> none;
    EXPECT_DEATH((void)*none, "pool_");
}

TEST(PoolDeathTest, PoolMayNotDieBeforeItsSlots) {
    // Goal: an object on loan cannot dangle.
    const auto outlive = [] {
        alignas(64) std::array<std::byte, 4096> bytes{};
        Region region{bytes};
        std::optional<Pool<Thing>> pool{std::in_place, region, 1U};
        const auto slot = pool->try_take();
        pool.reset();
    };
    EXPECT_DEATH(outlive(), "is_whole");
}

}  // namespace
}  // namespace holdfast::reserve
