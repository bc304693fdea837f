#include "initiator/scsi/capacity.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"

namespace holdfast::initiator::scsi {

namespace {

constexpr std::size_t kCapacityBytesMin = 12;
constexpr std::uint32_t kBlockBytesMin = 512;
constexpr std::uint32_t kBlockBytesMax = 4096;

constexpr std::uint8_t kWriteProtected = 0x80;  // WP
constexpr std::uint8_t kDpoFua = 0x10;
constexpr std::uint8_t kSubpageFormat = 0x40;  // SPF
constexpr std::uint8_t kWriteCache = 0x04;     // WCE, byte 2 of the caching page

/// Where the parts of mode parameters stand. SPC-4 section 7.5.4.
struct ModeHeader {
    std::size_t says_bytes;  ///< Whole length as the unit counts it.
    std::uint8_t device_specific;
    std::size_t header_bytes;
    std::size_t descriptor_bytes;
};

/// WCE of the caching page, if that page is among `pages`.
[[nodiscard]] std::optional<bool> find_write_cache(std::span<const std::byte> pages) noexcept {
    ByteReader reader{pages};
    while (true) {
        const auto code = reader.try_u8();
        if (!code) return {};
        const bool has_subpage = (*code & kSubpageFormat) != 0;
        if (has_subpage && !reader.try_u8()) return {};
        std::optional<std::uint32_t> length;
        if (has_subpage) {
            length = reader.try_be16();
        } else {
            length = reader.try_u8();
        }
        if (!length) return {};
        const bool is_caching = !has_subpage && (*code & 0x3fU) == kModePageCaching;
        if (is_caching && *length > 0) {
            // A cut page still tells, when its first byte arrived.
            const auto flags = reader.try_u8();
            if (!flags) return {};
            return (*flags & kWriteCache) != 0;
        }
        if (!reader.try_bytes(*length)) return {};
    }
}

[[nodiscard]] Modes modes_of(std::span<const std::byte> data, const ModeHeader& header) noexcept {
    Modes modes{.write_protected = (header.device_specific & kWriteProtected) != 0,
                .force_unit_access = (header.device_specific & kDpoFua) != 0};
    const auto all = data.first(std::min(data.size(), header.says_bytes));
    const std::size_t pages_at = header.header_bytes + header.descriptor_bytes;
    if (pages_at < all.size()) modes.write_cache = find_write_cache(all.subspan(pages_at));
    return modes;
}

}  // namespace

std::optional<Capacity> parse_capacity_16(std::span<const std::byte> data) noexcept {
    if (data.size() < kCapacityBytesMin) return {};
    const auto head = data.first<kCapacityBytesMin>();
    Capacity capacity{.last_lba = be64_at<0>(head), .block_bytes = be32_at<8>(head)};
    if (data.size() < kCapacityBytes) return capacity;
    const auto all = data.first<kCapacityBytes>();
    capacity.physical_block_exponent = static_cast<std::uint8_t>(u8_at<13>(all) & 0x0fU);
    const std::uint16_t tail = be16_at<14>(all);
    capacity.thin = (tail & 0x8000U) != 0;
    capacity.reads_zero = (tail & 0x4000U) != 0;
    capacity.lowest_aligned_lba = tail & 0x3fffU;
    return capacity;
}

bool is_usable(const Capacity& capacity) noexcept {
    if (capacity.block_bytes < kBlockBytesMin || capacity.block_bytes > kBlockBytesMax) {
        return false;
    }
    if (!std::has_single_bit(capacity.block_bytes)) return false;
    constexpr std::uint64_t kBytesEnd = std::uint64_t{1} << 63;
    return capacity.last_lba < kBytesEnd / capacity.block_bytes - 1;
}

std::optional<Modes> parse_modes_6(std::span<const std::byte> data) noexcept {
    constexpr std::size_t kHeaderBytes = 4;
    if (data.size() < kHeaderBytes) return {};
    const auto head = data.first<kHeaderBytes>();
    return modes_of(data, {.says_bytes = std::size_t{1} + u8_at<0>(head),
                           .device_specific = u8_at<2>(head),
                           .header_bytes = kHeaderBytes,
                           .descriptor_bytes = u8_at<3>(head)});
}

std::optional<Modes> parse_modes_10(std::span<const std::byte> data) noexcept {
    constexpr std::size_t kHeaderBytes = 8;
    if (data.size() < kHeaderBytes) return {};
    const auto head = data.first<kHeaderBytes>();
    return modes_of(data, {.says_bytes = std::size_t{2} + be16_at<0>(head),
                           .device_specific = u8_at<3>(head),
                           .header_bytes = kHeaderBytes,
                           .descriptor_bytes = be16_at<6>(head)});
}

bool parse_is_supported(std::span<const std::byte> data) noexcept {
    // One_command format, SPC-4 table 268: SUPPORT is the low three bits of byte 1; 011b means as
    // the standard says, 101b in a way of its own, which we do not trust.
    ByteReader reader{data};
    if (!reader.try_u8()) return false;
    const auto support = reader.try_u8();
    return support && (*support & 0x07U) == 0x03U;
}

Told parse_unit_reset(std::span<const std::byte> data) noexcept {
    constexpr std::uint8_t kUnitReset = 0x08;  // LURS, byte 0.
    ByteReader reader{data};
    const auto functions = reader.try_u8();
    if (!functions) return Told::Nothing;
    return (*functions & kUnitReset) != 0 ? Told::Yes : Told::No;
}

}  // namespace holdfast::initiator::scsi
