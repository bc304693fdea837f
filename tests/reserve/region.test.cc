#include "reserve/region.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>

namespace holdfast::reserve {
namespace {

struct alignas(4096) Buffer {
    std::array<std::byte, 64 * 1024> bytes{};
};

template <class T>
bool is_aligned(const T* at, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(at) % alignment == 0;
}

TEST(Region, CarvedObjectsAreValueInitialised) {
    // Goal: nobody sees what was in the span before.
    Buffer buffer;
    buffer.bytes.fill(std::byte{0xa5});
    Region region{buffer.bytes};
    for (const std::uint32_t value : region.carve<std::uint32_t>(100)) EXPECT_EQ(value, 0U);
}

TEST(Region, ThePlanCoversEveryOrderOfCarving) {
    // Goal: a span of exactly the plan's total is enough, whatever the offset and order.
    MemoryPlan plan;
    plan.add_objects<std::uint8_t>("bytes", 7, "r");
    plan.add(
        {.name = "pages", .count = 2, .each = ByteCount{4096}, .reason = "r", .alignment = 4096});
    plan.add_objects<std::uint64_t>("words", 9, "r");
    const auto total = static_cast<std::size_t>(plan.total().raw());
    Buffer buffer;
    for (std::size_t offset = 0; offset < 4096; offset += 64) {
        Region region{std::span{buffer.bytes}.subspan(offset, total)};
        EXPECT_EQ(region.carve<std::uint8_t>(7).size(), 7U);
        EXPECT_TRUE(is_aligned(region.carve_bytes(8192, 4096).data(), 4096));
        EXPECT_EQ(region.carve<std::uint64_t>(9).size(), 9U);
        EXPECT_LE(region.used(), plan.total());
    }
}

TEST(Region, PiecesNeverOverlap) {
    // Goal: each byte has one owner.
    Buffer buffer;
    Region region{buffer.bytes};
    const std::byte* end = buffer.bytes.data();
    for (std::size_t bytes = 1; bytes < 150; ++bytes) {
        const auto piece = region.carve_bytes(bytes, std::size_t{1} << (bytes % 8));
        EXPECT_GE(piece.data(), end);
        end = std::to_address(piece.end());
    }
    EXPECT_EQ(region.used().raw() + region.left().raw(), buffer.bytes.size());
}

TEST(Region, MakesOneObjectFromArguments) {
    // Goal: types without a default state can live in the arena.
    struct Point {
        Point(int px, int py) noexcept : x(px), y(py) {}
        int x;
        int y;
    };
    Buffer buffer;
    Region region{buffer.bytes};
    const Point& point = region.make<Point>(3, 4);
    EXPECT_EQ(point.x, 3);
    EXPECT_EQ(point.y, 4);
}

TEST(RegionDeathTest, RunningOutIsOurBug) {
    // Goal: carving beyond the plan stops the program before it is armed.
    Buffer buffer;
    Region region{std::span{buffer.bytes}.first(128)};
    EXPECT_EQ(region.carve<std::byte>(128).size(), 128U);
    EXPECT_DEATH((void)region.carve<std::byte>(1), "left_");
}

}  // namespace
}  // namespace holdfast::reserve
