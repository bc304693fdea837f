#include "reserve/arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
#include <cstdint>

#include "reserve/memory_map.h"
#include "tests/reserve/in_child.h"

namespace holdfast::reserve {
namespace {

constexpr std::size_t kMib = 1024U * 1024;

Mapping mapping_at(const void* at) {
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    MappingReader reader;
    EXPECT_TRUE(reader.open());
    while (const auto mapping = reader.next()) {
        if (mapping->start <= address && address < mapping->end) return *mapping;
    }
    ADD_FAILURE() << "not mapped";
    return {};
}

TEST(Arena, IsPresentLockedAndExact) {
    // Goal: what the plan asked for is there, locked, and not a page more.
    if (kSanitized) GTEST_SKIP() << "the sanitizer makes mlock do nothing";
    auto arena = Arena::map(ByteCount{3 * kMib + 1});
    ASSERT_TRUE(arena) << arena.error().text();
    const Mapping mapping = mapping_at(arena->bytes().data());
    EXPECT_EQ(mapping.bytes(), 3 * kMib + kPageBytes);
    EXPECT_EQ(mapping.resident.raw(), mapping.bytes());
    EXPECT_TRUE(mapping.locked);
    EXPECT_EQ(arena->region().left().raw(), arena->bytes().size());
}

TEST(Arena, RegisteredSpansCoverAllOfIt) {
    // Goal: every carved buffer can be pinned by the kernel.
    const auto arena = Arena::map(ByteCount{kMib});
    ASSERT_TRUE(arena);
    std::size_t covered = 0;
    const auto spans = arena->registered_spans();
    for (const auto span : spans) covered += span.size();
    EXPECT_EQ(covered, arena->bytes().size());
}

TEST(ArenaDeathTest, NeighboursAreGuarded) {
    // Goal: running over either end is a crash, not a silent overwrite.
    const auto arena = Arena::map(ByteCount{kMib});
    ASSERT_TRUE(arena);
    const auto at = [&](std::ptrdiff_t offset) {
        auto* const byte = reinterpret_cast<volatile unsigned char*>(
            reinterpret_cast<std::intptr_t>(arena->bytes().data()) + offset);
        *byte = 1;
    };
    EXPECT_DEATH(at(-1), "");
    EXPECT_DEATH(at(static_cast<std::ptrdiff_t>(arena->bytes().size())), "");
    at(0);
}

TEST(Arena, IsNotCopiedByFork) {
    // Goal: a child neither doubles pinned memory nor shares it with the parent.
    if (kSanitized) GTEST_SKIP() << "the sanitizer catches the crash";
    const auto arena = Arena::map(ByteCount{kMib});
    ASSERT_TRUE(arena);
    EXPECT_EQ(
        signal_of_child([&] {
            return std::to_integer<int>(*static_cast<volatile std::byte*>(arena->bytes().data()));
        }),
        SIGSEGV);
}

TEST(Arena, MovingKeepsOneOwner) {
    // Goal: the mapping is unmapped once.
    auto first = Arena::map(ByteCount{kMib});
    auto second = Arena::map(ByteCount{kMib});
    ASSERT_TRUE(first && second);
    const std::byte* const kept = second->bytes().data();
    *first = std::move(*second);
    EXPECT_EQ(first->bytes().data(), kept);
    EXPECT_TRUE(second->bytes().empty());
    EXPECT_EQ(first->region().carve<int>(4).size(), 4U);
}

}  // namespace
}  // namespace holdfast::reserve
