#include "initiator/scsi/capacity.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/initiator/scsi/bytes_text.h"

namespace holdfast::initiator::scsi {
namespace {

// Goal: size and block length need their 12 bytes; the rest comes with all 32 or not at all.
// Method: every length.
TEST(Capacity, EveryShortLengthGivesWhatArrived) {
    const auto data =
        joined(hex("00000000 001fffff 00000200 00 03 c0 07"), std::vector<std::byte>(16));
    for (std::size_t size = 0; size <= data.size(); ++size) {
        const auto capacity = parse_capacity_16(std::span{data}.first(size));
        ASSERT_EQ(capacity.has_value(), size >= 12);
        if (!capacity) continue;
        EXPECT_EQ(capacity->last_lba, 0x1f'ffffU);
        EXPECT_EQ(capacity->block_bytes, 512U);
        EXPECT_EQ(capacity->physical_block_exponent, size == 32 ? 3 : 0);
        EXPECT_EQ(capacity->lowest_aligned_lba, size == 32 ? 7 : 0);
        EXPECT_EQ(capacity->thin, size == 32);
        EXPECT_EQ(capacity->reads_zero, size == 32);
    }
}

// Goal: only block sizes we can export, and sizes that never overflow a byte count, are usable.
// Method: every block size up to 70000, and the borders of the last LBA.
TEST(Capacity, OnlySaneDisksAreUsable) {
    for (std::uint32_t block = 0; block <= 70'000; ++block) {
        const bool expected = block == 512 || block == 1024 || block == 2048 || block == 4096;
        ASSERT_EQ(is_usable({.last_lba = 99, .block_bytes = block}), expected) << block;
    }
    EXPECT_FALSE(is_usable({.last_lba = 99, .block_bytes = 0x8000'0000}));
    EXPECT_TRUE(is_usable({.last_lba = 0, .block_bytes = 512}));
    const std::uint64_t most = (std::uint64_t{1} << 63) / 512 - 2;
    EXPECT_TRUE(is_usable({.last_lba = most, .block_bytes = 512}));
    EXPECT_FALSE(is_usable({.last_lba = most + 1, .block_bytes = 512}));
    EXPECT_FALSE(is_usable({.last_lba = ~std::uint64_t{0}, .block_bytes = 512}));
}

// Header with WP and DPOFUA, one block descriptor of 8 bytes, page 01h, caching page with WCE.
const auto kModes6 = hex(
    "1f 00 90 08 0000000000000200 81 02 aa bb 88 12 04 00 ff ff 00 00 ff ff ff ff 80 14 00 00 00 00"
    "00 00");

// Goal: the caching page is found behind block descriptors and other pages, in both forms.
TEST(Modes, CachingPageIsFoundBehindDescriptorsAndOtherPages) {
    const auto modes = parse_modes_6(kModes6);
    ASSERT_TRUE(modes);
    EXPECT_TRUE(modes->write_protected);
    EXPECT_TRUE(modes->force_unit_access);
    EXPECT_EQ(modes->write_cache, true);
    const auto ten = hex("00 12 00 00 00 00 00 00 c1 05 00 01 aa 08 12 00 00 00 00 00");
    const auto subpage_first = parse_modes_10(ten);
    ASSERT_TRUE(subpage_first);
    EXPECT_FALSE(subpage_first->write_protected);
    EXPECT_EQ(subpage_first->write_cache, false);
}

// Goal: mode parameters cut anywhere, or with any length byte changed to anything, give values that
// arrived or none.
// Method: all cuts; all 256 values of each byte.
// Rows: SEC-01
TEST(Modes, HostileLengthsAreHarmless) {
    for (std::size_t size = 0; size <= kModes6.size(); ++size) {
        const auto cut = std::span{kModes6}.first(size);
        ASSERT_EQ(parse_modes_6(cut).has_value(), size >= 4);
        ASSERT_EQ(parse_modes_10(cut).has_value(), size >= 8);
        if (size >= 4) {
            EXPECT_EQ(parse_modes_6(cut)->write_cache.has_value(), size >= 19) << size;
        }
    }
    for (std::size_t at = 0; at < kModes6.size(); ++at) {
        for (int value = 0; value < 256; ++value) {
            auto data = kModes6;
            data[at] = std::byte(value);
            EXPECT_TRUE(parse_modes_6(data));
            EXPECT_TRUE(parse_modes_10(data));
        }
    }
}

// Goal: an operation counts as known only when the unit supports it as the standard says.
TEST(SupportedOperation, OnlyTheStandardFormCounts) {
    for (int support = 0; support < 256; ++support) {
        const std::vector<std::byte> data = {std::byte{0}, std::byte(support)};
        EXPECT_EQ(parse_is_supported(data), (support & 7) == 3);
    }
    EXPECT_FALSE(parse_is_supported({}));
    EXPECT_FALSE(parse_is_supported(hex("00")));
}

}  // namespace
}  // namespace holdfast::initiator::scsi
