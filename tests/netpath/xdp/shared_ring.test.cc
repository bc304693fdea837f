#include "netpath/xdp/shared_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

namespace holdfast::netpath::xdp {
namespace {

/// A mapping as the kernel lays it out, with the kernel's side played by hand.
struct Mapping {
    static constexpr std::uint32_t kCount = 8;
    static constexpr RingLayout kLayout{
        .producer = 0, .consumer = 64, .flags = 128, .entries = 192};
    alignas(64) std::array<std::byte, 192 + kCount * 8> bytes{};

    [[nodiscard]] std::uint32_t word(std::size_t offset) const {
        std::uint32_t value = 0;
        std::memcpy(&value, bytes.data() + offset, sizeof(value));
        return value;
    }
    void set_word(std::size_t offset, std::uint32_t value) {
        std::memcpy(bytes.data() + offset, &value, sizeof(value));
    }
    [[nodiscard]] std::uint64_t entry(std::uint32_t index) const {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes.data() + kLayout.entries + (index % kCount) * 8, sizeof(value));
        return value;
    }
    void set_entry(std::uint32_t index, std::uint64_t value) {
        std::memcpy(bytes.data() + kLayout.entries + (index % kCount) * 8, &value, sizeof(value));
    }
};

// Goal: what is pushed is shown only by publish(), a full ring refuses, and every entry arrives
// once and in order, for many rounds of the ring.
TEST(SharedRing, ProducerShowsInOrderAndRefusesWhenFull) {
    Mapping mapping;
    ProducerRing<std::uint64_t> ring{mapping.bytes, Mapping::kLayout, Mapping::kCount};
    std::uint32_t consumed = 0;
    std::uint64_t pushed = 0;
    for (int round = 0; round < 50; ++round) {
        while (ring.try_push(pushed)) ++pushed;
        EXPECT_EQ(ring.pending(), Mapping::kCount);
        EXPECT_EQ(mapping.word(0), consumed + (round == 0 ? 0 : Mapping::kCount - 3));
        EXPECT_TRUE(ring.publish());
        EXPECT_FALSE(ring.publish());
        EXPECT_EQ(mapping.word(0), consumed + Mapping::kCount);
        for (int i = 0; i < 3; ++i, ++consumed) EXPECT_EQ(mapping.entry(consumed), consumed);
        mapping.set_word(64, consumed);
    }
}

// Goal: the receiving side sees what the kernel has published, each once, and gives places back
// only by release().
TEST(SharedRing, ConsumerGivesPlacesBackOnRelease) {
    Mapping mapping;
    ConsumerRing<std::uint64_t> ring{mapping.bytes, Mapping::kLayout, Mapping::kCount};
    EXPECT_TRUE(ring.empty());
    EXPECT_FALSE(ring.try_pop().has_value());
    std::uint32_t produced = 0;
    std::uint64_t expected = 0;
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 5; ++i, ++produced) mapping.set_entry(produced, produced);
        mapping.set_word(0, produced);
        EXPECT_FALSE(ring.empty());
        while (const auto entry = ring.try_pop()) EXPECT_EQ(*entry, expected++);
        EXPECT_EQ(mapping.word(64), produced - 5);
        ring.release();
        EXPECT_EQ(mapping.word(64), produced);
    }
    EXPECT_EQ(expected, 250U);
}

// Goal: the kernel's wish to be woken is read where the kernel writes it.
TEST(SharedRing, NeedsWakeupIsTheKernelsFlag) {
    Mapping mapping;
    const ProducerRing<std::uint64_t> ring{mapping.bytes, Mapping::kLayout, Mapping::kCount};
    EXPECT_FALSE(ring.needs_wakeup());
    mapping.set_word(128, 1);
    EXPECT_TRUE(ring.needs_wakeup());
}

}  // namespace
}  // namespace holdfast::netpath::xdp
