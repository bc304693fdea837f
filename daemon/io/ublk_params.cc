#include "daemon/io/ublk_params.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace holdfast::daemon {

namespace {

using initiator::DeviceFacts;

constexpr std::uint8_t kPageShift = 12;
constexpr std::uint32_t kPageSectors = 8;
// One WRITE SAME or UNMAP covers no more: a target works on it within a command time-out.
constexpr std::uint64_t kBulkSectorsMax = 64ULL * 1024 * 1024 / ublk::kSectorBytes;

std::uint8_t shift_of(std::uint64_t bytes) noexcept {
    return static_cast<std::uint8_t>(std::bit_width(bytes) - 1);
}

std::uint64_t sectors_per_block(const DeviceFacts& facts) noexcept {
    return facts.block_bytes / ublk::kSectorBytes;
}

ublk::BasicParams basic_of(const DeviceFacts& facts, std::uint32_t request_bytes_max,
                           bool read_only) noexcept {
    ublk::BasicParams basic;
    if (read_only || facts.read_only) basic.attributes |= ublk::kAttributeReadOnly;
    if (facts.rotational) basic.attributes |= ublk::kAttributeRotational;
    if (facts.write_cache) {
        basic.attributes |= ublk::kAttributeVolatileCache;
        // Without it the block layer sends a flush after the write by itself.
        if (facts.can_force_unit_access) basic.attributes |= ublk::kAttributeFua;
    }
    basic.logical_block_shift = shift_of(facts.block_bytes);
    const unsigned physical = basic.logical_block_shift + 0U + facts.physical_block_exponent;
    basic.physical_block_shift = static_cast<std::uint8_t>(
        std::clamp<unsigned>(physical, basic.logical_block_shift, kPageShift));
    basic.minimal_io_shift = basic.physical_block_shift;

    std::uint64_t transfer_bytes = request_bytes_max;
    if (facts.transfer_blocks_max != 0)
        transfer_bytes = std::min<std::uint64_t>(
            transfer_bytes, std::uint64_t{facts.transfer_blocks_max} * facts.block_bytes);
    basic.sectors_max =
        std::max(static_cast<std::uint32_t>(transfer_bytes / ublk::kSectorBytes), kPageSectors);

    const std::uint64_t optimal_bytes = std::min<std::uint64_t>(
        std::uint64_t{facts.transfer_blocks_optimal} * facts.block_bytes, transfer_bytes);
    basic.optimal_io_shift = basic.physical_block_shift;
    if (optimal_bytes != 0)
        basic.optimal_io_shift = std::max(basic.physical_block_shift, shift_of(optimal_bytes));
    basic.device_sectors = ublk_sectors_of(facts);
    return basic;
}

/// `reported` 0 means that the unit gave no limit.
std::uint32_t bulk_sectors(const DeviceFacts& facts, std::uint64_t reported) noexcept {
    const std::uint64_t unit_max = kBulkSectorsMax / sectors_per_block(facts);
    const std::uint64_t blocks = reported == 0 ? unit_max : std::min(reported, unit_max);
    return static_cast<std::uint32_t>(blocks * sectors_per_block(facts));
}

ublk::DiscardParams discard_of(const DeviceFacts& facts) noexcept {
    ublk::DiscardParams discard;
    const std::uint32_t granularity_blocks = std::max(facts.unmap_granularity, 1U);
    constexpr std::uint32_t kGranularityBytesMax = 1U << 30;
    discard.granularity = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        std::uint64_t{granularity_blocks} * facts.block_bytes, kGranularityBytesMax));
    discard.alignment = static_cast<std::uint32_t>(std::uint64_t{facts.unmap_alignment} *
                                                   facts.block_bytes % discard.granularity);
    if (facts.can_unmap && facts.unmap_blocks_max != 0) {
        discard.discard_sectors_max = bulk_sectors(facts, facts.unmap_blocks_max);
        discard.segments_max = 1;
    }
    if (facts.can_write_same)
        discard.write_zeroes_sectors_max = bulk_sectors(facts, facts.write_same_blocks_max);
    return discard;
}

}  // namespace

std::uint64_t ublk_sectors_of(const initiator::DeviceFacts& facts) noexcept {
    return facts.blocks * sectors_per_block(facts);
}

ublk::Params ublk_params_of(const initiator::DeviceFacts& facts, std::uint32_t request_bytes_max,
                            bool read_only) noexcept {
    HF_ASSERT(facts.block_bytes >= 512 && facts.block_bytes <= 4096);
    HF_ASSERT(std::has_single_bit(facts.block_bytes));
    HF_ASSERT(request_bytes_max >= 4096 && request_bytes_max % 4096 == 0);
    ublk::Params params;
    params.bytes = sizeof(params);
    params.types = ublk::kTypeBasic;
    params.basic = basic_of(facts, request_bytes_max, read_only);
    const bool writable = (params.basic.attributes & ublk::kAttributeReadOnly) == 0;
    if (writable && (facts.can_unmap || facts.can_write_same)) {
        params.types |= ublk::kTypeDiscard;
        params.discard = discard_of(facts);
    }
    return params;
}

}  // namespace holdfast::daemon
