#include "netpath/xdp/umem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace holdfast::netpath::xdp {
namespace {

struct Made {
    explicit Made(const UmemShape& shape) {
        reserve::MemoryPlan plan;
        Umem::add_to_plan(plan, shape);
        memory.resize(plan.total().raw() + 4096);
        region.emplace(memory);
        umem.emplace(shape, *region);
    }
    std::vector<std::byte> memory;
    std::optional<reserve::Region> region;
    std::optional<Umem> umem;
};

// Goal: the plan covers it; every frame is had once, none overlaps another, and none is left then.
TEST(Umem, EachFrameIsHadOnce) {
    for (const std::uint32_t bytes : {2048U, 4096U}) {
        Made made{{.frames = 16, .frame_bytes = bytes}};
        std::vector<const std::byte*> begins;
        while (const auto number = made.umem->try_take()) {
            const auto frame = made.umem->frame(*number);
            EXPECT_EQ(frame.size(), bytes);
            begins.push_back(frame.data());
            EXPECT_EQ(made.umem->number_of(made.umem->address_of(*number) + bytes - 1), *number);
        }
        ASSERT_EQ(begins.size(), 16U);
        std::ranges::sort(begins);
        for (std::size_t i = 1; i < begins.size(); ++i)
            EXPECT_EQ(begins[i] - begins[i - 1], static_cast<std::ptrdiff_t>(bytes));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(begins[0]) % 4096, 0U);
        EXPECT_EQ(made.umem->free_count(), 0U);
    }
}

// Goal: what came home last is taken last, through any number of rounds: a card may still read it.
TEST(Umem, TheLastOneHomeRestsLongest) {
    Made made{{.frames = 6, .frame_bytes = 2048}};
    for (int round = 0; round < 20; ++round) {
        const auto number = made.umem->try_take();
        ASSERT_TRUE(number.has_value());
        made.umem->give_back(*number);
        std::vector<FrameNumber> others;
        for (int i = 0; i < 5; ++i) others.push_back(*made.umem->try_take());
        EXPECT_EQ(std::ranges::find(others, *number), others.end());
        for (const FrameNumber one : others) made.umem->give_back(one);
    }
}

// Goal: a frame that is given back twice stops the process: two owners would write to it.
TEST(UmemDeathTest, NoFrameIsFreeTwice) {
    Made made{{.frames = 2, .frame_bytes = 2048}};
    const auto number = made.umem->try_take();
    ASSERT_TRUE(number.has_value());
    made.umem->give_back(*number);
    EXPECT_DEATH(made.umem->give_back(*number), "");
    EXPECT_DEATH(made.umem->give_back(2), "");
}

}  // namespace
}  // namespace holdfast::netpath::xdp
