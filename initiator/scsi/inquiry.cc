#include "initiator/scsi/inquiry.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/bytes.h"

namespace holdfast::initiator::scsi {

namespace {

constexpr std::size_t kPageHeaderBytes = 4;
// Peripheral, RMB, version, response format, ADDITIONAL LENGTH: without them there is no answer.
constexpr std::size_t kStandardInquiryBytesMin = 5;

// Code set and designator type of a designation descriptor. SPC-4 section 7.8.6.1.
constexpr std::uint8_t kCodeSetBinary = 1;
constexpr std::uint8_t kTypeT10 = 1;
constexpr std::uint8_t kTypeEui64 = 2;
constexpr std::uint8_t kTypeNaa = 3;
constexpr std::uint8_t kTypeNameString = 8;
constexpr std::uint8_t kAssociationUnit = 0;

[[nodiscard]] constexpr bool is_printable(char c) noexcept {
    return c >= ' ' && c <= '~';
}

/// Printable ASCII with other bytes as '?', blanks and NULs cut at both ends.
template <std::size_t N>
[[nodiscard]] FixedString<N> clean_text(std::span<const std::byte> from) noexcept {
    std::string_view text = as_text(from);
    constexpr std::string_view kPadding{" \0", 2};
    const std::size_t first = text.find_first_not_of(kPadding);
    if (first == std::string_view::npos) return {};
    text = text.substr(first, text.find_last_not_of(kPadding) - first + 1);
    FixedString<N> clean;
    for (const char c : text.substr(0, N)) {
        const char shown = is_printable(c) ? c : '?';
        const bool fits = clean.try_append({&shown, 1});
        HF_ASSERT(fits);
    }
    return clean;
}

/// `bytes` of `from` starting at `at`, or what there is of them.
[[nodiscard]] std::span<const std::byte> part(std::span<const std::byte> from, std::size_t at,
                                              std::size_t bytes) noexcept {
    if (at >= from.size()) return {};
    return from.subspan(at, std::min(bytes, from.size() - at));
}

/// The big-endian number of `Bytes` bytes at `at`; 0 when it did not arrive whole.
template <std::size_t Bytes>
[[nodiscard]] std::uint64_t number_at(std::span<const std::byte> from, std::size_t at) noexcept {
    static_assert(Bytes <= 8);
    const auto field = part(from, at, Bytes);
    if (field.size() != Bytes) return 0;
    std::uint64_t number = 0;
    for (const std::byte b : field) number = (number << 8) | std::to_integer<std::uint8_t>(b);
    return number;
}

[[nodiscard]] std::uint16_t u16_at(std::span<const std::byte> from, std::size_t at) noexcept {
    return static_cast<std::uint16_t>(number_at<2>(from, at));
}

[[nodiscard]] std::uint32_t u32_at(std::span<const std::byte> from, std::size_t at) noexcept {
    return static_cast<std::uint32_t>(number_at<4>(from, at));
}

/// One designation descriptor, as it stands in the page.
struct RawDesignator {
    std::uint8_t code_set = 0;
    std::uint8_t association = 0;
    std::uint8_t type = 0;
    std::span<const std::byte> value{};
};

/// Takes the next descriptor off; empty at the end and at one that runs beyond the page.
[[nodiscard]] std::optional<RawDesignator> try_designator(ByteReader& reader) noexcept {
    const auto code_set = reader.try_u8();
    const auto kind = reader.try_u8();
    const auto reserved = reader.try_u8();
    const auto length = reader.try_u8();
    if (!code_set || !kind || !reserved || !length) return {};
    const auto value = reader.try_bytes(*length);
    if (!value) return {};
    return RawDesignator{.code_set = static_cast<std::uint8_t>(*code_set & 0x0fU),
                         .association = static_cast<std::uint8_t>((*kind >> 4) & 0x03U),
                         .type = static_cast<std::uint8_t>(*kind & 0x0fU),
                         .value = *value};
}

/// 0: not usable as a name of the unit; more is better.
[[nodiscard]] int rank_of(const RawDesignator& raw) noexcept {
    if (raw.association != kAssociationUnit) return 0;
    const bool says_something = std::ranges::any_of(
        raw.value, [](std::byte b) { return b != std::byte{0} && b != std::byte{' '}; });
    if (!says_something) return 0;
    switch (raw.type) {
    case kTypeNaa: return 4;
    case kTypeEui64: return 3;
    case kTypeNameString: return 2;
    case kTypeT10: return 1;
    default: return 0;
    }
}

[[nodiscard]] FixedString<128> hex_of(std::span<const std::byte> value) noexcept {
    constexpr std::string_view kDigits = "0123456789abcdef";
    FixedString<128> hex;
    for (const std::byte b : value) {
        const auto number = std::to_integer<std::size_t>(b);
        const std::array<char, 2> pair{kDigits[number >> 4], kDigits[number & 0x0f]};
        if (!hex.try_append({pair.data(), pair.size()})) break;
    }
    return hex;
}

[[nodiscard]] FixedString<128> text_of(const RawDesignator& raw) noexcept {
    constexpr std::size_t kTextMax = FixedString<128>::capacity();
    const bool is_binary =
        raw.code_set == kCodeSetBinary || raw.type == kTypeNaa || raw.type == kTypeEui64;
    // Of a long name the end tells units of one array apart, the beginning only names the array.
    const std::size_t kept_max = is_binary ? kTextMax / 2 : kTextMax;
    const auto kept = raw.value.last(std::min(raw.value.size(), kept_max));
    return is_binary ? hex_of(kept) : clean_text<kTextMax>(kept);
}

}  // namespace

std::optional<StandardInquiry> parse_standard_inquiry(std::span<const std::byte> data) noexcept {
    if (data.size() < kStandardInquiryBytesMin) return {};
    const auto head = data.first<kStandardInquiryBytesMin>();
    const auto all = part(data, 0, kStandardInquiryBytesMin + u8_at<4>(head));
    return StandardInquiry{.qualifier = static_cast<std::uint8_t>(u8_at<0>(head) >> 5),
                           .device_type = static_cast<std::uint8_t>(u8_at<0>(head) & 0x1fU),
                           .version = u8_at<2>(head),
                           .vendor = clean_text<8>(part(all, 8, 8)),
                           .product = clean_text<16>(part(all, 16, 16)),
                           .revision = clean_text<4>(part(all, 32, 4))};
}

std::optional<std::span<const std::byte>> vpd_body(std::span<const std::byte> data,
                                                   VpdPage page) noexcept {
    if (data.size() < kPageHeaderBytes) return {};
    const auto head = data.first<kPageHeaderBytes>();
    if (u8_at<1>(head) != static_cast<std::uint8_t>(page)) return {};
    return part(data, kPageHeaderBytes, be16_at<2>(head));
}

bool vpd_lists(std::span<const std::byte> supported_pages_body, VpdPage page) noexcept {
    return std::ranges::find(supported_pages_body, std::byte{static_cast<std::uint8_t>(page)}) !=
           supported_pages_body.end();
}

FixedString<64> parse_serial_number(std::span<const std::byte> body) noexcept {
    return clean_text<64>(body);
}

Designator best_designator(std::span<const std::byte> body) noexcept {
    ByteReader reader{body};
    RawDesignator best{};
    int best_rank = 0;
    while (const auto raw = try_designator(reader)) {
        const int rank = rank_of(*raw);
        const bool is_longer = rank == best_rank && raw->value.size() > best.value.size();
        if (rank == 0 || rank < best_rank || (rank == best_rank && !is_longer)) continue;
        best = *raw;
        best_rank = rank;
    }
    if (best_rank == 0) return {};
    return {.type = best.type, .text = text_of(best)};
}

BlockLimits parse_block_limits(std::span<const std::byte> body) noexcept {
    // Offsets are those of SBC-3 table 146 minus the page header.
    BlockLimits limits{.transfer_granularity_blocks = u16_at(body, 2),
                       .transfer_blocks_max = u32_at(body, 4),
                       .transfer_blocks_optimal = u32_at(body, 8),
                       .unmap_blocks_max = u32_at(body, 16),
                       .unmap_descriptors_max = u32_at(body, 20),
                       .unmap_granularity = u32_at(body, 24),
                       .write_same_blocks_max = number_at<8>(body, 32)};
    constexpr std::uint32_t kAlignmentValid = 0x8000'0000U;  // UGAVALID
    const std::uint32_t alignment = u32_at(body, 28);
    if ((alignment & kAlignmentValid) != 0) limits.unmap_alignment = alignment & ~kAlignmentValid;
    return limits;
}

std::uint16_t parse_rotation_rate(std::span<const std::byte> body) noexcept {
    return u16_at(body, 0);
}

Provisioning parse_provisioning(std::span<const std::byte> body) noexcept {
    const auto flags = static_cast<std::uint8_t>(number_at<1>(body, 1));
    // LBPRZ is bits 4..2 in SBC-4, bit 2 in SBC-3; only 001b promises zeroes in both.
    return {.unmap = (flags & 0x80U) != 0,
            .write_same_unmap = (flags & 0x40U) != 0,
            .reads_zero = (flags & 0x1cU) == 0x04U};
}

}  // namespace holdfast::initiator::scsi
