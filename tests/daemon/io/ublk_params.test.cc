#include "daemon/io/ublk_params.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

using initiator::DeviceFacts;

constexpr std::uint32_t kRequestBytes = 128 * 1024;

DeviceFacts plain_unit(std::uint32_t block_bytes) {
    DeviceFacts facts;
    facts.block_bytes = block_bytes;
    facts.blocks = 1024;
    facts.write_cache = false;
    return facts;
}

// Goal: a unit that reports nothing gets a device without cache, discards and limits of its own.
TEST(UblkParams, PlainUnitOfEachBlockSize) {
    for (std::uint32_t block = 512, shift = 9; block <= 4096; block *= 2, ++shift) {
        const ublk::Params params = ublk_params_of(plain_unit(block), kRequestBytes, false);
        EXPECT_EQ(params.bytes, sizeof(params));
        EXPECT_EQ(params.types, ublk::kTypeBasic);
        EXPECT_EQ(params.basic.attributes, 0U);
        EXPECT_EQ(params.basic.logical_block_shift, shift);
        EXPECT_EQ(params.basic.physical_block_shift, shift);
        EXPECT_EQ(params.basic.sectors_max, kRequestBytes / 512);
        EXPECT_EQ(params.basic.device_sectors, 1024ULL * block / 512);
    }
}

// Goal: every attribute follows its fact; FUA is offered only together with a cache.
TEST(UblkParams, AttributesFollowTheFacts) {
    DeviceFacts facts = plain_unit(512);
    facts.can_force_unit_access = true;
    EXPECT_EQ(ublk_params_of(facts, kRequestBytes, false).basic.attributes, 0U);
    facts.write_cache = true;
    facts.rotational = true;
    EXPECT_EQ(ublk_params_of(facts, kRequestBytes, true).basic.attributes,
              ublk::kAttributeReadOnly | ublk::kAttributeRotational |
                  ublk::kAttributeVolatileCache | ublk::kAttributeFua);
    facts.can_force_unit_access = false;
    EXPECT_EQ(ublk_params_of(facts, kRequestBytes, false).basic.attributes,
              ublk::kAttributeRotational | ublk::kAttributeVolatileCache);
}

// Goal: the kernel's checks hold for absurd reports too: it would refuse the device otherwise.
// Rows: BUG-05, BUG-60
TEST(UblkParams, AbsurdReportsStayWithinTheKernelsChecks) {
    DeviceFacts facts = plain_unit(512);
    facts.physical_block_exponent = 15;
    facts.transfer_blocks_max = 1;
    facts.transfer_blocks_optimal = 0xffff'ffff;
    facts.can_unmap = facts.can_write_same = true;
    facts.unmap_blocks_max = 0xffff'ffff;
    facts.write_same_blocks_max = ~0ULL;
    facts.unmap_granularity = 0xffff'ffff;
    facts.unmap_alignment = 0xffff'ffff;
    const ublk::Params params = ublk_params_of(facts, kRequestBytes, false);
    EXPECT_LE(params.basic.physical_block_shift, 12);
    EXPECT_GE(params.basic.sectors_max, 8U);
    EXPECT_LE(params.basic.sectors_max, kRequestBytes / 512);
    EXPECT_GT(params.discard.granularity, 0U);
    EXPECT_LT(params.discard.alignment, params.discard.granularity);
    EXPECT_EQ(params.discard.segments_max, 1);
    EXPECT_LE(params.discard.discard_sectors_max, 64U * 1024 * 2);
    EXPECT_LE(params.discard.write_zeroes_sectors_max, 64U * 1024 * 2);
}

// Goal: discards need both the permission and a limit; a read-only device has none.
TEST(UblkParams, DiscardsNeedPermissionAndLimit) {
    DeviceFacts facts = plain_unit(4096);
    facts.can_unmap = true;
    EXPECT_EQ(ublk_params_of(facts, kRequestBytes, false).discard.discard_sectors_max, 0U);
    facts.unmap_blocks_max = 16;
    facts.unmap_granularity = 2;
    const ublk::Params params = ublk_params_of(facts, kRequestBytes, false);
    EXPECT_EQ(params.discard.discard_sectors_max, 128U);
    EXPECT_EQ(params.discard.granularity, 8192U);
    EXPECT_EQ(ublk_params_of(facts, kRequestBytes, true).types, ublk::kTypeBasic);
}

}  // namespace
}  // namespace holdfast::daemon
